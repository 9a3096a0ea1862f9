import numpy as np
import pytest

from codeformer_core.film.smoothing import smooth


@pytest.mark.parametrize("frames", [np.arange(30), np.array([0, 1, 2, 7, 8, 9, 20, 21])])
@pytest.mark.parametrize("sigma", [0, 0.5, 1.5, 8])
def test_steady_motion_stays_as_it_is(frames, sigma):
    values = np.stack([np.full(len(frames), 1234.5), 3000 - 7.25 * frames, 0.1 * frames**2.0], axis=1)
    np.testing.assert_allclose(smooth(values, frames, sigma), values, atol=1e-6)


def test_noise_is_calmed_without_lag(rng):
    frames = np.arange(200)
    wave = np.sin(frames / 8)[:, None]
    smoothed = smooth(wave + rng.normal(0, 0.1, wave.shape), frames, 2)
    assert np.abs(smoothed - wave).mean() < 0.6 * 0.08
    shifted = [np.abs(np.roll(smoothed, shift, 0) - wave)[10:-10].mean() for shift in (-1, 0, 1)]
    assert np.argmin(shifted) == 1


def test_one_and_two_frames_are_left_alone():
    for n in (0, 1, 2):
        values = np.arange(3.0 * n).reshape(n, 3) ** 2
        np.testing.assert_array_equal(smooth(values, np.arange(n), 5), values)
