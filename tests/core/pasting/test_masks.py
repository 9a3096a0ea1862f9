import cv2
import numpy as np
import pytest

from codeformer_core.pasting.masks import BORDER, border_mask, soften_parsing, square_mask


def frame_mask(side: int, upscale: int) -> np.ndarray:
    """The same mask made on a frame with OpenCV, step by step as in design.md; of the side's top left quarter."""
    frame = np.zeros((side + 20, side + 20), np.float32)
    frame[10:-10, 10:-10] = 1
    frame = cv2.erode(frame, np.ones((2 * upscale, 2 * upscale)))
    w_edge = int(side - 2 * upscale) // 20
    if w_edge:
        frame = cv2.erode(frame, np.ones((2 * w_edge, 2 * w_edge)))
    frame = cv2.GaussianBlur(frame, (2 * w_edge + 1, 2 * w_edge + 1), 0)
    # Even kernels reach one pixel further on the left than on the right, so only this quarter is what is meant.
    return frame[10 : 10 + side // 2, 10 : 10 + side // 2]


@pytest.mark.parametrize("upscale", [1, 2, 4])
@pytest.mark.parametrize("side", [25, 64, 128, 250, 511])
def test_square_mask_is_the_eroded_and_feathered_square(side, upscale):
    mask = square_mask(side, 1.0, upscale)
    np.testing.assert_allclose(mask[: side // 2, : side // 2], frame_mask(side, upscale), atol=2e-3)


@pytest.mark.parametrize("upscale", [1, 2])
@pytest.mark.parametrize("scale", [0.25, 0.5, 2, 3])
def test_square_mask_is_the_same_one_at_other_scales(scale, upscale):
    mask = square_mask(256, scale, upscale)
    side = int(256 * scale)
    centres = ((np.arange(side // 2) + 0.5) / scale - 0.5).astype(np.float32)
    seen = cv2.remap(mask, *np.meshgrid(centres, centres), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # pyright: ignore
    np.testing.assert_allclose(seen, frame_mask(side, upscale), atol=0.03)


@pytest.mark.parametrize("feather", [0.0, 0.05, 0.25])
@pytest.mark.parametrize("scale", [0.01, 0.1, 0.7, 1, 9])
def test_square_mask_falls_from_the_middle_alike_on_all_sides(scale, feather):
    mask = square_mask(64, scale, 1, feather)
    assert mask.dtype == np.float32
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert np.array_equal(mask, mask.T)
    np.testing.assert_allclose(mask, mask[::-1, ::-1], atol=1e-6)
    assert (np.diff(mask[32, :32]) >= 0).all()
    assert mask[0, 0] == 0 or scale > 1
    if scale >= 0.1 and feather < 0.25:
        assert mask[32, 32] == pytest.approx(1)


def test_more_feather_is_softer():
    soft, softer = (square_mask(200, 1, 1, feather) for feather in (0.02, 0.2))
    assert np.diff(softer[100]).max() < np.diff(soft[100]).max() / 5
    assert (softer <= soft + 1e-6).all()


@pytest.mark.parametrize("feather", [-0.01, 0.3, float("nan")])
def test_feather_out_of_range_is_named(feather):
    with pytest.raises(ValueError, match=f"0 to 0.25, got {feather}"):
        square_mask(64, 1, 1, feather)


def test_parsed_mask_is_soft_and_keeps_clear_of_the_crop_edge():
    face = np.zeros((512, 512), bool)
    face[:400, 150:] = True
    mask = soften_parsing(face)
    assert mask.dtype == np.float32
    assert mask[:10].max() == mask[:, -10:].max() == 0
    assert mask[200, 400] == pytest.approx(1)
    assert mask[200, 50] == pytest.approx(0, abs=1e-6)
    assert mask[200, 150] == pytest.approx(0.5, abs=0.03)
    # Two Gaussians of sigma 11 are one of 15.6, whose steepest slope is 1 / (sqrt(2 pi) 15.6).
    assert np.diff(mask[200, 50:300]).max() == pytest.approx(0.0256, rel=0.02)
    assert face.sum() == 400 * 362  # the input is left alone


def test_the_border_mask_rises_from_the_edge_of_the_picture():
    inside = np.ones((128, 128), bool)
    assert (border_mask(inside) == 1).all()
    inside[:, :40] = False
    mask = border_mask(inside)
    ramp = round(BORDER * 128)
    assert (mask[:, :41] == 0).all()
    assert (np.diff(mask[0, 40 : 41 + ramp]) > 0).all()
    assert (mask[:, 41 + ramp :] == 1).all()
