"""What all detectors share: their interface and settings, pictures in, the size of the search, faces out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, Protocol

import cv2
import numpy as np
from torch import Tensor

from ..pictures.arrays import check_picture, check_values
from .faces import Face

COARSE = 640  # pixels: the short side at which "auto" searches a picture as a whole
MAX_SHORT_SIDE = 4096  # pixels; more takes more memory than machines have
MAX_ASPECT = 8  # long strips are scaled as if they were this many times as long as high, which bounds the memory

Images = np.ndarray | Tensor | Sequence[np.ndarray | Tensor]


@dataclass(frozen=True, eq=False)
class Candidate(Face):
    """A face as a search found it, before it is believed."""

    spread: float = math.inf  # how far apart the anchors that found it put its landmarks, in eye distances; if known

    @property
    def face(self) -> Face:
        """The face alone."""
        return Face(**{field.name: getattr(self, field.name) for field in fields(Face)})


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """How faces are searched for."""

    score_threshold: float = 0.8  # faces that the detector is less sure of are dropped
    nms_threshold: float = 0.4  # of boxes that overlap by more than this (intersection over union), the surest is kept
    # Pixels that pictures are scaled to before the search; None: not scaled; auto: 640, and large pictures are searched
    # for small faces at a finer scale too (`tiles.py`).
    short_side: int | Literal["auto"] | None = "auto"
    batch_size: int = 8  # pictures at once through the network
    any_angle: bool = True  # a second look at each face, turned, for its landmarks (`any_angle.py`)

    def __post_init__(self):
        if not 0.01 <= self.score_threshold < 1:  # below, every anchor is a face
            raise ValueError(f"score_threshold is {self.score_threshold}, expected 0.01 or more and less than 1")
        if not 0 < self.nms_threshold <= 1:
            raise ValueError(f"nms_threshold is {self.nms_threshold}, expected more than 0 and at most 1")
        side = self.short_side
        if side not in (None, "auto") and (isinstance(side, str) or not 32 <= side <= MAX_SHORT_SIDE):
            raise ValueError(f"short_side is {side!r}, expected auto, None, or 32 to {MAX_SHORT_SIDE} pixels")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}, expected 1 or more")


class Detector(Protocol):
    """Finds the faces of pictures."""

    def detect(self, images: Images, config: DetectorConfig | None = None) -> list[list[Face]]:
        """The faces of each picture, surest first, in pixels of the original picture.

        `images`: one (h, w, 3) picture, a (b, h, w, 3) batch, or pictures of any sizes, as arrays or tensors: RGB,
        uint8, uint16 or float in [0, 1]. `config` None: the one that the detector was loaded with.
        Raises ValueError for pictures of other shapes, dtypes or values.
        """
        ...


def as_pictures(images: Images) -> list[np.ndarray]:
    """One picture, a batch or a sequence of pictures as a list of (h, w, 3) arrays, not copied if that can be."""
    if isinstance(images, np.ndarray | Tensor):
        images = [images] if images.ndim < 4 else list(images)
    return [check_picture(_as_array(image)) for image in images]


def _as_array(image: np.ndarray | Tensor) -> np.ndarray:
    if isinstance(image, np.ndarray):
        return image
    if not isinstance(image, Tensor):
        raise ValueError(f"a picture is an array or a tensor, got a {type(image).__name__}")
    image = image.detach().cpu()
    return (image.float() if image.is_floating_point() else image).numpy()


def search_size(image_size: tuple[int, int], short_side: int | Literal["auto"] | None) -> tuple[int, int]:
    """The (height, width) at which a picture of `image_size` is searched as a whole.

    Its short side is then `short_side`, or `COARSE` for auto, less for very long strips; None: it is not scaled.
    """
    height, width = image_size
    if short_side is None:
        return height, width
    short_side = COARSE if short_side == "auto" else short_side
    scale = min(short_side / min(height, width), short_side * (MAX_ASPECT / (height * width)) ** 0.5)
    return max(1, round(height * scale)), max(1, round(width * scale))


def scale_picture(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture at (height, width), in its own dtype: area filter down, linear up, the picture itself if it fits.

    Raises ValueError for a float picture out of range (`check_values`).
    """
    height, width = size
    check_values(image)
    if image.shape[:2] == (height, width):
        return image
    smaller = height * width < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def found_face(
    image: np.ndarray,
    size: tuple[int, int],
    index: int,
    box: np.ndarray,
    landmarks: np.ndarray,
    score: float,
    spread: float = math.inf,
) -> Candidate:
    """A face found in the picture scaled to `size` (height, width), in pixels of the picture itself."""
    scale = np.array((image.shape[1] / size[1], image.shape[0] / size[0]), np.float32)  # (x, y)
    box, landmarks = box * np.tile(scale, 2), landmarks * scale
    return Candidate(box=box, landmarks=landmarks, score=float(score), image_index=index, spread=float(spread))
