"""Films out: the coded frames in a container, with everything else of the source copied packet by packet."""

import io
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..whole_files import whole_file
from .encoding import CODECS, CONTAINERS, Encoding, configure
from .pyav import FilmError, pyav
from .reading import Film, is_cover
from .segments import Packets, with_decoding_times

MOST_HELD_BACK = 16  # frames, by the decoder of any codec
SAYING = ("data", "attachment")  # kinds of streams that are metadata


def check_target(target: Path, codec: str) -> None:
    """FilmError unless a file of this suffix can hold the codec."""
    if target.suffix.lower() not in CONTAINERS:
        raise FilmError(f"{target}: films are not written as {target.suffix}; use one of {' '.join(CONTAINERS)}")
    _, held = CONTAINERS[target.suffix.lower()]
    if codec not in held:
        raise FilmError(
            f"{target}: holds {', '.join(sorted(held))}, not {codec}; name it .mkv, or choose another codec"
        )


def write_film(
    target: Path,
    film: Film,
    encoding: Encoding,
    segments: Callable[[], Iterable[Packets]],
    *,
    strip_metadata: bool = False,
    tick: Callable[[], None] | None = None,
) -> list[str]:
    """Write the whole file, or nothing; returns what of the source it does not keep, a part each.

    Sound, subtitles, other videos, covers, data and attachments are copied bit for bit; tags and chapters are kept.
    `tick()` is called for each frame, and may raise to stop. OSError where the disk does not take it.
    """
    av = pyav()
    muxer, _ = CONTAINERS[target.suffix.lower()]
    header = next((packets.header for packets in segments()), b"")
    delay = max((packets.delay for packets in segments()), default=0)
    with film.open() as source:
        others = [s for s in source.streams if s.index != film.stream and not _is_chapters(s, source)]
        if strip_metadata:
            others = [stream for stream in others if stream.type not in SAYING and not _is_cover(stream)]
        kept = [stream for stream in others if _fits(stream, muxer)]
        lost = [f"{_in_words(stream)} does not fit into {target.suffix}" for stream in others if stream not in kept]
        with whole_file(target) as unfinished, av.open(str(unfinished), "w", format=muxer) as result:
            video = _add_video(result, source, film, encoding, header)
            copies = {stream.index: _add_copy(result, stream, strip_metadata) for stream in kept}
            if not strip_metadata:
                result.metadata.update(_tags(source.metadata))
                video.metadata.update(_tags(source.streams[film.stream].metadata))
                result.set_chapters(source.chapters())
            frames = _in_stream(with_decoding_times(segments(), delay), video, encoding.time_base, tick)
            lost += _interleave(result, frames, source, kept, copies, encoding.time_base)
    return lost


def _add_video(result: Any, source: Any, film: Film, encoding: Encoding, header: bytes) -> Any:
    """The stream of the restored frames, with the display matrix and the like of the source's if the codec is its."""
    av = pyav()
    if encoding.upright:
        encoder = CODECS[encoding.codec].encoder
        stream = result.add_stream(encoder, rate=encoding.rate, options=encoding.options)
        configure(stream.codec_context, encoding)
        stream.codec_context.time_base = encoding.time_base
        stream.codec_context.flags |= int(av.codec.context.Flags.global_header)
    else:
        stream = result.add_stream_from_template(source.streams[film.stream], opaque=True)
        configure(stream.codec_context, encoding)
        stream.codec_context.extradata = header or None
        stream.codec_context.bit_rate = 0
        if encoding.codec == "hevc" and result.format.name in ("mp4", "mov"):
            stream.codec_context.codec_tag = "hvc1"  # which Apple's players want
    stream.time_base = encoding.time_base
    stream.disposition = source.streams[film.stream].disposition
    return stream


def _add_copy(result: Any, stream: Any, strip_metadata: bool) -> Any:
    copy = result.add_stream_from_template(stream, opaque=True)
    copy.time_base = stream.time_base or Fraction(1, 1000)
    copy.disposition = stream.disposition
    tags = _tags(stream.metadata)
    copy.metadata.clear()
    copy.metadata.update({k: v for k, v in tags.items() if k == "language"} if strip_metadata else tags)
    return copy


def _fits(stream: Any, muxer: str) -> bool:
    """Whether the container takes a stream; it is tried on a header in memory."""
    av = pyav()
    try:
        with av.open(io.BytesIO(), "w", format=muxer) as trial:
            _add_copy(trial, stream, strip_metadata=False)
            trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _in_stream(
    packets: Iterable[Any], stream: Any, time_base: Fraction, tick: Callable[[], None] | None
) -> Iterator[Any]:
    for packet in packets:
        if tick is not None:
            tick()
        packet.stream, packet.time_base = stream, time_base
        yield packet


def _interleave(
    result: Any, frames: Iterator[Any], source: Any, kept: list[Any], copies: dict[int, Any], time_base: Fraction
) -> list[str]:
    """Write frames and the packets of the other streams in the order of their times; what was lost on the way."""
    av = pyav()
    frame = next(frames, None)
    last: dict[int, int] = {}  # decoding time by stream
    refused, end = 0, ""
    packets = source.demux(kept) if kept else iter(())
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            packet, end = None, f"sound and other streams cannot be read to their end ({error.strerror})"
        if packet is None:
            break
        if packet.size == 0 and packet.pts is None:
            continue  # the end of a stream
        if packet.dts is None:
            packet.dts = _decoding_time(packet, last.get(packet.stream.index))
        if packet.dts is not None:
            last[packet.stream.index] = packet.dts
        at = None if packet.dts is None else packet.dts * packet.time_base
        while frame is not None and at is not None and frame.dts * time_base <= at:
            result.mux(frame)
            frame = next(frames, None)
        packet.stream = copies[packet.stream.index]
        try:
            result.mux(packet)
        except (av.error.ArgumentError, av.error.InvalidDataError):
            refused += 1
    while frame is not None:
        result.mux(frame)
        frame = next(frames, None)
    lost = [f"{refused} packets of sound or other streams, whose times are wrong"] if refused else []
    return [*lost, end] if end else lost


def _decoding_time(packet: Any, last: int | None) -> int | None:
    """When a packet is to be decoded whose file does not tell, as Matroska's of the first frames that are reordered."""
    if packet.stream.type != "video" or packet.pts is None:
        return packet.pts
    return packet.pts - MOST_HELD_BACK if last is None else last + 1


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    """What a file or stream says of itself; not what a muxer writes anew."""
    anew = {"encoder", "major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id"}
    anew.add("alpha_mode")  # of VP8 and VP9, whose transparency is not read
    return {key: value for key, value in metadata.items() if key.lower() not in anew and key != "DURATION"}


def _is_cover(stream: Any) -> bool:
    return stream.type == "video" and is_cover(stream)


def _is_chapters(stream: Any, source: Any) -> bool:
    """Whether a stream is the chapters of an MP4 or MOV, which are written anew."""
    return stream.type == "data" and getattr(stream, "name", None) == "bin_data" and bool(source.chapters())


def _in_words(stream: Any) -> str:
    name = getattr(stream, "name", None)
    return f"stream {stream.index} ({stream.type}{f', {name}' if name else ''})"
