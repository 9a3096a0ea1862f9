import tracemalloc

import numpy as np
import pytest
import skimage.data

from codeformer_core.pasting.alignment import crop_face, inside_picture, resized_affine
from codeformer_core.pasting.holes import (
    HIDDEN,
    Hole,
    fill_smoothly,
    hole_in_crop,
    hole_of,
    in_surrounding_tone,
    white_hole,
    without_holes,
)


@pytest.fixture
def painted() -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[20:30, 30:50] = True
    return mask


def test_what_may_change_ends_at_the_stated_width(painted):
    hole = hole_of(painted, (60, 80), grow=4)
    np.testing.assert_array_equal(hole.hard, painted)
    assert (hole.limit[painted] == 1).all()
    row = hole.limit[25, 50:58]
    assert (np.diff(row[:5]) < 0).all()
    assert row[3] > 0 == row[4]
    assert hole_of(painted, (60, 80), grow=0).limit.sum() == painted.sum()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
def test_masks_of_any_kind_paint_the_same(painted, dtype):
    white = 1 if dtype in (np.float32, bool) else np.iinfo(dtype).max
    np.testing.assert_array_equal(hole_of(painted.astype(dtype) * dtype(white), (60, 80)).hard, painted)


def test_scale_and_softness_of_a_mask_do_not_matter_beyond_the_threshold(painted):
    hard = painted.astype(np.float32)
    for other in (hard * 0.6, np.where(painted, 0.5, 0.499).astype(np.float32), hard.repeat(3, 0).repeat(3, 1)):
        np.testing.assert_array_equal(hole_of(other, (60, 80)).hard, painted)
    assert hole_of(hard * 0.4, (60, 80)).empty
    np.testing.assert_array_equal(hole_of(hard * 0.4, (60, 80), threshold=0.3).hard, painted)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.zeros((3, 3, 3), np.uint8), r"\(3, 3, 3\)"),
        (np.zeros((3, 3), np.int64), "int64"),
        (np.full((3, 3), 255, np.float32), "from 255 to 255"),
    ],
)
def test_what_is_no_mask_is_one_clear_error(mask, said):
    with pytest.raises(ValueError, match=said):
        hole_of(mask, (3, 3))


def test_white_strokes_are_found_in_jpegs_and_highlights_are_not():
    image = np.full((40, 40, 3), 90, np.uint8)
    image[10:20, 5:35] = 251
    image[30, 30] = 255
    hard = white_hole(image).hard
    assert hard[11:19, 6:34].all()
    assert not hard[21:].any()


def test_a_scratch_narrower_than_a_pixel_of_the_crop_is_not_lost():
    mask = np.zeros((400, 400), bool)
    mask[:, 200] = True
    hole, affine = hole_of(mask, (400, 400), grow=0), resized_affine(np.eye(2, 3), 8)
    assert hole_in_crop(hole, affine, inside_picture(affine, 50, (400, 400))).any(1).all()


def test_nothing_beyond_the_picture_is_painted():
    hole, affine = hole_of(np.ones((40, 40), bool), (40, 40)), np.array([[1, 0, 10], [0, 1, 10]], np.float64)
    inside = inside_picture(affine, 60, (40, 40))
    np.testing.assert_array_equal(hole_in_crop(hole, affine, inside), inside)


@pytest.mark.parametrize("side", [30, 90, 260])
@pytest.mark.parametrize("place", [(120, 80), (2, 3), (238, 158), (-30, 170), (400, 80)])
def test_only_a_faces_own_part_of_the_picture_is_looked_at(side, place, rng):
    size, x, y = 64, *place
    hole = hole_of(rng.random((160, 240)) > 0.97, (160, 240), grow=1)
    turn = np.array([[0.96, 0.28], [-0.28, 0.96]]) * size / side
    affine = np.column_stack([turn, size / 2 - turn @ (x, y)])
    inside = inside_picture(affine, size, (160, 240))
    maps = np.dstack([hole.limit > 0, hole.hard, hole.hard]).astype(np.float32)
    weights = np.abs(crop_face(0.25 + 0.5 * maps, affine, size) - 0.25) / 0.5  # of the picture as a whole
    wanted = ((weights[..., 0] > 0.1) | (weights[..., 1] > HIDDEN)) & inside
    np.testing.assert_array_equal(hole_in_crop(hole, affine, inside), wanted)


def test_a_large_picture_takes_no_more_memory_than_its_face():
    hole = Hole(hard=np.ones((3000, 4000), bool), limit=np.ones((3000, 4000), np.float32))
    affine = np.array([[0.5, 0, -500], [0, 0.5, -500]])
    tracemalloc.start()
    found = hole_in_crop(hole, affine, np.ones((128, 128), bool))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.all()
    assert peak < 20 * 2**20


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_smooth_filling_changes_the_holes_alone(painted, dtype, rng):
    image = np.full((60, 80, 3), 0.25, np.float32) + rng.normal(0, 0.01, (60, 80, 3)).astype(np.float32)
    image[painted] = 1
    filled = fill_smoothly(image, painted)
    np.testing.assert_array_equal(filled[~painted], image[~painted])
    assert np.abs(filled[painted] - 0.25).max() < 0.05
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    picture, hole = (image * white).astype(dtype), hole_of(painted, (60, 80))
    seen = without_holes(picture, hole)
    assert seen.dtype == dtype
    np.testing.assert_array_equal(seen[hole.limit == 0], picture[hole.limit == 0])
    assert np.abs(seen[painted] / white - 0.25).max() < 0.05


def test_a_fill_of_another_tone_takes_that_around_it():
    crop = crop_face(skimage.data.astronaut(), np.array([[1, 0, -150], [0, 1, -50]], np.float64), 128)
    known = np.ones((128, 128), bool)
    known[50:80, 40:90] = False
    toned = in_surrounding_tone(np.clip(crop * 0.9 + np.array([0.08, 0.02, 0], np.float32), 0, 1), crop, known)
    before = np.abs(crop * 0.9 + np.array([0.08, 0.02, 0], np.float32) - crop)[~known].mean()
    assert np.abs(toned - crop)[~known].mean() < before / 2
    np.testing.assert_array_equal(in_surrounding_tone(crop, crop * 0, ~known & known), crop)
