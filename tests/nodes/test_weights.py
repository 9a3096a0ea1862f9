"""Plans of the fidelity weight from what widgets hold, their way into the restorers, and their pictures."""

import numpy as np
import pytest
import torch

from codeformer_core.fidelity.mask import FidelityMask
from codeformer_core.fidelity.plan import AutoFidelity, FidelityPlan

ONES = {32: 1.0, 64: 1.0, 128: 1.0, 256: 1.0}
BY_SIZE = {"fidelities": "", "small": 50, "small_fidelity": 0.2, "large": 100, "large_fidelity": 0.9}


@pytest.fixture
def weights(run):
    return run("weights")


def test_all_factors_at_1_and_no_mask_is_the_plain_fidelity(weights, run):
    plan = weights.weigh_scales(None, 0.7, ONES, None, "picture", 0.3)
    assert plan == FidelityPlan(base=0.7)
    no_mask = torch.zeros(1, 64, 64)  # LoadImage's of a picture without alpha
    assert weights.weigh_scales(None, 0.7, ONES, no_mask, "picture", 0.3) == plan


def test_a_node_builds_on_what_comes_in(weights):
    first = weights.weigh_scales(None, 0.4, ONES | {32: 0.5}, torch.ones(4, 6), "crop", 0.1)
    assert first.mask == FidelityMask(values=np.ones((4, 6)), space="crop")
    second = weights.weigh_scales(first, 0.9, ONES | {64: 0.25}, None, "picture", 0.0)
    assert second == FidelityPlan(base=0.4, scales={32: 0.5, 64: 0.25}, mask=first.mask, outside=0.1)
    automatic = weights.weigh_automatically(second, 0.2, 0.8)
    assert automatic.base == AutoFidelity(low=0.2, high=0.8)
    assert automatic.scales == second.scales
    assert weights.weigh_scales(automatic, 0.9, ONES, None, "picture", 0.0).base == automatic.base
    faces = weights.weigh_faces(automatic, "order", **BY_SIZE | {"fidelities": "0.9, 0.4"})
    assert faces.faces == (0.9, 0.4)
    frames = weights.weigh_frames(faces, "0: 0.5\n 24: .9")
    assert frames == FidelityPlan(**{**vars(faces), "frames": {0: 0.5, 24: 0.9}})


def test_weights_by_size(weights):
    assert weights.weigh_faces(None, "size", **BY_SIZE).sizes == {50: 0.2, 100: 0.9}


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda w: w.weigh_frames(None, ""), "keys is '': give frames and weights, as in 0: 0.5, 24: 0.9"),
        (lambda w: w.weigh_frames(None, "0.5: 1"), "give frames and weights"),
        (lambda w: w.weigh_frames(None, "0: 0.5, 0: 1"), "names a frame twice"),
        (lambda w: w.weigh_frames(None, "0: 1.5"), "weights are numbers from 0 to 1"),
        (lambda w: w.weigh_frames(None, "0: 1.2.3"), "weights are numbers from 0 to 1"),
        (lambda w: w.weigh_faces(None, "order", **BY_SIZE), "the list of weights is empty"),
        (lambda w: w.weigh_faces(None, "order", **BY_SIZE | {"fidelities": "0.9 x"}), "'x': weights are numbers"),
        (lambda w: w.weigh_faces(None, "size", **BY_SIZE | {"large": 50}), "small is 50 px and large 50 px"),
        (lambda w: w.weigh_automatically(None, 0.8, 0.2), "lowest is 0.8 and highest 0.2"),
        (lambda w: w.weigh_scales(None, 1.0, ONES, torch.full((4, 4), torch.nan), "picture", 0), "not finite"),
    ],
)
def test_what_makes_no_sense_is_named(weights, call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call(weights)


def test_weights_stand_in_place_of_the_fidelity(nodes, image):
    plain, *_ = nodes.restore(image, fidelity=0.3)
    by_plan, *_ = nodes.restore(image, fidelity=0.9, weights=FidelityPlan(base=0.3))
    np.testing.assert_allclose(by_plan, plain, atol=1e-6)
    without_base, *_ = nodes.restore(image, fidelity=0.3, weights=FidelityPlan(regions={"eyes": 0.3}))
    np.testing.assert_allclose(without_base, plain, atol=1e-6)


def test_other_weights_repeat_neither_detection_nor_prediction(nodes, image):
    nodes.restore(image, weights=FidelityPlan(base=0.3))
    searched = nodes.detector.searched, nodes.calls["predict"]
    nodes.restore(image, weights=FidelityPlan(base=0.3, regions={"eyes": 1.0}, faces=(0.2,)))
    assert (nodes.detector.searched, nodes.calls["predict"]) == searched


def test_the_report_says_each_faces_weight_and_why(nodes, image):
    plan = FidelityPlan(base=0.3, faces=(0.9,), regions={"eyes": 1.0})
    *_, text = nodes.restore(image, weights=plan)
    assert "picture 0, face 0: w 0.90 (face 0; eyes 1)" in text
    assert "picture 0, face 1: w 0.30 (eyes 1)" in text
    *_, text = nodes.restore(image)
    assert "w 0" not in text


def test_a_scale_that_the_model_lacks_is_said_and_left_out(nodes, image):
    plan = FidelityPlan(base=0.5, scales={32: 1.0, 128: 0.5})
    *_, text = nodes.restore(image, weights=plan)
    assert "this model has no CFT at 128 px, it has 32, 64" in text


def test_frames_of_a_schedule_are_those_of_the_batch(nodes, image):
    *_, text = nodes.restore(image.repeat(3, 1, 1, 1), weights=FidelityPlan(frames={0: 0.0, 4: 1.0}))
    assert "picture 2, face 1: w 0.50 (frame 2)" in text


def test_heat_maps_show_the_weights_over_the_faces(nodes, image, run):
    restorer = nodes.model.restorer(None, colour_match="none")
    picture = image[0].numpy()
    aligned = restorer.align(picture, nodes.detector.faces)
    red = {}
    for w in (0.0, 1.0):
        drawn = run("weights").draw_weights(picture, restorer.restore_at([w], aligned)[0], restorer.face_size)
        red[w] = drawn[60, 50, 0] - drawn[60, 50, 2]
        np.testing.assert_allclose(drawn[2, 2], picture[2, 2], atol=1 / 255)
    assert red[1.0] > red[0.0] + 0.1


def test_a_sweep_changes_one_part_and_keeps_the_rest(run):
    swept = run("sweep").swept_plan
    plan = FidelityPlan(base=0.4, scales={32: 0.5}, regions={"eyes": 1.0})
    assert swept(plan, "fidelity", 0.1) == FidelityPlan(base=0.1, scales={32: 0.5}, regions={"eyes": 1.0})
    assert swept(plan, "scale 64", 0.1).scales == {32: 0.5, 64: 0.1}
    assert swept(plan, "region eyes", 0.1).regions == {"eyes": 0.1}
    assert swept(FidelityPlan(base=0.7, faces=(1.0,)), "fidelity", 0.1) == FidelityPlan(base=0.1)
    assert swept(FidelityPlan(), "automatic lowest", 0.4).base == AutoFidelity(low=0.4, high=1.0)
    assert swept(FidelityPlan(base=AutoFidelity(low=0.5)), "automatic highest", 0.4).base == AutoFidelity(
        low=0.4, high=0.4
    )


def test_a_sweep_takes_the_mask_of_the_picture_that_it_shows(nodes, image, run, monkeypatch):
    loaded, found = run("loaded"), nodes.detector.faces
    batch = torch.cat([torch.zeros_like(image), image])
    monkeypatch.setattr(nodes.detector, "detect", lambda images, config=None: [found * bool(i.any()) for i in images])
    whole = loaded.LoadedDetector(detector=nodes.detector, config=None, patcher=None, parser=None, found=nodes.found)
    plan = FidelityPlan(mask=FidelityMask(values=np.stack([np.zeros((9, 9)), np.ones((9, 9))]), space="picture"))

    def strip(plan):
        settings = {"weights": "1", "most_faces": 1, "colour_match": "none", "swept": "fidelity", "fidelity": 0.5}
        pictures, _ = run("sweep").sweep(batch, nodes.model, whole, run("report").Report(), plan=plan, **settings)
        return pictures

    torch.testing.assert_close(strip(plan), strip(None))
    assert strip(plan).shape == (1, 120, 160, 3)


def test_a_sheet_shows_codes_confidence_and_scales(nodes, run, rng):
    crops = torch.from_numpy(rng.random((2, 64, 64, 3), np.float32))
    said = run("report").Report()
    sheet, confidence = run("inspect").inspect_crops(crops, crops, nodes.model, said)
    assert sheet.shape[0] == 2
    assert confidence.shape == (2, 64, 64)
    assert ((confidence > 0) & (confidence <= 1)).all()
    assert "right codes: 100% by the transformer" in said.lines[0]
    with pytest.raises(ValueError, match="1 clean faces for 2 crops"):
        run("inspect").inspect_crops(crops, crops[:1], nodes.model, said)


def test_mixed_codes_by_a_mask(nodes, run, rng):
    crops = torch.from_numpy(rng.random((2, 64, 64, 3), np.float32))
    mix, said = run("inspect").mix_crops, run("report").Report()
    own = mix(crops, crops[1:], torch.zeros(1, 8, 8), nodes.model, 0.0, said)
    others = mix(crops, crops[1:], torch.ones(1, 8, 8), nodes.model, 0.0, said)
    assert own.shape == (2, 64, 64, 3)
    assert not torch.allclose(own[0], others[0])
    torch.testing.assert_close(own[1], others[1])
    assert "the mask is black" in said.text
    with pytest.raises(ValueError, match="3 other faces for 2 crops"):
        mix(crops, crops.repeat(2, 1, 1, 1)[:3], None, nodes.model, 0.0, said)
