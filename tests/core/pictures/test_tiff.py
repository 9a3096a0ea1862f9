"""TIFF of 16 bits and of floating-point numbers, as other programs write it."""

import os
import threading

import numpy as np
import pytest
import tifffile
from PIL import Image

from codeformer_core.pictures import tiff
from codeformer_core.pictures.files import PictureError, read_picture, write_picture

RNG = np.random.default_rng(0)
RGB16 = RNG.integers(0, 65536, (7, 11, 3), dtype=np.uint16)
RGBA16 = np.dstack([RGB16, RGB16[..., 1]])
FLOAT = RNG.random((7, 11, 3), dtype=np.float32)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("samples", [RGB16, RGBA16, FLOAT], ids=["RGB", "RGBA", "float"])
def test_planes_of_one_colour_each(tmp_path, samples, compression):
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.moveaxis(samples, -1, 0),
        photometric="rgb",
        planarconfig="separate",
        compression=compression,
        extrasamples=["unassalpha"] if samples.shape[2] == 4 else None,
    )
    picture = read_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.rgb, samples[..., :3])
    if samples.shape[2] == 4:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, samples[..., 3])
    write_picture(tmp_path / "b.tif", picture.rgb, picture)
    assert np.array_equal(read_picture(tmp_path / "b.tif").rgb, picture.rgb)


def test_planes_with_an_orientation(tmp_path):
    planes, turn = np.moveaxis(RGB16, -1, 0), [(0x0112, "H", 1, 6, True)]
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate", extratags=turn)
    assert np.array_equal(read_picture(tmp_path / "a.tif").rgb, np.rot90(RGB16, -1))


def test_planes_in_a_compression_that_is_not_read_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(RGB16, -1, 0), photometric="rgb", planarconfig="separate")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[0].tags[259].overwrite(5)  # type: ignore[union-attr]
    with pytest.raises(PictureError, match=r"a\.tif: is a TIFF with separate colour planes.*interleaved"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("grey", [False, True])
def test_floating_point_numbers_come_back_as_such(tmp_path, dtype, grey):
    samples = (FLOAT[..., 0] if grey else FLOAT).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="minisblack" if grey else "rgb")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.rgb.dtype == np.float32
    assert picture.single_channel == grey
    assert np.array_equal(picture.rgb[..., 0], samples.reshape(7, 11, -1)[..., 0].astype(np.float32))
    write_picture(tmp_path / "b.tif", picture.rgb, picture)
    again = read_picture(tmp_path / "b.tif")
    assert np.array_equal(again.rgb, picture.rgb)
    assert again.single_channel == grey
    write_picture(tmp_path / "b.png", picture.rgb, picture)
    assert read_picture(tmp_path / "b.png").rgb.dtype == np.uint16
    write_picture(tmp_path / "b.jpg", picture.rgb, picture)


def test_floating_point_alpha(tmp_path):
    samples = np.dstack([FLOAT, FLOAT[..., 1]])
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", extrasamples=["unassalpha"])
    picture = read_picture(tmp_path / "a.tif")
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, FLOAT[..., 1])
    write_picture(tmp_path / "b.tif", picture.rgb, picture)
    again = read_picture(tmp_path / "b.tif")
    assert again.alpha is not None
    assert np.array_equal(again.alpha, picture.alpha)


def test_floating_point_numbers_outside_of_0_to_1(tmp_path, caplog):
    samples = FLOAT.copy()
    samples[0, 0], samples[1, 1] = 3.0, -0.5  # a highlight, and a filter's overshoot
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb")
    assert np.array_equal(read_picture(tmp_path / "a.tif").rgb, samples.clip(0, 1))
    assert "a.tif: 6 samples outside of 0 to 1 are clipped" in caplog.text
    tifffile.imwrite(tmp_path / "b.tif", FLOAT * 255, photometric="rgb")
    with pytest.raises(PictureError, match=r"b\.tif: its floating-point samples reach 25\d.*scale them to 0 to 1"):
        read_picture(tmp_path / "b.tif")
    samples[2, 2] = np.nan
    tifffile.imwrite(tmp_path / "c.tif", samples, photometric="rgb")
    with pytest.raises(PictureError, match=r"c\.tif: holds numbers that are not finite"):
        read_picture(tmp_path / "c.tif")


@pytest.mark.parametrize("depth", ["16", "float"])
def test_premultiplied_alpha_is_undone_at_full_depth(tmp_path, depth):
    straight = np.dstack([FLOAT, 0.25 + 0.75 * FLOAT[..., 1]])
    straight[0, 0] = 0
    multiplied = np.dstack([straight[..., :3] * straight[..., 3:], straight[..., 3]])
    if depth == "16":
        multiplied = (multiplied * 65535 + 0.5).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", multiplied, photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(tmp_path / "a.tif")
    assert picture.rgb.dtype == multiplied.dtype
    white = 65535 if depth == "16" else 1
    np.testing.assert_allclose(picture.rgb / white, straight[..., :3], atol=1e-4)
    assert picture.alpha is not None
    np.testing.assert_allclose(picture.alpha / white, straight[..., 3], atol=1e-4)
    write_picture(tmp_path / "b.tif", picture.rgb, picture)
    assert np.array_equal(read_picture(tmp_path / "b.tif").rgb, picture.rgb)


def test_grey_with_alpha_and_white_as_zero(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB16[..., :2].copy(), photometric="minisblack", extrasamples=["unassalpha"])
    picture = read_picture(tmp_path / "a.tif")
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, RGB16[..., 1])
    assert np.array_equal(picture.rgb[..., 2], RGB16[..., 0])
    tifffile.imwrite(tmp_path / "w.tif", RGB16[..., 0].copy(), photometric="miniswhite")
    assert np.array_equal(read_picture(tmp_path / "w.tif").rgb[..., 0], 65535 - RGB16[..., 0])


@pytest.mark.parametrize("bigtiff", [False, True])
def test_pages_are_counted_and_only_the_first_is_read(tmp_path, caplog, bigtiff):
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=bigtiff) as file:
        for page in (RGB16, 65535 - RGB16, RGB16):
            file.write(page, photometric="rgb")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.frames == 3
    assert np.array_equal(picture.rgb, RGB16)
    assert "a.tif: only the first of its 3 pages" in caplog.text


@pytest.mark.parametrize("samples", [np.zeros((4, 4, 5), np.uint16), np.zeros((4, 4), np.int16)], ids=["5", "signed"])
def test_what_is_not_read_says_so(tmp_path, samples):
    photometric, planarconfig = ("rgb", "contig") if samples.ndim == 3 else ("minisblack", None)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric=photometric, planarconfig=planarconfig)
    with pytest.raises(PictureError, match=r"a\.tif: has "):
        read_picture(tmp_path / "a.tif")


def test_a_raw_file_is_not_taken_for_its_preview(tmp_path):
    preview = np.zeros((4, 4, 3), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.nef") as file:
        file.write(preview, photometric="rgb", subfiletype=1, subifds=1)
        file.write(np.zeros((8, 8), np.uint16), photometric="cfa")
    with pytest.raises(PictureError, match=r"a\.nef: is a camera's raw file"):
        read_picture(tmp_path / "a.nef")


def test_a_deep_bomb_is_refused(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", FLOAT, photometric="rgb")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7 * 11 // 2 - 1)
    with pytest.raises(PictureError, match="too large"):
        read_picture(tmp_path / "a.tif")


def test_libraries_print_nothing(tmp_path, capfd):
    tifffile.imwrite(tmp_path / "a.tif", RGB16, photometric="rgb", extratags=[(65000, "B", 3, b"abc", True)])
    data = (tmp_path / "a.tif").read_bytes()
    read_picture(tmp_path / "a.tif")
    for cut in range(len(data) - 400, len(data), 40):
        (tmp_path / "cut.tif").write_bytes(data[:cut])
        with pytest.raises(PictureError, match=r"cut\.tif"):
            read_picture(tmp_path / "cut.tif")
    assert capfd.readouterr() == ("", "")


def test_what_libtiff_prints_gets_the_name_of_the_file(tmp_path, capfd, caplog):
    Image.fromarray(RGB16.astype(np.uint8)).save(tmp_path / "a.tif", compression="tiff_lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        start = file.pages[0].dataoffsets[0]  # type: ignore[union-attr]
    data[start + 20 : start + 60] = bytes(range(200, 240))
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(PictureError, match=r"a\.tif: is damaged"):
        read_picture(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")
    assert caplog.messages
    assert all(line.startswith(f"{tmp_path / 'a.tif'}: ") for line in caplog.messages)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "b.tif")
    read_picture(tmp_path / "b.tif")
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def test_what_is_said_while_another_thread_reads_is_not_taken_for_libtiffs(tmp_path, capfd, caplog):
    reading, said = threading.Event(), threading.Event()

    def read():
        with tiff.libtiff_named(tmp_path / "a.tif"):
            reading.set()
            said.wait(10)

    thread = threading.Thread(target=read)
    thread.start()
    reading.wait(10)
    os.write(2, b"something else")
    said.set()
    thread.join()
    assert capfd.readouterr().err == "something else"
    assert not caplog.messages


def test_samples_that_do_not_fit_the_tags_are_damage(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(RGB16, -1, 0), photometric="rgb", planarconfig="separate")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[0].tags[277].overwrite(4)  # type: ignore[union-attr]
    with pytest.raises(PictureError, match=r"a\.tif: "):
        read_picture(tmp_path / "a.tif")
