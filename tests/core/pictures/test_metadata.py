"""What files say beside their pixels, from every format to every format."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from codeformer_core.pictures import png
from codeformer_core.pictures.files import Picture, read_picture, write_picture
from codeformer_core.pictures.formats import writable
from codeformer_core.pictures.metadata import Metadata, read_metadata

RGB = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
BASE, EXIF = ExifTags.Base, ExifTags.IFD.Exif
PARAMETERS = "a portrait of Zoë, 8k\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 24x16"
WORKFLOW = json.dumps({"nodes": [{"id": 1, "type": "KSampler"}], "version": 0.4})
PROMPT = json.dumps({"1": {"class_type": "KSampler", "inputs": {"seed": 1}}})
XMP = b"""<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:Description tiff:Orientation="6" dc:rights="me"><xmp:Thumbnails><rdf:Alt>old face</rdf:Alt></xmp:Thumbnails>
</rdf:Description></x:xmpmeta><?xpacket end='w'?>"""
IPTC = b"\x1c\x02\x74\x00\x02me"
DPI = (300.0, 300.0)


def photograph_exif(orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[BASE.Make], exif[BASE.Orientation], exif[BASE.Artist] = "maker", orientation, "Jörg".encode()
    exif[EXIF] = {
        BASE.MakerNote: b"with a preview of the old face",
        BASE.LensModel: "lens",
        BASE.ExifImageWidth: 24,
        BASE.ExifImageHeight: 16,
    }
    exif[ExifTags.IFD.GPSInfo] = {1: "N"}
    return exif


def with_thumbnail(exif: bytes) -> bytes:
    """EXIF of one directory (big-endian) with a second one, a thumbnail's, behind it."""
    data = bytearray(exif.removeprefix(b"Exif\0\0"))
    count = int.from_bytes(data[8:10], "big")
    end = 10 + 12 * count
    assert data[:4] == b"MM\0*"
    assert data[end : end + 4] == bytes(4)
    data[end : end + 4] = len(data).to_bytes(4, "big")
    thumbnail = io.BytesIO()
    Image.fromarray(RGB).save(thumbnail, "JPEG")
    place = len(data) + 2 + 24 + 4
    data += struct.pack(">HHHIIHHIII", 2, 0x201, 4, 1, place, 0x202, 4, 1, thumbnail.tell(), 0) + thumbnail.getvalue()
    return b"Exif\0\0" + bytes(data)


def sources() -> Picture:
    """A picture with all that there is."""
    text = {"parameters": PARAMETERS, "workflow": WORKFLOW, "prompt": PROMPT, "Comment": "hello"}
    exif = Image.Exif()
    exif[BASE.Artist] = "me"
    return Picture(rgb=RGB, metadata=Metadata(exif=exif.tobytes(), text=text, xmp=b"<x/>", iptc=IPTC, dpi=DPI))


def exif_of(picture: Picture) -> Image.Exif:
    exif = Image.Exif()
    exif.load(picture.metadata.exif or b"")
    return exif


@pytest.mark.parametrize("depth", [8, 16])
def test_png_text_comes_back_in_png(tmp_path, depth):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", PARAMETERS)  # Latin-1
    info.add_text("workflow", WORKFLOW)
    info.add_text("prompt", PROMPT, zip=True)
    info.add_itxt("Title", "顔", "ja", "題")
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    Image.fromarray(RGB).save(tmp_path / "a.png", pnginfo=info, dpi=DPI)
    picture = read_picture(tmp_path / "a.png")
    result = RGB if depth == 8 else RGB.astype(np.uint16) * 257
    write_picture(tmp_path / "b.png", result, picture)
    with Image.open(tmp_path / "b.png") as image:
        assert image.text["parameters"] == PARAMETERS  # type: ignore[attr-defined]
        assert image.text["workflow"] == WORKFLOW  # type: ignore[attr-defined]
        assert image.text["prompt"] == PROMPT  # type: ignore[attr-defined]
        assert (image.text["Title"], image.text["Title"].lang) == ("顔", "ja")  # type: ignore[attr-defined]
        assert np.allclose(image.info["dpi"], DPI, atol=0.01)
        assert b'dc:rights="me"' in image.text["XML:com.adobe.xmp"].encode()  # type: ignore[attr-defined]
    assert read_picture(tmp_path / "b.png").metadata == picture.metadata


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".avif"])
def test_prompts_and_graphs_of_a_png_have_a_place_elsewhere(tmp_path, caplog, suffix):
    if suffix not in writable():
        pytest.skip("Pillow without AVIF")
    write_picture(tmp_path / f"a{suffix}", RGB, sources())
    with Image.open(tmp_path / f"a{suffix}") as image:
        exif = image.getexif()
        comment = exif.get_ifd(EXIF)[BASE.UserComment]
        assert exif[BASE.Make] == f"workflow:{WORKFLOW}"  # as ComfyUI reads them
        assert exif[BASE.Model] == f"prompt:{PROMPT}"
        assert exif[BASE.Artist] == "me"
    assert comment == b"UNICODE\0" + PARAMETERS.encode("utf-16-be")  # as Automatic1111 reads them
    again = read_picture(tmp_path / f"a{suffix}").metadata
    assert again.xmp == b"<x/>"
    assert again.iptc == (IPTC if suffix in (".jpg", ".tif") else None)
    assert ("IPTC" in caplog.text) == (again.iptc is None)
    if suffix == ".jpg":
        assert again.text == {"Comment": "hello"}
    else:
        assert "Comment" in caplog.text  # its place is taken by the parameters
    if suffix in (".jpg", ".tif"):
        assert again.dpi == DPI


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".png"])
def test_what_a_format_holds_comes_back(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}", RGB, sources())
    picture = read_picture(tmp_path / f"a{suffix}")
    write_picture(tmp_path / f"b{suffix}", picture.rgb, picture)
    assert read_picture(tmp_path / f"b{suffix}").metadata == picture.metadata


@pytest.mark.parametrize("depth", [8, 16])
def test_a_tiff_keeps_exif_xmp_iptc_and_dpi_at_any_depth(tmp_path, depth):
    exif = photograph_exif(1)
    metadata = Metadata(exif=exif.tobytes(), xmp=b"<x/>", iptc=IPTC, dpi=DPI)
    result = RGB if depth == 8 else RGB.astype(np.uint16) * 257
    write_picture(tmp_path / "a.tif", result, Picture(rgb=RGB, metadata=metadata))
    with Image.open(tmp_path / "a.tif") as image:
        assert np.array_equal(np.asarray(image), RGB)
        assert image.getexif().get_ifd(EXIF)[BASE.LensModel] == "lens"
        assert image.getexif().get_ifd(ExifTags.IFD.GPSInfo)[1] == "N"
        assert np.allclose(image.info["dpi"], DPI)
        assert image.info["xmp"] == b"<x/>"
    picture = read_picture(tmp_path / "a.tif")
    assert picture.metadata.iptc == IPTC
    write_picture(tmp_path / "b.tif", picture.rgb, picture)
    assert read_picture(tmp_path / "b.tif").metadata == picture.metadata


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png", ".tif"])
def test_exif_of_a_photograph(tmp_path, suffix):
    """Upright, with the size of the result, names beyond ASCII, and nothing of the old pixels."""
    exif = with_thumbnail(photograph_exif().tobytes())
    assert Image.Exif().load(exif) is None
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif, xmp=XMP)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.rgb.shape == (24, 16, 3)
    large = np.kron(picture.rgb, np.ones((2, 2, 1), np.uint8))
    write_picture(tmp_path / f"b{suffix}", large, picture)
    data = (tmp_path / f"b{suffix}").read_bytes()
    assert b"old face" not in data
    assert data.count(b"\xff\xd8\xff") == (suffix == ".jpg")
    with Image.open(tmp_path / f"b{suffix}") as image:
        written = image.getexif()
        assert written.get(BASE.Orientation, 1) == 1
        camera = written.get_ifd(EXIF)
        assert not written.get_ifd(ExifTags.IFD.IFD1)
        assert written[BASE.Artist].encode("latin-1").decode() == "Jörg"
    assert (camera[BASE.ExifImageWidth], camera[BASE.ExifImageHeight]) == (32, 48)
    assert camera[BASE.LensModel] == "lens"
    assert BASE.MakerNote not in camera
    xmp = read_picture(tmp_path / f"b{suffix}").metadata.xmp
    assert xmp is not None
    assert b'tiff:Orientation="1"' in xmp
    assert b'dc:rights="me"' in xmp


def test_the_exif_of_an_old_imagemagick_png_is_turned_once(tmp_path):
    raw = photograph_exif().tobytes().hex()
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(raw) // 2:8}\n{raw}\n", zip=True)
    Image.fromarray(RGB).save(tmp_path / "a.png", pnginfo=info)
    picture = read_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png", picture.rgb, picture)
    again = read_picture(tmp_path / "b.png")
    assert np.array_equal(again.rgb, picture.rgb)
    assert "Raw profile type exif" not in again.metadata.text


def test_xmp_that_speaks_of_other_pictures_in_the_file_is_left_out(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", xmp=b'<rdf:Description hdrgm:Version="1.0" GContainer:Directory=""/>')
    assert read_picture(tmp_path / "a.jpg").metadata.xmp is None


def test_what_does_not_fit_into_a_jpeg_is_named(tmp_path, caplog):
    text = {"workflow": "w" * 70_000, "parameters": "p", "Comment": "c" * 70_000, "dream": "x"}
    metadata = Metadata(text=text, xmp=b"x" * 70_000, iptc=b"i" * 70_000)
    write_picture(tmp_path / "a.jpg", RGB, Picture(rgb=RGB, metadata=metadata))
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path / 'a.jpg'}: JPEG has no place for ")
    assert all(name in line for name in ("workflow", "Comment", "dream", "XMP", "IPTC"))
    assert "parameters" not in line
    again = read_picture(tmp_path / "a.jpg")
    assert exif_of(again).get_ifd(EXIF)[BASE.UserComment] == b"UNICODE\0\0p"


def test_a_comment_of_a_jpeg_or_gif_is_kept(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", comment="größer".encode())
    picture = read_picture(tmp_path / "a.jpg")
    write_picture(tmp_path / "b.jpg", picture.rgb, picture)
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["comment"] == "größer".encode()
    write_picture(tmp_path / "b.png", picture.rgb, picture)
    assert read_picture(tmp_path / "b.png").metadata.text == {"Comment": "größer"}
    Image.fromarray(RGB).save(tmp_path / "a.gif", comment=b"hello")
    assert read_picture(tmp_path / "a.gif").metadata.text == {"Comment": "hello"}


ODD_TEXT = {
    "a bomb": png.chunk(b"zTXt", b"parameters\0\0" + zlib.compress(bytes(100_000_000))),
    "too much": png.chunk(b"tEXt", b"parameters\0" + bytes(70_000_000)),
    "damaged": png.chunk(b"zTXt", b"parameters\0\0no zlib data at all"),
    "a wrong sum": png.chunk(b"tEXt", b"parameters\0text")[:-1] + b"\0",
}


@pytest.mark.parametrize("name", ODD_TEXT)
def test_text_that_cannot_be_read_does_not_cost_the_picture(tmp_path, caplog, name):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(png.with_chunks(data, [ODD_TEXT[name]]))
    picture = read_picture(tmp_path / "a.png")
    assert np.array_equal(picture.rgb, RGB)
    if name != "damaged":  # Pillow takes it for empty
        assert "a.png: its text is damaged or too large" in caplog.text


@pytest.mark.parametrize(("suffix", "lost"), [(".png", ["IPTC"]), (".bmp", ["dream", "XMP", "IPTC"])])
def test_what_a_format_has_no_place_for_is_named(tmp_path, caplog, suffix, lost):
    metadata = Metadata(text={"dream": "x"}, xmp=b"<x/>", iptc=b"i")
    write_picture(tmp_path / f"a{suffix}", RGB, Picture(rgb=RGB, metadata=metadata))
    (line,) = caplog.messages
    assert f"has no place for {', '.join(lost)} of the input" in line


@pytest.mark.parametrize("dpi", [(4294967295, 72), (72, float("nan"))])
def test_a_resolution_that_is_nonsense_is_dropped(dpi):
    assert read_metadata({"dpi": dpi}, "PNG", {}, Image.Exif()).dpi is None
