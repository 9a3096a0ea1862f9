"""Masks of the fidelity weight, in a picture's coordinates or in a crop's, as plain values."""

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np

from ..pasting.alignment import crop_face, extend_picture

Space = Literal["picture", "crop"]
MOST_PIXELS = 2**28  # of a mask that is read from JSON: 1 GiB


@dataclass(frozen=True, kw_only=True, eq=False)
class FidelityMask:
    """Where a plan's weights hold (1), and where the weight outside does (0); values between mix them.

    In the space of the picture there is one mask for all pictures of a batch, or one for each (the last one serves the
    rest), stretched to the picture. In that of the crop there is one for all faces, or one for each of a picture's
    faces in their order, stretched to the aligned face.
    """

    values: np.ndarray  # (h, w) or (n, h, w), float32 in [0, 1]
    space: Space = "picture"

    def __post_init__(self):
        try:
            values = np.array(self.values, np.float32)  # a copy, which nobody else can change
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"a fidelity mask is an array of numbers, got a {type(self.values).__name__}") from error
        values = values[None] if values.ndim == 2 else values
        if values.ndim != 3 or not values.size:
            raise ValueError(f"a fidelity mask is (height, width), or several such, got {values.shape}")
        if not (values.min() >= 0 and values.max() <= 1):  # NaN fails too
            raise ValueError(f"a fidelity mask holds values from 0 to 1, got {values.min()} to {values.max()}")
        if self.space not in get_args(Space):
            raise ValueError(f"the space of a fidelity mask is picture or crop, got {self.space!r}")
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, FidelityMask) and self.space == other.space and np.array_equal(self.values, other.values)
        )

    def __hash__(self) -> int:
        return hash((self.space, self.values.shape, zlib.crc32(self.values.tobytes())))

    def on_crop(
        self, affine: np.ndarray, size: int, image_size: tuple[int, int], *, picture: int, face: int
    ) -> np.ndarray:
        """(size, size) float32 in [0, 1]: the mask over an aligned face, by its affine (2, 3) from a picture (h, w).

        Beyond the picture's edge the edge's values go on.
        """
        mask = self.values[min(picture if self.space == "picture" else face, len(self.values) - 1)]
        if mask.min() == mask.max():
            return np.full((size, size), mask.max())
        if self.space == "crop":
            smaller = mask.size > size * size
            return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        to_picture = np.diag([image_size[1] / mask.shape[1], image_size[0] / mask.shape[0], 1.0])
        to_picture[:2, 2] = (to_picture.diagonal()[:2] - 1) / 2  # from pixel centres to pixel centres
        if not np.isclose(to_picture[0, 0], to_picture[1, 1], rtol=1e-3):  # one scale, as alignment has only that
            side = (image_size[1], image_size[0])
            mask, to_picture = cv2.resize(mask, side, interpolation=cv2.INTER_LINEAR), np.eye(3)
        to_crop = affine @ to_picture
        rgb = np.broadcast_to(mask[..., None], (*mask.shape, 3))
        return extend_picture(crop_face(rgb, to_crop, size), to_crop, mask.shape)[..., 0]

    def to_json(self) -> dict[str, Any]:
        """JSON values, without loss."""
        packed = base64.b64encode(zlib.compress(self.values.tobytes())).decode()
        return {"space": self.space, "shape": list(self.values.shape), "float32_zlib_base64": packed}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "FidelityMask":
        """The mask that `to_json` saved; ValueError for anything else."""
        try:
            n, h, w = (int(side) for side in saved["shape"])
            if min(n, h, w) < 1 or n * h * w > MOST_PIXELS:
                raise ValueError(f"its shape is {saved['shape']}")
            unpack = zlib.decompressobj()
            packed = base64.b64decode(saved["float32_zlib_base64"], validate=True)
            content = unpack.decompress(packed, 4 * n * h * w)
            if unpack.unconsumed_tail:
                raise ValueError("it holds more than its shape says")
            values = np.frombuffer(content, np.float32).reshape(n, h, w)
            return cls(values=values, space=saved["space"])
        except (KeyError, TypeError, ValueError, OverflowError, zlib.error, binascii.Error) as error:
            raise ValueError(
                f"the mask of the fidelity plan cannot be read: {error or type(error).__name__}"
            ) from error
