import cv2
import numpy as np
import pytest

from codeformer_core.pasting.alignment import estimate_affine
from codeformer_core.pasting.fine_detail import fine_share, give_back_detail

SIZE = 128
INSIDE = np.ones((SIZE, SIZE), bool)
SAME_SIZE = np.eye(2, 3)


@pytest.fixture
def grainy(rng) -> np.ndarray:
    return (0.5 + rng.normal(0, 0.02, (SIZE, SIZE, 3))).astype(np.float32)


def fine(face: np.ndarray) -> float:
    return float(np.square(face - cv2.GaussianBlur(face, (0, 0), 1)).mean())


def test_a_smooth_face_gets_its_grain_back_and_keeps_the_rest(grainy):
    smooth = cv2.GaussianBlur(grainy, (0, 0), 3) + 0.1
    back = give_back_detail(smooth, grainy, SAME_SIZE, INSIDE, 1.0)
    assert fine(smooth) < 0.05 * fine(grainy)
    assert fine(back) == pytest.approx(fine(grainy), rel=0.15)
    assert back.dtype == np.float32
    np.testing.assert_allclose(cv2.GaussianBlur(back - smooth, (0, 0), 6), 0, atol=2e-3)


def test_it_rises_with_the_share_and_nothing_is_nothing(grainy):
    smooth = np.full_like(grainy, 0.5)
    shares = [0, 0.25, 0.5, 0.75, 1]
    energies = [fine(give_back_detail(smooth, grainy, SAME_SIZE, INSIDE, share)) for share in shares]
    assert energies == sorted(energies)
    np.testing.assert_array_equal(give_back_detail(smooth, grainy, SAME_SIZE, INSIDE, 0.0), smooth)
    here = np.zeros((SIZE, SIZE), np.float32)
    here[:, 64:] = 1
    back = give_back_detail(smooth, grainy, SAME_SIZE, INSIDE, here)
    np.testing.assert_array_equal(back[:, :64], smooth[:, :64])
    assert fine(back[:, 70:]) > 0.8 * fine(grainy[:, 70:])


def test_a_face_that_came_out_sharper_stays_so(grainy):
    blurred = cv2.GaussianBlur(grainy, (0, 0), 1.5)
    np.testing.assert_allclose(give_back_detail(grainy, blurred, SAME_SIZE, INSIDE, 1.0), grainy, atol=5e-3)


def test_scratches_that_were_mended_do_not_come_back(grainy):
    smooth = np.full_like(grainy, 0.5)
    scratched = grainy.copy()
    scratched[:, 60:62] = 1
    back = give_back_detail(smooth, scratched, SAME_SIZE, INSIDE, 1.0)
    assert np.abs(back[:, 58:64] - 0.5).max() < 0.1
    assert fine(back[:, :40]) > 0.8 * fine(grainy[:, :40])


def test_the_share_is_continuous_in_the_faces_size(face_at):
    shares = [
        fine_share(estimate_affine(face_at(0, 0, side).landmarks, SIZE)) for side in (10, 63, 72, 80, 88, 96, 128, 900)
    ]
    assert shares[:2] == [0, 0]
    assert shares[-2:] == [1, 1]
    assert shares == sorted(shares)
    assert np.diff([fine_share(np.eye(2, 3) * scale) for scale in np.linspace(3, 0.3, 271)]).max() < 0.05
