"""Faces joined along a film: who is who from frame to frame, gaps filled, motion smoothed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..detection.faces import Face, FaceSelection, select_faces, shared_area
from .smoothing import smooth

REMEMBERED = 6  # seen frames from which a face's velocity is taken
TOO_FAR = 1.6  # eye distances between expected and found landmarks, in the mean, beyond which it is someone else
DRIFT = 0.1  # eye distances more for each frame in which the face was not seen
HIDDEN = 1.0  # eye distances: a face that was not seen and lies as near to one that was is hidden by it
NEVER = 1e6  # the cost of joining what must not be joined


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """How faces are joined to tracks."""

    max_gap: int = 10  # frames in which a face may be lost and is found again as the same; 0: none
    min_length: int = 1  # seen frames of a track at the least; shorter ones are dropped as chance finds
    smoothing: float = 3.0  # standard deviation of the Gaussian over frames, for boxes and landmarks; 0: none

    def __post_init__(self):
        if self.max_gap < 0:
            raise ValueError(f"max_gap is a number of frames, 0 or more, got {self.max_gap}")
        if self.min_length < 1:
            raise ValueError(f"min_length is a number of frames, 1 or more, got {self.min_length}")
        if not 0 <= self.smoothing <= 100:
            raise ValueError(f"smoothing is a number of frames, 0 to 100, got {self.smoothing}")


def track_faces(
    frames: Sequence[Sequence[Face]],
    config: TrackConfig | None = None,
    *,
    cuts: Collection[int] = (),
    first_frame: int = 0,
) -> list[list[Face]]:
    """The faces of consecutive frames with `track` filled and `image_index` the frame, in order of tracks.

    Tracks are numbered from 0 in order of appearance and end where a scene begins, at each index of `cuts`.
    Gaps of up to `max_gap` frames are filled in between, unless another face is there, which then hides this one; faces
    that are filled in have a score of 0. Boxes and landmarks are smoothed. `first_frame` is the number of `frames[0]`.
    """
    config = config or TrackConfig()
    if wrong := [cut for cut in cuts if not 0 <= cut < max(len(frames), 1)]:
        raise ValueError(f"cuts are frames from 0 to {len(frames) - 1}, got {wrong}")
    starts = sorted({0, *cuts})
    tracks: list[_Track] = []
    for start, end in zip(starts, [*starts[1:], len(frames)], strict=True):
        tracks += _joined(frames[start:end], start, config.max_gap)
    tracks = [track for track in tracks if len(track.frames) >= config.min_length]
    joined: list[list[Face]] = [[] for _ in frames]
    for number, track in enumerate(tracks):
        for frame, face in track.filled(config.smoothing):
            joined[frame].append(replace(face, track=number, image_index=first_frame + frame))
    return [[face for face in faces if not _is_hidden(face, faces)] for faces in joined]


def typical_faces(faces: Sequence[Face]) -> list[Face]:
    """What each face of a film is judged by: itself, or the medians of those of its track that were seen.

    So a person is chosen by all of a track, and not in one frame and not in the next.
    """
    tracks: dict[int, list[Face]] = {}
    for face in faces:
        if face.track is not None:
            tracks.setdefault(face.track, []).append(face)
    typical = {track: _typical([face for face in its if face.score] or its) for track, its in tracks.items()}
    return [
        face if face.track is None else replace(typical[face.track], image_index=face.image_index) for face in faces
    ]


def _typical(faces: Sequence[Face]) -> Face:
    box, landmarks = (np.median([getattr(face, name) for face in faces], axis=0) for name in ("box", "landmarks"))
    return replace(faces[0], box=box, landmarks=landmarks, score=float(np.median([face.score for face in faces])))


def select_tracked(
    frames: Sequence[Sequence[Face]], image_size: tuple[int, int], selection: FaceSelection
) -> list[list[Face]]:
    """Of each frame (height, width) the faces that `selection` keeps of their `typical_faces`, in its order."""
    typical = iter(typical_faces([face for faces in frames for face in faces]))
    chosen = []
    for faces in frames:
        by_typical = {id(judged := next(typical)): (judged, face) for face in faces}
        kept = select_faces([judged for judged, _ in by_typical.values()], image_size, selection)
        chosen.append([by_typical[id(judged)][1] for judged in kept])
    return chosen


@dataclass(eq=False)
class _Track:
    frames: list[int] = field(default_factory=list)  # in which the face was seen
    faces: list[Face] = field(default_factory=list)

    def add(self, frame: int, face: Face) -> None:
        self.frames.append(frame)
        self.faces.append(face)

    def expected(self, frame: int) -> np.ndarray:
        """(7, 2): where landmarks and corners of the box are, if the face goes on as in the last frames."""
        points = np.stack([_points(face) for face in self.faces[-REMEMBERED:]])
        times = np.array(self.frames[-REMEMBERED:], np.float64) - frame
        if len(times) < 2:
            return points[-1]
        centres = points.mean(1)
        times_apart = times - times.mean()
        velocity = (times_apart[:, None] * (centres - centres.mean(0))).sum(0) / (times_apart**2).sum()
        return points[-1] - velocity * times[-1]

    def filled(self, smoothing: float) -> list[tuple[int, Face]]:
        """Each frame from the first to the last with its face, smoothed; those that were not seen have score 0."""
        frames = np.arange(self.frames[0], self.frames[-1] + 1)
        seen = dict(zip(self.frames, self.faces, strict=True))
        points = np.stack([_points(face) for face in self.faces]).reshape(len(seen), -1)
        if len(frames) == 1:
            return list(seen.items())
        filled = np.stack([np.interp(frames, self.frames, column) for column in points.T], axis=1)
        smoothed = smooth(filled, frames, smoothing).reshape(len(frames), 7, 2)
        result = []
        for frame, place in zip(frames.tolist(), smoothed, strict=True):
            face = seen.get(frame) or replace(self.faces[0], score=0.0)
            result.append((frame, replace(face, landmarks=place[:5], box=place[5:].reshape(4))))
        return result


def _joined(frames: Sequence[Sequence[Face]], start: int, max_gap: int) -> list[_Track]:
    """The tracks of one scene, in order of appearance."""
    from scipy.optimize import linear_sum_assignment  # takes a third of a second to import

    tracks: list[_Track] = []
    alive: list[_Track] = []
    for frame, faces in enumerate(frames, start):
        alive = [track for track in alive if frame - track.frames[-1] <= max_gap + 1]
        costs = np.array([[_cost(track, frame, face) for face in faces] for track in alive]).reshape(
            len(alive), len(faces)
        )
        new = set(range(len(faces)))
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if costs[row, column] < NEVER:
                alive[row].add(frame, faces[column])
                new.discard(column)
        for column in sorted(new):
            track = _Track()
            track.add(frame, faces[column])
            tracks.append(track)
            alive.append(track)
    return tracks


def _cost(track: _Track, frame: int, face: Face) -> float:
    """How unlike a face is to a track's next: distance of landmarks in eye distances, and boxes that do not overlap."""
    expected, points = track.expected(frame), _points(face)
    scale = max(_scale(track.faces[-1]), _scale(face))
    apart = float(np.linalg.norm(expected[:5] - points[:5], axis=1).mean()) / scale
    if apart > TOO_FAR + DRIFT * (frame - track.frames[-1] - 1):
        return NEVER
    return apart + 1 - float(shared_area(expected[5:].reshape(4), points[5:].reshape(4)))


def _points(face: Face) -> np.ndarray:
    """(7, 2): the landmarks, and two corners of the box."""
    return np.concatenate([face.landmarks, face.box.reshape(2, 2)]).astype(np.float64)


def _scale(face: Face) -> float:
    """A face's eye distance, or what it would be if it looked this way."""
    return max(face.eye_distance, 0.4 * face.size, 1e-6)


def _is_hidden(face: Face, faces: Sequence[Face]) -> bool:
    """Whether a face that was filled in lies behind one that was seen."""
    return face.score == 0 and any(
        np.linalg.norm(face.landmarks - other.landmarks, axis=1).mean() < HIDDEN * max(_scale(face), _scale(other))
        for other in faces
        if other.score > 0
    )
