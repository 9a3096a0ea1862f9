import cv2
import numpy as np
import pytest

from codeformer_core.pasting.occlusion import unhidden

INSIDE = np.ones((256, 256), bool)


@pytest.fixture
def face() -> np.ndarray:
    noise = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    return 0.3 + 0.4 * cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def test_a_face_drawn_as_it_is_hides_nothing(face):
    assert (unhidden(face, face, INSIDE) == 1).all()


def test_fine_detail_and_a_tint_hide_nothing(face):
    grain = np.random.default_rng(1).normal(0, 0.1, face.shape).astype(np.float32)
    mask = unhidden(face, face + grain + np.array([0.15, 0, -0.1], np.float32), INSIDE)
    assert mask.mean() > 0.99


def test_what_is_drawn_over_is_kept_with_its_edge(face):
    crop = face.copy()
    crop[100:160, 90:150] = 0
    mask = unhidden(crop, face, INSIDE)
    assert mask[100:160, 90:150].max() < 0.1
    assert mask[:60].min() == mask[200:].min() == 1
    assert 0 <= mask.min() <= mask.max() <= 1
    assert mask.dtype == np.float32
