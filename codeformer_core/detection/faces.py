"""A found face, and choosing which of the found faces are worked on, in which order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar, get_args

import numpy as np

from .pose import Pose, estimate_pose

Order = Literal["size", "left_to_right", "top_to_bottom", "score", "centre"]
Only = Literal["all", "largest", "centre"]
SAME = 0.8  # of the smaller eye distance: found faces whose landmarks are nearer to each other are one


@dataclass(frozen=True, eq=False)
class Face:
    """One face in a picture: float32 pixels of the original picture, (0, 0) its top left corner.

    The box may reach over the picture's border. Raises ValueError for other shapes or values that are not finite.
    """

    box: np.ndarray  # (4,): left, top, right, bottom
    landmarks: np.ndarray  # (5, 2): image-left eye, image-right eye, nose tip, image-left and image-right mouth corner
    score: float  # the detector's confidence, 0 to 1
    image_index: int = 0  # which picture of the batch
    track: int | None = None  # the person's number in a video

    def __post_init__(self):
        for name, shape in (("box", (4,)), ("landmarks", (5, 2))):
            array = np.array(getattr(self, name), dtype=np.float32)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} is {shape} finite floats, got {array.shape} {array.tolist()}")
            object.__setattr__(self, name, array)
        if not np.isfinite(self.score):
            raise ValueError(f"score is a finite number, 0 to 1, got {self.score}")

    @property
    def width(self) -> float:
        """Width of the box in pixels."""
        return float(self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        """Height of the box in pixels."""
        return float(self.box[3] - self.box[1])

    @property
    def size(self) -> float:
        """Short side of the box in pixels."""
        return min(self.width, self.height)

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) of the middle of the box."""
        return float(self.box[0] + self.box[2]) / 2, float(self.box[1] + self.box[3]) / 2

    @property
    def eye_distance(self) -> float:
        """Distance of the eyes in pixels."""
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))

    @cached_property
    def pose(self) -> Pose:
        """Which way the face looks, estimated from its landmarks."""
        return estimate_pose(self.landmarks)


AnyFace = TypeVar("AnyFace", bound=Face)


@dataclass(frozen=True, kw_only=True)
class FaceSelection:
    """Which faces are kept, and their order; sizes in pixels of the original picture."""

    min_score: float = 0.0
    min_size: float = 0.0  # short side of the box
    max_size: float | None = None
    min_eye_distance: float = 5.0  # less is too small, or turned too far, to be aligned
    max_faces: int | None = None  # the first ones in `order`
    order: Order = "size"  # largest, leftmost, topmost, surest or most central first
    only: Only = "all"  # of the kept faces: all, the largest, or the one nearest to the picture's centre

    def __post_init__(self):
        for name in ("min_score", "min_size", "min_eye_distance"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")
        if self.max_size is not None and not self.max_size >= self.min_size:
            raise ValueError(f"max_size is {self.max_size}, expected None or at least min_size, {self.min_size}")
        if self.max_faces is not None and self.max_faces < 1:
            raise ValueError(f"max_faces is {self.max_faces}, expected None or 1 or more")
        for name, choices in (("order", get_args(Order)), ("only", get_args(Only))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(choices)}")


def without_doubles(faces: Sequence[AnyFace]) -> list[AnyFace]:
    """The faces of one picture, surest first, each only once: the surer of two whose landmarks lie together stays.

    Landmarks lie together if they are in the mean less than `SAME` eye distances apart; cheek to cheek it is more than
    one and a half. Boxes cannot tell, since those of a face in front of another overlap too.
    """
    kept: list[AnyFace] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if not any(_is_same(face, other) for other in kept):
            kept.append(face)
    return kept


def _is_same(face: Face, other: Face) -> bool:
    apart = np.linalg.norm(face.landmarks - other.landmarks, axis=1).mean()
    return bool(apart < SAME * min(face.eye_distance, other.eye_distance))


def shared_area(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:  # (..., 4), (4,) -> (...)
    """Intersection over union of boxes with one box; 0 where neither has an area."""
    common = (np.minimum(boxes[..., 2:], box[2:]) - np.maximum(boxes[..., :2], box[:2])).clip(0).prod(-1)
    union = (boxes[..., 2:] - boxes[..., :2]).prod(-1) + (box[2:] - box[:2]).prod() - common
    return np.where(union > 0, common / np.where(union > 0, union, 1), 0.0)


def select_faces(faces: list[Face], image_size: tuple[int, int], selection: FaceSelection) -> list[Face]:
    """The faces of one picture of (height, width) that `selection` keeps, in its order.

    The result does not depend on the order of `faces`: equal ones are sorted by score, then by their boxes.
    """
    kept = [face for face in faces if _fits(face, selection)]
    if selection.only != "all":
        kept = sorted(kept, key=_sort_key("size" if selection.only == "largest" else "centre", image_size))[:1]
    return sorted(kept, key=_sort_key(selection.order, image_size))[: selection.max_faces]


def _fits(face: Face, selection: FaceSelection) -> bool:
    return (
        face.score >= selection.min_score
        and face.size >= selection.min_size
        and (selection.max_size is None or face.size <= selection.max_size)
        and face.eye_distance >= selection.min_eye_distance
    )


def _sort_key(order: Order, image_size: tuple[int, int]) -> Callable[[Face], tuple[float, ...]]:
    height, width = image_size
    first: dict[Order, Callable[[Face], float]] = {
        "size": lambda face: -face.width * face.height,
        "left_to_right": lambda face: face.centre[0],
        "top_to_bottom": lambda face: face.centre[1],
        "score": lambda face: -face.score,
        "centre": lambda face: np.hypot(face.centre[0] - width / 2, face.centre[1] - height / 2),
    }
    return lambda face: (first[order](face), -face.score, *face.box.tolist())
