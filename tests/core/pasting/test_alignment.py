import math

import cv2
import numpy as np
import pytest

from codeformer_core.pasting.alignment import (
    OUTSIDE,
    TEMPLATE_512,
    affine_scale,
    crop_face,
    crop_region,
    estimate_affine,
    extend_picture,
    inside_picture,
    paste_back,
    paste_mask,
    resized_affine,
    template,
)

SIZE = 96


def similarity(x: float, y: float, side: float, angle: float = 0.0, size: int = SIZE) -> np.ndarray:
    """From a picture to the crop whose middle lies at x, y, `side` pixels wide and turned by `angle`."""
    scale = size / side
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (size - 1) / 2)
    return np.hstack([turn, (middle - turn @ (x, y))[:, None]])


def transform(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ affine[:, :2].T + affine[:, 2]


def ramp(height: int, width: int) -> np.ndarray:
    """A picture that tells places by its colours: red is x / width, green y / height."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([x / width, y / height, np.full((height, width), 0.5)]).astype(np.float32)


SIDES = [7, 20, 60, 96, 150, 410]
ANGLES = [0, 0.4, math.pi / 2, -2.5]


def test_template_at_512_is_ffhq_and_other_sizes_keep_pixel_edges():
    np.testing.assert_array_equal(template(512), TEMPLATE_512)
    np.testing.assert_allclose(
        TEMPLATE_512,
        [
            (192.98138, 239.94708),
            (318.90277, 240.1936),
            (256.63416, 314.01935),
            (201.26117, 371.41043),
            (313.08905, 371.15118),
        ],
    )
    np.testing.assert_allclose((template(128) + 0.5) * 4, TEMPLATE_512 + 0.5)


@pytest.mark.parametrize("size", [64, 512])
@pytest.mark.parametrize("side", [12, 90, 3000])
@pytest.mark.parametrize("angle", ANGLES)
def test_landmarks_of_any_turned_and_scaled_face_land_on_the_template(size, side, angle):
    exact = similarity(-40.3, 812.7, side, angle, size)
    landmarks = transform(cv2.invertAffineTransform(exact), template(size)).astype(np.float32)
    affine = estimate_affine(landmarks, size)
    assert np.abs(transform(affine, landmarks) - template(size)).max() < 0.02
    assert affine_scale(affine) == pytest.approx(size / side, rel=1e-4)
    np.testing.assert_allclose(affine[0, 0], affine[1, 1], rtol=1e-6)  # no shear, no mirror


def test_one_landmark_that_is_wrong_does_not_move_the_others():
    exact = similarity(200, 150, 120, 0.3, 512)
    landmarks = transform(cv2.invertAffineTransform(exact), template(512))
    landmarks[2] += (20, -9)
    error = np.abs(transform(estimate_affine(landmarks, 512), landmarks) - template(512))
    assert error[[0, 1, 3, 4]].max() < 1


@pytest.mark.parametrize(
    "landmarks",
    [np.zeros((4, 2)), np.zeros(10), np.full((5, 2), np.nan), np.full((5, 2), np.inf), np.full((5, 2), 7.0)],
)
def test_landmarks_that_span_no_face_are_refused(landmarks):
    with pytest.raises(ValueError, match="landmarks"):
        estimate_affine(landmarks, 512)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("angle", ANGLES)
def test_each_pixel_of_a_crop_shows_its_own_place(side, angle):
    image, affine = ramp(640, 700), similarity(355.2, 310.6, side, angle)
    crop = crop_face(image, affine, SIZE)
    assert crop.shape == (SIZE, SIZE, 3)
    assert crop.dtype == np.float32
    y, x = np.mgrid[:SIZE, :SIZE]
    places = transform(cv2.invertAffineTransform(affine), np.dstack([x, y]).reshape(-1, 2)).reshape(SIZE, SIZE, 2)
    error = np.abs(crop[..., :2] * (700, 640) - places)[2:-2, 2:-2]
    # In pixels: OpenCV may count places in 1/32, and areas share pixels at their rims.
    assert error.max() < (0.08 if side <= SIZE else 0.2 + 0.03 * side / SIZE)
    assert np.abs((crop[..., :2] * (700, 640) - places)[2:-2, 2:-2].mean((0, 1))).max() < 0.1


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("angle", ANGLES)
def test_each_pixel_of_a_face_goes_back_to_its_own_place(side, angle):
    affine = similarity(305.2, 240.6, side, angle)
    region = crop_region(affine, SIZE, (500, 600))
    pasted = paste_back(ramp(SIZE, SIZE), affine, region)
    x0, y0, x1, y1 = region
    y, x = np.mgrid[y0:y1, x0:x1]
    places = transform(affine, np.dstack([x, y]).reshape(-1, 2)).reshape(y1 - y0, x1 - x0, 2)
    well_inside = ((places > 0.3 * SIZE) & (places < 0.7 * SIZE)).all(-1)
    assert well_inside.any()
    assert np.abs(pasted[..., :2] * SIZE - places)[well_inside].max() < max(0.08, 0.08 * SIZE / side)


def test_a_turned_picture_gives_the_same_face(rng):
    image = cv2.GaussianBlur(rng.random((120, 120, 3), dtype=np.float32), (0, 0), 1)
    affine = similarity(59.5, 59.5, 70, 0.0)
    turned = similarity(59.5, 59.5, 70, math.pi / 2)
    np.testing.assert_allclose(crop_face(image, affine, SIZE), crop_face(np.rot90(image, -1), turned, SIZE), atol=0.01)


def test_all_dtypes_give_the_same_crop(rng):
    image = rng.integers(0, 256, (80, 90, 3), dtype=np.uint8)
    for side in (30, 70, 200):
        affine = similarity(45, 40, side, 0.5)
        crop = crop_face(image, affine, SIZE)
        np.testing.assert_allclose(crop_face(image / np.float32(255), affine, SIZE), crop, atol=0.003)
        np.testing.assert_allclose(crop_face(image.astype(np.uint16) * 257, affine, SIZE), crop, atol=0.003)


def test_only_the_own_region_of_a_picture_is_read(rng):
    image = rng.random((300, 300, 3), dtype=np.float32)
    affine = similarity(140, 150, 60, 0.7)
    window = affine.copy()
    window[:, 2] = transform(affine, np.array([90.0, 100.0]))
    np.testing.assert_allclose(
        crop_face(image, affine, SIZE), crop_face(image[100:200, 90:190], window, SIZE), atol=1e-5
    )


def test_beyond_the_edge_the_crop_is_grey():
    white = np.full((60, 60, 3), 255, np.uint8)
    affine = similarity(0, 29.5, 40, 0.3)
    inside = inside_picture(affine, SIZE, (60, 60))
    crop = crop_face(white, affine, SIZE)
    assert 0.4 < inside.mean() < 0.6
    np.testing.assert_allclose(crop[inside], 1, atol=1e-6)
    np.testing.assert_array_equal(crop[~inside], np.broadcast_to(OUTSIDE, crop[~inside].shape))
    np.testing.assert_allclose(OUTSIDE * 255, (132, 133, 135), rtol=1e-6)


def test_a_face_beside_the_picture_is_all_grey():
    affine = similarity(-500, 30, 40)
    x0, _, x1, _ = crop_region(affine, SIZE, (60, 60))
    assert x0 >= x1
    assert not inside_picture(affine, SIZE, (60, 60)).any()
    assert (crop_face(np.zeros((60, 60, 3), np.uint8), affine, SIZE) == OUTSIDE).all()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("angle", ANGLES)
def test_the_region_holds_the_crop_and_little_more(side, angle):
    affine = similarity(250.3, 210.9, side, angle)
    x0, y0, x1, y1 = crop_region(affine, SIZE, (1000, 1000))
    corners = np.array([(-0.5, -0.5), (SIZE - 0.5, -0.5), (-0.5, SIZE - 0.5), (SIZE - 0.5, SIZE - 0.5)])
    corners = transform(cv2.invertAffineTransform(affine), corners).clip(-0.5, 999.5)
    assert (corners.min(0) >= (x0 - 0.5, y0 - 0.5)).all()
    assert (corners.max(0) <= (x1 - 0.5, y1 - 0.5)).all()
    assert (corners.min(0) < (x0 + 0.6, y0 + 0.6)).all()
    assert (corners.max(0) > (x1 - 1.6, y1 - 1.6)).all()


def test_the_transform_from_an_enlarged_picture_gives_the_same_crop():
    image, affine = ramp(100, 100), similarity(50, 48, 30, 0.2)
    large = cv2.resize(image, (300, 300), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(
        crop_face(large, resized_affine(affine, 3), SIZE), crop_face(image, affine, SIZE), atol=2e-3
    )


def test_what_the_other_side_cannot_hold_does_not_alias(rng):
    y, x = np.mgrid[:512, :512]
    lines = np.repeat(((x + y) % 2).astype(np.float32)[..., None], 3, axis=2)
    assert crop_face(lines, similarity(255, 255, 300, 0.2), SIZE).std() < 0.08
    affine = similarity(255, 255, 200, 0.2, 512)
    pasted = paste_back(lines, affine, crop_region(affine, 512, (512, 512)))
    assert pasted[30:-30, 30:-30].std() < 0.02
    noise = rng.random((512, 512, 3), dtype=np.float32)
    affine = similarity(50, 50, 64, 0.2, 512)
    pasted = paste_back(noise, affine, (30, 30, 70, 70))
    assert pasted.std() < 1.35 * noise.std() / 8  # an average of 8 x 8 has 1/8 of the noise


def test_masks_are_zero_outside_the_crop_whatever_their_edge():
    affine = similarity(50, 50, 40, math.pi / 4)
    mask = paste_mask(np.ones((SIZE, SIZE, 2), np.float32), affine, (0, 0, 100, 100))
    assert mask.shape == (100, 100, 2)
    y, x = np.mgrid[:100, :100]
    places = transform(affine, np.dstack([x, y]).reshape(-1, 2)).reshape(100, 100, 2)
    inside = ((places >= -0.5) & (places <= SIZE - 0.5)).all(-1)
    np.testing.assert_allclose(mask[inside], 1, atol=1e-6)
    assert (mask[~inside] == 0).all()
    assert 0.9 < inside.sum() / 40**2 < 1.1


@pytest.mark.parametrize("side", SIDES)
def test_masks_stay_between_nothing_and_all(side, rng):
    hard = (rng.random((SIZE, SIZE, 1)) > 0.5).astype(np.float32)
    mask = paste_mask(hard, similarity(60, 60, side, 0.4), (0, 0, 120, 120))
    assert mask.min() >= 0
    assert mask.max() <= 1


def test_beyond_the_picture_a_face_goes_on_with_the_edge():
    affine = similarity(2, 30, 40, 0.3)
    crop = crop_face(ramp(60, 60), affine, SIZE)
    inside = inside_picture(affine, SIZE, (60, 60))
    extended = extend_picture(crop, affine, (60, 60))
    np.testing.assert_array_equal(extended[inside], crop[inside])
    y, x = np.mgrid[:SIZE, :SIZE]
    places = transform(cv2.invertAffineTransform(affine), np.dstack([x, y]).reshape(-1, 2)).reshape(SIZE, SIZE, 2)
    error = np.abs(extended[..., :2] * 60 - places.clip(0, 59))[~inside]
    assert np.percentile(error, 95) < 0.1  # at the crop's own border the edge's place may lie outside the crop
    whole = similarity(30, 30, 40)
    assert extend_picture(crop, whole, (60, 60)) is crop


def test_by_least_squares_an_affine_moves_no_further_than_the_landmarks(rng):
    landmarks = template(256) * 0.7 + 40
    exact = estimate_affine(landmarks, 256)
    np.testing.assert_allclose(estimate_affine(landmarks, 256, robust=False), exact, atol=1e-4)
    corners = np.array([[[0, 0], [255, 0], [0, 255], [255, 255]]], float)
    first, last = (landmarks + rng.normal(0, 4, (5, 2)) for _ in range(2))

    def largest_step(robust: bool) -> float:
        """How far corners of the crop go, at most, in one of 100 steps of a face that changes slowly."""
        faces = [first + t * (last - first) for t in np.linspace(0, 1, 100)]
        affines = [estimate_affine(face, 256, robust=robust) for face in faces]
        places = np.stack([cv2.transform(corners, cv2.invertAffineTransform(affine)) for affine in affines])
        return float(np.abs(np.diff(places, axis=0)).max())

    assert largest_step(robust=False) < 0.5
    assert largest_step(robust=True) > 5
