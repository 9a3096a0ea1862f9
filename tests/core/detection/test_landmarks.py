import numpy as np
import pytest

from codeformer_core.detection.landmarks import FRONTAL, apart, measure, misfit, roll


def face(turn: float = 0.0, eyes: float = 50.0) -> np.ndarray:
    """The landmarks of a face seen from the front, turned clockwise by so many degrees, as float32 (5, 2)."""
    points = 300 + 200j + eyes * FRONTAL * np.exp(1j * np.radians(turn))
    return np.stack((points.real, points.imag), axis=1).astype(np.float32)


@pytest.mark.parametrize("turn", [-179, -90, -20, 0, 45, 120, 180])
def test_a_turn_is_told_and_changes_nothing_else(turn):
    assert (roll(face(turn)) - turn + 180) % 360 - 180 == pytest.approx(0, abs=0.5)
    assert misfit(face(turn)) == pytest.approx(0, abs=1e-5)
    assert measure(face(turn)) == pytest.approx(measure(face()), rel=1e-5)


def test_the_measure_is_the_distance_of_the_eyes_also_from_the_side():
    front = face()
    assert measure(front) == pytest.approx(50, rel=0.1)
    side = front.copy()
    side[:, 0] = side[:, 0].mean() + (side[:, 0] - side[:, 0].mean()) * 0.2
    assert measure(side) == pytest.approx(50, rel=0.1)


def test_distances_are_in_eye_distances_for_one_face_and_for_many():
    front = face()
    assert apart(front, front) == 0
    assert apart(front + np.array((0.1 * measure(front), 0)), front) == pytest.approx(0.1, rel=1e-5)
    assert apart(np.stack((front, front + np.array((0, 10)))), front) == pytest.approx(5 / measure(front), rel=1e-5)


def test_a_mirrored_order_and_a_dot_are_not_like_a_face():
    assert misfit(face()[[1, 0, 2, 4, 3]]) > 0.5
    assert misfit(face()[[3, 4, 2, 0, 1]]) > 0.3
    assert misfit(np.full((5, 2), 7, np.float32)) == np.inf
    assert measure(np.full((5, 2), 7, np.float32)) == 1
    assert np.isfinite(roll(np.full((5, 2), 7, np.float32)))
