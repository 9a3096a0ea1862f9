import cv2
import numpy as np
import pytest
import skimage.data

from codeformer_core.film.scenes import SceneCuts


def cuts(frames) -> list[int]:
    find = SceneCuts()
    return [i for i, frame in enumerate(frames) if find(frame)]


@pytest.fixture(scope="module")
def here() -> np.ndarray:
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def there() -> np.ndarray:
    return cv2.resize(skimage.data.coffee(), (512, 512))


def pan(image, frames, step):
    return [image[:, step * i : step * i + 256] for i in range(frames)]


def scaled(image, factor):
    return np.clip(image * factor, 0, 255).astype(np.uint8)


def test_a_cut_is_found_where_it_is(here, there):
    assert cuts(pan(here, 10, 3) + pan(there, 10, 3) + pan(here, 5, 3)) == [0, 10, 20]


@pytest.mark.parametrize("step", [2, 8, 20])
def test_a_pan_is_no_cut(here, step):
    assert cuts(pan(here, 12, step)) == [0]


def test_noise_is_no_cut(here, rng):
    noisy = [np.clip(here + rng.normal(0, 20, here.shape), 0, 255).astype(np.uint8) for _ in range(6)]
    assert cuts(noisy) == [0]


@pytest.mark.parametrize("light", [1.5, 2.5, 100])
def test_a_flash_is_no_cut(here, light):
    flash = np.full_like(here, 255) if light == 100 else scaled(here, light)
    assert cuts([here] * 5 + [flash] + [here] * 5 + [flash] * 2 + [here] * 5) == [0]


def test_a_fade_to_black_and_back_is_no_cut_and_to_another_scene_one(here, there):
    down = [scaled(here, f) for f in np.linspace(1, 0, 10)]
    assert cuts([*down, *down[::-1]]) == [0]
    up = [scaled(there, f) for f in np.linspace(0, 1, 10)]
    found = cuts(down + up)
    assert len(found) == 2
    assert 10 < found[1] < 14


def test_a_film_may_begin_in_black(here):
    assert cuts([np.zeros_like(here)] * 3 + [here] * 3) == [0]


def test_frames_of_another_kind_are_refused(here):
    with pytest.raises(ValueError, match="uint8, got"):
        SceneCuts()(here / 255)
