"""Which checkpoint a model's name means, and the one that comes with the package."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data

from codeformer_core import DetectorConfig, FaceRestorer, RestoreConfig, load_codeformer, load_detector, models
from codeformer_core.colouring import FaceColourer, colouring_settings
from codeformer_core.filling import FaceFiller, filling_settings
from codeformer_core.models import USAGE, VARIANTS, check_job, default_model, model_path, model_usage
from codeformer_core.pasting.chroma import to_lab
from codeformer_core.pictures.degradation import MEDIUM, degradation_rng, degrade, sample_degradation
from codeformer_core.weights.checkpoint import save_checkpoint
from codeformer_core.weights.download import LicenseNotAccepted
from codeformer_core.weights.published import PUBLISHED


@pytest.fixture(autouse=True)
def weights(tmp_path, monkeypatch):
    """An empty folder of weights, and nothing accepted or switched off by the environment."""
    monkeypatch.setenv("CODEFORMER_HOME", str(tmp_path / "weights"))
    monkeypatch.delenv("CODEFORMER_ACCEPT_LICENSE", raising=False)
    monkeypatch.delenv("CODEFORMER_OFFLINE", raising=False)
    return tmp_path / "weights"


def test_every_published_network_of_this_kind_has_a_usage():
    kinds = {"restoration", "inpainting", "colorization"}
    assert set(USAGE) == {"mini", *VARIANTS} | {name for name, file in PUBLISHED.items() if file.kind in kinds}
    assert (USAGE["inpainting"].w, USAGE["inpainting"].adain) == (1.0, False)
    assert (USAGE["colorization"].w, USAGE["colorization"].keep_grey) == (0.0, False)


def test_the_default_is_official_once_it_is_installed(weights):
    assert default_model() == "mini"
    assert not weights.exists()  # asking makes no folder
    weights.mkdir()
    (weights / PUBLISHED["official"].filename).touch()
    assert default_model() == "official"


def test_each_job_has_its_default(weights):
    assert (default_model("filling"), default_model("colouring")) == ("mini-fill", "mini-colour")
    weights.mkdir()
    (weights / PUBLISHED["inpainting"].filename).touch()
    assert (default_model("filling"), default_model("colouring")) == ("inpainting", "mini-colour")


def test_a_model_for_another_job_is_refused_with_those_for_this_one():
    with pytest.raises(ValueError, match="mini-colour is a model for colouring, not for filling: give mini-fill"):
        check_job(USAGE["mini-colour"], "mini-colour", "filling")
    with pytest.raises(ValueError, match="mini is a model for restoration, not for colouring: give mini-colour"):
        check_job(USAGE["mini"], "mini", "colouring")
    check_job(USAGE["mini"], "mini", "filling")
    check_job(USAGE["colorization"], "colorization", "colouring")


def test_a_file_says_what_it_was_trained_for(tiny_net, tmp_path):
    path = tmp_path / "own.safetensors"
    for job, name in (("filling", "mini-fill"), ("colouring", "mini-colour")):
        save_checkpoint(path, tiny_net.state_dict(), tiny_net.config, {"job": job})
        assert model_usage(str(path), path) == USAGE[name]


def test_a_path_is_itself(tmp_path, monkeypatch):
    file = tmp_path / "own.pth"
    file.touch()
    assert model_path(str(file)) == file
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert model_path("~/own.pth") == file  # as in --model=~/own.pth, which shells leave alone


def test_the_bundled_model(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "BUNDLED", tmp_path / "mini.safetensors")
    with pytest.raises(FileNotFoundError, match="missing from this installation"):
        model_path("mini")
    models.BUNDLED.touch()
    assert model_path("mini") == models.BUNDLED


def test_the_bundled_model_restores_faces():
    """At w = 1 they are nearer to the clean face than the degraded input is."""
    assert models.BUNDLED.stat().st_size < 25e6
    restorer = FaceRestorer(load_codeformer(models.BUNDLED), load_detector())
    photo = skimage.data.astronaut()
    (aligned,) = restorer.align(photo, restorer.detect([photo])[0])
    clean = (aligned.crop * 255).round().astype(np.uint8)
    drawn = [sample_degradation(MEDIUM.scaled(len(clean)), degradation_rng(seed)) for seed in range(2)]
    inputs = [replace(aligned, crop=degrade(clean, one).astype(np.float32) / 255) for one in drawn]
    error = [np.square(face.crop - aligned.crop).mean() for face in inputs]
    faithful = [np.square(face.restored - aligned.crop).mean() for face in restorer.restore_at([1.0], inputs)[0]]
    assert np.log10(np.divide(error, faithful)).mean() > 0.03  # 0.3 dB


def test_the_bundled_model_leaves_what_is_no_face():
    """A cat's eye and a clock are taken for faces when searched so large; a blurred face is one none the less."""
    search, least = DetectorConfig(short_side=900), USAGE["mini"].min_confidence
    restorer: Any = FaceRestorer(
        load_codeformer(models.BUNDLED),
        load_detector(config=search),
        RestoreConfig(min_confidence=least),
    )
    clock = np.repeat(skimage.data.clock()[..., None], 3, axis=2)
    for picture in (skimage.data.chelsea(), clock):
        (face,) = restorer(picture).faces
        assert face.face.score > 0.9
        assert face.mean_confidence < least
        assert face.restored is None
        assert "not recognised as a face" in face.note
    restorer.detector = load_detector()
    photo = skimage.data.astronaut()
    for sigma in (0, 4, 6):
        (face,) = restorer(cv2.GaussianBlur(photo, (0, 0), sigma) if sigma else photo).faces
        assert (face.mean_confidence < least) is (sigma > 0)
        assert face.restored is not None


@pytest.mark.parametrize("name", ["", "Official", "parsenet", "missing.pth", "."])
def test_another_name_is_refused_with_those_that_there_are(name):
    with pytest.raises(FileNotFoundError, match="no such model") as info:
        model_path(name)
    assert all(known in str(info.value) for known in USAGE)


@pytest.mark.parametrize("name", ["official", "inpainting", "colorization"])
def test_published_weights_want_their_licence_accepted_and_downloads_allowed(name):
    with pytest.raises(LicenseNotAccepted, match=r"S-Lab-1\.0"):
        model_path(name)
    with pytest.raises(FileNotFoundError, match="offline"):
        model_path(name, accept_license=True, offline=True)


def test_the_bundled_variants_fill_better_than_opencv_and_colour_better_than_grey():
    photo = skimage.data.astronaut()
    restorers: dict[str, Any] = {}
    for name, settings in (("mini-fill", filling_settings), ("mini-colour", colouring_settings)):
        assert model_path(name).stat().st_size < 8e6
        assert model_usage(str(model_path(name)), model_path(name)) == USAGE[name]  # its file says what it is for
        config = RestoreConfig(**settings(USAGE[name]))
        restorers[name] = FaceRestorer(load_codeformer(model_path(name)), load_detector(), config)
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.polylines(mask, [np.array([[190, 90], [215, 125], [250, 140], [230, 170]])], False, 255, 8)
    hard = mask > 0
    filled = FaceFiller(restorers["mini-fill"])(np.where(hard[..., None], np.uint8(255), photo), mask)
    smooth = cv2.inpaint(photo, mask, 3, cv2.INPAINT_TELEA)
    ours, theirs = (np.square(x[hard].astype(float) - photo[hard]).mean() for x in (filled.image, smooth))
    assert ours < theirs
    grey = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    coloured = FaceColourer(restorers["mini-colour"])(grey)
    face = coloured.changed > 0.9
    labs = [to_lab(x[face] / np.float32(255)) for x in (photo, coloured.image, grey)]
    wrong = [np.linalg.norm((lab - labs[0])[:, 1:], axis=-1).mean() for lab in labs[1:]]
    assert wrong[0] < 0.75 * wrong[1]
