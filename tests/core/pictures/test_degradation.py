import dataclasses
import json

import cv2
import numpy as np
import pytest

from codeformer_core.pictures import degradation as presets
from codeformer_core.pictures.degradation import (
    Degradation,
    DegradationConfig,
    degradation_rng,
    degrade,
    gaussian_kernel,
    sample_degradation,
)

ALL = [getattr(presets, name) for name in ("PAPER", "PUBLISHED_LARGE", "PUBLISHED_SMALL", "MILD", "MEDIUM", "HEAVY")]


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """A smooth picture with edges and some texture."""
    rng = np.random.default_rng(0)
    image = np.full((96, 80, 3), 120, np.uint8)
    for _ in range(25):
        centre, colour = rng.integers(0, 90, 2).tolist(), rng.integers(0, 256, 3).tolist()
        cv2.circle(image, centre, int(rng.integers(4, 20)), colour, -1)
    return cv2.GaussianBlur(image, (0, 0), 0.7)


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def sharpness(image: np.ndarray) -> float:
    return float(cv2.Laplacian(image.astype(np.float32), cv2.CV_32F).var())


def test_same_seed_same_bytes_and_other_keys_other_bytes(face):
    one, same, other = (
        degrade(face, sample_degradation(presets.PAPER, degradation_rng(7, *keys))) for keys in ((3, 1), (3, 1), (3, 2))
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_keys_of_different_length_are_different_streams():
    draws = [degradation_rng(1, *keys).random() for keys in ((), (0,), (0, 0), (1,))] + [degradation_rng(0, 1).random()]
    assert len(set(draws)) == len(draws)


def test_parameters_survive_json(face):
    drawn = sample_degradation(presets.PUBLISHED_LARGE, degradation_rng(0))
    again = Degradation(**json.loads(json.dumps(dataclasses.asdict(drawn))))
    assert again == drawn
    assert np.array_equal(degrade(face, again), degrade(face, drawn))


@pytest.mark.parametrize("config", [*ALL, presets.PAPER.scaled(256)])
def test_a_thousand_draws_stay_in_range_and_fill_it(config):
    rng = degradation_rng(0)
    drawn = [sample_degradation(config, rng) for _ in range(1000)]
    for field, (low, high) in (
        ("sigma_x", config.blur_sigma),
        ("sigma_y", config.blur_sigma),
        ("downscale", config.downscale),
        ("noise", config.noise),
        ("jpeg_quality", config.jpeg_quality),
    ):
        values = np.array([getattr(one, field) for one in drawn])
        assert low <= values.min() <= low + 0.02 * (high - low) + 1e-9
        assert high >= values.max() >= high - 0.02 * (high - low) - 1e-9
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    turned = np.mean([one.sigma_x != one.sigma_y for one in drawn])
    assert turned == pytest.approx(config.anisotropic, abs=0.06)


def test_defaults_change_next_to_nothing(face):
    assert error(degrade(face, Degradation()), face) < 3


def test_more_blur_is_less_sharp(face):
    values = [sharpness(degrade(face, Degradation(sigma_x=s, sigma_y=s))) for s in (0, 1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.1 * values[0]


@pytest.mark.parametrize(
    ("field", "values"),
    [("downscale", (1.0, 2.0, 4.0, 8.0)), ("noise", (0.0, 5.0, 10.0, 20.0)), ("jpeg_quality", (100, 80, 50, 20))],
)
def test_a_stronger_stage_is_a_larger_error(face, field, values):
    errors = [error(degrade(face, Degradation(**{field: value})), face) for value in values]
    assert errors == sorted(errors)
    assert errors[-1] > 1.5 * errors[0]


def test_noise_has_the_standard_deviation_that_was_asked():
    grey = np.full((128, 128, 3), 128, np.uint8)
    noisy = degrade(grey, Degradation(noise=10.0))
    assert noisy.std() == pytest.approx(10, rel=0.3)  # the JPEG's colour subsampling takes some
    assert noisy.mean() == pytest.approx(128, abs=1)


def test_kernel_is_a_turned_gaussian():
    kernel = gaussian_kernel(41, 6.0, 2.0, np.pi / 4)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert kernel[24, 24] > 2 * kernel[16, 24]  # long axis from top left to bottom right
    np.testing.assert_allclose(gaussian_kernel(41, 6.0, 2.0, np.pi / 2), gaussian_kernel(41, 2.0, 6.0, 0.0), atol=1e-7)
    separable = np.outer(cv2.getGaussianKernel(41, 2.0), cv2.getGaussianKernel(41, 6.0))
    np.testing.assert_allclose(gaussian_kernel(41, 6.0, 2.0, 0.0), separable, atol=1e-6)


def test_turned_blur_agrees_with_the_separable_one(face):
    straight = degrade(face, Degradation(sigma_x=6.0, sigma_y=2.0))
    turned = degrade(face, Degradation(sigma_x=2.0, sigma_y=6.0, angle=np.pi / 2))
    assert error(straight, turned) < 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 2), (31, 67), (200, 9)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_size_and_dtype(shape, dtype):
    image = np.full((*shape, 3), 0.5 if dtype == np.float32 else np.iinfo(dtype).max // 2, dtype)
    before = image.copy()
    for degradation in (
        Degradation(sigma_x=15, sigma_y=15, downscale=30, noise=20, jpeg_quality=30),
        Degradation(sigma_x=15, sigma_y=0, angle=1, downscale=1.5),
    ):
        result = degrade(image, degradation)
        assert (result.shape, result.dtype) == (image.shape, image.dtype)
    assert np.array_equal(image, before)


def test_float_and_8_bit_pictures_get_the_same(face):
    degradation = sample_degradation(presets.HEAVY, degradation_rng(0))
    of_float = degrade(face.astype(np.float32) / np.float32(255), degradation)
    np.testing.assert_allclose(of_float * 255, degrade(face, degradation), atol=1e-3)


def test_scaled_is_the_same_look_on_a_smaller_face():
    half = presets.PAPER.scaled(256)
    assert half.blur_sigma == (0.5, 7.5)
    assert half.downscale == (1.0, 15.0)
    assert half.kernel_size == 21
    assert (half.noise, half.jpeg_quality) == (presets.PAPER.noise, presets.PAPER.jpeg_quality)
    assert presets.PAPER.scaled(512) == presets.PAPER


def test_levels_get_worse(face):
    errors = []
    for config in (presets.MILD, presets.MEDIUM, presets.HEAVY):
        small = config.scaled(96)
        errors.append(
            np.mean([error(degrade(face, sample_degradation(small, degradation_rng(i))), face) for i in range(8)])
        )
    assert errors == sorted(errors)


@pytest.mark.parametrize(
    "wrong",
    [
        {"blur_sigma": (3, 1)},
        {"downscale": (0.5, 2)},
        {"noise": (-1, 2)},
        {"jpeg_quality": (30, 101)},
        {"kernel_size": 40},
        {"anisotropic": 1.5},
    ],
)
def test_wrong_ranges_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DegradationConfig(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"downscale": 0.9}, {"jpeg_quality": 0}, {"noise": float("nan")}, {"kernel_size": 2}]
)
def test_wrong_parameters_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Degradation(**wrong)
