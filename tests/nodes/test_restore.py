"""Batches through the pipeline: what is done, what is said of it, and what is not done twice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from codeformer_core import CodeFormer, load_codeformer
from codeformer_core.fidelity.plan import FidelityPlan
from codeformer_core.models import BUNDLED, Usage
from codeformer_core.weights.checkpoint import checkpoint_info, save_checkpoint


def test_another_fidelity_repeats_neither_detection_nor_prediction(nodes, image):
    first, *_ = nodes.restore(image, fidelity=0.2)
    assert nodes.calls == {"predict": 2, "decode": 2}
    second, *_ = nodes.restore(image, fidelity=0.9, feather=0.1, upscale=2)
    assert nodes.calls == {"predict": 2, "decode": 4}
    assert nodes.detector.searched == 1
    assert second.shape[1] == 2 * first.shape[1]
    again, *_ = nodes.restore(image, fidelity=0.2)
    np.testing.assert_array_equal(first, again)


def test_another_picture_is_searched_and_predicted(nodes, image):
    nodes.restore(image)
    changed = image.clone()
    changed[:, 40:50, 40:50] = 0  # in one of its faces
    nodes.restore(changed)
    assert nodes.detector.searched == 2
    assert nodes.calls["predict"] == 3


def test_faces_with_tracks_are_restored_as_given_and_held_steady(nodes, image, run):
    frames = image.repeat(20, 1, 1, 1)
    *_, found, _, _ = nodes.restore(frames)
    one = [[replace(faces[0], track=0)] for faces in found.faces]
    searched, predicted = nodes.detector.searched, nodes.calls["predict"]
    restored, changed, kept, count, _ = nodes.restore(frames, given=replace(found, faces=one))
    assert (nodes.detector.searched, nodes.calls["predict"]) == (searched, predicted + 20)
    assert count == 20
    assert [[face.track for face in faces] for faces in kept.faces] == [[0]] * 20
    assert changed.amax((1, 2)).min() > 0.9
    np.testing.assert_allclose(restored[19], restored[18], atol=1e-3)  # also over the portions of a batch
    with pytest.raises(ValueError, match="another"):
        nodes.restore(1 - frames, given=replace(found, faces=one))


def test_given_faces_without_tracks_are_remembered_too(nodes, image, face_at, rng):
    *_, found, _, _ = nodes.restore(image)
    *_, said = nodes.restore(image, given=found, fidelity=0.9, faces="largest")
    assert (nodes.calls["predict"], nodes.detector.searched) == (2, 1)
    assert "which faces (largest) was not used" in said
    nodes.detector.faces = [face_at(*place) for place in rng.uniform((10, 10, 20), (150, 110, 60), (20, 3))]
    *_, found, count, _ = nodes.restore(1 - image)
    of_crowd = nodes.restore(1 - image, given=found)[3]
    assert count == of_crowd == 20
    assert nodes.calls["predict"] == 42  # a crowd's predictions are not kept


@pytest.mark.parametrize(("mask", "why"), [(torch.zeros(1, 120, 160), "mask is black"), (None, "the parsing net")])
def test_what_leaves_nothing_of_the_faces_is_named(mask, why, nodes, image, run, monkeypatch):
    monkeypatch.setattr(run("restore").FaceRestorer, "changed", lambda _, size, *__: np.zeros(size, np.float32))
    *_, said = nodes.restore(image, mask)
    assert "nothing has changed" in said
    assert why in said


def test_a_model_for_another_job_does_not_throw_out_the_first(run):
    loaded, said = run("loaded"), run("report").Report()
    first = loaded.default_model(said)
    loaded.default_model(said, "filling")
    assert loaded.default_model(said) is first


def test_what_is_remembered_has_a_bound(run):
    kept = run("remembered").Remembered(10)
    for key in range(5):
        kept.begin_run()
        kept.put(key, str(key), 4)
    assert kept.bytes <= 10
    assert (kept.get(2), kept.get(3), kept.get(4)) == (None, "3", "4")
    kept.begin_run()
    kept.get(3)
    kept.put(5, "5", 4)
    assert (kept.get(3), kept.get(4)) == ("3", None)
    kept.put(6, "6", 11)
    assert kept.get(6) is None


def test_of_more_than_there_is_room_for_the_first_are_remembered(nodes, image, rng):
    frames = image + torch.linspace(0, 0.1, 17)[:, None, None, None]
    nodes.restore(image)
    each = nodes.model.predictions.bytes // 2
    nodes.model.predictions.most_bytes = 5 * each
    nodes.restore(frames, fidelity=0.2)
    assert nodes.model.predictions.bytes == 5 * each
    searched, predicted = nodes.detector.searched, nodes.calls["predict"]
    nodes.restore(frames, fidelity=0.8)
    assert nodes.detector.searched == searched
    assert nodes.calls["predict"] == predicted + 2 * 17 - 5
    nodes.restore(1 - image)  # another run: what it adds stands in place of what it does not use
    nodes.restore(1 - image)
    assert nodes.calls["predict"] == predicted + 2 * 17 - 5 + 2


def test_a_batch_larger_than_the_room_for_found_faces_is_found_in_part_again(nodes, image, run):
    frames = image * torch.linspace(0.5, 1, 12)[:, None, None, None]
    nodes.found.most_bytes = 8  # pictures
    for again in (12, 4, 4):
        before = nodes.detector.searched
        nodes.restore(frames)
        assert nodes.detector.searched == before + again
    whole = run("loaded").LoadedDetector(
        detector=nodes.detector, config=None, patcher=None, parser=None, found=nodes.found
    )
    for again in (4, 4):
        before = nodes.detector.searched
        run("find").detect_faces(frames, whole, run("report").Report())
        assert nodes.detector.searched == before + again


def test_a_crowd_amid_a_batch_makes_nothing_forgotten(nodes, image, face_at, rng, monkeypatch):
    frames = image * torch.linspace(0.5, 1, 18)[:, None, None, None]
    crowd, own = (
        [face_at(*place) for place in rng.uniform((10, 10, 20), (150, 110, 60), (17, 3))],
        nodes.detector.detect,
    )
    found = {bytes(frame.numpy().data): own([0])[0] for frame in frames}
    found[bytes(frames[15].numpy().data)] = crowd
    monkeypatch.setattr(nodes.detector, "detect", lambda images, config=None: [found[bytes(x.data)] for x in images])
    nodes.restore(frames[:1])
    nodes.model.predictions.most_bytes = 10 * nodes.model.predictions.bytes // 2
    nodes.restore(frames)
    before = nodes.calls["predict"]
    nodes.restore(frames, fidelity=0.1)
    assert nodes.calls["predict"] == before + 2 * 17 - 10 + 17  # those of the crowd are not kept


def test_a_batch_is_as_its_pictures_alone(nodes, image):
    """Pasting lies behind the network, portion by portion, and each picture gets its own faces."""
    frames = image * torch.linspace(0.5, 1, 40)[:, None, None, None]
    restored, changed, *_ = nodes.restore(frames)
    for i in (0, 15, 16, 39):
        alone, its_change, *_ = nodes.restore(frames[i : i + 1])
        np.testing.assert_allclose(restored[i], alone[0], atol=1e-5)
        torch.testing.assert_close(changed[i], its_change[0])


def test_the_cross_stops_pasting_and_leaves_nothing_running(nodes, image, run, monkeypatch):
    pressed = run("loaded").mm
    monkeypatch.setattr(pressed, "processing_interrupted", lambda: True)
    with pytest.raises(InterruptedError):
        nodes.restore(image.repeat(40, 1, 1, 1))
    assert nodes.detector.searched < 40


def test_strength_blends_and_the_mask_says_so(nodes, image):
    whole, mask, _, count, _ = nodes.restore(image)
    half, half_mask, *_ = nodes.restore(image, strength=0.5)
    none, no_mask, *_ = nodes.restore(image, strength=0.0)
    assert count == 2
    inside = (whole > 0) & (whole < 1)  # not cut off
    torch.testing.assert_close((half - image)[inside], (whole - image)[inside] / 2, atol=1e-5, rtol=0)
    torch.testing.assert_close(half_mask, mask / 2)
    np.testing.assert_array_equal(none, image)
    assert not no_mask.any()


def test_switched_off_gives_the_image_itself(run, image):
    said = run("report").Report()
    restored, changed, faces, count, _ = run("restore").leave_batch(image, said)
    assert restored is image
    assert changed.shape == image.shape[:3]
    assert (changed.any(), faces.count, count) == (False, 0, 0)
    assert "switched off" in said.text


def test_an_upscale_model_makes_the_background(nodes, image, run, monkeypatch):
    asked = []

    def enlarge(picture, upscale_model, upscale):
        asked.append((upscale_model, upscale))
        return np.full((240, 320, 3), 0.125, np.float32)

    monkeypatch.setattr(run("restore"), "enlarged", enlarge)
    large, changed, *_ = nodes.restore(image, upscale_model="ESRGAN", upscale=2)
    assert asked == [("ESRGAN", 2)]
    assert (large[changed == 0] == 0.125).all()
    *_, said = nodes.restore(image, upscale_model="ESRGAN")
    assert "upscale is 1, so upscale_model was not used" in said


def test_values_that_are_not_finite_are_black_and_said(nodes, image):
    image[0, 5, 5] = float("nan")
    restored, _, _, count, said = nodes.restore(torch.cat([image.roll(1, 1).nan_to_num(), image]))
    assert restored.isfinite().all()
    assert (restored[1, 5, 5] == 0).all()
    assert count == 4
    assert "picture 1 held values that are not finite" in said


def test_it_says_what_was_left(nodes, image):
    said = nodes.restore(image)[-1]
    assert said == "2 faces restored in 1 picture"
    said = nodes.restore(image, torch.zeros(1, 120, 160))[-1]
    assert "nothing has changed: the mask is black" in said
    nodes.detector.faces.clear()
    *_, count, said = nodes.restore(torch.cat([image.roll(2, 1), image.roll(3, 1)]))
    assert count == 0
    assert "no face was found in 2 pictures (the first is 0)" in said


def test_skipped_faces_are_named_and_not_counted(nodes, image, face_at):
    nodes.detector.faces[0] = face_at(80, 60, 100)  # larger than the network's 64 px
    *_, found, count, said = nodes.restore(image, large_faces="skip")
    assert (found.count, count) == (2, 1)
    assert "picture 0: a face was left as it is, skipped: 100 px wide" in said


def test_a_mask_batch_of_another_length_repeats_the_last(nodes, image):
    masks = torch.ones(2, 120, 160)
    masks[1] = 0
    _, changed, *_ = nodes.restore(image.repeat(20, 1, 1, 1), masks)
    assert changed[0].any()
    assert not changed[1:].any()
    _, changed, *_ = nodes.restore(image, masks)
    assert changed.any()


@pytest.mark.parametrize(("upscale_model", "waiting"), [(None, 16), (object(), 3)])
def test_few_wait_to_be_pasted_with_enlarged_pictures(nodes, run, image, monkeypatch, upscale_model, waiting):
    behind, asked = run("restore").Behind, []
    begin = behind.__init__
    monkeypatch.setattr(behind, "__init__", lambda self, waiting: asked.append(waiting) or begin(self, waiting))
    nodes.restore(image, upscale_model=upscale_model)
    assert asked == [waiting]


def test_an_unreadable_official_model_gives_way_to_the_bundled_one(run, tmp_path):
    (tmp_path / "codeformer.pth").write_bytes(b"PK\x03\x04 this is no checkpoint")
    said = run("report").Report()
    model = run("loaded").default_model(said)
    assert model.net.config == checkpoint_info(BUNDLED).config
    assert said.text.startswith("codeformer.pth cannot be used, so the bundled model was: ")


def test_a_report_is_cut(run):
    said = run("report").Report()
    for i in range(30):
        said.say(f"line {i}")
    assert said.text.splitlines()[-2:] == ["line 11", "and 18 more, see ComfyUI's log"]


def test_examples_are_offered_and_never_replace_anything(run, tmp_path, monkeypatch):
    (tmp_path / "group.jpg").write_bytes(b"the user's own")
    run("examples").offer_examples()
    assert (tmp_path / "group.jpg").read_bytes() == b"the user's own"
    assert (tmp_path / "group.mp4").stat().st_size > 10_000
    monkeypatch.setattr(run("examples").folder_paths, "get_input_directory", lambda: str(tmp_path / "none"))
    run("examples").offer_examples()


def test_a_crowd_is_restored_as_few_faces_are(nodes, image, face_at, rng, monkeypatch):
    from pack.nodes.run import restore  # pyright: ignore[reportMissingImports]

    places = rng.uniform((10, 10, 20), (150, 110, 60), (20, 3))
    nodes.detector.faces = [face_at(*place) for place in places]
    plan = FidelityPlan(base=0.7)
    crowd = nodes.restore(image, strength=0.5, weights=plan, upscale=2)
    monkeypatch.setattr(restore, "CROWD", 100)
    few = nodes.restore(image, strength=0.5, weights=plan, upscale=2)
    for one, other in zip(crowd[:2], few[:2], strict=True):  # image, changed
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    assert crowd[3:] == few[3:]  # how many, and what is said


@pytest.mark.parametrize(
    "changes", [{"lookup": "none", "cft_sizes": ()}, {"lookup": "linear"}, {"seen_sizes": (32, 64)}]
)
def test_the_papers_ablations_restore_like_any_model(changes, nodes, image, tiny_config, tmp_path):
    net = CodeFormer(replace(tiny_config, **changes))
    save_checkpoint(tmp_path / "net.safetensors", net.state_dict(), net.config)
    nodes.model.patcher.model = load_codeformer(tmp_path / "net.safetensors")
    object.__setattr__(nodes.model, "usage", Usage(min_confidence=0.0))  # of random weights, which are not sure
    restored, changed, _, count, _ = nodes.restore(image)
    assert (restored.shape, count) == (image.shape, 2)
    assert changed.amax() > 0.9
