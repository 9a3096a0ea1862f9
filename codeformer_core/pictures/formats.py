"""Which files are pictures: told by their content, and opened by no decoder but those of the formats named here."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
}
PICTURE_SUFFIXES = {*FORMATS, ".gif"}  # what is looked for in folders
OTHER_SUFFIXES = {  # pictures that are passed over, in one line
    *(".jxl", ".jp2", ".psd", ".xcf", ".tga", ".ppm", ".pgm", ".exr", ".hdr", ".ico", ".svg", ".eps", ".pdf"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef"),
}
JPEG_SIDE = 65500  # pixels
REMEDY = "save it as PNG, JPEG, WebP, TIFF or BMP"
SIGNATURES = (  # how files begin that are read
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
)
REFUSED = (  # how files begin that are not read
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"%PDF", "PDF"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"\1\0\x09\0", "WMF"),
    (b"8BPS", "Photoshop's PSD"),
    (b"gimp xcf", "GIMP's XCF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"v/1\1", "OpenEXR"),
    (b"#?R", "Radiance HDR"),
    (b"DDS ", "DDS"),
    (b"\0\0\1\0", "an icon"),
    (b"qoif", "QOI"),
    *((b"P%d" % number, "Netpbm") for number in range(1, 8)),
    (b"<svg", "SVG"),
    (b"<?xml", "XML"),
    (b"II*\0\x10\0\0\0CR", "a camera's raw file"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (b"\x1aE\xdf\xa3", "a film"),
)
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class PictureError(ValueError):
    """A file that cannot be read or written as a picture; one line with the file, the reason and the remedy."""


def content_format(path: Path) -> str | None:
    """Pillow's name of the format that a file is of by its first bytes, None if by none; PictureError if refused."""
    with path.open("rb") as file:
        head = file.read(64)
    refused = next((name for start, name in REFUSED if head.startswith(start)), None)
    refused = "EMF" if head[40:44] == b" EMF" else refused
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        brands = head[8:12] + head[16 : int.from_bytes(head[:4], "big")]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        if any(brand in brands for brand in HEIF_BRANDS):
            return "HEIF"
        refused = "a camera's raw file" if b"crx " in brands else "a film"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        refused = "a film"
    if refused is not None:
        raise PictureError(f"{path}: is {refused}, which is not read; {REMEDY}")
    return next((name for start, name in SIGNATURES if head.startswith(start)), None)


def open_image(path: Path, format: str | None = None) -> Image.Image:
    """A file as Pillow opens it, its header read, by the decoder of its content's format alone.

    Pillow would hand PostScript, whatever its name, to Ghostscript. PictureError for other formats, and where this
    one's decoder is not installed.
    """
    format = format or content_format(path)
    if format is None:
        raise PictureError(f"{path}: is damaged or no picture; give a PNG, JPEG, WebP, TIFF or BMP file")
    if (remedy := missing_decoder(format)) is not None:
        raise PictureError(f"{path}: is {format}, which is not read here; {remedy}, or {REMEDY}")
    try:
        image = Image.open(path, formats=[format])
    except UnidentifiedImageError:
        reason = "is damaged, or of a rare kind of" if path.stat().st_size > 64 else "is damaged, a cut-off"
        raise PictureError(f"{path}: {reason} {format}; open it in an image editor and save it again") from None
    check_sides(path, format, image.size)
    return image


def check_sides(path: Path, format: str, size: tuple[int, int]) -> None:
    """PictureError for a JPEG of which libjpeg would print that it is too large."""
    if format == "JPEG" and max(size) > JPEG_SIDE:
        width, height = size
        raise PictureError(f"{path}: JPEG has sides up to {JPEG_SIDE} pixels, not {width} x {height}; take a PNG")


def missing_decoder(format: str) -> str | None:
    """What to do so that pictures of a format can be read; None if they can be."""
    if format == "HEIF" and not _heif():
        return "pip install pillow-heif"
    if format == "AVIF" and "AVIF" not in writable().values():
        return "pip install --upgrade pillow"
    return None


def writable() -> dict[str, str]:
    """The suffixes under which pictures can be written here, with their formats."""
    Image.init()
    _heif()
    return {suffix: format for suffix, format in FORMATS.items() if format in Image.SAVE}


def _heif() -> bool:
    """Whether pillow-heif is installed; Pillow then knows of it."""
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def lossless_webp(path: Path) -> bool:
    """Whether a WebP file keeps its (first) picture without loss."""
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if name in (b"VP8L", b"VP8 "):
                return name == b"VP8L"
            file.seek(16 if name == b"ANMF" else size + size % 2, 1)  # a frame holds chunks of its own
    return False
