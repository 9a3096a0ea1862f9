"""Which files are opened, and by what."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageFile

from codeformer_core.pictures.files import PictureError, read_picture, write_picture
from codeformer_core.pictures.formats import FORMATS, REFUSED, content_format, lossless_webp, missing_decoder, writable

RGB = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
ENDLESS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\n%%EOF\n"


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.heic"])
@pytest.mark.parametrize("data", [ENDLESS, b"\xc5\xd0\xd3\xc6" + bytes(28) + ENDLESS], ids=["text", "binary"])
def test_postscript_is_refused_whatever_its_name_and_no_program_is_started(tmp_path, monkeypatch, name, data):
    def start(*arguments, **options):
        raise AssertionError(f"{arguments} was started")

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PictureError, match=rf"{name}: is PostScript, which is not read; save it as PNG"):
        read_picture(tmp_path / name)


OTHERS = [(start + bytes(64), name) for start, name in REFUSED] + [
    (b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(20), "EMF"),
    (b"\0\0\0\x18ftypcrx \0\0\0\0crx isom" + bytes(40), "a camera's raw file"),
    (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(40), "a film"),
    (b"RIFF" + bytes(4) + b"AVI LIST" + bytes(40), "a film"),
]


@pytest.mark.parametrize(("data", "name"), OTHERS, ids=range(len(OTHERS)))
def test_other_formats_are_refused_by_name(tmp_path, data, name):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(PictureError) as info:
        read_picture(tmp_path / "a.png")
    assert str(info.value).startswith(f"{tmp_path / 'a.png'}: is {name}, which is not read; save it as PNG")


def test_no_decoder_but_that_of_the_content_is_tried(tmp_path, monkeypatch):
    """Of everything that Pillow knows, plugins of other packages among them."""
    tried, known = [], sorted({"GIF", *writable().values()} - {"HEIF"})
    for format in known:
        Image.fromarray(RGB).save(tmp_path / f"a.{format}", format=format)
    Image.init()

    def watched(format, factory):
        return lambda *arguments: tried.append(format) or factory(*arguments)

    for format, (factory, accept) in list(Image.OPEN.items()):
        monkeypatch.setitem(Image.OPEN, format, (watched(format, factory), accept))
    for format in known:
        path = tmp_path / f"a.{format}"
        assert content_format(path) == format
        read_picture(path)
        path.write_bytes(path.read_bytes()[:40])  # damaged: no other decoder may have a try
        with pytest.raises(PictureError):
            read_picture(path)
    assert set(tried) <= set(known)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("alpha", [False, True])
def test_lossless_webp_stays_so(tmp_path, lossless, frames, alpha):
    samples = np.dstack([RGB, RGB[..., 0] // 64 * 64]) if alpha else RGB
    more = {"save_all": True, "append_images": [Image.fromarray(255 - samples)]} if frames == 2 else {}
    Image.fromarray(samples).save(tmp_path / "a.webp", lossless=lossless, exact=True, quality=80, **more)
    assert lossless_webp(tmp_path / "a.webp") == lossless
    picture = read_picture(tmp_path / "a.webp")
    assert (picture.lossless, picture.frames) == (lossless, frames)
    write_picture(tmp_path / "b.webp", picture.rgb, picture)
    assert lossless_webp(tmp_path / "b.webp") == lossless
    again = read_picture(tmp_path / "b.webp")
    assert np.array_equal(again.rgb, picture.rgb) == lossless
    if lossless and alpha:
        assert again.alpha is not None
        assert picture.alpha is not None
        assert np.array_equal(again.alpha, picture.alpha)


def test_heic_without_its_decoder_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    monkeypatch.setattr(Image, "SAVE", {k: v for k, v in Image.SAVE.items() if k != "HEIF"})
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    with pytest.raises(PictureError, match=r"IMG_1\.HEIC: is HEIF, which is not read here; pip install pillow-heif"):
        read_picture(tmp_path / "IMG_1.HEIC")
    with pytest.raises(PictureError, match=r"not written as '\.heic'; use one of \.png"):
        write_picture(tmp_path / "b.heic", RGB)


def test_avif_without_its_decoder_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "SAVE", {k: v for k, v in Image.SAVE.items() if k != "AVIF"})
    (tmp_path / "a.avif").write_bytes(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf" + bytes(40))
    with pytest.raises(PictureError, match=r"a\.avif: is AVIF, which is not read here; pip install --upgrade pillow"):
        read_picture(tmp_path / "a.avif")


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("suffix", [".heic", ".avif"])
def test_heic_and_avif_come_back_as_such_and_upright(tmp_path, suffix, orientation):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    if missing_decoder(FORMATS[suffix]) is not None:
        pytest.skip("Pillow without AVIF")
    smooth = np.kron(RGB[:4, :5], np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "maker"
    Image.fromarray(smooth).save(tmp_path / f"a{suffix}", format=FORMATS[suffix], exif=exif, quality=95)
    picture = read_picture(tmp_path / f"a{suffix}")
    # HEIC is turned by a property of its own, which libheif has applied: its EXIF does not count.
    expected = np.rot90(smooth, -1) if orientation == 6 and suffix == ".avif" else smooth
    assert picture.rgb.shape == expected.shape
    assert np.abs(picture.rgb.astype(int) - expected).mean() < 8
    assert picture.suffix == suffix
    write_picture(tmp_path / f"b{suffix}", picture.rgb, picture)
    again = read_picture(tmp_path / f"b{suffix}")
    assert again.rgb.shape == expected.shape
    assert np.abs(again.rgb.astype(int) - expected).mean() < 8
    kept = Image.Exif()
    kept.load(again.metadata.exif or b"")
    assert kept[0x010F] == "maker"


def test_a_truncated_file_is_not_completed_behind_our_back(tmp_path):
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    Image.fromarray(RGB).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-300])
    with pytest.raises(PictureError, match="damaged"):
        read_picture(tmp_path / "a.jpg")


def test_a_jpeg_that_is_too_wide_is_said_by_us(tmp_path, capfd):
    with pytest.raises(PictureError, match=r"a\.jpg: JPEG has sides up to 65500 pixels, not 65501 x 1; take a PNG"):
        write_picture(tmp_path / "a.jpg", np.zeros((1, 65501, 3), np.uint8))
    Image.fromarray(RGB).save(tmp_path / "b.jpg")
    data = bytearray((tmp_path / "b.jpg").read_bytes())
    size = data.index(b"\xff\xc0") + 5
    data[size : size + 4] = b"\xff\xff\0\x10"
    (tmp_path / "b.jpg").write_bytes(data)
    with pytest.raises(PictureError, match=r"b\.jpg: JPEG has sides up to 65500 pixels, not 16 x 65535"):
        read_picture(tmp_path / "b.jpg")
    assert capfd.readouterr() == ("", "")
