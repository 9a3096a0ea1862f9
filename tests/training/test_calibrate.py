import numpy as np
import pytest
from PIL import Image

from codeformer_core.fidelity.automatic import Calibration, FaceQuality
from codeformer_core.weights.checkpoint import save_checkpoint
from training import calibrate
from training.calibrate import CLEAN, Sample, W, fit_severity, fit_weights, table


def sample(severity: float, best: float, level: str = "mild") -> Sample:
    """A face whose blur tells how bad it is, restored best at one w."""
    quality = FaceQuality(small=0.0, blur=2 * severity, noise=0.0, blocking=0.0, doubt=0.0)
    distances = 0.1 + np.abs(np.array(W) - best)
    return Sample(level, quality, 0.05 * np.exp(2 * severity) - 0.01, distances, 30 - 10 * distances)


FACES = [
    sample(s, 1 - 0.5 * s, "clean" if s < 0.05 else "heavy" if s > 0.95 else "mild") for s in np.linspace(0, 1, 41)
]


def test_the_severity_is_0_for_clean_and_1_for_heavy_faces():
    calibration = fit_severity(FACES)
    seen = [calibration.severity(face.quality) for face in FACES]
    np.testing.assert_allclose(seen, np.linspace(0, 1, 41), atol=0.05)
    assert min(calibration.slopes) >= 0


def test_the_weights_follow_what_is_best_at_each_severity_and_never_rise():
    calibration = fit_weights(fit_severity(FACES), FACES)
    severities, weights = zip(*calibration.weights, strict=True)
    assert np.diff(weights).max() <= 0
    assert weights[0] >= CLEAN
    inner = [(s, w) for s, w in zip(severities, weights, strict=True) if 0.25 <= s <= 0.75]
    np.testing.assert_allclose(
        [w for _, w in inner], [1 - 0.5 * s for s, _ in inner], atol=0.13
    )  # w is known at few places
    turned = [sample(s, s) for s in np.linspace(0, 1, 41)]  # as if bad faces wanted more
    assert np.diff([w for _, w in fit_weights(calibration, turned).weights]).max() <= 0


def test_where_more_of_the_input_brings_nothing_quality_is_preferred():
    flat = [Sample(f.level, f.quality, f.distance, np.full(len(W), 0.2), f.psnrs) for f in FACES]
    calibration = fit_weights(fit_severity(FACES), flat)
    assert [w for _, w in calibration.weights] == [CLEAN, 0, 0, 0, 0, 0]


def test_the_table_sets_automatic_beside_every_single_w():
    calibration = Calibration(slopes=(0, 0.5, 0, 0, 0), offset=0.0, weights=((0.0, 1.0), (1.0, 0.5)))
    faces = [*FACES, sample(0.5, 0.75, "medium")]
    rows = [row.split(" | ") for row in table(faces, calibration).splitlines()]
    assert [row[0].strip("| ") for row in rows] == ["w", "0", "0.25", "0.5", "0.75", "0.9", "1", "auto"]
    assert rows[-1][3] == "0.1000 29.00 dB w 0.75"  # the medium face gets its best


def test_the_command_calibrates_a_network_from_folders(tmp_path, tiny_net, tiny_config, rng, capsys):
    save_checkpoint(tmp_path / "tiny.safetensors", tiny_net.state_dict(), tiny_config)
    for i in range(2):
        coarse = Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8))
        coarse.resize((64, 64), Image.Resampling.BICUBIC).save(tmp_path / f"{i}.png")
    arguments = [str(tmp_path / "tiny.safetensors"), "--data", str(tmp_path), "--val", str(tmp_path)]
    assert calibrate.main([*arguments, "--min-side", "64"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Calibration(slopes=(")
    assert "| auto |" in out
    assert calibrate.main([*arguments, "--min-side", "5000"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("training.calibrate: ")
    with pytest.raises(SystemExit):
        calibrate.main([])
