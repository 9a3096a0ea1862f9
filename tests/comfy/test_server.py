"""The nodes in a real ComfyUI."""

import json
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from codeformer_core.facexlib_nets import build_parsenet
from codeformer_core.models import BUNDLED

NODES = {
    "CodeFormerRestoreFaces",
    "CodeFormerRestoreVideo",
    "CodeFormerFillFaces",
    "CodeFormerColourFaces",
    "CodeFormerLoadModel",
    "CodeFormerLoadDetector",
    "CodeFormerDetectFaces",
    "CodeFormerTrackFaces",
    "CodeFormerSelectFaces",
    "CodeFormerCropFaces",
    "CodeFormerRestoreAligned",
    "CodeFormerPasteFaces",
    "CodeFormerFidelitySweep",
    "CodeFormerFacesToMask",
    "CodeFormerFacesToSegs",
    "CodeFormerSegsToFaces",
    "CodeFormerDegrade",
    "CodeFormerCFTWeights",
    "CodeFormerRegionWeights",
    "CodeFormerFaceWeights",
    "CodeFormerAutoFidelity",
    "CodeFormerWeightSchedule",
    "CodeFormerInspect",
    "CodeFormerMixCodes",
}
RESTORE = {
    "fidelity": 0.5,
    "upscale": 1,
    "faces": "all",
    "colour_match": "none",
    "mask_softness": 0.05,
    "large_faces": "keep_detail",
}
LOAD = {"class_type": "LoadImage", "inputs": {"image": "group.jpg"}}
FACES = 4  # in group.jpg


def restore(image, **changed):
    return {"class_type": "CodeFormerRestoreFaces", "inputs": {"image": image, **RESTORE, **changed}}


def save(images):
    return {"class_type": "SaveImage", "inputs": {"images": images, "filename_prefix": "test"}}


def as_image(mask):
    return {"class_type": "MaskToImage", "inputs": {"mask": mask}}


def test_every_node_is_there_and_explains_its_inputs(comfy):
    info = comfy.get("/object_info")
    assert {name for name in info if name.startswith("CodeFormer")} == NODES
    for name in NODES:
        for group in ("required", "optional"):
            for input_name, (_, options) in info[name]["input"].get(group, {}).items():
                assert options["tooltip"], (name, input_name)


@pytest.mark.parametrize(
    ("name", "count", "size"),
    [
        ("restore_photo", 1, (350, 1200)),
        ("step_by_step", 1, (350, 1200)),
        ("edit_crops", 1, (350, 1200)),
        ("old_photo_upscaled", 1, (700, 2400)),
        ("video_frames", 24, (320, 480)),
    ],
)
def test_workflows_change_faces_inside_the_mask_and_nothing_outside(comfy, workflow, name, count, size):
    prompt = workflow(name)
    (node,) = (n for n in prompt if prompt[n]["class_type"] in ("CodeFormerRestoreFaces", "CodeFormerPasteFaces"))
    before = prompt[node]["inputs"].get("background", prompt[node]["inputs"]["image"])
    prompt |= {"before": save(before), "after": save([node, 0]), "m": as_image([node, 1]), "mask": save(["m", 0])}
    pictures = comfy.run(prompt)
    assert len(pictures["after"]) == count
    for was, now, mask in zip(pictures["before"], pictures["after"], pictures["mask"], strict=True):
        assert now.shape == (*size, 3)
        change = np.abs(now.astype(int) - was).max(-1)
        assert change[mask[..., 0] == 0].max() <= 1  # SaveImage cuts off fractions
        assert change[mask[..., 0] == 255].mean() > 2


def test_the_sweep_shows_the_same_faces_at_each_weight(comfy, workflow):
    pictures = comfy.run(workflow("fidelity_sweep"))
    assert len(pictures["5"]) == 5
    (strip,) = pictures["4"]
    assert strip.shape[1] == 512 * 6
    columns = np.split(strip.astype(int), 6, axis=1)
    far = [np.abs(column - columns[0]).mean() for column in columns[1:]]  # from the input, falling with w
    assert far == sorted(far, reverse=True)


def test_faces_are_selected_by_place_number_and_mask(comfy):
    def crops(mask=None, **choice):
        choice = {"order": "left_to_right", "reverse": False, "first": 0, "count": 0, "indices": ""} | choice
        choice |= {"min_size": 0, "max_size": 0, "min_score": 0.0, "faces": ["2", 0]} | ({"mask": mask} if mask else {})
        found = {"class_type": "CodeFormerDetectFaces", "inputs": {"image": ["1", 0]}}
        cut = {"class_type": "CodeFormerCropFaces", "inputs": {"image": ["1", 0], "faces": ["3", 0], "size": 64}}
        prompt = {"1": LOAD, "2": found, "3": {"class_type": "CodeFormerSelectFaces", "inputs": choice}, "4": cut}
        left = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 600, "height": 350}}
        black = {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 1200, "height": 350}}
        both = {"destination": ["6", 0], "source": ["5", 0], "x": 0, "y": 0, "operation": "add"}
        prompt |= {"5": left, "6": black, "7": {"class_type": "MaskComposite", "inputs": both}, "8": save(["4", 0])}
        return comfy.run(prompt)["8"]

    faces = crops()
    assert len(faces) == FACES
    np.testing.assert_array_equal(crops(reverse=True), faces[::-1])
    np.testing.assert_array_equal(crops(indices="0, 2-3"), [faces[0], *faces[2:]])
    np.testing.assert_array_equal(crops(indices="0 2-3", first=1, count=1), [faces[2]])
    np.testing.assert_array_equal(crops(mask=["7", 0]), faces[:2])
    with pytest.raises(comfy.Failed, match="indices is '3-1'"):
        crops(indices="3-1")


def test_a_mask_limits_where_anything_changes(comfy):
    left = {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 1200, "height": 350}}
    part = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 600, "height": 350}}
    both = {"destination": ["2", 0], "source": ["3", 0], "x": 0, "y": 0, "operation": "add"}
    prompt = {"1": LOAD, "2": left, "3": part, "4": {"class_type": "MaskComposite", "inputs": both}}
    prompt |= {"5": restore(["1", 0], mask=["4", 0]), "6": as_image(["5", 1]), "7": save(["6", 0])}
    (changed,) = comfy.run(prompt)["7"]
    assert changed[:, 600:].max() == 0
    assert changed[:, :600].max() == 255


def test_alpha_and_the_empty_mask_of_load_image(comfy):
    alpha = {"class_type": "SolidMask", "inputs": {"value": 0.25, "width": 1200, "height": 350}}
    joined = {"class_type": "JoinImageWithAlpha", "inputs": {"image": ["1", 0], "alpha": ["2", 0]}}
    prompt = {"1": LOAD, "2": alpha, "3": joined, "4": restore(["3", 0], mask=["1", 1], upscale=2), "5": save(["4", 0])}
    prompt |= {"6": as_image(["4", 1]), "7": save(["6", 0])}
    pictures = comfy.run(prompt)
    assert pictures["5"][0].shape == (700, 2400, 4)
    assert pictures["7"][0].max() == 255


def test_a_picture_without_a_face_passes_unchanged(comfy):
    blank = {"class_type": "EmptyImage", "inputs": {"width": 96, "height": 64, "batch_size": 2, "color": 0x336699}}
    found = {"class_type": "CodeFormerDetectFaces", "inputs": {"image": ["1", 0]}}
    crops = {"class_type": "CodeFormerCropFaces", "inputs": {"image": ["1", 0], "faces": ["2", 0], "size": 128}}
    better = {
        "class_type": "CodeFormerRestoreAligned",
        "inputs": {"crops": ["3", 0], "fidelity": 0.5, "colour_match": "none"},
    }
    pasted = {"image": ["1", 0], "faces": ["2", 0], "crops": ["4", 0], "mask_softness": 0.05, "large_faces": "skip"}
    prompt = {"1": blank, "2": found, "3": crops, "4": better, "7": restore(["1", 0]), "8": save(["7", 0])}
    prompt |= {"5": {"class_type": "CodeFormerPasteFaces", "inputs": pasted}, "6": save(["5", 0])}
    for node in ("6", "8"):
        pictures = comfy.run(prompt)[node]
        assert [p.shape for p in pictures] == [(64, 96, 3)] * 2
        assert (pictures[0] == (0x33, 0x66, 0x99)).all()


@pytest.mark.parametrize("name", ["restore_photo", "step_by_step", "edit_crops", "old_photo_upscaled"])
def test_workflows_pass_a_picture_without_a_face(comfy, workflow, name):
    prompt = workflow(name)
    (node,) = (n for n in prompt if prompt[n]["class_type"] == "LoadImage")
    prompt[node] = {"class_type": "EmptyImage", "inputs": {"width": 96, "height": 64, "batch_size": 1, "color": 255}}
    assert any((picture == (0, 0, 255)).all() for pictures in comfy.run(prompt).values() for picture in pictures)


def test_an_interrupt_stops_within_seconds(comfy):
    many = {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 24}}
    prompt_id = comfy.queue({"1": LOAD, "2": many, "3": restore(["2", 0], fidelity=0.35), "4": save(["3", 0])})
    while not comfy.get("/queue")["queue_running"]:
        time.sleep(0.1)
    time.sleep(3)
    assert comfy.get("/queue")["queue_running"], "it has ended before it could be interrupted"
    comfy.post("/interrupt", {})
    began = time.monotonic()
    with pytest.raises(comfy.Failed, match="execution_interrupted"):
        comfy.wait(prompt_id)
    assert time.monotonic() - began < 5  # a second on an idle machine
    assert comfy.run({"1": LOAD, "2": restore(["1", 0]), "3": save(["2", 0])})["3"]


@pytest.mark.parametrize(
    ("node", "name"),
    [
        (restore(["1", 0], fidelity=1.5), "fidelity"),
        (restore(["1", 0], faces="nobody"), "nobody"),
        (restore(["1", 0], colour_match="sepia"), "sepia"),
        (
            {"class_type": "CodeFormerLoadModel", "inputs": {"model_name": "none.pth", "accept_license": False}},
            "none.pth",
        ),
        ({"class_type": "CodeFormerDegrade", "inputs": {"image": ["1", 0], "level": "awful", "seed": 0}}, "awful"),
    ],
)
def test_values_out_of_range_are_refused_before_the_run(comfy, node, name):
    prompt = {"1": LOAD, "2": node, "3": save(["2", 0])}
    if node["class_type"] == "CodeFormerLoadModel":
        prompt |= {"3": restore(["1", 0], model=["2", 0]), "4": save(["3", 0])}
    with pytest.raises(comfy.Failed, match=name):
        comfy.queue(prompt)


def test_a_corrupt_model_and_an_unaccepted_licence_are_named(comfy):
    for model, said in (
        ("corrupt.pth", "corrupt.pth"),
        ("download: official (S-Lab 1.0, non-commercial)", "accept_license"),
    ):
        load = {"class_type": "CodeFormerLoadModel", "inputs": {"model_name": model, "accept_license": False}}
        prompt = {"1": LOAD, "2": load, "3": restore(["1", 0], model=["2", 0]), "4": save(["3", 0])}
        with pytest.raises(comfy.Failed, match=said):
            comfy.wait(comfy.queue(prompt))


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (
            {
                "class_type": "CodeFormerFidelitySweep",
                "inputs": {"image": ["1", 0], "weights": "a", "most_faces": 1, "colour_match": "none"},
            },
            "weights is 'a'",
        ),
        (
            {
                "class_type": "CodeFormerRestoreAligned",
                "inputs": {"crops": ["1", 0], "fidelity": 0.5, "colour_match": "none"},
            },
            "square",
        ),
    ],
)
def test_what_only_the_run_can_see_is_named(comfy, node, said):
    with pytest.raises(comfy.Failed, match=said):
        comfy.wait(comfy.queue({"1": LOAD, "2": node, "3": save(["2", 0])}))


def test_weights_are_read_once_and_survive_freeing(comfy):
    def prompt(fidelity):
        return {"1": LOAD, "2": restore(["1", 0], fidelity=fidelity), "3": save(["2", 0])}

    comfy.run(prompt(0.11))
    loads = comfy.log().count("loading ")
    comfy.run(prompt(0.12))
    comfy.post("/free", {"unload_models": True, "free_memory": True})
    time.sleep(1)
    comfy.run(prompt(0.13))
    assert comfy.log().count("loading ") == loads


def test_another_file_under_the_same_name_is_read_anew(comfy):
    own = comfy.base / "models" / "facerestore_models" / "changing.safetensors"
    load = {"class_type": "CodeFormerLoadModel", "inputs": {"model_name": own.name, "accept_license": False}}
    prompt = {"1": LOAD, "2": load, "3": restore(["1", 0], model=["2", 0]), "4": save(["3", 0])}
    state = load_file(BUNDLED)
    save_file(state, own)
    (before,) = comfy.run(prompt)["4"]
    state["generator.blocks.0.weight"] = -state["generator.blocks.0.weight"]
    save_file(state, own)
    (after,) = comfy.run(prompt)["4"]
    assert np.abs(after.astype(int) - before).max() > 20


def test_the_official_model_is_used_as_soon_as_it_is_there(comfy):
    prompt = {"1": LOAD, "2": restore(["1", 0], colour_match="none"), "3": save(["2", 0])}
    (before,) = comfy.run(prompt)["3"]
    official = comfy.base / "models" / "facerestore_models" / "codeformer-v0.1.0.pth"
    state = load_file(BUNDLED)
    torch.save({"params_ema": state | {"generator.blocks.0.weight": -state["generator.blocks.0.weight"]}}, official)
    try:
        (after,) = comfy.run(prompt)["3"]
    finally:
        official.unlink()
    assert np.abs(after.astype(int) - before).max() > 20


def test_models_of_extra_model_paths_are_listed_and_run(comfy):
    info = comfy.get("/object_info/CodeFormerLoadModel")["CodeFormerLoadModel"]
    _, options = info["input"]["required"]["model_name"]
    assert {"own.safetensors", "corrupt.pth"} <= set(options["options"])
    load = {"class_type": "CodeFormerLoadModel", "inputs": {"model_name": "own.safetensors", "accept_license": False}}
    with_own = {"1": LOAD, "2": load, "3": restore(["1", 0], model=["2", 0]), "4": save(["3", 0])}
    with_bundled = {"1": LOAD, "3": restore(["1", 0]), "4": save(["3", 0])}
    (own,), (bundled,) = comfy.run(with_own)["4"], comfy.run(with_bundled)["4"]
    np.testing.assert_array_equal(own, bundled)


@pytest.mark.parametrize(("label", "changed"), [(0, 0), (1, 255)])  # all background, all skin
def test_a_parsing_net_limits_the_mask(comfy, label, changed):
    net = build_parsenet()
    with torch.no_grad():
        net.get_parameter("out_mask_conv.conv2d.bias")[label] = 1e6
    name = f"sees_{label}.safetensors"
    save_file(net.state_dict(), comfy.base / "elsewhere" / "faces" / name)
    loader = {"detector_name": "bundled: retinaface_mobile0.25", "score_threshold": 0.8, "short_side": 0}
    loader |= {"parser_name": name, "accept_license": False}
    prompt = {"1": LOAD, "2": {"class_type": "CodeFormerLoadDetector", "inputs": loader}}
    prompt |= {"3": restore(["1", 0], detector=["2", 0]), "4": as_image(["3", 1]), "5": save(["4", 0])}
    (mask,) = comfy.run(prompt)["5"]
    assert mask.max() == changed


def test_segs_go_out_and_come_back(comfy):
    faces = {"class_type": "CodeFormerDetectFaces", "inputs": {"image": ["1", 0]}}
    segs = {"class_type": "CodeFormerFacesToSegs", "inputs": {"image": ["1", 0], "faces": ["2", 0], "crop_factor": 2.0}}
    back = {"class_type": "CodeFormerSegsToFaces", "inputs": {"image": ["1", 0], "segs": ["3", 0]}}
    crops = {"class_type": "CodeFormerCropFaces", "inputs": {"image": ["1", 0], "faces": ["4", 0], "size": 64}}
    assert len(comfy.run({"1": LOAD, "2": faces, "3": segs, "4": back, "5": crops, "6": save(["5", 0])})["6"]) == FACES


def test_one_wrong_choice_is_one_error_that_names_it(comfy):
    with pytest.raises(comfy.Failed) as failed:
        comfy.queue({"1": LOAD, "2": restore(["1", 0], colour_match="sepia"), "3": save(["2", 0])})
    (error,) = json.loads(str(failed.value))["node_errors"]["2"]["errors"]
    assert "colour_match is 'sepia'" in error["details"]
    assert error.get("extra_info", {}).get("input_name") not in ("faces", "large_faces")


def test_a_disabled_node_gives_its_input_and_loads_nothing(comfy):
    load = {"class_type": "CodeFormerLoadModel", "inputs": {"model_name": "corrupt.pth", "accept_license": False}}
    node = restore(["1", 0], model=["2", 0], enabled=False, upscale=2)
    pictures = comfy.run({"1": LOAD, "2": load, "3": node, "4": save(["3", 0]), "5": save(["1", 0])})
    np.testing.assert_array_equal(pictures["4"][0], pictures["5"][0])


def test_what_was_done_is_said_on_the_node_and_by_its_outputs(comfy):
    show = {"class_type": "PreviewAny", "inputs": {"source": ["2", 4]}}
    count = {"class_type": "PreviewAny", "inputs": {"source": ["2", 3]}}
    prompt = {"1": LOAD, "2": restore(["1", 0], fidelity=0.37), "3": save(["2", 0]), "4": show, "5": count}
    outputs = comfy.wait(comfy.queue(prompt))
    said = f"{FACES} faces restored in 1 picture"
    assert outputs["2"]["text"] == [said]
    assert outputs["4"]["text"] == [said]
    assert outputs["5"]["text"] == [str(FACES)]


def test_faces_of_another_picture_are_refused(comfy):
    mirror = {"class_type": "ImageRotate", "inputs": {"image": ["1", 0], "rotation": "180 degrees"}}
    found = {"class_type": "CodeFormerDetectFaces", "inputs": {"image": ["1", 0]}}
    cut = {"class_type": "CodeFormerCropFaces", "inputs": {"image": ["2", 0], "faces": ["3", 0], "size": 64}}
    with pytest.raises(comfy.Failed, match="picture 0 of the image is another one"):
        comfy.wait(comfy.queue({"1": LOAD, "2": mirror, "3": found, "4": cut, "5": save(["4", 0])}))


def test_an_unreadable_official_model_does_not_stop_the_nodes(comfy):
    official = comfy.base / "models" / "facerestore_models" / "codeformer.pth"
    official.write_bytes(b"PK\x03\x04 this is no checkpoint")
    try:
        outputs = comfy.wait(comfy.queue({"1": LOAD, "2": restore(["1", 0]), "3": save(["2", 0])}))
    finally:
        official.unlink()
    assert outputs["2"]["text"][0].startswith("codeformer.pth cannot be used, so the bundled model was: ")


def test_an_upscale_model_enlarges_the_background(comfy):
    models = comfy.base / "models" / "upscale_models"
    models.mkdir(exist_ok=True)
    sizes = {"body.0": (8, 3), "body.2": (8, 8), "body.4": (12, 8)}  # a compact Real-ESRGAN, 2 times, of zeros
    state = {f"{name}.weight": torch.zeros(*size, 3, 3) for name, size in sizes.items()}
    state |= {f"{name}.bias": torch.zeros(size[0]) for name, size in sizes.items()}
    state |= {f"body.{i}.weight": torch.zeros(8) for i in (1, 3)}
    save_file(state, models / "nearest_x2.safetensors")
    load = {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "nearest_x2.safetensors"}}
    prompt = {"1": LOAD, "2": load, "3": restore(["1", 0], upscale_model=["2", 0], upscale=2), "4": save(["3", 0])}
    prompt |= {"5": as_image(["3", 1]), "6": save(["5", 0]), "7": save(["1", 0])}
    pictures = comfy.run(prompt)
    nearest = pictures["7"][0].repeat(2, 0).repeat(2, 1).astype(int)
    outside = pictures["6"][0][..., 0] == 0
    assert np.abs(pictures["4"][0] - nearest)[outside].max() <= 1


def test_segs_of_a_batch_are_a_list_and_pair_up_again(comfy):
    two = {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 2}}
    faces = {"class_type": "CodeFormerDetectFaces", "inputs": {"image": ["7", 0]}}
    segs = {"class_type": "CodeFormerFacesToSegs", "inputs": {"image": ["7", 0], "faces": ["2", 0], "crop_factor": 2.0}}
    back = {"class_type": "CodeFormerSegsToFaces", "inputs": {"image": ["7", 0], "segs": ["3", 0]}}
    back["inputs"]["faces_per_seg"] = "largest"
    crops = {"class_type": "CodeFormerCropFaces", "inputs": {"image": ["7", 0], "faces": ["4", 0], "size": 64}}
    prompt = {"1": LOAD, "7": two, "2": faces, "3": segs, "4": back, "5": crops, "6": save(["5", 0])}
    assert len(comfy.run(prompt)["6"]) == 2 * FACES


CFT_WEIGHTS = {f"scale_{size}": 1.0 for size in (32, 64, 128, 256)} | {"outside": 0.0, "mask_space": "picture"}
REGIONS = dict.fromkeys(("eyes", "brows", "nose", "mouth", "skin", "hair", "rest"), -1.0)


def test_weights_are_chained_into_the_restorer_and_constant_ones_are_the_fidelity(comfy):
    faces = {
        "by": "order",
        "fidelities": "0.3",
        "small": 48,
        "small_fidelity": 0.2,
        "large": 256,
        "large_fidelity": 0.9,
    }
    prompt = {
        "1": LOAD,
        "2": {"class_type": "CodeFormerCFTWeights", "inputs": {"fidelity": 0.3, **CFT_WEIGHTS}},
        "3": {"class_type": "CodeFormerRegionWeights", "inputs": {"weights": ["2", 0], **REGIONS, "eyes": 0.3}},
        "4": {"class_type": "CodeFormerFaceWeights", "inputs": {"weights": ["3", 0], **faces}},
        "5": {"class_type": "CodeFormerWeightSchedule", "inputs": {"weights": ["4", 0], "keys": "0: 0.3"}},
        "6": {"class_type": "CodeFormerAutoFidelity", "inputs": {"weights": ["5", 0], "lowest": 0.0, "highest": 1.0}},
        "7": restore(["1", 0], fidelity=0.9, weights=["6", 0]),
        "8": save(["7", 0]),
        "9": restore(["1", 0], fidelity=0.3),
        "10": save(["9", 0]),
        "11": {"class_type": "CodeFormerRegionWeights", "inputs": {**REGIONS, "eyes": 1.0}},
        "12": restore(["1", 0], fidelity=0.3, weights=["11", 0]),
        "13": save(["12", 0]),
    }
    pictures = comfy.run(prompt)
    (by_weights,), (plain,), (eyes,) = pictures["8"], pictures["10"], pictures["13"]
    assert np.abs(by_weights.astype(int) - plain).max() <= 1
    assert np.abs(eyes.astype(int) - plain).max() > 4


def test_restorers_say_and_show_the_weights_in_force(comfy):
    prompt = {
        "1": LOAD,
        "2": {"class_type": "CodeFormerAutoFidelity", "inputs": {"image": ["1", 0], "lowest": 0.2, "highest": 1.0}},
        "3": restore(["1", 0], weights=["2", 0]),
        "4": save(["3", 0]),
    }
    outputs = comfy.wait(comfy.queue(prompt))
    for node in ("2", "3"):
        assert len(outputs[node]["images"]) == 1
        assert "face 0: w " in outputs[node]["text"][0]
        assert "automatic: severity" in outputs[node]["text"][0]


FILM = {"class_type": "LoadVideo", "inputs": {"file": "portrait.mp4"}}
FRAMES = 36  # in portrait.mp4


def restore_video(video, **changed):
    settings = {"fidelity": 0.7, "upscale": 1, "faces": "all", "steady": True, "crf": -1} | changed
    return {"class_type": "CodeFormerRestoreVideo", "inputs": {"video": video, **settings}}


def save_video(video):
    settings = {"filename_prefix": "video/test", "format": "auto", "codec": "auto"}
    return {"class_type": "SaveVideo", "inputs": {"video": video, **settings}}


def frames(comfy, outputs):
    """The frames of the video that a node saved."""
    av = pytest.importorskip("av")
    (saved,) = outputs["images"]
    with av.open(str(comfy.base / "output" / saved["subfolder"] / saved["filename"])) as film:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]


def test_a_film_is_restored_from_file_to_file_and_goes_on_after_the_cross(comfy):
    prompt = {"1": FILM, "2": restore_video(["1", 0]), "3": save_video(["2", 0]), "4": save_video(["1", 0])}
    prompt_id, temp = comfy.queue(prompt), comfy.base / "temp"
    for _ in range(1200):
        if list(temp.glob(".codeformer_*.job/whole.json")):  # the first pass is done
            break
        time.sleep(0.1)
    comfy.post("/interrupt", {})
    with pytest.raises(comfy.Failed, match="execution_interrupted"):
        comfy.wait(prompt_id)
    (job,) = temp.glob(".codeformer_*.job")
    found = {path.name: path.stat().st_mtime_ns for path in (job / "found").iterdir()}
    assert found
    outputs = comfy.wait(comfy.queue(prompt))
    assert not list(temp.glob(".codeformer_*.job"))
    after, before = frames(comfy, outputs["3"]), frames(comfy, outputs["4"])
    assert len(after) == len(before) == FRAMES
    assert np.abs(after[0] - before[0])[50:150, 120:190].mean() > 4  # the face
    assert np.abs(after[0] - before[0])[-60:, :60].mean() < 3
    assert f" faces restored in {FRAMES} frames of 320 x 320 px, h264; " in outputs["2"]["text"][0]


def test_frames_and_a_part_of_a_film_are_restored_too(comfy):
    part = {"class_type": "ImageFromBatch", "inputs": {"image": ["2", 0], "batch_index": 0, "length": 3}}
    prompt = {"1": FILM, "2": {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}}, "3": part}
    prompt |= {"4": {"class_type": "CreateVideo", "inputs": {"images": ["3", 0], "fps": 15.0}}}
    prompt |= {"5": restore_video(["4", 0], upscale=2), "6": save_video(["5", 0])}
    there = comfy.get("/object_info")
    if "Video Slice" in there:
        cut = {"video": ["1", 0], "start_time": 0.4, "duration": 0.2, "strict_duration": False}
        prompt |= {"7": {"class_type": "Video Slice", "inputs": cut}, "8": restore_video(["7", 0])}
        prompt |= {"9": save_video(["8", 0])}
    outputs = comfy.wait(comfy.queue(prompt))
    made = frames(comfy, outputs["6"])
    assert [frame.shape for frame in made] == [(640, 640, 3)] * 3
    if "Video Slice" in there:
        assert len(frames(comfy, outputs["9"])) == 3
    assert not [
        path for path in (comfy.base / "temp").iterdir() if path.is_dir() and path.name.startswith("codeformer")
    ]


def test_what_is_no_film_and_a_wrong_quality_are_named(comfy):
    (comfy.base / "input" / "no_film.mp4").write_text("no film")
    broken = {"class_type": "LoadVideo", "inputs": {"file": "no_film.mp4"}}
    for load, changed, said in ((broken, {}, "no_film.mp4: "), (FILM, {"crf": 60}, "crf is 60, expected 0")):
        prompt = {"1": load, "2": restore_video(["1", 0], **changed), "3": save_video(["2", 0])}
        with pytest.raises(comfy.Failed, match=said):
            comfy.wait(comfy.queue(prompt))
    with pytest.raises(comfy.Failed, match="faces is 'nobody'"):
        comfy.queue({"1": FILM, "2": restore_video(["1", 0], faces="nobody"), "3": save_video(["2", 0])})


def test_one_person_of_a_video_is_selected_by_track(comfy, workflow):
    prompt = workflow("one_person")
    by_class = {node["class_type"]: name for name, node in prompt.items()}
    select, crop = (prompt[by_class[f"CodeFormer{name}Faces"]]["inputs"] for name in ("Select", "Crop"))
    crop["size"] = 64
    prompt["crops"] = save([by_class["CodeFormerCropFaces"], 0])
    one = comfy.run(prompt)["crops"]
    assert len(one) == 24  # in each frame
    middles = [crop[14:52, 16:48].astype(int) for crop in one]
    assert max(np.abs(a - b).mean() for a, b in pairwise(middles)) < 20  # of one person; others are 30 apart
    del select["tracks"], select["max_turn"]  # a workflow that is older than these
    assert len(comfy.run(prompt)["crops"]) == 40
    del prompt["crops"]  # ComfyUI saves no pictures that there aren't
    select["max_turn"] = 0.0
    outputs = comfy.wait(comfy.queue(prompt))
    assert outputs[by_class["CodeFormerSelectFaces"]]["text"][0] == "0 of 40 faces kept"
    select |= {"tracks": "1", "faces": [by_class["CodeFormerDetectFaces"], 0]}
    with pytest.raises(comfy.Failed, match="tracks is '1', and these faces have none"):
        comfy.wait(comfy.queue(prompt))
