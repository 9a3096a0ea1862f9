import numpy as np
import pytest
import skimage.data
from skimage.color import rgb2lab

from codeformer_core.pasting.chroma import (
    coloured_mask,
    from_lab,
    is_toned,
    packed_lab,
    to_lab,
    unpacked_lab,
)


def test_lab_there_and_back_is_the_picture():
    image = np.random.default_rng(0).random((20, 20, 3), np.float32)
    np.testing.assert_allclose(to_lab(image), rgb2lab(image), atol=0.02)
    np.testing.assert_allclose(from_lab(to_lab(image)), image, atol=1e-4)
    np.testing.assert_allclose(unpacked_lab(packed_lab(to_lab(image))), to_lab(image), atol=1e-4)


def test_colours_that_rgb_does_not_have_become_paler_and_keep_their_luminance():
    lab = np.array([[[98, 40, 60], [5, 40, -60], [50, 120, 0], [100, 30, 30], [0, 30, 30]]], np.float32)
    rgb = from_lab(lab)
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    np.testing.assert_allclose(rgb2lab(rgb)[..., 0], lab[..., 0], atol=0.1)
    assert (np.hypot(*rgb2lab(rgb)[0, :3, 1:].T) > 1).all()


def test_sepia_is_toned_and_a_photograph_is_not():
    photo = skimage.data.astronaut()[50:200, 150:300].astype(np.float32) / 255
    grey = photo.mean(-1, keepdims=True)
    inside = np.ones(photo.shape[:2], bool)
    sepia = np.clip(grey * np.array([1.07, 0.9, 0.7], np.float32), 0, 1)
    noise = np.random.default_rng(0).normal(0, 0.005, photo.shape).astype(np.float32)
    assert is_toned(np.repeat(grey, 3, -1), inside)
    assert is_toned(np.clip(sepia + noise, 0, 1), inside)
    assert not is_toned(photo, inside)
    assert is_toned(photo, inside & False)


def uniform(size: int, a: float, b: float) -> np.ndarray:
    """A crop (size, size, 3) of one colour, in Lab."""
    return np.full((size, size, 3), (0, a, b), np.float32)


@pytest.mark.parametrize("size", [64, 256, 512])
def test_no_square_is_coloured(size):
    mask = coloured_mask(uniform(size, 12, 14))
    assert mask[size // 2, size // 2] == 1
    assert mask[:, 0].max() == mask[:, -1].max() == mask[0, 0] == 0
    assert np.abs(np.diff(mask, axis=1)).max() < 11 / size


def test_cold_colours_about_the_head_are_left_out():
    head, left = coloured_mask(uniform(64, 12, 14)), coloured_mask(uniform(64, -3, -12))
    assert left[30, 24] == left[30, 40] == 1  # blue eyes stay
    assert left[head < 1].max() < 0.05
