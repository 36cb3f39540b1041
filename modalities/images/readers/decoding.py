"""From image files and arrays to pixels of one size and one number of channels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from modalities.images.readers.image_set import Pixels, refuse_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

PIXELS_LIMIT = 2**26
"""Pixels of one image file; a small file that promises more is taken for a decompression bomb."""
CHANNELS = (1, 3)
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
"""Pillow chooses a decoder by the content, and some others start programs (EPS: Ghostscript)."""
SIXTEEN_BITS = 2**16 - 1
BITS_TAG, PHOTOMETRIC_TAG, WHITE_IS_ZERO = 258, 262, 0
"""Of TIFF."""


@dataclass(frozen=True)
class Decoding:
    """How pixels are made.

    Attributes:
        size: height and width to which images are cut (at the centre, to the same shape) and resized; None keeps
            theirs.
        channels: 1 (grey) or 3 (colour); None keeps theirs.
        invert: whether ink and paper change places, 255 - pixel.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    invert: bool = False

    def __post_init__(self) -> None:
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"size is {self.size}; give a height and a width of at least 1.")
        if self.size is not None and self.size[0] * self.size[1] > PIXELS_LIMIT:
            raise ValueError(f"size is {self.size}; give one of at most {PIXELS_LIMIT:,} pixels.")
        if self.channels not in (None, *CHANNELS) or isinstance(self.channels, bool):
            raise ValueError(f"channels is {self.channels!r}; choose 1 (grey), 3 (colour) or None (as they are).")

    def file(self, content: bytes, name: str) -> Pixels:
        """The pixels of an image file, uint8 [H, W] (grey) or [H, W, 3].

        Raises:
            ValueError: if the file is damaged or of no format of ``FORMATS``, would unpack to too many pixels, or holds
                numbers that have no place between black and white.
        """
        from PIL import Image, ImageOps, UnidentifiedImageError

        if not content:
            raise ValueError(f"source {name}: the image file is empty; remove it or get it again.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
                width, height = image.size
                if width * height <= PIXELS_LIMIT:
                    image.load()
                    ImageOps.exif_transpose(image, in_place=True)
                    return self.image(image)
            except Image.DecompressionBombError:
                width, height = 0, 0
            except UnidentifiedImageError:
                raise ValueError(
                    f"source {name}: the image file must be readable, got none of the formats {', '.join(FORMATS)}; "
                    "remove it, convert it or get it again."
                ) from None
            except Exception as error:  # Pillow answers damaged files with errors of any kind
                raise ValueError(
                    f"source {name}: the image file must be readable, got the error '{error}'; remove it or get it "
                    "again."
                ) from None
        given = f"{width} x {height}" if width else "many more"
        raise ValueError(
            f"source {name}: an image has at most {PIXELS_LIMIT:,} pixels, got {given}, which is taken for a "
            "decompression bomb; make it smaller."
        )

    def image(self, image: Image) -> Pixels:
        """The pixels of a Pillow image, uint8 [H, W] (grey) or [H, W, 3]; what is transparent is laid on white."""
        from PIL import ImageOps
        from PIL.Image import Resampling

        grey = self.channels == 1 or (self.channels is None and image.mode in ("1", "L", "LA", "La"))
        if image.mode.startswith("I") or image.mode == "F":
            grey, image = self.channels != 3, _eight_bits(image)
        elif image.has_transparency_data:
            image = _on_white(image)
        image = image.convert("L" if grey else "RGB")
        if self.size is not None and image.size != self.size[::-1]:
            image = ImageOps.fit(image, self.size[::-1], Resampling.BICUBIC)
        pixels = np.asarray(image, dtype=np.uint8)
        return 255 - pixels if self.invert else pixels

    def array(self, pixels: Pixels, name: str) -> Tensor:
        """Pixels [N, C, H, W] with C = 1 or 3 as a tensor, cut, resized and converted where it is asked for."""
        from PIL import Image

        count, channels, height, width = pixels.shape
        wanted = self.size if self.size is not None else (height, width)
        refuse_bytes(count, (self.channels or channels, *wanted), name)
        if wanted == (height, width) and self.channels in (None, channels):
            same = pixels.copy() if not pixels.flags.writeable else pixels
            return torch.from_numpy(255 - same if self.invert else np.ascontiguousarray(same))
        layers = pixels[:, 0] if channels == 1 else pixels.transpose(0, 2, 3, 1)
        return stacked((self.image(Image.fromarray(np.ascontiguousarray(one))) for one in layers), count, name)


def _eight_bits(image: Image) -> Image:
    """A grey image of 16 bits, or of numbers in [0, 1], in 8 bits.

    Raises:
        ValueError: if it has other numbers.
    """
    from PIL import Image

    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    white = 1 if image.mode == "F" else SIXTEEN_BITS
    if image.mode == "I;16" and tuple(np.ravel(tags.get(BITS_TAG, ()))) == (12,):
        white = 2**12 - 1
    low, high = float(values.min()), float(values.max())
    if not 0 <= low <= high <= white:
        raise ValueError(f"numbers must lie in [0, {white}], from black to white, and lie in [{low:g}, {high:g}]")
    shares = values.astype(np.float32) / np.float32(white)
    if tags.get(PHOTOMETRIC_TAG) == WHITE_IS_ZERO:
        shares = 1 - shares
    if "transparency" in image.info:
        shares = np.where(values == image.info["transparency"], 1, shares)
    return Image.fromarray(np.round(255 * shares).astype(np.uint8))


def _on_white(image: Image) -> Image:
    """The image on white paper, as grey levels or colours that are equal where it is grey."""
    from PIL import Image

    layer = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def stacked(images: Iterable[Pixels], count: int, name: str, names: list[str] | None = None) -> Tensor:
    """Pixels [H, W] or [H, W, 3] of many images as one tensor, uint8 [N, C, H, W].

    Raises:
        ValueError: if they differ in size or channels, or are too many for the memory.
    """
    result: Tensor | None = None
    first = ""
    for number, pixels in enumerate(images):
        layers = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        if result is None:
            refuse_bytes(count, layers.shape, name)
            result, first = torch.empty((count, *layers.shape), dtype=torch.uint8), _shape(layers)
        if layers.shape != tuple(result.shape[1:]):
            which = f" ({names[0]} and {names[number]})" if names else ""
            option = "channels=1 or 3" if layers.shape[1:] == tuple(result.shape[2:]) else "size=... to resize them"
            raise ValueError(
                f"source {name}: images must be of one size, got {first} and {_shape(layers)}{which}; give {option}."
            )
        result.numpy()[number] = layers
    if result is None:
        raise ValueError(f"source {name} must hold at least one image, got none; check the path.")
    return result


def _shape(layers: Pixels) -> str:
    return f"{layers.shape[1]} x {layers.shape[2]} {'grey' if layers.shape[0] == 1 else 'colour'}"
