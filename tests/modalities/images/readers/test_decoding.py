"""From image files to pixels."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

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
        ({"size": 2.5}, "size is 2.5; give one whole number, or two"),
        ({"size": 200_000}, r"size is \(200000, 200000\); give one of at most 67,108,864 pixels"),
        ({"size": True}, "size is True; give one whole number"),
        ({"channels": True}, "channels is True; choose 1"),
        ({"pad": True}, "pad is True; give one whole number"),
        ({"pad": 10**6}, "pad is 1000000, which makes images of 2000008 x 2000008; give less, for 67,108,864 pixels"),
        ({"channels": 2}, "channels is 2; choose 1"),
        ({"pad": -1}, "pad is -1; give numbers of at least 0"),
        ({"split": "all"}, "split is 'all'; choose train"),
    ],
)
def test_options_that_make_no_sense(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_images("digits", **options)


def test_no_file_starts_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would hand Encapsulated PostScript to Ghostscript, whatever the file is called."""
    mark, program = tmp_path / "it ran", tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(ValueError, match="must be readable, got none of the formats PNG"):
        Decoding().file(content, "0.png")
    assert not mark.exists()
    with pytest.raises(OSError):
        Image.open(io.BytesIO(content)).load()
    assert mark.exists(), "the program is never looked for, and the test proves nothing"


def test_any_error_of_the_decoder_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args, **given):
        raise RuntimeError("a fault")

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(ValueError, match=r"^source a\.png: the image file must be readable, got the error 'a fault'"):
        Decoding().file(b"x", "a.png")


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (np.array([[0, 0.5, 1]], np.float32), "TIFF", [0, 128, 255]),
        (np.array([[0, 200, 257, 65535]], np.uint16), "TIFF", [0, 1, 1, 255]),
        (np.array([[0, 200, 257, 65535]], np.uint16), "PNG", [0, 1, 1, 255]),
        (np.array([[0, 200, 257, 65535]], np.uint16), "PPM", [0, 1, 1, 255]),
        (np.array([[0, 200, 257, 65535]], np.int32), "TIFF", [0, 1, 1, 255]),
    ],
)
def test_numbers_between_black_and_white_are_scaled(values: np.ndarray, kind: str, expected: list[int]) -> None:
    assert Decoding().file(encoded(Image.fromarray(values), kind), "a").tolist() == [expected]
    assert Decoding(channels=3).file(encoded(Image.fromarray(values), kind), "a")[0, :, 2].tolist() == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.float32(1.5), r"lie in \[0, 1\], .* lie in \[1.5, 1.5\]"),
        (np.float32("nan"), r"lie in \[nan, nan\]"),
        (np.int32(-1), r"lie in \[0, 65535\], .* lie in \[-1, -1\]"),
        (np.int32(70000), r"lie in \[70000, 70000\]"),
    ],
)
def test_numbers_beyond_black_and_white_are_refused(value: np.generic, message: str) -> None:
    content = encoded(Image.fromarray(np.full((2, 2), value)), "TIFF")
    with pytest.raises(ValueError, match=message):
        Decoding().file(content, "a")


@pytest.mark.parametrize(
    ("pixels", "options", "expected"),
    [
        ([[[0, 0], [0, 255]]], {}, [[255, 0]]),
        ([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 128]]], {}, [[[255] * 3, [0] * 3, [255, 127, 127]]]),
        ([[1, 9]], {"transparency": 1}, [[255, 9]]),
    ],
    ids=["grey", "colour", "one transparent level"],
)
def test_what_is_transparent_lies_on_white(pixels: list, options: dict, expected: list) -> None:
    """Black ink on a transparent ground is no black square."""
    content = encoded(Image.fromarray(np.array(pixels, np.uint8)), **options)
    assert Decoding().file(content, "a").tolist() == expected
    if not options:
        assert Decoding(channels=1).file(content, "a")[0, :2].tolist() == [255, 0]
