"""Films in: what a file holds, and its frames one after another, in constant memory."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .frames import Colours, Turn, has_alpha, is_deep, to_picture
from .pyav import FilmError, pyav

FILM_SUFFIXES = {  # what is looked for in folders
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".wmv"),
    *(".flv", ".ogv", ".3gp", ".mxf"),
}
TIMELESS = {"avi"}  # containers whose frames have a rate, and often no times
SHORT, SHORT_FRAMES = 0.05, 3  # share of a film, and frames, that may be missing at its end: headers are rounded
MASTERING = {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS", "DOVI_METADATA"}
STANDARD_RATE = Fraction(25)  # of films that tell neither times nor rate


@dataclass
class Damage:
    """What was wrong with the frames that were read."""

    packets: int = 0  # that could not be decoded
    frames: int = 0  # that the decoder says are damaged
    times: int = 0  # that were missing, or did not go forwards
    sizes: int = 0  # frames of another size or pixel format than the first
    end: str = ""  # why reading stopped early

    def in_words(self) -> list[str]:
        """What is said of it, a part each; nothing of a whole film."""
        counted = (
            (self.packets, "could not be decoded and are left out"),
            (self.frames, "are damaged"),
            (self.times, "had no time, or one that did not go forwards, and follow the one before at the film's rate"),
            (self.sizes, "were of another size or pixel format and were scaled to that of the first"),
        )
        return [f"{count} frames {what}" for count, what in counted if count] + ([self.end] if self.end else [])


@dataclass(frozen=True, kw_only=True, eq=False)
class FilmFrame:
    """One frame of a film."""

    index: int
    pts: int  # its time in units of the film's time base, always later than the one before
    duration: int  # in the same units; 0 where the film does not tell
    decoded: Any  # PyAV's frame, in the first frame's size and format
    film: "Film" = field(repr=False)

    @cached_property
    def picture(self) -> np.ndarray:
        """RGB (h, w, 3) as it is to be seen, uint8, or uint16 of films with more than 8 bits."""
        return self.film.turn(to_picture(self.decoded, self.film.colours))


class Film:
    """What a file holds, told by its header and its first frame; FilmError if there is none.

    Of several videos the one that FFmpeg takes for the best is meant: the default one, else the largest; never a cover.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        with self.open() as container:
            self.container = container.format.name
            stream = best_video(container)
            if stream is None:
                kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
                raise FilmError(f"{self.path}: holds no video, but {kinds}; give a film")
            self.stream: int = stream.index
            self.codec: str = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
            self.time_base: Fraction = stream.time_base
            self.rate = Fraction(stream.average_rate or stream.guessed_rate or STANDARD_RATE)
            self.aspect = stream.sample_aspect_ratio  # of a sample
            self._said_seconds, self._said_end = _said_times(stream)
            seconds = self._said_seconds or Fraction(container.duration or 0, 1_000_000)
            self._said_frames: int = stream.frames or round(seconds * self.rate)
            self._first(container, stream)

    def _first(self, container: Any, stream: Any) -> None:
        first = next(self._decode(container, stream, Damage()), None)
        if first is None:
            raise FilmError(f"{self.path}: no frame of it can be read; it is empty or damaged")
        self.format = first.format
        self.coded_size: tuple[int, int] = first.height, first.width
        self.colours = Colours.of(first)
        self.turn = Turn.of(first)
        self.interlaced: bool = first.interlaced_frame
        self.deep, self.alpha = is_deep(first.format), has_alpha(first.format)
        self.mastering = any(data.type.name in MASTERING for data in first.side_data)  # what a screen maps HDR by
        alpha_mode = {key.lower(): value for key, value in stream.metadata.items()}.get("alpha_mode", "0")
        self.unread_alpha: bool = alpha_mode == "1" and not self.alpha  # of VP8 and VP9: FFmpeg's decoders leave it

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as it is to be seen."""
        height, width = self.coded_size
        return (width, height) if self.turn.swapped else (height, width)

    @property
    def expected_frames(self) -> int:
        """How many frames there may be, for progress bars; 0 if the file does not tell."""
        return self._said_frames

    @contextmanager
    def open(self) -> Iterator[Any]:
        """The file, opened by PyAV; FilmError if it is no film. OSError if it is not there."""
        av = pyav()
        self.path.stat()
        if not self.path.is_file():  # a pipe would be waited for
            raise FilmError(f"{self.path}: is no ordinary file; copy the film into one")
        try:
            container = av.open(str(self.path), metadata_errors="replace")
        except av.error.FFmpegError as error:
            raise FilmError(f"{self.path}: is damaged or no film ({error.strerror}); play it to see") from error
        with container:
            yield container

    def frames(self, damage: Damage | None = None) -> Iterator[FilmFrame]:
        """All frames that can be read, in the order in which they are seen; what is wrong is counted in `damage`."""
        damage = Damage() if damage is None else damage
        step = max(round(1 / self.rate / self.time_base), 1)
        first, last, end, index = 0, None, 0, 0
        with self.open() as container:
            for decoded in self._decode(container, container.streams[self.stream], damage):
                pts = decoded.pts
                if pts is None or (last is not None and pts <= last):
                    damage.times += self.container not in TIMELESS
                    pts = 0 if last is None else last + step
                if (decoded.height, decoded.width, decoded.format.name) != (*self.coded_size, self.format.name):
                    height, width = self.coded_size
                    decoded = decoded.reformat(width=width, height=height, format=self.format.name)
                    damage.sizes += 1
                damage.frames += decoded.is_corrupt
                yield FilmFrame(index=index, pts=pts, duration=decoded.duration or 0, decoded=decoded, film=self)
                first, last, end = pts if last is None else first, pts, pts + (decoded.duration or step)
                index += 1
        if not damage.times:  # or the times are our own
            damage.end = damage.end or self._missing_end(first, end)

    def _missing_end(self, first: int, end: int) -> str:
        """What is said of a film whose frames, from time `first` to `end`, are clearly fewer than it says; or nothing.

        The demuxers take the end of a file that was cut off for that of its film.
        """
        said = self._said_seconds or self._said_end
        there = (end - (first if self._said_seconds else 0)) * self.time_base
        if said - there <= max(SHORT * said, SHORT_FRAMES / self.rate):
            return ""
        return f"it ends after {float(there):.1f} of the {float(said):.1f} seconds that it says"

    def _decode(self, container: Any, stream: Any, damage: Damage) -> Iterator[Any]:
        av = pyav()
        stream.thread_type = "AUTO"
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                damage.end = f"it cannot be read to its end ({error.strerror})"
                return
            if packet is None:
                return
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                damage.packets += 1


def best_video(container: Any) -> Any:
    """The video stream that is meant; None if there is none, or only covers."""
    videos = [stream for stream in container.streams.video if not is_cover(stream)]
    best = container.streams.best("video")
    return next((stream for stream in videos if best is not None and stream.index == best.index), None) or next(
        iter(videos), None
    )


def is_cover(stream: Any) -> bool:
    """Whether a video stream is a single attached picture."""
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def _said_times(stream: Any) -> tuple[Fraction, Fraction]:
    """How long a stream says that it is, in seconds, or else at what time its last frame ends; 0 for what is not said.

    The second is what FFmpeg and MKVToolNix write into Matroska's tags.
    """
    if stream.duration:
        return stream.duration * stream.time_base, Fraction(0)
    hours = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if hours is None:
        return Fraction(0), Fraction(0)
    h, m, s = (Fraction(part) for part in hours.groups())
    return Fraction(0), 3600 * h + 60 * m + s
