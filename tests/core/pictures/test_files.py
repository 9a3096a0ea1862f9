import errno
import io
import os
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from codeformer_core.pictures import codecs, files
from codeformer_core.pictures.files import Picture, PictureError, output_suffix, read_picture, write_picture
from codeformer_core.pictures.formats import writable
from codeformer_core.pictures.metadata import Metadata

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]  # all that a file looks at is the space
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (7, 11, 3), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (7, 11, 3), dtype=np.uint16)
ALPHA, ALPHA16 = RGB[..., 1], RGB16[..., 1]
BITS = RGB[..., 0] > 127


def palette_with_transparency() -> Image.Image:
    image = Image.fromarray(RGB).quantize(8)
    image.info["transparency"] = bytes([0, 128] + [255] * 6)
    return image


SOURCES = {  # file name to what is saved, the expected mode of the result
    "1.png": (Image.fromarray(BITS), "L"),
    "L.png": (Image.fromarray(ALPHA), "L"),
    "L.bmp": (Image.fromarray(ALPHA), "L"),
    "L.tif": (Image.fromarray(ALPHA), "L"),
    "LA.png": (Image.fromarray(RGB[..., :2].copy()), "LA"),
    "P.png": (palette_with_transparency(), "RGBA"),
    "RGB.png": (Image.fromarray(RGB), "RGB"),
    "RGB.bmp": (Image.fromarray(RGB), "RGB"),
    "RGB.tiff": (Image.fromarray(RGB), "RGB"),
    "RGBA.png": (Image.fromarray(np.dstack([RGB, ALPHA])), "RGBA"),
    "RGBA.tif": (Image.fromarray(np.dstack([RGB, ALPHA])), "RGBA"),
}


def assert_same(a: Picture, b: Picture):
    assert a.rgb.dtype == b.rgb.dtype
    assert np.array_equal(a.rgb, b.rgb)
    assert (a.alpha is None) == (b.alpha is None)
    if a.alpha is not None and b.alpha is not None:
        assert a.alpha.dtype == a.rgb.dtype
        assert np.array_equal(a.alpha, b.alpha)
    assert (a.grey, a.icc_profile, a.suffix) == (b.grey, b.icc_profile, b.suffix)


@pytest.mark.parametrize("name", SOURCES)
def test_8_bit_modes_come_back_equal_and_in_their_mode(tmp_path, name):
    image, mode = SOURCES[name]
    image.save(tmp_path / name)
    picture = read_picture(tmp_path / name)
    reference = np.asarray(image.convert("RGBA"))
    assert np.array_equal(picture.rgb, reference[..., :3])
    assert picture.alpha is None or np.array_equal(picture.alpha, reference[..., 3])
    assert (picture.alpha is not None) == mode.endswith("A")
    assert picture.grey == picture.single_channel == mode.startswith("L")

    again = tmp_path / "again" / name
    write_picture(again, picture.rgb, picture)
    assert_same(read_picture(again), picture)
    with Image.open(again) as result:
        assert result.mode == mode


@pytest.mark.parametrize("profile", [None, "matching"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("samples", [RGB16, np.dstack([RGB16, ALPHA16]), ALPHA16], ids=["RGB", "RGBA", "I;16"])
def test_16_bits_and_their_profile_come_back_equal(tmp_path, samples, suffix, profile):
    icc_profile = profile and (GREY_PROFILE if samples.ndim == 2 else SRGB)
    picture = Picture(
        rgb=samples[..., :3] if samples.ndim == 3 else np.dstack([samples] * 3),
        alpha=samples[..., 3] if samples.shape[2:] == (4,) else None,
        single_channel=samples.ndim == 2,
        grey=samples.ndim == 2,
        suffix=suffix,
        icc_profile=icc_profile,
    )
    path = tmp_path / f"deep{suffix}"
    write_picture(path, picture.rgb, picture)
    again = read_picture(path)
    assert_same(again, picture)
    assert again.single_channel == picture.single_channel
    with Image.open(path) as image:  # another decoder sees the same high bytes, profile and mode
        assert image.info.get("icc_profile") == icc_profile
        if image.mode in ("RGB", "RGBA"):
            assert np.array_equal(np.asarray(image)[..., :3], (picture.rgb >> 8).astype(np.uint8))
        else:
            assert np.array_equal(np.asarray(image), picture.rgb[..., 0])


def test_16_bit_files_of_other_programs(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), RGB16[..., ::-1])
    tifffile.imwrite(tmp_path / "b.tif", RGB16, photometric="rgb", byteorder=">", planarconfig="contig")
    for name in ("a.png", "b.tif"):
        assert np.array_equal(read_picture(tmp_path / name).rgb, RGB16)


def test_16_bit_grey_with_alpha(tmp_path):
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in RGB16[..., :2])
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 11, 7, 16, 4, 0, 0, 0), b"IDAT" + zlib.compress(rows), b"IEND"]
    data = b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    (tmp_path / "la16.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    picture = read_picture(tmp_path / "la16.png")
    assert picture.grey
    assert np.array_equal(picture.rgb[..., 0], RGB16[..., 0])
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, ALPHA16)
    write_picture(tmp_path / "again.png", picture.rgb, picture)
    assert_same(read_picture(tmp_path / "again.png"), picture)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "deep.png", "deep.tif"])
def test_exif_orientation_is_applied_once(tmp_path, name, orientation):
    path, exif = tmp_path / name, Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "maker"
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    if name == "deep.tif":
        deep = np.asarray(rgba).astype(np.uint16) * 257
        tags = [(0x0112, "H", 1, orientation, True)]
        tifffile.imwrite(path, deep, photometric="rgb", extrasamples=["unassalpha"], extratags=tags)
    elif name == "deep.png":
        deep = np.dstack([RGB, ALPHA]).astype(np.uint16) * 257
        path.write_bytes(codecs.encode(deep, "PNG", 95, None, Metadata(exif=exif.tobytes()), path))
    else:
        (rgba.convert("RGB") if name == "a.jpg" else rgba).save(path, exif=exif)
    picture = read_picture(path)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    high = picture.rgb if picture.rgb.dtype == np.uint8 else (picture.rgb >> 8).astype(np.uint8)
    assert np.array_equal(high, expected[..., :3])
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha.astype(int) // (257 if name.startswith("deep") else 1), expected[..., 3])

    write_picture(tmp_path / f"again{path.suffix}", picture.rgb, picture)
    again = read_picture(tmp_path / f"again{path.suffix}")
    assert again.rgb.shape == picture.rgb.shape
    if name != "a.jpg":
        assert np.array_equal(again.rgb, picture.rgb)
    if name != "deep.tif":
        kept = Image.Exif()
        kept.load(again.metadata.exif or b"")
        assert kept[0x010F] == "maker"
        assert kept.get(0x0112, 1) == 1


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_profile_is_kept_with_8_bits(tmp_path, suffix):
    Image.fromarray(RGB).save(tmp_path / f"a{suffix}", icc_profile=SRGB)
    picture = read_picture(tmp_path / f"a{suffix}")
    write_picture(tmp_path / f"b{suffix}", picture.rgb, picture)
    assert read_picture(tmp_path / f"b{suffix}").icc_profile == SRGB


def test_a_grey_profile_goes_with_grey_only(tmp_path, caplog):
    picture = Picture(rgb=np.dstack([ALPHA] * 3), grey=True, single_channel=True, icc_profile=GREY_PROFILE)
    write_picture(tmp_path / "grey.png", picture.rgb, picture)
    assert read_picture(tmp_path / "grey.png").icc_profile == GREY_PROFILE
    write_picture(tmp_path / "coloured.png", RGB, picture)
    coloured = read_picture(tmp_path / "coloured.png")
    assert coloured.icc_profile is None
    assert np.array_equal(coloured.rgb, RGB)
    assert "profile" in caplog.text


def test_colour_file_of_equal_channels_counts_as_grey(tmp_path):
    Image.fromarray(np.dstack([ALPHA] * 3)).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.grey
    assert not picture.single_channel
    write_picture(tmp_path / "b.png", picture.rgb, picture)
    with Image.open(tmp_path / "b.png") as image:
        assert image.mode == "RGB"


def test_colour_key_becomes_alpha(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "key.png", transparency=tuple(RGB[2, 3].tolist()))
    alpha = read_picture(tmp_path / "key.png").alpha
    assert alpha is not None
    assert alpha[2, 3] == 0
    assert np.count_nonzero(alpha == 0) == 1


def test_first_frame_of_an_animation_is_read_and_said(tmp_path, caplog):
    frames = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (50, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    picture = read_picture(tmp_path / "a.gif")
    assert picture.rgb.max() == 50
    assert output_suffix(picture) == ".png"
    assert picture.frames == 2
    assert f"{tmp_path / 'a.gif'}: only the first of its 2 frames is read and written" in caplog.text


@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif"])
def test_of_other_animations_too_the_first_frame_is_read_and_said(tmp_path, caplog, suffix):
    if suffix not in writable():
        pytest.skip("Pillow without AVIF")
    frames = [Image.fromarray(np.full((16, 16, 3), level, np.uint8)) for level in (50, 200)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    picture = read_picture(tmp_path / f"a{suffix}")
    assert (picture.frames, picture.suffix) == (2, suffix)
    assert picture.rgb.max() < 60
    write_picture(tmp_path / f"b{suffix}", picture.rgb, picture)
    assert read_picture(tmp_path / f"b{suffix}").frames == 1
    assert caplog.text.count("only the first of its 2 frames") == 1


def test_alpha_follows_the_size_and_the_depth(tmp_path):
    alpha = np.zeros((8, 8), np.uint8)
    alpha[:, 4:] = 255
    picture = Picture(rgb=RGB[:8, :8], alpha=alpha)
    write_picture(tmp_path / "a.png", np.zeros((32, 32, 3), np.uint16), picture)
    result = read_picture(tmp_path / "a.png").alpha
    assert result is not None
    assert (result.shape, result.dtype) == ((32, 32), np.uint16)
    assert result[:, :4].max() == 0
    assert result[:, 28:].min() == 65535


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_enlarged_smoothly(tmp_path, dtype):
    ramp = np.linspace(0, np.iinfo(dtype).max, 16).astype(dtype)
    picture = Picture(rgb=np.zeros((16, 16, 3), dtype), alpha=np.tile(ramp, (16, 1)))
    write_picture(tmp_path / "a.png", np.zeros((64, 64, 3), dtype), picture)
    result = read_picture(tmp_path / "a.png").alpha
    assert result is not None
    steps = np.diff(result[32].astype(int))
    assert steps.max() < 1.5 * np.iinfo(dtype).max / 63  # four equal pixels and a step of four would be 4.2
    assert (steps[4:-4] > 0).all()


def test_alpha_in_floats_stays_in_its_range_when_enlarged(tmp_path):
    alpha = np.zeros((8, 8), np.float32)
    alpha[:, 4:] = 1
    picture = Picture(rgb=np.zeros((8, 8, 3), np.float32), alpha=alpha)
    write_picture(tmp_path / "a.tif", np.zeros((32, 32, 3), np.float32), picture)
    samples = tifffile.imread(tmp_path / "a.tif")[..., 3]
    assert (samples.min(), samples.max()) == (0, 1)


def test_a_lossless_webp_becomes_a_jpeg_of_the_usual_quality(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.webp", lossless=True)
    write_picture(tmp_path / "a.jpg", RGB, read_picture(tmp_path / "a.webp"))
    write_picture(tmp_path / "b.jpg", RGB)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


def test_depth_is_cut_by_rounding_where_the_format_has_8_bits(tmp_path):
    deep = np.clip(RGB.astype(int) * 257 + RNG.integers(-128, 129, RGB.shape), 0, 65535).astype(np.uint16)
    write_picture(tmp_path / "a.bmp", deep)
    assert np.array_equal(read_picture(tmp_path / "a.bmp").rgb, RGB)
    write_picture(tmp_path / "b.png", RGB.astype(np.float32) / np.float32(255))
    assert np.array_equal(read_picture(tmp_path / "b.png").rgb, RGB)


def test_webp_of_quality_100_is_lossless_and_jpeg_is_444(tmp_path):
    write_picture(tmp_path / "a.webp", RGB, quality=100)
    assert np.array_equal(read_picture(tmp_path / "a.webp").rgb, RGB)
    write_picture(tmp_path / "a.jpg", RGB)
    assert np.abs(read_picture(tmp_path / "a.jpg").rgb.astype(int) - RGB).mean() < 4


def test_output_suffix():
    opaque = Picture(rgb=RGB, alpha=np.full((7, 11), 255, np.uint8), suffix=".JPG")
    clear = Picture(rgb=RGB, alpha=ALPHA, suffix=".webp")
    assert output_suffix(opaque) == ".JPG"
    assert output_suffix(opaque, "jpg") == ".jpg"
    assert output_suffix(clear) == ".webp"
    assert output_suffix(clear, ".jpeg") == output_suffix(clear, "bmp") == ".png"
    with pytest.raises(PictureError, match=r"\.xyz.*\.png"):
        output_suffix(clear, "xyz")


def test_a_wrong_suffix_is_seen_through(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", format="PNG")
    picture = read_picture(tmp_path / "a.jpg")
    assert np.array_equal(picture.rgb, RGB)
    assert picture.suffix == ".png"


def encoded(samples: np.ndarray, format: str) -> bytes:
    if samples.dtype == np.uint16:
        return codecs.encode(samples, format, 95, None, Metadata(), Path())
    file = io.BytesIO()
    Image.fromarray(samples).save(file, format=format)
    return file.getvalue()


BROKEN = {
    "empty.png": b"",
    "text.jpg": b"not a picture\n",
    "cut.png": encoded(RGB, "PNG")[:-60],
    "cut.jpg": encoded(RGB, "JPEG")[:-60],
    "cut.webp": encoded(RGB, "WEBP")[:-60],
    "cut.bmp": encoded(RGB, "BMP")[:-60],
    "cut.tif": encoded(RGB, "TIFF")[:60],
    "cut16.png": encoded(RGB16, "PNG")[:-60],
    "cut16.tif": encoded(RGB16, "TIFF")[:-200],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_line_that_names_it(tmp_path, name):
    (tmp_path / name).write_bytes(BROKEN[name])
    with pytest.raises(PictureError) as info:
        read_picture(tmp_path / name)
    assert str(info.value).startswith(str(tmp_path / name))
    assert len(str(info.value).splitlines()) == 1


@pytest.mark.parametrize("samples", [RGB, RGB16], ids=["8", "16"])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_flipped_byte_gives_a_picture_or_a_picture_error(tmp_path, format, samples):
    if samples.dtype == np.uint16 and format in ("JPEG", "WEBP"):
        pytest.skip("8 bits only")
    data, rng = encoded(samples, format), np.random.default_rng(1)
    for _ in range(40):
        damaged = bytearray(data)
        damaged[int(rng.integers(26, len(data)))] ^= int(rng.integers(1, 256))
        (tmp_path / "damaged").write_bytes(damaged)
        try:
            read_picture(tmp_path / "damaged")
        except PictureError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(PictureError, match="no such file"):
        read_picture(tmp_path / "missing.png")
    with pytest.raises(PictureError, match="is a folder"):
        read_picture(tmp_path)


def test_large_photographs_pass_without_a_word_and_bombs_do_not(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", RGB.size // 3 - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_picture(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", RGB.size // 3 // 2 - 1)
    with pytest.raises(PictureError, match="too large"):
        read_picture(tmp_path / "a.png")


def test_warnings_of_pictures_that_two_threads_read_do_not_mix(tmp_path, monkeypatch, caplog):
    meeting, read = threading.Barrier(2), files._read

    def slowly(path):
        with suppress(threading.BrokenBarrierError):
            meeting.wait(0.2)  # until the other thread reads too, if it may
        warnings.warn(f"about {path.name}", stacklevel=1)
        with suppress(threading.BrokenBarrierError):
            meeting.wait(0.2)
        return read(path)

    monkeypatch.setattr(files, "_read", slowly)
    paths, before = [tmp_path / "a.png", tmp_path / "b.png"], warnings.filters
    for path in paths:
        Image.fromarray(RGB).save(path)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(read_picture, paths))
    assert sorted(caplog.messages) == [f"{path}: about {path.name}" for path in paths]
    assert warnings.filters is before


def test_damaged_exif_does_not_cost_the_picture(tmp_path, caplog):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*garbage")
    assert read_picture(tmp_path / "a.jpg").rgb.shape == RGB.shape
    assert "a.jpg: Corrupt EXIF data" in caplog.text


def test_what_a_format_cannot_hold_is_refused(tmp_path):
    with pytest.raises(PictureError, match=r"holds no transparency.*\.png"):
        write_picture(tmp_path / "a.jpg", RGB, Picture(rgb=RGB, alpha=ALPHA))
    with pytest.raises(PictureError, match=r"WEBP.*\.png"):
        write_picture(tmp_path / "a.webp", np.zeros((1, 16384, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match=r"No space left.*make room.*a\.png") as info:
            write_picture(path, RGB)
    assert info.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
