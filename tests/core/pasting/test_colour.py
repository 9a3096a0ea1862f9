import cv2
import numpy as np
import pytest

from codeformer_core.pasting.colour import is_grey, low_band, match_colour, to_grey

EVERYWHERE = np.ones((96, 96), bool)


@pytest.fixture
def crop(rng) -> np.ndarray:
    smooth = cv2.GaussianBlur(rng.random((96, 96, 3), dtype=np.float32), (0, 0), 6)
    return np.clip(0.45 + 2 * (smooth - 0.5) + (0.1, 0, -0.05), 0.05, 0.95).astype(np.float32)


@pytest.fixture
def restored(crop, rng) -> np.ndarray:
    """The crop with a blue cast, darker and with fine detail."""
    return np.clip(crop * 0.85 + (-0.02, 0, 0.1) + rng.normal(0, 0.02, crop.shape), 0, 1).astype(np.float32)


def test_none_is_the_restored_face_itself(crop, restored):
    assert match_colour(restored, crop, "none", EVERYWHERE) is restored


@pytest.mark.parametrize("mode", ["lab", "wavelet"])
def test_match_takes_over_the_means(mode, crop, restored):
    before = np.abs(restored.mean((0, 1)) - crop.mean((0, 1)))
    matched = match_colour(restored, crop, mode, EVERYWHERE)
    after = np.abs(matched.mean((0, 1)) - crop.mean((0, 1)))
    assert matched.dtype == np.float32
    assert before.max() > 0.03
    assert after.max() < 0.004


@pytest.mark.parametrize("mode", ["lab", "wavelet"])
def test_match_keeps_the_restored_detail(mode, crop, restored):
    def fine(image: np.ndarray) -> np.ndarray:
        return image[..., 1] - cv2.GaussianBlur(image[..., 1], (0, 0), 1.5)

    matched = match_colour(restored, crop, mode, EVERYWHERE)
    assert np.corrcoef(fine(matched).ravel(), fine(restored).ravel())[0, 1] > 0.95
    assert 0.8 < fine(matched).std() / fine(restored).std() < 1.25  # as far as lightness may be stretched


@pytest.mark.parametrize("mode", ["lab", "wavelet"])
def test_a_face_that_matches_already_stays(mode, crop):
    np.testing.assert_allclose(match_colour(crop, crop, mode, EVERYWHERE), crop, atol=2e-3)


def test_lab_matches_each_channel_to_mean_and_std(crop, restored):
    lab, wanted = (cv2.cvtColor(x, cv2.COLOR_RGB2Lab) for x in (match_colour(restored, crop, "lab", EVERYWHERE), crop))
    np.testing.assert_allclose(lab.mean((0, 1)), wanted.mean((0, 1)), atol=0.3)
    np.testing.assert_allclose(lab.std((0, 1))[1:], wanted.std((0, 1))[1:], rtol=0.05)


def test_lab_leaves_most_of_the_restored_contrast_in_lightness(rng):
    """It is part of what was restored: the gain lies between 0.8 and 1.25, whatever the crop's contrast."""
    restored = np.repeat(0.5 + 0.1 * rng.standard_normal((96, 96, 1)), 3, 2).clip(0, 1).astype(np.float32)
    for contrast, gain in ((0.2, 0.8), (2, 1.25)):
        crop = np.clip(0.5 + contrast * (restored - 0.5), 0, 1)
        matched = match_colour(restored, crop, "lab", EVERYWHERE)
        spread = [cv2.cvtColor(image, cv2.COLOR_RGB2Lab)[..., 0].std() for image in (matched, restored)]
        assert spread[0] / spread[1] == pytest.approx(gain, rel=0.02)


def test_lab_looks_only_at_what_lies_on_the_picture(crop, restored):
    inside = EVERYWHERE.copy()
    inside[:, :40] = False
    spoilt = crop.copy()
    spoilt[~inside] = (1, 0, 0)
    np.testing.assert_array_equal(
        match_colour(restored, crop, "lab", inside), match_colour(restored, spoilt, "lab", inside)
    )


@pytest.mark.parametrize("mode", ["lab", "wavelet"])
def test_flat_faces_have_no_division_by_zero(mode):
    flat = np.full((96, 96, 3), 0.5, np.float32)
    matched = match_colour(flat, flat * 0.5, mode, EVERYWHERE)
    np.testing.assert_allclose(matched, 0.25, atol=5e-3)


def test_low_band_passes_slow_changes_and_stops_fast_ones(rng):
    image = np.repeat(np.linspace(0, 1, 192, dtype=np.float32)[None, :, None], 64, 0)
    np.testing.assert_allclose(low_band(image)[:, 70:-70, None], image[:, 70:-70], atol=1e-5)
    assert low_band(rng.random((192, 192, 3), dtype=np.float32)).std() < 0.01


def test_an_unknown_mode_is_named(crop):
    with pytest.raises(ValueError, match="'rgb'"):
        match_colour(crop, crop, "rgb", EVERYWHERE)  # pyright: ignore[reportArgumentType]


def test_grey_is_told_from_colour_where_the_picture_is(crop):
    grey = to_grey(crop)
    assert is_grey(grey, EVERYWHERE)
    assert is_grey(np.clip(grey + np.array([2, 0, 1]) / 255, 0, 1), EVERYWHERE, tolerance=2.1 / 255)
    assert not is_grey(crop, EVERYWHERE)
    tinted = grey.copy()
    tinted[0, 0] += (0.05, 0, 0)
    assert not is_grey(tinted, EVERYWHERE)
    inside = EVERYWHERE.copy()
    inside[0, 0] = False
    assert is_grey(tinted, inside)
    assert not is_grey(grey, np.zeros_like(inside))


@pytest.mark.parametrize(("spread", "grey"), [(0, True), (2, True), (3, False), (8, False), (12, False)])
def test_a_tint_beyond_the_rounding_of_a_jpeg_is_colour(spread, grey):
    crop = np.full((96, 96, 3), 100, np.uint8)
    crop[..., 2] += spread
    assert is_grey(crop.astype(np.float32) / 255, EVERYWHERE) is grey


def test_to_grey_keeps_dtype_and_luma():
    image = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], np.float32)
    grey = to_grey(image)
    assert grey.dtype == np.float32
    np.testing.assert_allclose(grey[:, 0], [0.299, 0.587, 0.114, 1], atol=1e-6)
    assert (grey == grey[:, :1]).all()
