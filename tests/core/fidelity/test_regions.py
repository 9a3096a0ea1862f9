"""Regions lie where a face has them, and share out every place."""

import cv2
import numpy as np
import pytest

from codeformer_core.fidelity.regions import PARSED, regions_of_classes, regions_of_landmarks
from codeformer_core.pasting.alignment import template

SIZE = 128


def at(shares: dict, place: np.ndarray) -> str:
    """The region with the largest share at (x, y)."""
    x, y = place.round().astype(int)
    return max(shares, key=lambda name: shares[name][y, x])


@pytest.mark.parametrize("turn", [0, 15, -30])
@pytest.mark.parametrize("narrow", [1.0, 0.4])
def test_landmarks_lie_in_their_regions_whatever_the_heads_turn(turn, narrow):
    """`narrow` brings the eyes and the mouth's corners together, as in a face seen from the side."""
    middle = np.array([SIZE / 2, SIZE / 2])
    rotate = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), turn, 1)
    landmarks = (template(SIZE) - middle) * (narrow, 1) + middle
    landmarks = cv2.transform(landmarks[None], rotate)[0]
    shares = regions_of_landmarks(landmarks, SIZE)
    np.testing.assert_allclose(np.sum(list(shares.values()), axis=0), 1, atol=1e-6)
    assert all(share.min() >= -1e-6 and share.dtype == np.float32 for share in shares.values())
    left, right, nose, *corners = landmarks
    assert [at(shares, point) for point in (left, right, nose)] == ["eyes", "eyes", "nose"]
    assert at(shares, (corners[0] + corners[1]) / 2) == "mouth"
    up = (left + right) / 2 - (corners[0] + corners[1]) / 2
    assert at(shares, left + 0.4 * up) == "brows"
    assert at(shares, (left + right) / 2 + 0.7 * up) == "skin"
    assert at(shares, np.array([2.0, SIZE - 3.0])) == "rest"


def test_hair_lies_above_the_face_and_not_below_it():
    shares = regions_of_landmarks(template(SIZE), SIZE)
    assert at(shares, np.array([SIZE / 2, 8])) == "hair"
    assert shares["hair"][-20:].max() == 0


def test_regions_scale_with_the_crop():
    small, large = (regions_of_landmarks(template(size), size) for size in (128, 512))
    for name, share in small.items():
        reduced = cv2.resize(large[name], (128, 128), interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(share, reduced, atol=0.05)


def test_landmarks_on_one_spot_still_share_out_every_place():
    shares = regions_of_landmarks(np.full((5, 2), 30.0), 64)
    total = np.sum(list(shares.values()), axis=0)
    assert np.isfinite(total).all()
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("kind", PARSED)
def test_parsed_classes_become_regions_with_soft_borders(kind):
    classes = np.zeros((512, 512), np.int64)
    eyes, mouth = PARSED[kind]["eyes"][-1], PARSED[kind]["mouth"][0]
    classes[100:200], classes[300:400] = eyes, mouth
    shares = regions_of_classes(classes, kind, 256)
    np.testing.assert_allclose(np.sum(list(shares.values()), axis=0), 1, atol=1e-5)
    assert shares["eyes"][75, 100] == pytest.approx(1, abs=1e-3)
    assert shares["mouth"][175, 100] == pytest.approx(1, abs=1e-3)
    assert shares["rest"][10, 10] == pytest.approx(1, abs=1e-3)
    assert 0.3 < shares["eyes"][50, 100] < 0.7
