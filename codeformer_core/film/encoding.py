"""How a restored film is coded: which codec, pixel format, quality and size."""

import os
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .frames import LIMITED, Colours, has_alpha, is_deep
from .pyav import FilmError, pyav
from .reading import Film


@dataclass(frozen=True, kw_only=True)
class Codec:
    """A codec that films are written in."""

    encoder: str  # FFmpeg's name
    crf: int | None = None  # the quality by default, 0 is the best; None: the codec has no such number
    worst: int = 51  # crf
    options: dict[str, str] = field(default_factory=dict)
    even: bool = False  # sides of films with halved chroma must be even
    alpha: bool = False  # keeps transparency


CODECS = {
    "h264": Codec(encoder="libx264", crf=18, even=True),
    "hevc": Codec(encoder="libx265", crf=20, even=True, options={"x265-params": "log-level=error"}),
    "av1": Codec(encoder="libsvtav1", crf=25, worst=63, even=True, options={"preset": "8"}),
    "vp9": Codec(encoder="libvpx-vp9", crf=24, worst=63, options={"b": "0", "row-mt": "1", "cpu-used": "4"}),
    "vp8": Codec(encoder="libvpx", crf=8, worst=63, options={"b": "100M", "cpu-used": "2"}),
    "prores": Codec(encoder="prores_ks", alpha=True),
    "ffv1": Codec(encoder="ffv1", options={"level": "3"}, alpha=True),
}
CONTAINERS = {  # FFmpeg's muxers of the suffixes that are kept, and what each holds
    ".mp4": ("mp4", {"h264", "hevc", "av1", "vp9"}),
    ".m4v": ("mp4", {"h264", "hevc", "av1", "vp9"}),
    ".mov": ("mov", {"h264", "hevc", "prores"}),
    ".webm": ("webm", {"vp8", "vp9", "av1"}),
    ".ts": ("mpegts", {"h264", "hevc"}),
    ".mts": ("mpegts", {"h264", "hevc"}),
    ".m2ts": ("mpegts", {"h264", "hevc"}),
    ".mkv": ("matroska", set(CODECS)),
}
FAMILIES = {  # what a file is by its content, to the suffixes that it may keep, its usual one first
    "mov,mp4,m4a,3gp,3g2,mj2": (".mp4", ".mov", ".m4v"),
    "matroska,webm": (".mkv", ".webm"),
    "mpegts": (".ts", ".mts", ".m2ts"),
}


def check_quality(codec: str | None, crf: int | None) -> None:
    """ValueError for a codec that there is not, or a crf that it has not; without a codec, that none has."""
    if codec is not None and codec not in CODECS:
        raise ValueError(f"films are not written as {codec!r}; use one of {', '.join(CODECS)}")
    worst = max(known.worst for known in CODECS.values()) if codec is None else CODECS[codec].worst
    if codec is not None and crf is not None and CODECS[codec].crf is None:
        raise ValueError(f"{codec} has no crf, got {crf}; leave it out")
    if crf is not None and not 0 <= crf <= worst:
        raise ValueError(f"crf is {crf}, expected 0 (best) to {worst}{f' for {codec}' if codec else ''}")


def output_codec(film: Film, asked: str | None) -> str:
    """The codec of the result: what was asked for, else the film's own if it can be written, else h264.

    VP9 of more than 8 bits, which is not written here, becomes AV1.
    """
    if asked is not None:
        return asked
    if film.codec == "vp9" and film.deep:
        return "av1"
    return film.codec if film.codec in CODECS else "h264"


def output_suffix(film: Film, codec: str) -> str:
    """The suffix of the result: the film's own where that container can be written and hold the codec, else .mkv."""
    family = FAMILIES.get(film.container, (".mkv",))
    own = film.path.suffix.lower()
    suffix = own if own in family else family[0]
    return (film.path.suffix if suffix == own else suffix) if codec in CONTAINERS[suffix][1] else ".mkv"


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """All that the encoder is told."""

    codec: str
    crf: int | None
    format: str  # of the pixels
    size: tuple[int, int]  # height, width as they lie in the file
    padding: tuple[int, int]  # how many of these rows and columns repeat the last one
    upright: bool  # frames are turned as they are to be seen; else as the source's lie in its file
    colours: Colours
    aspect: Fraction | None
    rate: Fraction
    time_base: Fraction

    @property
    def options(self) -> dict[str, str]:
        """The encoder's own options."""
        crf = {} if self.crf is None else {"crf": str(self.crf)}
        return {**CODECS[self.codec].options, **crf}

    def losses(self, film: Film) -> list[str]:
        """What of the film's pictures is not kept, or only in another way, a part each."""
        av = pyav()
        format = av.VideoFormat(self.format)
        said = (
            (self.codec != film.codec, f"{film.codec} is written as {self.codec}"),
            (film.deep and not is_deep(format), "more than 8 bits a sample are written as 8"),
            (film.alpha and not has_alpha(format), f"{self.codec} keeps no transparency"),
            (film.unread_alpha, f"the transparency of {film.codec} is not read"),
            (film.mastering, "what the film says of its mastering display and brightness (HDR) is left out"),
            (film.interlaced, "interlaced frames are written as whole ones"),
            (self.upright and bool(film.turn), "frames are written upright, without a mark that they are to be turned"),
            (any(self.padding), f"{self.codec} wants even sides: the last row or column is there twice"),
        )
        return [what for holds, what in said if holds]


def plan_encoding(film: Film, *, codec: str | None, crf: int | None, upscale: int) -> Encoding:
    """How the restored film is coded; ValueError for a codec or a crf that there is not, FilmError for this film's."""
    check_quality(codec, crf)
    av = pyav()
    name = output_codec(film, codec)
    chosen = CODECS[name]
    if crf is not None and not 0 <= crf <= chosen.worst:
        raise FilmError(f"{film.path}: crf is {crf}, expected 0 (best) to {chosen.worst} for {name}; or name a codec")
    formats = av.codec.Codec(chosen.encoder, "w").video_formats
    formats = [format for format in formats if chosen.alpha or not has_alpha(format)]
    best, _ = av.codec.find_best_pix_fmt_of_list(formats, film.format, film.alpha and chosen.alpha)
    upright = name != film.codec  # a stream's display matrix is handed on by copying its parameters
    height, width = (n * upscale for n in (film.size if upright else film.coded_size))
    halved = best.chroma_width(2) < 2 or best.chroma_height(2) < 2
    padding = (height % 2, width % 2) if chosen.even and halved else (0, 0)
    colours = film.colours
    if film.format.is_rgb and not best.is_rgb:
        colours = Colours(matrix=1, range=LIMITED, primaries=colours.primaries, transfer=colours.transfer)
    return Encoding(
        codec=name,
        crf=None if chosen.crf is None else chosen.crf if crf is None else crf,
        format=best.name,
        size=(height + padding[0], width + padding[1]),
        padding=padding,
        upright=upright,
        colours=colours,
        aspect=film.aspect,
        rate=film.rate,
        time_base=film.time_base,
    )


def configure(context: Any, encoding: Encoding) -> None:
    """Tell a codec context what frames of an encoding are."""
    context.height, context.width = encoding.size
    context.pix_fmt = encoding.format
    if encoding.aspect:
        context.sample_aspect_ratio = encoding.aspect
    context.colorspace, context.color_range = encoding.colours.matrix, encoding.colours.range
    context.color_primaries, context.color_trc = encoding.colours.primaries, encoding.colours.transfer


def open_encoder(encoding: Encoding) -> Any:
    """An encoder, whose header goes into the container; FilmError if it does not take such frames."""
    av = pyav()
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 speaks on standard error of more than errors
    context = av.CodecContext.create(CODECS[encoding.codec].encoder, "w")
    configure(context, encoding)
    context.time_base, context.framerate = encoding.time_base, encoding.rate
    context.options = encoding.options
    context.flags |= int(av.codec.context.Flags.global_header)
    try:
        context.open()
    except av.error.FFmpegError as error:
        height, width = encoding.size
        raise FilmError(
            f"{width} x {height} pixels of {encoding.format} cannot be written as {encoding.codec} ({error.strerror}); "
            "choose another --codec"
        ) from error
    return context
