"""PNG chunk by chunk: 16 bits a channel, which Pillow cuts to 8, and what stands beside the pixels."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_END = 33  # bytes of signature and IHDR
TEXT = {b"tEXt", b"zTXt", b"iTXt"}
COLOUR = {b"gAMA", b"cHRM", b"sRGB", b"cICP"}  # what the numbers mean, where no profile says it
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # colour type to samples a pixel; the types that have 16 bits
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def read_chunks(path: Path, skip: set[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(name, data, checksum) of each chunk of a file but those in `skip`, which are not read; to its end, or a cut."""
    with path.open("rb") as file:
        file.seek(len(SIGNATURE))
        while len(head := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            if name in skip:
                file.seek(size + 4, 1)
            else:
                yield name, file.read(size), file.read(4)


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk as it stands in the file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def without_text(path: Path) -> bytes:
    """A PNG file but for its text, however large or damaged that is."""
    kept = (struct.pack(">I", len(data)) + name + data + crc for name, data, crc in read_chunks(path, TEXT))
    return b"".join([SIGNATURE, *kept])


def colour_chunks(path: Path) -> bytes:
    """The chunks that say what the numbers mean, as they stand in the file."""
    found = read_chunks(path, TEXT | {b"IDAT"})
    return b"".join(chunk(name, data) for name, data, _ in found if name in COLOUR)


def with_chunks(encoded: bytes, chunks: Iterable[bytes]) -> bytes:
    """A PNG file with chunks put in behind its header."""
    return b"".join([encoded[:HEADER_END], *chunks, encoded[HEADER_END:]])


def decode_deep(path: Path) -> np.ndarray:
    """The 16-bit samples of a file that Pillow has found whole: (h, w), or (h, w, 2 to 4) as LA, RGB or RGBA.

    OpenCV keeps the depth, but its libpng prints what it finds odd, without the file's name: it is given the pixels
    alone, unpacked and packed anew. ValueError or zlib.error where they are damaged.
    """
    header, packed, key = b"", [], b""
    for name, data, _ in read_chunks(path, TEXT):
        if name == b"IHDR":
            header = data
        elif name == b"IDAT":
            packed.append(data)
        elif name == b"tRNS":
            key = data
    width, height, _, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    channels = CHANNELS[colour]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    size = sum(rows * (1 + columns * channels * 2) for columns, rows in sizes if columns > 0 and rows > 0)
    pixels = zlib.decompressobj().decompress(b"".join(packed), size)
    if len(pixels) < size:
        raise ValueError("its 16-bit samples are cut off")
    alone = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels, 0)), chunk(b"IEND", b"")]
    samples = cv2.imdecode(np.frombuffer(b"".join([SIGNATURE, *alone]), np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16:
        raise ValueError("its 16-bit samples cannot be decoded")
    if channels == 2:  # comes as blue, green, red, alpha
        return samples[..., 2:]
    if channels > 2:
        samples = cv2.cvtColor(samples, cv2.COLOR_BGRA2RGBA if channels == 4 else cv2.COLOR_BGR2RGB)
    if channels in (1, 3) and len(key) == 2 * channels:
        clear = (samples.reshape(height, width, channels) == np.frombuffer(key, ">u2")).all(-1)
        samples = np.dstack([samples, np.where(clear, 0, 65535).astype(np.uint16)])
    return samples


def encode_deep(samples: np.ndarray) -> bytes:
    """A PNG file of (h, w), or (h, w, 2 to 4), uint16 samples, each row as differences to the left."""
    height, width = samples.shape[:2]
    channels = samples.size // (height * width)
    colour = next(colour for colour, number in CHANNELS.items() if number == channels)
    rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 1  # the filter Sub
    filtered[:, 1:] = rows
    filtered[:, 1 + 2 * channels :] -= rows[:, : -2 * channels]
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    pixels = zlib.compress(filtered.tobytes(), 4)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
