import dataclasses

import cv2
import numpy as np
import pytest
import skimage.data

from codeformer_core import load_codeformer, load_detector
from codeformer_core.fidelity.automatic import ASSUMED, MINI, FaceQuality, face_quality
from codeformer_core.fidelity.plan import AutoFidelity, FidelityPlan
from codeformer_core.models import BUNDLED, USAGE
from codeformer_core.pictures.degradation import Degradation, degrade
from codeformer_core.restoration import RestoreConfig
from codeformer_core.restorer import FaceRestorer

STRENGTHS = np.linspace(0, 1, 5)
KINDS = {
    "blur": lambda t: Degradation(sigma_x=4 * t, sigma_y=4 * t),
    "noise": lambda t: Degradation(noise=25 * t),
    "blocks": lambda t: Degradation(jpeg_quality=round(90 - 80 * t)),
    "size": lambda t: Degradation(downscale=8**t),
    "all at once": lambda t: Degradation(
        sigma_x=2 * t, sigma_y=2 * t, downscale=6**t, noise=8 * t, jpeg_quality=round(90 - 50 * t)
    ),
}
INSIDE = np.ones((256, 256), bool)


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """An aligned face of 256 px, uint8."""
    photo = cv2.resize(skimage.data.astronaut(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    restorer = FaceRestorer(None, load_detector(), face_size=256)
    return (restorer.align(photo, restorer.detect(photo)[0])[0].crop * 255).round().astype(np.uint8)


def quality(face: np.ndarray, pixels: float = 200, confidence: float = 0.67) -> FaceQuality:
    return face_quality(face.astype(np.float32) / 255, INSIDE, pixels, confidence)


@pytest.mark.parametrize("calibration", [MINI, ASSUMED])
@pytest.mark.parametrize("kind", KINDS)
def test_the_severity_rises_and_the_weight_never_does_as_a_degradation_grows(clean, kind, calibration):
    seen = [quality(degrade(clean, KINDS[kind](t))) for t in STRENGTHS]
    severities = [calibration.severity(each) for each in seen]
    weights = [calibration.weight(each, AutoFidelity()) for each in seen]
    assert np.diff(severities).min() > -0.03  # of 1 from clean to heavy
    assert severities[-1] > severities[0] + 0.08
    assert np.diff(weights).max() < 0.03


def test_more_doubt_and_fewer_pixels_never_raise_the_weight(clean):
    for calibration in (MINI, ASSUMED):
        for changed in ({"confidence": 0.1}, {"pixels": 12}):
            weights = [calibration.weight(quality(clean, **some), AutoFidelity()) for some in ({}, changed)]
            assert weights[1] <= weights[0]


def test_clean_faces_keep_at_least_nine_tenths_and_limits_hold(clean):
    restorer = FaceRestorer(load_codeformer(BUNDLED), config=RestoreConfig(calibration=USAGE["mini"].calibration))
    plan = FidelityPlan(base=AutoFidelity())
    (face,) = restorer.restore_at([plan], [restorer.as_aligned(clean)])[0]
    assert face.weights is not None
    assert face.weights.w >= 0.9
    assert "severity" in face.weights.reasons[0]
    bad = degrade(clean, KINDS["all at once"](1.0))
    for low, high in ((0.2, 0.4), (0.95, 1.0), (0.3, 0.3)):
        limited = FidelityPlan(base=AutoFidelity(low=low, high=high))
        (face,) = restorer.restore_at([limited], [restorer.as_aligned(bad)])[0]
        assert face.weights is not None
        assert low <= face.weights.w <= high


def test_calibrations_can_only_fall_with_the_severity():
    for usage in USAGE.values():
        assert min(usage.calibration.slopes) >= 0
        assert np.diff([s for s, _ in usage.calibration.weights]).min() > 0
        assert np.diff([w for _, w in usage.calibration.weights]).max() <= 0
        assert usage.calibration.weights[0][1] >= 0.9


@pytest.mark.parametrize("size", [64, 256, 512])
def test_the_quality_hardly_depends_on_the_networks_side(clean, size):
    bad = degrade(clean, KINDS["all at once"](0.7))
    scaled = cv2.resize(bad, (size, size), interpolation=cv2.INTER_AREA if size < 256 else cv2.INTER_CUBIC)
    seen = face_quality(scaled.astype(np.float32) / 255, np.ones((size, size), bool), 200, 0.5)
    assert abs(MINI.severity(seen) - MINI.severity(quality(bad, confidence=0.5))) < (0.5 if size < 256 else 0.1)


def test_a_crop_of_one_colour_and_one_outside_the_picture_have_a_quality():
    for inside in (INSIDE, np.zeros_like(INSIDE)):
        seen = face_quality(np.full((256, 256, 3), 0.5, np.float32), inside, 1, 0.0)
        assert np.isfinite(dataclasses.astuple(seen)).all()
