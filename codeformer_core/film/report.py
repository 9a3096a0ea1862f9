"""What was found and done in a film, track by track."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..restoration import AlignedFace


@dataclass(frozen=True, kw_only=True)
class TrackReport:
    """One person, from when they come until they go or the scene ends."""

    number: int
    first: int  # frame
    last: int  # frame
    box: tuple[float, ...]  # the mean of its boxes: left, top, right, bottom in px
    faces: int  # frames in which it is
    restored: int  # of these
    confidence: float | None  # mean probability of the codes; None if no face went through the network
    notes: dict[str, int]  # why faces were left as they are, to how many


@dataclass(frozen=True, kw_only=True)
class FilmReport:
    """What became of a film."""

    frames: int
    size: tuple[int, int]  # height, width of the result as it is seen
    codec: str
    crf: int | None
    tracks: Sequence[TrackReport]
    lost: Sequence[str]  # what of the source was not kept, a part each
    damage: Sequence[str]  # what could not be read, a part each; nothing for a whole film

    @property
    def restored(self) -> int:
        """How many faces were restored, frame by frame."""
        return sum(track.restored for track in self.tracks)


@dataclass
class _Sums:
    first: int
    last: int
    faces: int = 0
    restored: int = 0
    confident: int = 0
    confidence: float = 0.0
    box: list[float] = field(default_factory=lambda: [0.0] * 4)
    notes: dict[str, int] = field(default_factory=dict)

    def add(self, other: "_Sums") -> None:
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.box = [a + b for a, b in zip(self.box, other.box, strict=True)]
        for name in ("faces", "restored", "confident", "confidence"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for note, count in other.notes.items():
            self.notes[note] = self.notes.get(note, 0) + count


class TrackSums:
    """Adds up what tracks are reported to be, face by face, segment by segment."""

    def __init__(self):
        self.tracks: dict[int, _Sums] = {}

    def add(self, face: AlignedFace) -> None:
        """Count a face that has been through the restoration."""
        done = face.restored is not None
        known = face.confidence is not None
        sums = _Sums(
            first=face.face.image_index,
            last=face.face.image_index,
            faces=1,
            restored=int(done),
            confident=int(known),
            confidence=face.mean_confidence if known else 0.0,
            box=np.asarray(face.face.box, np.float64).tolist(),
            notes={face.note.partition(" (")[0]: 1} if face.note else {},
        )
        self._add(face.number, sums)

    def _add(self, number: int, sums: _Sums) -> None:
        if number in self.tracks:
            self.tracks[number].add(sums)
        else:
            self.tracks[number] = sums

    def to_json(self) -> dict[str, Any]:
        """The sums as JSON values."""
        return {str(number): vars(sums) for number, sums in self.tracks.items()}

    def add_json(self, values: dict[str, Any]) -> None:
        """Add the sums of another segment."""
        for number, sums in values.items():
            self._add(int(number), _Sums(**sums))

    def reports(self) -> list[TrackReport]:
        """The tracks in the order of their numbers."""
        return [
            TrackReport(
                number=number,
                first=sums.first,
                last=sums.last,
                box=tuple(round(value / sums.faces, 2) for value in sums.box),
                faces=sums.faces,
                restored=sums.restored,
                confidence=round(sums.confidence / sums.confident, 4) if sums.confident else None,
                notes=sums.notes,
            )
            for number, sums in sorted(self.tracks.items())
        ]


def joined(segments: Iterable[dict[str, Any]]) -> list[TrackReport]:
    """The tracks of a whole film, from what each segment's `TrackSums` say."""
    sums = TrackSums()
    for values in segments:
        sums.add_json(values)
    return sums.reports()
