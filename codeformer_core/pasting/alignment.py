"""Alignment: from five landmarks to an upright crop on the FFHQ template, and the geometry of the way back."""

import math

import cv2
import numpy as np

from ..pictures.arrays import check_picture, check_values, to_float

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


def estimate_affine(landmarks: np.ndarray, size: int, *, robust: bool = True) -> np.ndarray:
    """The similarity transform (2, 3), picture to crop, that takes landmarks (5, 2) to the template (LMEDS).

    A robust one goes by those landmarks that agree best, and so jumps from frame to frame of a film as others come to
    agree better; the other, by least squares over all five, moves only as far as they do. Raises ValueError if the
    landmarks do not span a face (all on one spot, or not finite).
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise ValueError(f"a face is aligned by five finite landmarks (5, 2), got {points.tolist()}")
    if robust:
        affine, _ = cv2.estimateAffinePartial2D(points, template(size), method=cv2.LMEDS)
    else:
        affine = _least_squares(points, template(size))
    if affine is None or not np.isfinite(affine).all() or affine_scale(affine) < 1e-4:
        raise ValueError(f"the landmarks {points.round(1).tolist()} do not span a face")
    return affine


def _least_squares(points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The similarity transform (2, 3) that takes points (n, 2) nearest to the wanted ones."""
    x, y = points.T
    ones, zeros = np.ones_like(x), np.zeros_like(x)
    rows = np.stack([np.stack([x, -y, ones, zeros], -1), np.stack([y, x, zeros, ones], -1)], 1).reshape(-1, 4)
    a, b, right, down = np.linalg.lstsq(rows, wanted.reshape(-1), rcond=None)[0]
    return np.array([[a, -b, right], [b, a, down]])


def affine_scale(affine: np.ndarray) -> float:
    """Crop pixels per picture pixel of a similarity transform (2, 3); below 1 the face is larger than its crop."""
    return math.hypot(affine[0, 0], affine[1, 0])


def resized_affine(affine: np.ndarray, factor: float) -> np.ndarray:
    """The transform (2, 3) from the picture enlarged `factor` times to the same crop."""
    return _compose(affine, _scaling(1 / factor, 1 / factor))


def affine_within(affine: np.ndarray, x0: int, y0: int) -> np.ndarray:
    """The transform (2, 3) to the same crop from the part of the picture that begins at x0, y0."""
    return _compose(affine, np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1]]))


def crop_region(affine: np.ndarray, size: int, image_size: tuple[int, int]) -> Region:
    """The part of a picture (height, width) that a crop of `size` covers; empty (x0 >= x1) if they do not meet."""
    corners = np.array([[-0.5, -0.5], [size - 0.5, -0.5], [-0.5, size - 0.5], [size - 0.5, size - 0.5]])
    corners = cv2.transform(corners[None], cv2.invertAffineTransform(affine))[0]
    x0, y0 = np.floor(corners.min(0) + 0.5).astype(int)
    x1, y1 = np.ceil(corners.max(0) + 0.5).astype(int)
    return max(int(x0), 0), max(int(y0), 0), min(int(x1), image_size[1]), min(int(y1), image_size[0])


def read_region(affine: np.ndarray, size: int, image_size: tuple[int, int]) -> Region:
    """The part of a picture (height, width) that `crop_face` reads: what cubic interpolation takes in, too."""
    x0, y0, x1, y1 = crop_region(affine, size, image_size)
    margin = 2 + math.ceil(2 / affine_scale(affine))
    return max(x0 - margin, 0), max(y0 - margin, 0), min(x1 + margin, image_size[1]), min(y1 + margin, image_size[0])


def crop_face(image: np.ndarray, affine: np.ndarray, size: int) -> np.ndarray:
    """The aligned face (size, size, 3), float32 in [0, 1], of a picture (h, w, 3).

    Only the face's own region is read. A face larger than the crop is averaged down first, so that nothing aliases.
    Beyond the picture's edge the crop is `OUTSIDE`. Raises ValueError for floats out of range (`check_values`).
    """
    image = check_picture(image)
    x0, y0, x1, y1 = region = read_region(affine, size, image.shape[:2])
    return crop_part(image[y0:y1, x0:x1], region, affine, size, image.shape[:2])


def crop_part(
    part: np.ndarray, region: Region, affine: np.ndarray, size: int, image_size: tuple[int, int]
) -> np.ndarray:
    """What `crop_face` gives of a picture (height, width), from its `read_region` alone."""
    crop = np.broadcast_to(OUTSIDE, (size, size, 3)).copy()
    x0, y0, x1, y1 = region
    if x0 >= x1 or y0 >= y1:
        return crop
    check_values(part)
    to_crop = affine_within(affine, x0, y0)
    if affine_scale(affine) < 1:
        h, w = (max(round(n * affine_scale(affine)), 1) for n in part.shape[:2])
        to_crop = _compose(to_crop, _scaling(part.shape[1] / w, part.shape[0] / h))
        part = cv2.resize(part, (w, h), interpolation=cv2.INTER_AREA)
    warped = cv2.warpAffine(
        to_float(part), to_crop, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    inside = inside_picture(affine, size, image_size)
    np.copyto(crop, np.clip(warped, 0, 1), where=inside[..., None])
    return crop


def inside_picture(affine: np.ndarray, size: int, image_size: tuple[int, int]) -> np.ndarray:
    """(size, size) bool: which pixels of a crop lie on the picture (height, width)."""
    return _lands_on(cv2.invertAffineTransform(affine), (size, size), image_size)


def extend_picture(crop: np.ndarray, affine: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """A crop (s, s, 3) whose pixels outside the picture (height, width) repeat the picture's edge.

    A filter at the edge then takes in nothing of what a network made of the grey outside.
    """
    size = len(crop)
    inside = inside_picture(affine, size, image_size)
    if inside.all() or not inside.any():
        return crop
    px, py = _grid(cv2.invertAffineTransform(affine), (size, size))
    px, py = np.clip(px, 0, image_size[1] - 1), np.clip(py, 0, image_size[0] - 1)
    x, y = ((row[0] * px + row[1] * py + row[2]).astype(np.float32) for row in affine)
    extended = cv2.remap(crop, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.where(inside[..., None], crop, extended)


def paste_back(crop: np.ndarray, affine: np.ndarray, region: Region) -> np.ndarray:
    """A crop (s, s, 3), float32, warped into a region of the picture: (h, w, 3); outside it its edge pixels repeat.

    A crop with more pixels than the picture has there loses what the picture cannot hold, so that nothing aliases, and
    keeps the rest: a Lanczos low-pass, where an average over areas would blur.
    """
    scale = affine_scale(affine)
    crop, to_crop, reduction = _reduce(crop, affine, int(scale / 4))
    width = scale / reduction / 1.25  # of the kernel; the low-pass begins a little above the picture's own limit
    if width > 1:
        taps = math.ceil(3 * width) - 1
        x = np.arange(-taps, taps + 1) / width
        kernel = np.sinc(x) * np.sinc(x / 3)
        kernel /= kernel.sum()
        crop = cv2.sepFilter2D(crop, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    return _warp_back(crop, to_crop, region, cv2.INTER_LANCZOS4 if scale > 1 else cv2.INTER_CUBIC)


def paste_mask(mask: np.ndarray, affine: np.ndarray, region: Region) -> np.ndarray:
    """Masks (s, s, c <= 4) of a crop, float32, warped into a region of the picture: (h, w, c) in [0, 1].

    They are 0 outside the crop, even where they are 1 at its edge.
    """
    reduced, to_crop, _ = _reduce(mask, affine, int(affine_scale(affine) / 1.25))
    warped = np.clip(_warp_back(reduced, to_crop, region, cv2.INTER_CUBIC), 0, 1)
    x0, y0, x1, y1 = region
    warped[~_lands_on(affine_within(affine, x0, y0), (y1 - y0, x1 - x0), mask.shape[:2])] = 0
    return warped


def _reduce(crop: np.ndarray, affine: np.ndarray, reduction: int) -> tuple[np.ndarray, np.ndarray, int]:
    """A crop box-filtered down by an integer factor, the transform from the picture to it, and the factor."""
    if reduction < 2:
        return crop, affine, 1
    size = math.ceil(crop.shape[0] / reduction)
    pad = size * reduction - crop.shape[0]
    crop = cv2.copyMakeBorder(crop, 0, pad, 0, pad, cv2.BORDER_REPLICATE)
    crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return crop, _compose(_scaling(1 / reduction, 1 / reduction)[:2], affine), reduction


def _warp_back(crop: np.ndarray, affine: np.ndarray, region: Region, interpolation: int) -> np.ndarray:
    x0, y0, x1, y1 = region
    to_region = _compose(np.array([[1, 0, -x0], [0, 1, -y0]]), cv2.invertAffineTransform(affine))
    return cv2.warpAffine(crop, to_region, (x1 - x0, y1 - y0), flags=interpolation, borderMode=cv2.BORDER_REPLICATE)


def _grid(affine: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where a transform (2, 3) takes each pixel of a (height, width) array: x and y, of that shape."""
    x, y = np.arange(shape[1]), np.arange(shape[0])[:, None]
    px, py = (row[0] * x + row[1] * y + row[2] for row in affine)
    return px, py


def _lands_on(affine: np.ndarray, shape: tuple[int, int], target: tuple[int, ...]) -> np.ndarray:
    """(height, width) bool: which pixels of an array of `shape` a transform (2, 3) takes to one of shape `target`."""
    x, y = _grid(affine, shape)
    return (x >= -0.5) & (x <= target[1] - 0.5) & (y >= -0.5) & (y <= target[0] - 0.5)


def _scaling(fx: float, fy: float) -> np.ndarray:
    """(3, 3): scales coordinates fx and fy times, keeping the outer edge of the first pixel in place."""
    return np.array([[fx, 0, (fx - 1) / 2], [0, fy, (fy - 1) / 2], [0, 0, 1]])


def _compose(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The transform (2, 3) that does `before`, then `after`."""
    return after @ (before if before.shape == (3, 3) else np.vstack([before, [0, 0, 1]]))
