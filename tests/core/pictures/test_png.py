"""PNG of 16 bits a channel, and a library that must not print."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from codeformer_core.pictures import png
from codeformer_core.pictures.files import PictureError, read_picture, write_picture

RGB16 = np.random.default_rng(0).integers(0, 65536, (7, 11, 3), dtype=np.uint16)


def file_of(samples: np.ndarray, *chunks: bytes) -> bytes:
    return png.with_chunks(png.encode_deep(samples), chunks)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_another_decoder_sees_the_same(tmp_path, channels):
    samples = np.dstack([RGB16, RGB16[..., 0]])[..., :channels]
    (tmp_path / "a.png").write_bytes(file_of(samples[..., 0] if channels == 1 else samples))
    seen = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    expected = {1: [0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    assert seen is not None
    assert np.array_equal(np.atleast_3d(seen), samples[..., expected])


def test_a_16_bit_colour_key_becomes_alpha(tmp_path):
    for samples in (RGB16[..., 0], RGB16):
        key = np.array(samples[2, 3], ">u2").tobytes()
        (tmp_path / "a.png").write_bytes(file_of(samples, png.chunk(b"tRNS", key)))
        picture = read_picture(tmp_path / "a.png")
        assert picture.alpha is not None
        assert picture.single_channel == (samples.ndim == 2)
        assert picture.alpha.dtype == np.uint16
        assert picture.alpha[2, 3] == 0
        assert np.count_nonzero(picture.alpha != 65535) == 1
        write_picture(tmp_path / "b.png", picture.rgb, picture)
        again = read_picture(tmp_path / "b.png")
        assert again.alpha is not None
        assert np.array_equal(again.alpha, picture.alpha)
        assert np.array_equal(again.rgb, picture.rgb)
        assert again.single_channel == picture.single_channel


def interlaced(samples: np.ndarray) -> bytes:
    """An Adam7 PNG of (h, w, 3) uint16."""
    rows = []
    for x, y, dx, dy in png.ADAM7:
        rows += [b"\0" + row.astype(">u2").tobytes() for row in samples[y::dy, x::dx] if row.size]
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, 2, 0, 0, 1)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")
    return png.SIGNATURE + b"".join(png.chunk(*chunk) for chunk in chunks)


@pytest.mark.parametrize("shape", [(7, 11), (1, 1), (2, 9), (16, 16)])
def test_interlaced_16_bits(tmp_path, shape):
    samples = np.random.default_rng(1).integers(0, 65536, (*shape, 3), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(interlaced(samples))
    assert np.array_equal(read_picture(tmp_path / "a.png").rgb, samples)


def test_libpng_prints_nothing(tmp_path, capfd):
    odd = png.chunk(b"iCCP", b"odd\0\0" + zlib.compress(bytes(200))), png.chunk(b"tRNS", b"x"), png.chunk(b"gAMA", b"")
    whole = file_of(RGB16, *odd[:1])
    end = whole.index(b"IEND") - 4
    more = whole[:end] + png.chunk(b"IDAT", b"more than needed") + whole[end:]
    for data in (whole, more):
        (tmp_path / "a.png").write_bytes(data)
        assert np.array_equal(read_picture(tmp_path / "a.png").rgb, RGB16)
    flipped = bytearray(whole)
    flipped[-30] ^= 255
    for data in (bytes(flipped), whole[:-40], file_of(RGB16, *odd)):
        (tmp_path / "a.png").write_bytes(data)
        try:
            read_picture(tmp_path / "a.png")
        except PictureError as error:
            assert "a.png" in str(error)  # noqa: PT017
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("depth", [8, 16])
def test_what_says_how_the_numbers_are_meant_is_kept(tmp_path, depth):
    gamma = png.chunk(b"gAMA", struct.pack(">I", 100000))  # linear light
    Image.fromarray((RGB16 >> 8).astype(np.uint8)).save(tmp_path / "a.png")
    data = png.encode_deep(RGB16) if depth == 16 else (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(png.with_chunks(data, [gamma]))
    picture = read_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png", picture.rgb, picture)
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["gamma"] == 1.0
    write_picture(tmp_path / "b.jpg", picture.rgb, picture)
