"""From image files to pixels."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from modalities.images.readers import read_images
from modalities.images.readers.decoding import Decoding


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(np.array([[0, 200]], np.uint8)), [[0, 200]]),
        (Image.fromarray(np.array([[False, True]])), [[0, 255]]),
        (Image.fromarray(np.array([[0, 65535]], np.uint16)), [[0, 255]]),
        (Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)), [[[1, 2, 3], [4, 5, 6]]]),
        (Image.fromarray(np.array([[[1, 2, 3, 255]]], np.uint8)), [[[1, 2, 3]]]),
        (Image.fromarray(np.array([[[9, 8, 7]]], np.uint8)).quantize(2), [[[9, 8, 7]]]),
    ],
    ids=["grey", "two colours", "16 bits", "colour", "transparency", "palette"],
)
def test_kinds_of_pixels(image: Image.Image, expected: list) -> None:
    assert Decoding().file(encoded(image), "a").tolist() == expected


def test_a_camera_held_sideways_is_set_upright() -> None:
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    exif = Image.Exif()
    exif[274] = 6
    upright = Decoding().file(encoded(image, exif=exif), "a")
    assert upright.tolist() == np.rot90(np.arange(6).reshape(2, 3), -1).tolist()


def test_inversion() -> None:
    image = Image.fromarray(np.array([[0, 200]], np.uint8))
    assert Decoding(invert=True).file(encoded(image), "a").tolist() == [[255, 55]]
    assert read_images(np.full((5, 2, 2), 250, np.uint8), invert=True).pixels.unique().tolist() == [5]


def test_resizing_cuts_at_the_centre_and_averages() -> None:
    """A wide picture with black borders and a checkered middle becomes even grey."""
    middle = (np.indices((64, 64)).sum(0) % 2 * 200).astype(np.uint8)
    image = np.pad(middle, ((0, 0), (32, 32)))
    small = Decoding(size=(8, 8)).image(Image.fromarray(image))
    assert small.shape == (8, 8) and abs(small[1:-1, 1:-1].astype(int) - 100).max() <= 2
    stack = np.repeat(image[None], 5, 0)
    assert (read_images(stack, size=8).pixels[0, 0].numpy() == small).all(), "arrays and files give the same"


def test_padding_and_non_square_sizes() -> None:
    found = read_images(np.full((5, 4, 6), 9, np.uint8), pad=(1, 2)).pixels
    assert found.shape == (4, 1, 6, 10)
    assert found[0, 0, 1:-1, 2:-2].unique().tolist() == [9] and int(found[0].sum()) == 9 * 24


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("edge", [9000, 30000])
def test_small_files_that_promise_huge_images_are_not_decoded(edge: int) -> None:
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", edge, edge, 8, 0, 0, 0, 0))
    bomb += chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    with pytest.raises(ValueError, match=r"at most 67,108,864 pixels, got .* decompression bomb"):
        Decoding().file(bomb, "a.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, r"size is \(0, 0\)"),
        ({"size": (1, 2, 3)}, r"size is \(1, 2, 3\); give one whole number, or two"),
        ({"size": 2.5}, "."),
        ({"channels": 2}, "channels is 2; choose 1"),
        ({"pad": -1}, "pad is -1; give numbers of at least 0"),
        ({"split": "all"}, "split is 'all'; choose train"),
    ],
)
def test_options_that_make_no_sense(options: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        read_images("digits", **options)
