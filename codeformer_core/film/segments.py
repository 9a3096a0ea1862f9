"""Segments: parts of a film's job on disk, each whole or not there, so that a job that was killed can go on."""

import base64
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..detection.faces import Face
from ..whole_files import whole_file
from .pyav import pyav


class Segments:
    """A folder of segments `000000.json`, numbered without gaps."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __len__(self) -> int:
        count = 0
        while self.path(count).is_file():
            count += 1
        return count

    def path(self, number: int) -> Path:
        """Where a segment's JSON lies."""
        return self.folder / f"{number:06}.json"

    def read(self, number: int) -> dict[str, Any]:
        """What was said of a segment."""
        return json.loads(self.path(number).read_text(encoding="utf-8"))

    def write(self, number: int, said: dict[str, Any]) -> None:
        """Save what is said of a segment, as JSON values; it is there from now on."""
        with whole_file(self.path(number)) as unfinished:
            unfinished.write_text(json.dumps(said), encoding="utf-8")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number in range(len(self)):
            yield self.read(number)


@dataclass(frozen=True, kw_only=True)
class Packets:
    """The coded frames of a segment, in the order of their coding."""

    data: Path  # all their bytes
    header: bytes  # of the codec, the same in all segments
    sizes: list[int]  # bytes
    pts: list[int]
    durations: list[int]  # 0 where it is not known
    key: list[bool]

    @property
    def delay(self) -> int:
        """How many frames a decoder has to hold back, so that none is decoded after its time."""
        place = {pts: i for i, pts in enumerate(sorted(self.pts))}
        return max((i - place[pts] for i, pts in enumerate(self.pts)), default=0)

    def __iter__(self) -> Iterator[Any]:
        """PyAV's packets, without decoding times."""
        packet_type = pyav().Packet
        with self.data.open("rb") as file:
            for size, pts, duration, key in zip(self.sizes, self.pts, self.durations, self.key, strict=True):
                packet = packet_type(file.read(size))
                packet.pts, packet.duration, packet.is_keyframe = pts, duration, key
                yield packet


def encode_segment(data: Path, encoder: Any, frames: Iterable[Any]) -> dict[str, Any]:
    """Code frames, whose packets are saved to `data`; what `decode_packets` has to know, as JSON values."""
    durations: dict[int, int] = {}
    said: dict[str, Any] = {"sizes": [], "pts": [], "durations": [], "key": []}

    def given() -> Iterator[Any]:
        for frame in frames:
            durations[frame.pts] = frame.duration or 0
            yield frame
        yield None  # the encoder gives what it holds back

    with whole_file(data) as unfinished, unfinished.open("wb") as file:
        for frame in given():
            for packet in encoder.encode(frame):
                file.write(bytes(packet))
                said["sizes"].append(packet.size)
                said["pts"].append(packet.pts)
                said["durations"].append(durations.get(packet.pts, 0))
                said["key"].append(packet.is_keyframe)
    return {**said, "header": base64.b64encode(encoder.extradata or b"").decode()}


def packets_of(data: Path, said: dict[str, Any]) -> Packets:
    """The coded frames of `encode_segment`."""
    header = base64.b64decode(said["header"])
    return Packets(data=data, header=header, **{name: said[name] for name in ("sizes", "pts", "durations", "key")})


def with_decoding_times(segments: Iterable[Packets], delay: int) -> Iterator[Any]:
    """The packets of all segments with their `dts`: the times of the frames in order, begun `delay` frames earlier.

    Encoders tell such times too, but those of one segment may overlap those of the next.
    """
    times: deque[int] = deque()
    first = True
    for segment in segments:
        shown = sorted(segment.pts)
        if first and shown:
            step = max(shown[1] - shown[0], 1) if len(shown) > 1 else 1
            times.extend(shown[0] - step * i for i in range(delay, 0, -1))
            first = False
        times.extend(shown)
        for packet in segment:
            packet.dts = times.popleft()
            yield packet


def faces_to_json(faces: Sequence[Face]) -> list[dict[str, Any]]:
    """Faces as JSON values, to the last bit."""
    values = [{field.name: getattr(face, field.name) for field in fields(Face)} for face in faces]
    return [{k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in face.items()} for face in values]


def faces_from_json(values: Sequence[dict[str, Any]]) -> list[Face]:
    """The faces that `faces_to_json` was given."""
    return [Face(**value) for value in values]
