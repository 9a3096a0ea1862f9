"""CMYK and Lab, through a small printer's profile that is made here: no real one may be redistributed."""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage.color import lab2rgb, rgb2lab

from codeformer_core.pictures.files import output_suffix, read_picture, write_picture

RGB = np.random.default_rng(0).integers(0, 256, (7, 11, 3), dtype=np.uint8)
GRID = 17


def table(inputs: int, outputs: int, grid: int, values: np.ndarray) -> bytes:
    """An ICC lut8Type whose curves are straight; `values` in [0, 1]."""
    straight = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    head = b"mft1" + bytes(4) + bytes([inputs, outputs, grid, 0]) + matrix
    return head + straight * inputs + (values * 255 + 0.5).astype(np.uint8).tobytes() + straight * outputs


def printer(both_ways: bool = True) -> bytes:
    """The profile of a printer whose inks are ideal, and that prints half of the grey as black."""
    inks = np.stack(np.meshgrid(*[np.linspace(0, 1, 5)] * 4, indexing="ij"), -1)
    lab = rgb2lab((1 - inks[..., :3]) * (1 - inks[..., 3:]))
    tables = {b"A2B0": table(4, 3, 5, lab / (100, 255, 255) + (0, 128 / 255, 128 / 255))}
    if both_ways:
        lab = np.stack(np.meshgrid(*[np.linspace(0, 1, GRID)] * 3, indexing="ij"), -1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of colours that do not exist
            rgb = lab2rgb(lab * (100, 255, 255) - (0, 128, 128)).clip(0, 1)
        black = 0.5 * (1 - rgb.max(-1, keepdims=True))
        tables[b"B2A0"] = table(3, 4, GRID, np.concatenate([1 - rgb / (1 - black), black], -1).clip(0, 1))
    tables[b"wtpt"] = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tables[b"desc"] = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tables[b"cprt"] = b"text" + bytes(4) + b"none\0"
    place, entries, data = 132 + 12 * len(tables), b"", b""
    for name, body in tables.items():
        entries += name + struct.pack(">II", place + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    head = struct.pack(">I4xI", place + len(data), 0x02400000) + b"prtrCMYKLab " + bytes(12) + b"acsp"
    head += bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return head + struct.pack(">I", len(tables)) + entries + data


PRINTER = printer()


@pytest.mark.parametrize("profile", [None, PRINTER], ids=["plain", "profile"])
@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_cmyk_comes_back_as_cmyk_and_what_is_unchanged_keeps_its_inks(tmp_path, name, profile):
    path, again = tmp_path / name, tmp_path / "again" / name
    inks = np.random.default_rng(1).integers(0, 200, (16, 24, 4), dtype=np.uint8)
    inks[..., 3] //= 4
    inks = np.kron(inks, np.ones((8, 8, 1), np.uint8))  # JPEG holds such blocks well
    Image.frombytes("CMYK", (192, 128), inks.tobytes()).save(path, icc_profile=profile, quality=100)
    picture = read_picture(path)
    assert output_suffix(picture) == Path(name).suffix
    changed = picture.rgb.copy()
    changed[:64, :96] = np.kron(RGB[:4, :6] // 2 + 64, np.ones((16, 16, 1), np.uint8))
    write_picture(again, changed, picture)
    with Image.open(path) as before, Image.open(again) as after:
        assert after.mode == "CMYK"
        assert after.info.get("icc_profile") == profile
        old, new = np.asarray(before).astype(int), np.asarray(after).astype(int)
    limit = 0 if name == "a.tif" else 12
    assert np.abs(old - new)[64:].max() <= limit
    assert np.abs(old - new)[:64, 104:].max() <= limit
    result = read_picture(again).rgb.astype(int)
    assert np.abs(result - changed)[:64, :88].mean() < 6  # the profile's tables are coarse


def test_a_cmyk_picture_of_another_size_or_format(tmp_path):
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.tif", icc_profile=PRINTER)
    picture = read_picture(tmp_path / "a.tif")
    large = np.kron(picture.rgb, np.ones((2, 2, 1), np.uint8))
    write_picture(tmp_path / "large.tif", large, picture)
    with Image.open(tmp_path / "large.tif") as image:
        assert (image.mode, image.size) == ("CMYK", (22, 14))
    write_picture(tmp_path / "a.png", picture.rgb, picture)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "RGB"
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileName(profile)
    assert np.array_equal(read_picture(tmp_path / "a.png").rgb, picture.rgb)


@pytest.mark.parametrize("orientation", [3, 6])
def test_inks_are_turned_with_the_picture(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.jpg", exif=exif, quality=100)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.inks is not None
    assert picture.inks.samples.shape[:2] == picture.rgb.shape[:2]
    write_picture(tmp_path / "a.tif", picture.rgb, picture)
    assert np.array_equal(read_picture(tmp_path / "a.tif").rgb, picture.rgb)


def test_a_profile_without_a_way_back_gives_srgb(tmp_path, caplog):
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.tif", icc_profile=printer(both_ways=False))
    picture = read_picture(tmp_path / "a.tif")
    write_picture(tmp_path / "b.tif", picture.rgb, picture)
    assert "b.tif: its CMYK profile has no way back" in caplog.text
    again = read_picture(tmp_path / "b.tif")
    assert again.inks is None
    assert np.array_equal(again.rgb, picture.rgb)
    assert again.icc_profile == picture.icc_profile


def test_a_profile_that_is_not_for_cmyk_is_left_out(tmp_path, caplog):
    wrong = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.tif", icc_profile=wrong)
    picture = read_picture(tmp_path / "a.tif")
    assert "profile cannot be used" in caplog.text
    write_picture(tmp_path / "b.tif", picture.rgb, picture)
    with Image.open(tmp_path / "b.tif") as image:
        assert (image.mode, image.info.get("icc_profile")) == ("CMYK", None)


def test_lab_is_read_as_srgb(tmp_path):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.fromarray(RGB), srgb, lab, outputMode="LAB")
    assert image is not None
    image.save(tmp_path / "lab.tif")
    picture = read_picture(tmp_path / "lab.tif")
    assert np.abs(picture.rgb.astype(int) - RGB).mean() < 5  # Lab of 8 bits is coarse
    assert picture.icc_profile is not None
    assert picture.icc_profile[16:20] == b"RGB "
