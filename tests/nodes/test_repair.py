"""Filling and colouring of batches: what changes, what is said, which model may do it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from codeformer_core.models import USAGE


@pytest.fixture
def repair(run, nodes):
    """`repair.fill(image, mask)` and `repair.colour(image)` with a small network of random weights."""
    loaded, report = run("loaded"), run("report")
    detector = loaded.LoadedDetector(
        detector=nodes.detector, config=None, patcher=None, parser=None, found=run("remembered").Remembered(16)
    )

    def model(name):
        return loaded.LoadedModel(patcher=nodes.model.patcher, usage=USAGE[name])

    def fill(image, mask=None, name="mini-fill", **changed):
        said, settings = report.Report(), {"faces": "all", "threshold": 0.5, "grow": 2, "white": False, **changed}
        return *run("repair").fill_batch(image, mask, model(name), detector, said, **settings), said.text

    def colour(image, background=None, name="mini-colour", **changed):
        said, settings = report.Report(), {"faces": "all", "strength": 1.0, "luminance": "kept", **changed}
        return *run("repair").colour_batch(image, background, model(name), detector, said, **settings), said.text

    return SimpleNamespace(fill=fill, colour=colour)


@pytest.fixture
def mask():
    """On the first face, and on none."""
    mask = torch.zeros(1, 120, 160)
    mask[:, 45:52, 40:60] = mask[:, 110:118, 10:30] = 1
    return mask


def test_faces_are_filled_in_the_mask_and_the_rest_is_said(repair, image, mask):
    filled, changed, faces, said = repair.fill(image, mask)
    np.testing.assert_array_equal(filled[changed == 0], image[changed == 0])
    assert (filled != image).any()
    assert changed[:, :40].max() == changed[:, 60:].max() == 0
    assert faces.count == 2
    assert "1 face filled in 1 picture" in said
    assert "no part of the mask lies on it" in said
    assert "53% of the mask lies on no face" in said


@pytest.mark.parametrize("name", ["mini", "inpainting"])
def test_other_models_that_can_fill_do(repair, image, mask, name):
    assert (repair.fill(image, mask, name)[0] != image).any()


def test_a_mask_that_paints_nothing_changes_nothing_and_is_named(repair, image, mask):
    no_alpha = torch.zeros(1, 64, 64)  # what Load Image gives then
    for empty, why in (
        (mask * 0, "the mask is black"),
        (no_alpha, "black"),
        (mask * 0.4, "below threshold everywhere"),
    ):
        filled, changed, _, said = repair.fill(image, empty)
        np.testing.assert_array_equal(filled, image)
        assert changed.max() == 0
        assert "picture 0: nothing to fill, " in said
        assert why in said
        assert "no face was found" not in said  # none was looked for


def test_without_a_mask_filling_is_refused_in_the_words_of_its_help(repair, image):
    with pytest.raises(ValueError, match=r"^filling wants a mask: connect one, or switch white on"):
        repair.fill(image)


def test_white_strokes_are_filled_without_a_mask(repair, image, mask):
    torn = torch.where(mask[..., None] > 0, torch.ones(()), image)
    for no_mask in (None, torch.zeros(1, 64, 64)):
        filled, changed, _, _ = repair.fill(torn, no_mask, white=True)
        assert (filled[changed > 0.9] < 1).any()


def test_pictures_without_white_strokes_are_named(repair, image, mask, nodes):
    torn = torch.where(mask[..., None] > 0, torch.ones(()), image)
    *_, said = repair.fill(torch.cat([image, torn, image]), white=True)
    assert "1 face filled in 3 pictures\n2 pictures (the first is 0): nothing to fill, nothing is white" in said
    assert "no face was found" not in said
    *_, said = repair.fill(torn, mask.flip(2), white=True)
    assert "picture 0: nothing to fill, nothing is white where the mask is painted" in said
    nodes.detector.faces.clear()
    *_, said = repair.fill(torch.cat([image.roll(1, 1), torn.roll(1, 1)]), white=True)
    assert "no face was found in picture 1" in said


@pytest.mark.parametrize("white", [False, True])
def test_an_empty_batch_is_an_empty_batch(repair, image, mask, white):
    for filled, changed, faces, _ in (repair.fill(image[:0], mask, white=white), repair.colour(image[:0])):
        assert filled.shape == (0, 120, 160, 3)
        assert changed.shape == (0, 120, 160)
        assert faces.count == 0


def test_pixels_of_faces_are_not_kept(repair, image, mask, run, monkeypatch):
    kept, own = [], run("repair").Repair.done
    monkeypatch.setattr(run("repair").Repair, "done", lambda self, what: kept.extend(self.faces) or own(self, what))
    repair.fill(image, mask)
    repair.colour(image)
    assert [len(faces) for faces in kept] == [2, 2]
    assert all(face.crop.nbytes == 0 for faces in kept for face in faces)


def test_each_picture_of_a_batch_has_its_mask_and_alpha_is_kept(repair, image, mask):
    two = torch.cat([image, image]), torch.cat([mask, mask.flip(2)])
    filled, changed, *_ = repair.fill(torch.cat([two[0], torch.full((2, 120, 160, 1), 0.5)], -1), two[1])
    assert filled.shape == (2, 120, 160, 4)
    assert (filled[..., 3] == 0.5).all()
    assert (changed[0] != changed[1]).any()


def test_faces_are_coloured_and_the_rest_is_the_background(repair, image):
    grey = image.mean(-1, keepdim=True).expand_as(image).contiguous()
    coloured, changed, _, said = repair.colour(grey)
    np.testing.assert_array_equal(coloured[changed == 0], grey[changed == 0])
    assert (coloured != grey).any()
    assert "2 faces coloured in 1 picture" in said
    behind = grey * torch.tensor([1.0, 0.9, 0.8])
    both, *_ = repair.colour(grey, behind)
    np.testing.assert_array_equal(both[changed == 0], behind[changed == 0])
    with pytest.raises(ValueError, match=r"1 of 160 x 120 pixels, got 1 of 160 x 60"):
        repair.colour(grey, behind[:, :60])


def test_a_model_for_another_job_is_refused_in_one_line(repair, image, mask):
    with pytest.raises(ValueError, match="is a model for colouring, not for filling: give mini-fill"):
        repair.fill(image, mask, "mini-colour")
    with pytest.raises(ValueError, match="is a model for restoration, not for colouring: give mini-colour"):
        repair.colour(image, name="mini")


def test_nodes_without_a_loader_take_the_published_weights_if_they_are_there(run, tmp_path):
    files = run("model_files")
    assert files.default_model_name("filling") == "bundled: mini-fill"
    (tmp_path / "codeformer_inpainting.pth").touch()
    assert files.default_model_name("filling") == "codeformer_inpainting.pth"
    assert files.default_model_name("colouring") == "bundled: mini-colour"


@pytest.mark.parametrize(
    ("job", "file", "bundled"),
    [
        ("filling", "codeformer_inpainting.pth", "mini-fill"),
        ("colouring", "codeformer_colorization.pth", "mini-colour"),
    ],
)
def test_damaged_published_weights_give_way_to_the_bundled_model(run, image, tmp_path, job, file, bundled):
    (tmp_path / file).write_bytes(b"PK\x03\x04 this is no checkpoint")
    said = run("report").Report()
    repair = run("repair").Repair(image, None, None, said, job)
    assert repair.model.usage == USAGE[bundled]
    assert said.text.startswith(f"{file} cannot be used, so the bundled model was: ")
