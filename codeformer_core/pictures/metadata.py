"""What a picture file says beside its pixels - EXIF, text, XMP, IPTC, dpi - kept in whatever format holds it."""

import logging
import re
import zlib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from . import png

logger = logging.getLogger(__name__)

BASE, EXIF = ExifTags.Base, ExifTags.IFD.Exif
# In a TIFF, EXIF shares its directory with the layout of the samples: only these say something about the photograph.
TIFF_EXIF = {
    *(BASE.ImageDescription, BASE.Make, BASE.Model, BASE.Orientation, BASE.Software, BASE.DateTime),
    *(BASE.Artist, BASE.HostComputer, BASE.Copyright, BASE.Rating, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo),
}
STALE = {  # thumbnails and previews of the old pixels, and where they lay in the old file
    *(BASE.JpegIFOffset, BASE.JpegIFByteCount, BASE.SubIFDs, BASE.StripOffsets, BASE.StripByteCounts),
    BASE.MakerNote,
}
WIDTHS, HEIGHTS = (BASE.ImageWidth, BASE.ExifImageWidth), (BASE.ImageLength, BASE.ExifImageHeight)
RESOLUTION = (BASE.XResolution, BASE.YResolution, BASE.ResolutionUnit)
XMP_KEYWORD = "XML:com.adobe.xmp"
EXIF_KEYWORDS = {"Raw profile type exif", "Raw profile type APP1"}  # ImageMagick's, of the unturned picture
# PNG's keywords to where other formats hold them: Automatic1111's `parameters`, ComfyUI's graphs as it writes WebP.
PLACES = {
    "parameters": BASE.UserComment,
    "Comment": BASE.UserComment,
    "Description": BASE.ImageDescription,
    "Author": BASE.Artist,
    "Copyright": BASE.Copyright,
    "Software": BASE.Software,
    "workflow": BASE.Make,
    "prompt": BASE.Model,
}
MOST_DPI = 65535  # more than a JPEG can say, and than any scanner; files with nonsense say more
SEGMENT = 65533  # bytes that a segment of a JPEG holds
XMP_HEAD, IPTC_HEAD = b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\x008BIM\4\4\0\0"
IPTC_RESOURCE = 0x0404  # its number in Photoshop's block
TIFF_XMP, TIFF_IPTC = 700, 33723
# XMP that tells where further pictures or films lie behind this one, which are not written.
CONTAINER = re.compile(rb"hdrgm:|GContainer|MotionPhoto|MicroVideo")
THUMBNAILS = re.compile(rb"<(xmp|xap):Thumbnails\b.*?</\1:Thumbnails>", re.DOTALL)
TURNED = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>)\s*)[2-8]""")


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What is kept of a file besides its pixels and their colour profile."""

    exif: bytes | None = None  # upright, without thumbnails
    text: Mapping[str, str] = field(default_factory=dict)  # by PNG's keywords; comments of JPEG and GIF are "Comment"
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None


def read_metadata(info: Mapping[str, Any], format: str, text: Mapping[str, str], exif: Image.Exif) -> Metadata:
    """The metadata of a loaded picture out of Pillow's dictionaries; what its decoders raise where EXIF is damaged."""
    kept = {key: value for key, value in text.items() if key not in (XMP_KEYWORD, *EXIF_KEYWORDS)}
    if comment := info.get("comment"):
        kept["Comment"] = _decoded(comment) if isinstance(comment, bytes) else comment
    xmp = info.get("xmp") or text.get(XMP_KEYWORD)
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    dpi = info.get("dpi")
    return Metadata(
        exif=_upright_exif(exif, format),
        text=kept,
        xmp=_upright_xmp(xmp) if isinstance(xmp, bytes) else None,
        iptc=info.get("iptc") or (info.get("photoshop") or {}).get(IPTC_RESOURCE),
        dpi=(float(dpi[0]), float(dpi[1])) if dpi and all(0 < n <= MOST_DPI for n in dpi) else None,
    )


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _upright_exif(exif: Image.Exif, format: str) -> bytes | None:
    for ifd in _directories(exif):
        for tag in [tag for tag in ifd if tag in STALE]:
            del ifd[tag]
    if format == "TIFF":
        _keep_photograph(exif)
    if BASE.Orientation in exif:
        exif[BASE.Orientation] = 1
    return _packed(exif)


def _directories(exif: Image.Exif) -> list[MutableMapping[int, Any]]:
    """EXIF's own tags, and those of its parts that are there."""
    return [exif, *(part(exif, tag) for tag in (EXIF, ExifTags.IFD.GPSInfo) if tag in exif)]


def part(exif: Image.Exif, tag: int) -> dict[int, Any]:
    """The tags of a part of EXIF, its own (0x8769) or GPS's (0x8825); none if it is not there."""
    value = exif.get(tag, {})
    return value if isinstance(value, dict) else exif.get_ifd(tag)


def _keep_photograph(exif: Image.Exif) -> None:
    for tag in [tag for tag in exif if tag not in TIFF_EXIF]:
        del exif[tag]


def _packed(exif: Image.Exif) -> bytes | None:
    """EXIF as bytes, which keep names beyond ASCII: Pillow reads them as Latin-1, and writes question marks."""
    for ifd in _directories(exif):
        texts = [(tag, text) for tag, text in ifd.items() if isinstance(text, str) and not text.isascii()]
        ifd.update({tag: text.encode("latin-1", "replace") for tag, text in texts})
    return exif.tobytes() if exif else None


def _upright_xmp(xmp: bytes) -> bytes | None:
    return None if CONTAINER.search(xmp) else TURNED.sub(rb"\g<1>1", THUMBNAILS.sub(b"", xmp))


def png_chunks(metadata: Metadata, icc_profile: bytes | None, size: tuple[int, int]) -> list[bytes]:
    """Metadata and colour profile as the chunks of a PNG file of `size` (width, height)."""
    info = PngInfo()
    if icc_profile is not None:
        info.add(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
    if metadata.dpi is not None:
        info.add(b"pHYs", b"".join(round(dpi / 0.0254).to_bytes(4, "big") for dpi in metadata.dpi) + b"\1")
    if (exif := _packed(_exif_for(metadata, size))) is not None:
        info.add(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    for keyword, text in metadata.text.items():
        info.add_text(keyword, text)
    if metadata.xmp is not None:
        info.add(b"iTXt", XMP_KEYWORD.encode() + b"\0\0\0\0\0" + metadata.xmp)
    return [png.chunk(*found[:2]) for found in info.chunks]


def _exif_for(metadata: Metadata, size: tuple[int, int]) -> Image.Exif:
    """The EXIF of a picture of `size` (width, height)."""
    exif = Image.Exif()
    exif.load(metadata.exif or b"")
    for ifd in _directories(exif):
        for tags, pixels in ((WIDTHS, size[0]), (HEIGHTS, size[1])):
            ifd.update({tag: pixels for tag in tags if tag in ifd})
    return exif


def _with_text(exif: Image.Exif, text: Mapping[str, str], format: str) -> list[str]:
    """Put texts where they have a place in EXIF; the keywords of those that have none, or find it taken."""
    camera, lost = part(exif, EXIF), []
    for keyword, value in sorted(text.items(), key=lambda item: (item[0] != "parameters", len(item[1]))):
        if keyword == "Comment" and format == "JPEG" and len(value.encode()) <= SEGMENT:
            continue  # JPEG has a comment of its own
        tag = PLACES.get(keyword)
        ifd = camera if tag == BASE.UserComment else exif
        if tag is None or tag in ifd:
            lost.append(keyword)
            continue
        ifd[tag] = {
            BASE.UserComment: b"UNICODE\0" + value.encode("utf-16-be", "replace"),
            BASE.Make: f"workflow:{value}".encode(),
            BASE.Model: f"prompt:{value}".encode(),
        }.get(tag, value.encode())
        if camera and EXIF not in exif:
            exif[EXIF] = camera
        if format == "JPEG" and len(_packed(exif) or b"") > SEGMENT:
            del ifd[tag]
            lost.append(keyword)
    return lost


def pillow_options(metadata: Metadata, format: str, size: tuple[int, int]) -> tuple[dict[str, Any], list[str]]:
    """How Pillow is told to write metadata in a format other than PNG; and what has no place there, by name."""
    if format == "BMP":
        named = {"EXIF": metadata.exif, "XMP": metadata.xmp, "IPTC": metadata.iptc}
        lost = [*metadata.text, *(name for name, value in named.items() if value is not None)]
        return {} if metadata.dpi is None else {"dpi": metadata.dpi}, lost
    exif = _exif_for(metadata, size)
    if format == "TIFF":
        _keep_photograph(exif)
    elif format != "JPEG" and metadata.dpi is not None:  # JPEG and TIFF have a place of their own
        exif.update(zip(RESOLUTION, (*metadata.dpi, 2), strict=True))
    lost = _with_text(exif, metadata.text, format)
    data = _packed(exif) or b""
    options: dict[str, Any] = {}
    xmp, iptc = metadata.xmp, metadata.iptc
    if format == "TIFF":
        exif.update({tag: data for tag, data in ((TIFF_XMP, xmp), (TIFF_IPTC, iptc)) if data is not None})
        return {"exif": exif}, lost
    if metadata.dpi is not None and format == "JPEG":
        options["dpi"] = metadata.dpi
    if format != "JPEG":
        lost += [] if iptc is None else ["IPTC"]
        return options | ({} if xmp is None else {"xmp": xmp}) | ({"exif": data} if data else {}), lost
    segments = b""
    iptc = None if iptc is None else len(iptc).to_bytes(4, "big") + iptc + bytes(len(iptc) % 2)
    for name, marker, head, body in (("XMP", b"\xff\xe1", XMP_HEAD, xmp), ("IPTC", b"\xff\xed", IPTC_HEAD, iptc)):
        if body is not None and len(head) + len(body) <= SEGMENT:
            segments += marker + (2 + len(head) + len(body)).to_bytes(2, "big") + head + body
        elif body is not None:
            lost.append(name)
    if len(data) > SEGMENT:
        lost.append("EXIF")
    elif data:
        options["exif"] = data
    comment = metadata.text.get("Comment", "").encode()
    return options | {"extra": segments} | ({"comment": comment} if 0 < len(comment) <= SEGMENT else {}), lost
