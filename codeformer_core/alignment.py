"""Alignment: from five landmarks to an upright crop on the FFHQ template, and the geometry of the way back."""

import math

import cv2
import numpy as np

from .pictures import check_picture, to_float

# FFHQ at 512 px: image-left eye, image-right eye, nose tip, image-left and image-right mouth corner.
TEMPLATE_512 = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
OUTSIDE = np.array([132, 133, 135], np.float32) / 255  # RGB beyond the picture's edge, as in the published training

# A box of pixels (x0, y0, x1, y1), ends excluded. Whole coordinates are pixel centres, as in OpenCV.
Region = tuple[int, int, int, int]


def template(size: int) -> np.ndarray:
    """The five landmarks (5, 2) of a face aligned to `size` x `size` pixels."""
    return (TEMPLATE_512 + 0.5) * (size / 512) - 0.5


def estimate_affine(landmarks: np.ndarray, size: int) -> np.ndarray:
    """The similarity transform (2, 3), picture to crop, that takes landmarks (5, 2) to the template (LMEDS).

    Raises ValueError if the landmarks do not span a face (all on one spot, or not finite).
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise ValueError(f"a face is aligned by five finite landmarks (5, 2), got {points.tolist()}")
    affine, _ = cv2.estimateAffinePartial2D(points, template(size), method=cv2.LMEDS)
    if affine is None or not np.isfinite(affine).all() or affine_scale(affine) < 1e-4:
        raise ValueError(f"the landmarks {points.round(1).tolist()} do not span a face")
    return affine


def affine_scale(affine: np.ndarray) -> float:
    """Crop pixels per picture pixel of a similarity transform (2, 3); below 1 the face is larger than its crop."""
    return math.hypot(affine[0, 0], affine[1, 0])


def resized_affine(affine: np.ndarray, factor: float) -> np.ndarray:
    """The transform (2, 3) from the picture enlarged `factor` times to the same crop."""
    return _compose(affine, _resizing(factor, factor))


def crop_region(affine: np.ndarray, size: int, image_size: tuple[int, int]) -> Region:
    """The part of a picture (height, width) that a crop of `size` covers; empty (x0 >= x1) if they do not meet."""
    corners = np.array([[-0.5, -0.5], [size - 0.5, -0.5], [-0.5, size - 0.5], [size - 0.5, size - 0.5]])
    corners = cv2.transform(corners[None], cv2.invertAffineTransform(affine))[0]
    x0, y0 = np.floor(corners.min(0) + 0.5).astype(int)
    x1, y1 = np.ceil(corners.max(0) + 0.5).astype(int)
    return max(int(x0), 0), max(int(y0), 0), min(int(x1), image_size[1]), min(int(y1), image_size[0])


def crop_face(image: np.ndarray, affine: np.ndarray, size: int) -> np.ndarray:
    """The aligned face (size, size, 3), float32 in [0, 1], of a picture (h, w, 3).

    Only the face's own region is read. A face larger than the crop is averaged down first, so that nothing aliases.
    Beyond the picture's edge the crop is `OUTSIDE`.
    """
    height, width = check_picture(image).shape[:2]
    x0, y0, x1, y1 = crop_region(affine, size, (height, width))
    margin = 2 + math.ceil(2 / affine_scale(affine))  # what cubic interpolation reads around a place
    x0, y0, x1, y1 = max(x0 - margin, 0), max(y0 - margin, 0), min(x1 + margin, width), min(y1 + margin, height)
    crop = np.broadcast_to(OUTSIDE, (size, size, 3)).copy()
    if x0 >= x1 or y0 >= y1:
        return crop
    region = image[y0:y1, x0:x1]
    to_crop = _compose(affine, np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1]]))
    if affine_scale(affine) < 1:
        h, w = (max(round(n * affine_scale(affine)), 1) for n in region.shape[:2])
        to_crop = _compose(to_crop, _resizing(region.shape[1] / w, region.shape[0] / h, inverse=True))
        region = cv2.resize(region, (w, h), interpolation=cv2.INTER_AREA)
    warped = cv2.warpAffine(
        to_float(region), to_crop, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    inside = inside_picture(affine, size, (height, width))
    np.copyto(crop, np.clip(warped, 0, 1), where=inside[..., None])
    return crop


def inside_picture(affine: np.ndarray, size: int, image_size: tuple[int, int]) -> np.ndarray:
    """(size, size) bool: which pixels of a crop lie on the picture (height, width)."""
    to_picture = cv2.invertAffineTransform(affine)
    y, x = np.mgrid[:size, :size]
    px = to_picture[0, 0] * x + to_picture[0, 1] * y + to_picture[0, 2]
    py = to_picture[1, 0] * x + to_picture[1, 1] * y + to_picture[1, 2]
    return (px >= -0.5) & (px <= image_size[1] - 0.5) & (py >= -0.5) & (py <= image_size[0] - 0.5)


def paste_back(crop: np.ndarray, affine: np.ndarray, region: Region) -> np.ndarray:
    """A crop (s, s, c <= 4), float32, as it lies in a region of the picture: (h, w, c); its edge goes on beyond it.

    A crop with more pixels than the picture has there is averaged down first, so that nothing aliases.
    """
    x0, y0, x1, y1 = region
    to_region = _compose(np.array([[1, 0, -x0], [0, 1, -y0]]), cv2.invertAffineTransform(affine))
    reduction = int(affine_scale(affine) / 1.25)  # whole numbers average exactly; cubic interpolation takes the rest
    if reduction > 1:
        size = math.ceil(crop.shape[0] / reduction)
        pad = size * reduction - crop.shape[0]
        crop = cv2.copyMakeBorder(crop, 0, pad, 0, pad, cv2.BORDER_REPLICATE)
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
        to_region = _compose(to_region, _resizing(reduction, reduction, inverse=True))
    return cv2.warpAffine(crop, to_region, (x1 - x0, y1 - y0), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _resizing(fx: float, fy: float, inverse: bool = False) -> np.ndarray:
    """(3, 3): from a picture enlarged fx and fy times to the picture; with `inverse`, from one reduced so."""
    if not inverse:
        fx, fy = 1 / fx, 1 / fy
    return np.array([[fx, 0, (fx - 1) / 2], [0, fy, (fy - 1) / 2], [0, 0, 1]])


def _compose(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The transform (2, 3) that does `before`, then `after`."""
    return after @ (before if before.shape == (3, 3) else np.vstack([before, [0, 0, 1]]))
