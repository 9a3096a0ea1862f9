"""Workflows of facerestore_cf and ReActor, written by hand, turned into ours in both formats."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from codeformer_core.command_line.cli import main
from codeformer_core.migration.migrate import migrate
from codeformer_core.migration.workflow_graph import KINDS
from codeformer_core.migration.workflow_json import read_workflow

LOAD = ("LoadImage", ["photo.png", "image"])
SAVE = ("SaveImage", ["restored"])
OFFICIAL, RESNET = "codeformer-v0.1.0.pth", "download: retinaface_resnet50 (MIT)"
REACTOR = ["retinaface_mobile0.25", OFFICIAL, 1, 0.5]


def node(id: int, type: str, values: list | dict, **more) -> dict[str, Any]:
    """A node of the UI format, not linked yet."""
    sockets = {"SaveImage": {"images": "IMAGE"}, "Reroute": {"": "*"}, "Foreign": {"any": "*"}}
    outputs = {
        "LoadImage": {"IMAGE": "IMAGE", "MASK": "MASK"},
        "Reroute": {"": "*"},
        "PrimitiveNode": {"FLOAT": "FLOAT"},
    }
    kind = KINDS.get(type)
    return {
        "id": id,
        "type": type,
        "pos": [100 * id, 50],
        "size": {"0": 300, "1": 100},
        "flags": {},
        "order": id,
        "mode": 0,
        "inputs": [
            {"name": name, "type": socket, "link": None}
            for name, socket in (kind.sockets if kind else sockets.get(type, {})).items()
        ],
        "outputs": [
            {"name": name, "type": output, "links": None}
            for name, output in (kind.outputs if kind else outputs.get(type, {})).items()
        ],
        "properties": {"Node name for S&R": type, "cnr_id": "some-pack", "own": 1},
        "widgets_values": values,
        **more,
    }


def join(graph: dict[str, Any], *wires: str) -> dict[str, Any]:
    """Links of the UI format: "3.0 > 4.image" from a node's output to another's input or widget, ids from 11."""
    nodes = {item["id"]: item for item in graph["nodes"]}
    for id, (source, target) in enumerate((wire.split(" > ") for wire in wires), 11):
        origin, slot = map(int, source.split("."))
        end, name = target.split(".", 1)
        inside = int(origin) in nodes
        output = nodes[origin]["outputs"][slot] if inside else graph["inputs"][slot]
        key = "links" if inside else "linkIds"
        output[key] = [*(output[key] or []), id]
        if int(end) in nodes:
            inputs = nodes[int(end)]["inputs"]
            if name not in [slot["name"] for slot in inputs]:
                inputs.append({"name": name, "type": output["type"], "widget": {"name": name}})
            number = [slot["name"] for slot in inputs].index(name)
            inputs[number]["link"] = id
        else:
            number = int(name)
            graph["outputs"][number]["linkIds"].append(id)
        values = [id, origin, slot, int(end), number, output["type"]]
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        graph["links"].append(dict(zip(names, values, strict=True)) if "inputNode" in graph else values)
    return graph


def workflow(nodes: list[dict[str, Any]], *wires: str) -> dict[str, Any]:
    graph = {"last_node_id": max(item["id"] for item in nodes), "last_link_id": 10 + len(wires), "nodes": nodes}
    return join({**graph, "links": [], "groups": [], "extra": {"ds": {"scale": 1.0}}, "version": 0.4}, *wires)


def one(type: str, values: list | dict, *wires: str, **more) -> dict[str, Any]:
    """A picture, one old node with the id 5, its result saved."""
    nodes = [node(1, *LOAD), node(5, type, values, **more), node(9, *SAVE)]
    if any(wire.startswith("3.") for wire in wires):
        nodes.append(node(3, "PrimitiveNode", [0.7, "fixed"]))
    return workflow(nodes, "1.0 > 5.image", "5.0 > 9.images", *wires)


def restored_with_facerestore_cf(detector="retinaface_mobile0.25", fidelity=0.7, model=OFFICIAL) -> dict[str, Any]:
    nodes = [
        node(1, *LOAD),
        node(4, "FaceRestoreCFWithModel", [detector, fidelity], title="Fix faces", color="#232", bgcolor="#353"),
        node(2, "FaceRestoreModelLoader", [model]),
        node(9, *SAVE),
    ]
    return workflow(nodes, "1.0 > 4.image", "2.0 > 4.facerestore_model", "4.0 > 9.images")


def migrated(data: dict[str, Any], **options) -> tuple[dict[str, Any], list[str]]:
    read = read_workflow(copy.deepcopy(data))
    _, lost = migrate(read, **options)
    written = read.write()
    if "nodes" in written:
        assert_consistent(written)
    return written, lost


def graphs_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [data, *data.get("definitions", {}).get("subgraphs", [])]


def assert_consistent(data: dict[str, Any]) -> None:
    """Each link is named once where it starts and once where it ends, with one type; ids are counted."""
    everywhere = []
    for graph in graphs_of(data):
        nodes = {item["id"]: item for item in graph["nodes"]}
        assert len(nodes) == len(graph["nodes"])
        starts, ends = [], []
        for item in graph["nodes"]:
            for i, slot in enumerate(item["outputs"]):
                starts += [(link, item["id"], i, slot["type"]) for link in slot["links"] or []]
            for i, slot in enumerate(item["inputs"]):
                ends += [(slot["link"], item["id"], i, slot["type"])] if slot["link"] is not None else []
        for i, slot in enumerate(graph.get("inputs", [])):
            starts += [(link, -10, i, slot["type"]) for link in slot["linkIds"]]
        for i, slot in enumerate(graph.get("outputs", [])):
            ends += [(link, -20, i, slot["type"]) for link in slot["linkIds"]]
        links = [list(link.values()) if isinstance(link, dict) else link for link in graph["links"]]
        for found, wanted in (
            (starts, [(id, a, i, type) for id, a, i, _, _, type in links]),
            (ends, [(id, b, j, type) for id, _, _, b, j, type in links]),
        ):
            assert [item[:3] for item in sorted(found)] == [item[:3] for item in sorted(wanted)]
            for (*_, type), (*_, link_type) in zip(sorted(found), sorted(wanted), strict=True):
                assert type == link_type or "*" in (type, link_type)
        counted = graph.get("state", {"lastNodeId": data["last_node_id"], "lastLinkId": data["last_link_id"]})
        assert max(nodes) <= min(counted["lastNodeId"], data["last_node_id"])
        assert max((link[0] for link in links), default=0) <= min(counted["lastLinkId"], data["last_link_id"])
        everywhere += list(nodes)
    assert len(everywhere) == len(set(everywhere))


def as_api(data: dict[str, Any]) -> dict[str, Any]:
    """The main graph in the API format; widgets of unknown nodes by number."""
    origins = {link[0]: [str(link[1]), link[2]] for link in data["links"]}
    api = {}
    for item in data["nodes"]:
        kind = KINDS.get(item["type"])
        names = kind.widgets if kind else map(str, range(9))
        values = item["widgets_values"]
        inputs = dict(values if isinstance(values, dict) else zip(names, values, strict=False))
        inputs.update({slot["name"]: origins[slot["link"]] for slot in item["inputs"] if slot["link"] is not None})
        api[str(item["id"])] = {"class_type": item["type"], "inputs": inputs}
    return api


def found(data: dict[str, Any], type: str) -> dict[str, Any]:
    """The inputs of the only node of a type, and its id under `id`."""
    ((id, entry),) = [(id, entry) for id, entry in as_api(data).items() if entry["class_type"] == type]
    return {"id": int(id), **entry["inputs"]}


ADVANCED = ["retinaface_resnet50", OFFICIAL, 1.0, 0.3]
CASES = {
    "facerestore_cf": restored_with_facerestore_cf(),
    "larger detector": restored_with_facerestore_cf("retinaface_resnet50"),
    "YOLO": restored_with_facerestore_cf("YOLOv5n"),
    "other network": restored_with_facerestore_cf(model="GFPGANv1.4.pth"),
    "crop": one("CropFace", ["retinaface_resnet50"]),
    "ReActor": one("ReActorRestoreFace", REACTOR),
    "values by name": one("ReActorRestoreFace", dict(zip(KINDS["ReActorRestoreFace"].widgets, REACTOR, strict=True))),
    "half visible": one("ReActorRestoreFace", ["retinaface_resnet50", OFFICIAL, 0.5, 1]),
    "no model": one("ReActorRestoreFace", ["retinaface_resnet50", "none", 1, 0.5]),
    "all": one("ReActorRestoreFaceAdvanced", [*ADVANCED, "all", "area", False, 0, 1]),
    "largest": one("ReActorRestoreFaceAdvanced", [*ADVANCED, "largest", "area", False, 0, 1]),
    "filter": one("ReActorRestoreFaceAdvanced", [*ADVANCED, "filter", "x_position", True, 1, 2]),
    "filter, half visible": one(
        "ReActorRestoreFaceAdvanced", [ADVANCED[0], OFFICIAL, 0.5, 0.3, "filter", "area", False, 0, 1]
    ),
    "linked fidelity": one("FaceRestoreCFWithModel", ["YOLOv5l", 0.5], "3.0 > 5.codeformer_fidelity"),
    "linked visibility": one("ReActorRestoreFace", REACTOR, "3.0 > 5.visibility"),
    "linked detector": one("CropFace", ["YOLOv5l"], "3.0 > 5.facedetection"),
    "linked model": one("ReActorRestoreFace", REACTOR, "3.0 > 5.model"),
    "nothing linked": workflow([node(5, "ReActorRestoreFaceAdvanced", [*ADVANCED, "filter", "area", True, 0, 1])]),
    "no image to pass on": workflow(
        [node(5, "ReActorRestoreFace", ["YOLOv5l", "none", 1, 0.5]), node(9, *SAVE)], "5.0 > 9.images"
    ),
    "chain": workflow(
        [
            node(1, *LOAD),
            node(2, "FaceRestoreModelLoader", [OFFICIAL]),
            node(3, "ReActorRestoreFace", ["retinaface_resnet50", OFFICIAL, 0.9, 0.2]),
            node(4, "FaceRestoreCFWithModel", ["retinaface_resnet50", 0.7]),
            node(5, "ReActorRestoreFace", ["retinaface_resnet50", "none", 1, 0.2]),
            node(6, "CropFace", ["retinaface_resnet50"]),
            node(9, *SAVE),
        ],
        "1.0 > 3.image",
        "3.0 > 4.image",
        "2.0 > 4.facerestore_model",
        "4.0 > 5.image",
        "5.0 > 6.image",
        "6.0 > 9.images",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_both_formats_come_out_the_same(case):
    before = copy.deepcopy(CASES[case])
    ui, lost = migrated(CASES[case])
    api, lost_of_api = migrated(as_api(CASES[case]))
    assert api == as_api(ui)
    assert lost == lost_of_api
    assert case == "other network" or not any(
        "Restore" in entry["class_type"] and "CodeFormer" not in entry["class_type"] for entry in api.values()
    )
    assert CASES[case] == before


@pytest.mark.parametrize("case", CASES)
def test_other_nodes_stay_as_they_are(case):
    old = {item["id"]: item for item in CASES[case]["nodes"]}
    for item in migrated(CASES[case])[0]["nodes"]:
        if item["id"] in old and old[item["id"]]["type"] == "SaveImage" and case != "no image to pass on":
            assert json.dumps(item) == json.dumps(old[item["id"]])
        elif item["type"] in ("LoadImage", "PrimitiveNode"):
            assert {**item, "outputs": 0} == {**old[item["id"]], "outputs": 0}  # their links may be more or fewer


def test_a_restored_picture_of_facerestore_cf():
    ui, lost = migrated(CASES["facerestore_cf"])
    assert lost == []
    assert found(ui, "CodeFormerLoadModel") == {"id": 2, "model_name": OFFICIAL, "accept_license": False}
    assert found(ui, "CodeFormerRestoreFaces") == {
        "id": 4,
        "image": ["1", 0],
        "model": ["2", 0],
        "fidelity": 0.7,
        "upscale": 1,
        "faces": "all",
        "colour_match": "auto",
        "mask_softness": 0.05,
        "large_faces": "keep_detail",
        "strength": 1.0,
        "enabled": True,
    }
    restore = next(item for item in ui["nodes"] if item["id"] == 4)
    assert [slot["name"] for slot in restore["inputs"]] == ["image", "model", "detector", "mask"]
    assert restore["widgets_values"] == [0.7, 1, "all", "auto", 0.05, "keep_detail", 1.0, True]
    assert [slot["name"] for slot in restore["outputs"]] == ["image", "mask", "faces"]
    assert restore["properties"] == {"Node name for S&R": "CodeFormerRestoreFaces", "own": 1}
    assert [restore[key] for key in ("title", "color", "bgcolor", "pos")] == ["Fix faces", "#232", "#353", [400, 50]]
    assert ui["links"] == [
        [11, 1, 0, 4, 0, "IMAGE"],
        [12, 2, 0, 4, 1, "CODEFORMER_MODEL"],
        [13, 4, 0, 9, 0, "IMAGE"],
    ]
    assert (ui["last_node_id"], ui["last_link_id"]) == (9, 13)


def test_a_larger_detector_is_loaded_below_in_the_same_colours():
    ui, lost = migrated(CASES["larger detector"])
    assert lost == []
    loader = next(item for item in ui["nodes"] if item["type"] == "CodeFormerLoadDetector")
    assert loader["widgets_values"] == [RESNET, 0.8, 0, "none", False]
    assert (loader["id"], loader["pos"], loader["color"]) == (10, [400, 418], "#232")
    assert found(ui, "CodeFormerRestoreFaces")["detector"] == ["10", 0]
    assert (ui["last_node_id"], ui["last_link_id"]) == (10, 14)


def test_what_has_no_equivalent_is_listed():
    ui, lost = migrated(CASES["YOLO"])
    assert lost == [
        "node 4 (FaceRestoreCFWithModel): facedetection 'YOLOv5n' has no equivalent; "
        "the bundled retinaface_mobile0.25 is used"
    ]
    assert "detector" not in found(ui, "CodeFormerRestoreFaces")
    assert "see to it" in migrated(restored_with_facerestore_cf(model="mine.pth"))[1][0]
    assert "is no CodeFormer" in migrated(restored_with_facerestore_cf(model="codeformer.onnx"))[1][0]
    ui, lost = migrated(restored_with_facerestore_cf(fidelity=2))
    assert lost == ["node 4 (FaceRestoreCFWithModel): codeformer_fidelity 2 is not between 0 and 1 and counts as 0.5"]
    assert found(ui, "CodeFormerRestoreFaces")["fidelity"] == 0.5
    assert migrated(one("CropFace", ["retinaface_mobile0.25", 7]))[1] == [
        "node 5 (CropFace): widget 1 = 7 has no equivalent"
    ]
    _, lost = migrated(workflow([node(5, "ReActorFaceSwap", [True])]))
    assert lost == [
        "node 5 (ReActorFaceSwap): swaps faces, which our nodes do not do, and is left as it is",
    ]


def test_crops():
    ui, lost = migrated(CASES["crop"])
    assert lost == []
    assert found(ui, "CodeFormerDetectFaces") == {"id": 11, "image": ["1", 0], "detector": ["10", 0]}
    assert found(ui, "CodeFormerCropFaces") == {"id": 5, "image": ["1", 0], "faces": ["11", 0], "size": 512}


def test_half_visible_is_half_the_strength():
    ui, lost = migrated(CASES["half visible"])
    assert lost == []
    restore = found(ui, "CodeFormerRestoreFaces")
    assert (restore["id"], restore["image"]) == (5, ["1", 0])
    assert (restore["fidelity"], restore["strength"], restore["enabled"]) == (1, 0.5, True)
    blend = found(migrated(CASES["filter, half visible"])[0], "ImageBlend")  # pasted crops have no strength
    assert (blend["id"], blend["image1"], blend["blend_factor"]) == (5, ["1", 0], 0.5)


def test_a_node_that_did_nothing_is_left_out():
    ui, lost = migrated(CASES["no model"])
    assert [item["type"] for item in ui["nodes"]] == ["LoadImage", "SaveImage"]
    assert ui["links"] == [[12, 1, 0, 9, 0, "IMAGE"]]
    assert len(lost) == 1
    assert lost[0].startswith("node 5 (ReActorRestoreFace): model is none")
    ui, _ = migrated(CASES["no image to pass on"])
    assert ui["links"] == []
    muted, _ = migrated(one("ReActorRestoreFace", ["YOLOv5l", "none", 1, 0.5], mode=2))
    assert [item["mode"] for item in muted["nodes"] if item["type"] == "CodeFormerRestoreFaces"] == [2]


def test_chosen_faces():
    for faces in ("all", "largest"):
        ui, lost = migrated(CASES[faces])
        assert lost == []
        assert found(ui, "CodeFormerRestoreFaces")["faces"] == faces
    ui, lost = migrated(CASES["filter"])
    assert lost == []
    detect, select = found(ui, "CodeFormerDetectFaces"), found(ui, "CodeFormerSelectFaces")
    crop, restore, paste = (found(ui, f"CodeFormer{n}") for n in ("CropFaces", "RestoreAligned", "PasteFaces"))
    chosen = {key: select[key] for key in ("order", "reverse", "first", "count")}
    assert chosen == {"order": "left_to_right", "reverse": True, "first": 1, "count": 2}
    assert select["faces"] == [str(detect["id"]), 0]
    assert crop["faces"] == paste["faces"] == [str(select["id"]), 0]
    assert restore["crops"] == [str(crop["id"]), 0]
    assert restore["fidelity"] == 0.3
    assert paste["crops"] == [str(restore["id"]), 0]
    assert paste["image"] == crop["image"] == detect["image"] == ["1", 0]
    assert detect["detector"] == paste["detector"]
    assert paste["id"] == 5
    ui, lost = migrated(CASES["filter, half visible"])
    assert found(ui, "CodeFormerSelectFaces")["reverse"]
    assert found(ui, "ImageBlend")["image2"] == [str(found(ui, "CodeFormerPasteFaces")["id"]), 0]
    assert len(lost) == 1
    assert "sort_by 'area' is taken as the least first" in lost[0]
    _, lost = migrated(one("ReActorRestoreFaceAdvanced", [*ADVANCED, "all", "detection_confidence", True, 3, 1]))
    assert [line.partition(": ")[2] for line in lost] == [
        "sort_by = 'detection_confidence' has no equivalent",
        "reverse_order = True has no equivalent",
        "take_start = 3 has no equivalent",
    ]


def test_linked_widgets_keep_their_links():
    ui, _ = migrated(CASES["linked fidelity"])
    restore = next(item for item in ui["nodes"] if item["id"] == 5)
    assert restore["inputs"][-1] == {"name": "fidelity", "type": "FLOAT", "widget": {"name": "fidelity"}, "link": 13}
    assert [13, 3, 0, 5, 4, "FLOAT"] in ui["links"]
    ui, lost = migrated(CASES["linked visibility"])
    assert lost == []
    assert found(ui, "CodeFormerRestoreFaces")["strength"] == ["3", 0]
    ui, lost = migrated(CASES["linked model"])
    assert found(ui, "CodeFormerLoadModel")["model_name"] == ["3", 0]
    assert "see to it" in lost[0]
    ui, lost = migrated(CASES["linked detector"])
    assert len(ui["links"]) == 5  # of 3 one is gone, 3 are new
    assert "the link to facedetection has no equivalent" in lost[0]


def test_the_same_file_is_loaded_once():
    ui, _ = migrated(CASES["chain"])
    types = [item["type"] for item in ui["nodes"]]
    assert types.count("CodeFormerLoadModel") == types.count("CodeFormerLoadDetector") == 1
    restores = [item for item in ui["nodes"] if item["type"] == "CodeFormerRestoreFaces"]
    assert [(item["id"], item["widgets_values"][-2]) for item in restores] == [(3, 0.9), (4, 1.0)]
    assert found(ui, "CodeFormerCropFaces")["image"] == ["4", 0]  # past the one that did nothing
    again, lost = migrated(ui)
    assert (again, lost) == (ui, [])
    two = workflow([node(1, "ReActorRestoreFace", REACTOR, mode=4), node(2, "ReActorRestoreFace", REACTOR)])
    assert [(item["type"], item["mode"]) for item in migrated(two)[0]["nodes"]] == [
        ("CodeFormerRestoreFaces", 4),
        ("CodeFormerRestoreFaces", 0),
        ("CodeFormerLoadModel", 0),
    ]


@pytest.mark.parametrize("mode", [2, 4])
def test_what_was_off_stays_off(mode):
    for values in (
        [*ADVANCED, "filter", "area", True, 0, 1],
        [ADVANCED[0], OFFICIAL, 0.5, 0.3, "all", "area", False, 0, 1],
    ):
        ui, _ = migrated(one("ReActorRestoreFaceAdvanced", values, mode=mode))
        off = {item["type"] for item in ui["nodes"] if item["mode"] == mode}
        assert off == {item["type"] for item in ui["nodes"]} - {
            "LoadImage", "SaveImage", "CodeFormerLoadModel", "CodeFormerLoadDetector"
        }  # fmt: skip


def test_models_that_pass_through_other_nodes():
    nodes = [
        node(1, "FaceRestoreModelLoader", [OFFICIAL]),
        node(2, "Reroute", []),
        node(3, "Foreign", []),
        node(4, "FaceRestoreCFWithModel", ["retinaface_mobile0.25", 0.5]),
    ]
    nodes[1]["outputs"][0]["type"] = "FACERESTORE_MODEL"
    ui, lost = migrated(workflow(nodes, "1.0 > 2.", "2.0 > 4.facerestore_model", "1.0 > 3.any"))
    assert [link[5] for link in ui["links"]] == ["CODEFORMER_MODEL"] * 3
    assert lost == ["node 3 (Foreign): takes the model of node 1, which is one for our nodes now"]


def with_subgraph() -> dict[str, Any]:
    """A loader and a picture outside; ReActor and facerestore_cf inside, some widgets shown outside."""
    sockets = [("model", "FACERESTORE_MODEL"), ("image", "IMAGE"), ("fidelity", "FLOAT"), ("detector", "COMBO")]
    inner = {
        "id": "0f0f-uuid",
        "name": "Faces",
        "state": {"lastNodeId": 22, "lastLinkId": 16, "lastGroupId": 0, "lastRerouteId": 0},
        "inputNode": {"id": -10},
        "outputNode": {"id": -20},
        "inputs": [{"name": name, "type": type, "linkIds": []} for name, type in sockets],
        "outputs": [{"name": "IMAGE", "type": "IMAGE", "linkIds": []}],
        "nodes": [
            node(21, "FaceRestoreCFWithModel", ["YOLOv5l", 0.5]),
            node(22, "ReActorRestoreFace", ["retinaface_resnet50", OFFICIAL, 0.5, 0.25]),
        ],
        "links": [],
        "reroutes": [{"id": 1, "linkIds": [14]}],
    }
    join(inner, "-10.0 > 21.facerestore_model", "-10.1 > 21.image", "-10.2 > 21.codeformer_fidelity",
         "-10.3 > 21.facedetection", "21.0 > 22.image", "22.0 > -20.0")  # fmt: skip
    instance = node(5, "0f0f-uuid", [])
    instance["inputs"] = [{"name": name, "type": type, "link": None} for name, type in sockets]
    instance["outputs"] = [{"name": "IMAGE", "type": "IMAGE", "links": None}]
    instance["properties"] = {
        "proxyWidgets": [["21", "facedetection"], ["22", "codeformer_weight"], ["22", "model"], ["22", "visibility"]]
    }
    nodes = [node(1, *LOAD), node(2, "FaceRestoreModelLoader", [OFFICIAL]), instance, node(9, *SAVE)]
    outer = workflow(nodes, "1.0 > 5.image", "2.0 > 5.model", "5.0 > 9.images")
    return {**outer, "definitions": {"subgraphs": [inner]}}


def test_subgraphs():
    ui, lost = migrated(with_subgraph())
    (inner,) = ui["definitions"]["subgraphs"]
    nodes = {item["type"]: item for item in inner["nodes"]}
    detectors = [item["id"] for item in inner["nodes"] if item["type"] == "CodeFormerLoadDetector"]
    restores = [item["id"] for item in inner["nodes"] if item["type"] == "CodeFormerRestoreFaces"]
    assert len(detectors) == 1
    assert restores == [21, 22]
    instance = next(item for item in ui["nodes"] if item["id"] == 5)
    assert [slot["type"] for slot in instance["inputs"]] == ["CODEFORMER_MODEL", "IMAGE", "FLOAT", "COMBO"]
    assert [slot["linkIds"] for slot in inner["inputs"]] == [[11], [12], [13], []]
    assert inner["outputs"][0]["linkIds"] == [16]
    assert inner["reroutes"][0]["linkIds"] == []
    assert instance["properties"]["proxyWidgets"] == [
        ["21", "facedetection"],
        ["22", "fidelity"],
        [str(nodes["CodeFormerLoadModel"]["id"]), "model_name"],
        ["22", "strength"],
    ]
    assert lost == [
        "subgraph 'Faces', node 21 (FaceRestoreCFWithModel): the link to facedetection has no equivalent and is left "
        "out; facedetection counts as 'retinaface_resnet50'",
        "subgraph 'Faces', node 21 (FaceRestoreCFWithModel): 'facedetection', which is shown elsewhere too, has no "
        "equivalent",
    ]


SWAPS = ["no", "no", "0", "0", 1]
SWAP = [True, "inswapper_128.onnx", "retinaface_resnet50", OFFICIAL, 0.6, 0.8]


def swapped(values: list, *wires: str, type: str = "ReActorFaceSwap", **more) -> dict[str, Any]:
    """Two pictures, the face of the second put into the first, saved twice."""
    nodes = [node(1, *LOAD), node(2, *LOAD), node(5, type, values, **more), node(8, *SAVE), node(9, *SAVE)]
    if any(wire.startswith("3.") for wire in wires):
        nodes.append(node(3, "PrimitiveNode", [0.7, "fixed"]))
    ends = ("1.0 > 5.input_image", "2.0 > 5.source_image", "5.0 > 8.images", "5.0 > 9.images")
    return workflow(nodes, *ends, *wires)


@pytest.mark.parametrize("type", ["ReActorFaceSwap", "ReActorFaceSwapOpt"])
@pytest.mark.parametrize("mode", [0, 4])
def test_a_face_swap_with_a_restoration_inside_becomes_two_nodes(type, mode):
    values = SWAP + (SWAPS if type == "ReActorFaceSwap" else [])
    data = swapped(values, type=type, mode=mode)
    ui, lost = migrated(data)
    swap, restore = found(ui, type), found(ui, "CodeFormerRestoreFaces")
    assert swap == {**as_api(data)["5"]["inputs"], "id": 5, "face_restore_model": "none"}
    assert restore["image"] == ["5", 0]
    assert (restore["fidelity"], restore["strength"], restore["enabled"]) == (0.8, 0.6, True)
    assert restore["detector"] == [str(found(ui, "CodeFormerLoadDetector")["id"]), 0]
    assert found(ui, "CodeFormerLoadModel")["model_name"] == OFFICIAL
    assert [as_api(ui)[id]["inputs"]["images"] for id in "89"] == [[str(restore["id"]), 0]] * 2
    assert {item["id"]: item["mode"] for item in ui["nodes"]}[restore["id"]] == mode
    assert lost == [
        f"node 5 ({type}): swaps faces as before, now without restoration; our node behind it restores them"
    ]
    api, _ = migrated(as_api(data))
    assert api == as_api(ui)
    again, lost = migrated(ui)
    assert again == ui
    assert lost == [f"node 5 ({type}): swaps faces, which our nodes do not do, and is left as it is"]


def test_links_of_a_face_swap_lead_to_both_nodes():
    data = swapped([*SWAP, *SWAPS], "3.0 > 5.codeformer_weight", "3.0 > 5.face_restore_visibility", "1.1 > 5.enabled")
    ui, _ = migrated(data)
    restore = found(ui, "CodeFormerRestoreFaces")
    assert [restore[name] for name in ("fidelity", "strength", "enabled")] == [["3", 0], ["3", 0], ["1", 1]]
    assert found(ui, "ReActorFaceSwap")["codeformer_weight"] == ["3", 0]
    assert migrated(as_api(data))[0] == as_api(ui)


def test_a_face_swap_of_an_older_version_has_no_switch():
    ui, _ = migrated(swapped([*SWAP[1:], *SWAPS]))
    swap = next(item for item in ui["nodes"] if item["type"] == "ReActorFaceSwap")
    assert swap["widgets_values"] == [*SWAP[1:3], "none", 0.6, 0.8, *SWAPS]
    restore = found(ui, "CodeFormerRestoreFaces")
    assert (restore["fidelity"], restore["strength"], restore["enabled"]) == (0.8, 0.6, True)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([*SWAP[:3], "none", *SWAP[4:], *SWAPS], "swaps faces, which our nodes do not do, and is left"),
        ([*SWAP[:3], "GFPGANv1.4.pth", *SWAP[4:], *SWAPS], "restores with 'GFPGANv1.4.pth', which is no CodeFormer"),
        ([*SWAP[:3], 7, *SWAP[4:], *SWAPS], "its face_restore_model cannot be made out: it is left as it is"),
        ([*SWAP[:4], "x", 1.0, *SWAPS], "its face_restore_model cannot be made out: it is left as it is"),
    ],
)
def test_other_face_swaps_stay(values, said):
    data = swapped(values)
    ui, lost = migrated(data)
    assert ui == data
    assert said in lost[0]


def test_a_subgraph_of_a_face_swap_shows_the_widgets_that_work():
    data = with_subgraph()
    (inner,) = data["definitions"]["subgraphs"]
    inner["nodes"][1] = node(22, "ReActorFaceSwap", [*SWAP, *SWAPS])
    inner["links"][4]["target_slot"] = 0
    inner["nodes"][1]["inputs"][0]["link"] = 15
    inner["nodes"][1]["outputs"][0]["links"] = [16]
    names = ("swap_model", "face_restore_visibility", "codeformer_weight")
    data["nodes"][2]["properties"]["proxyWidgets"] = [["22", name] for name in names]
    ui, lost = migrated(data)
    shown = next(item for item in ui["nodes"] if item["id"] == 5)["properties"]["proxyWidgets"]
    heir = shown[1][0]
    assert shown == [["22", "swap_model"], [heir, "strength"], [heir, "fidelity"]]
    assert heir != "22"
    assert not any("shown elsewhere" in line for line in lost if "swap_model" in line)


def test_gfpgan_stays_unless_told():
    data = CASES["other network"]
    ui, lost = migrated(data)
    assert ui == data
    rest = "restores with 'GFPGANv1.4.pth', which is no CodeFormer, and is left as it is; --replace-gfpgan uses the "
    for (id, type), line in zip(((4, "FaceRestoreCFWithModel"), (2, "FaceRestoreModelLoader")), lost, strict=True):
        assert line == f"node {id} ({type}): {rest}bundled CodeFormer instead"
    ui, lost = migrated(data, replace_gfpgan=True)
    assert lost == [
        "node 2 (FaceRestoreModelLoader): model_name 'GFPGANv1.4.pth' is no CodeFormer checkpoint; "
        "the bundled model is used"
    ]
    assert found(ui, "CodeFormerLoadModel")["model_name"] == "bundled: mini"
    data = one("ReActorRestoreFace", ["retinaface_resnet50", "GPEN-BFR-512.onnx", 1, 0.5])
    assert migrated(data)[0] == data


def test_gfpgan_stays_where_its_loader_is_outside_or_behind_a_reroute():
    data = with_subgraph()
    data["nodes"][1]["widgets_values"] = ["GFPGANv1.4.pth"]
    ui, _ = migrated(data)
    assert ui["nodes"][1] == data["nodes"][1]
    assert ui["definitions"]["subgraphs"][0]["inputs"][0] == data["definitions"]["subgraphs"][0]["inputs"][0]
    kept = [item["type"] for item in ui["definitions"]["subgraphs"][0]["nodes"]]
    assert kept[:2] == ["FaceRestoreCFWithModel", "CodeFormerRestoreFaces"]
    for model, type in (("GFPGANv1.3.pth", "FaceRestoreCFWithModel"), (OFFICIAL, "CodeFormerRestoreFaces")):
        nodes = [
            node(1, "FaceRestoreModelLoader", [model]),
            node(2, "Reroute", []),
            node(4, "FaceRestoreCFWithModel", ["retinaface_mobile0.25", 0.5]),
            node(5, "FaceRestoreModelLoader", [OFFICIAL]),
        ]
        nodes[1]["outputs"][0]["type"] = "FACERESTORE_MODEL"
        ui, _ = migrated(workflow(nodes, "1.0 > 2.", "2.0 > 4.facerestore_model"))
        assert {item["id"]: item["type"] for item in ui["nodes"]}[4] == type


def test_the_nearest_detector():
    for name, wanted in (("YOLOv5l", RESNET), ("YOLOv5n", None)):
        ui, lost = migrated(restored_with_facerestore_cf(name))
        loaders = [item for item in ui["nodes"] if item["type"] == "CodeFormerLoadDetector"]
        assert [item["widgets_values"][0] for item in loaders] == ([wanted] if wanted else [])
        assert name in lost[0]


def test_a_fidelity_by_its_short_name_and_a_lone_value():
    prompt = as_api(CASES["facerestore_cf"])
    inputs = prompt["4"]["inputs"]
    inputs["fidelity"] = inputs.pop("codeformer_fidelity")
    del inputs["facedetection"]
    api, lost = migrated(prompt)
    assert lost == []
    assert api["4"]["inputs"]["fidelity"] == 0.7
    ui, lost = migrated(one("FaceRestoreCFWithModel", [0.35]))
    assert lost == []
    assert found(ui, "CodeFormerRestoreFaces")["fidelity"] == 0.35


@pytest.mark.parametrize(
    ("type", "said"),
    [
        ("FaceDetailer", "draws faces anew by diffusion"),
        ("FaceDetailerPipe", "draws faces anew by diffusion"),
        ("RoopFaceSwap", "swaps faces, which our nodes do not do"),
        ("Roop", "swaps faces"),
        ("FaceSwapNode", "swaps faces"),
        ("FaceRestoreCFMine", "is of a pack that is not known here"),
        ("GFPGANRestorer", "is of a pack that is not known here"),
        ("ReActorLoadFaceModel", "has no equivalent and is left as it is"),
        ("LoadImage", ""),
        ("CodeFormerDegrade", ""),
        ("Troop Counter", ""),
    ],
)
def test_what_is_left_is_listed_by_name(type, said):
    _, lost = migrated(workflow([node(1, type, [])]))
    assert len(lost) == bool(said)
    assert not said or lost[0].startswith(f"node 1 ({type}): {said}")


def test_group_nodes_are_named():
    data = workflow([node(1, *LOAD)])
    data["extra"]["groupNodes"] = {"Faces": {"nodes": [{"type": "CropFace"}, {"type": "SaveImage"}]}}
    after, lost = migrated(data)
    assert after == data
    assert lost[0].startswith("group node 'Faces' (CropFace): ")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs migrate-workflow; gives the exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("logging.root.handlers", [])

    def command(*arguments: str) -> tuple[int, str, str]:
        code = main(["migrate-workflow", *arguments])
        return (code, *capsys.readouterr())

    return command


def test_the_command(command):
    Path("old.json").write_text(json.dumps(as_api(CASES["YOLO"])), encoding="utf-8-sig")
    code, out, err = command("old.json", "out/new.json")
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"{Path('out/new.json')}: 2 nodes migrated", *migrated(CASES["YOLO"])[1]]
    text = Path("out/new.json").read_text(encoding="utf-8")
    assert json.loads(text) == migrated(as_api(CASES["YOLO"]))[0]
    assert command("old.json", "out/new.json", "--overwrite", "-q") == (0, "", "")
    assert Path("out/new.json").read_text(encoding="utf-8") == text
    code, out, _ = command("out/new.json", "same.json")
    assert (code, out) == (0, "same.json: nothing to migrate, the workflow is as it was\n")
    assert Path("same.json").read_text(encoding="utf-8") == text


def test_a_fetch_that_the_result_wants_is_announced(command):
    Path("old.json").write_text(json.dumps(CASES["larger detector"]))
    said = "; it wants the detector retinaface_resnet50 (109 MB, MIT), which is fetched if it is not there\n"
    assert command("old.json", "new.json")[1] == f"new.json: 2 nodes migrated{said}"


def test_titles_in_any_script(command):
    data = workflow([node(1, *LOAD, title="Gesichter \u4fee\u590d \ud83c")])  # half of a pair, as a cut emoji leaves
    Path("old.json").write_text(json.dumps(data))
    assert command("old.json", "new.json")[0] == 0
    assert json.loads(Path("new.json").read_text(encoding="utf-8")) == data
    assert "\u4fee" in Path("new.json").read_text(encoding="utf-8")


DAMAGED = {
    "text": "no JSON",
    "deep": "[" * 100_000,
    "bytes": "\udcff",
    "a list": "[1, 2]",
    "an object": '{"a": {"b": 1}}',
    "empty": "{}",
    "a node without a type": '{"nodes": [{"id": 1}]}',
    "a node twice": '{"nodes": [{"id": 1, "type": "A"}, {"id": 1, "type": "A"}]}',
    "half a link": '{"nodes": [], "links": [[1, 2]]}',
    "deep values": '{"nodes": [], "extra": ' + "[" * 5000 + "]" * 5000 + "}",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_is_no_workflow_gets_one_line(command, name):
    Path("old.json").write_bytes(DAMAGED[name].encode("utf-8", "surrogateescape"))
    code, out, err = command("old.json", "new.json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("codeformer: old.json: is ")
    assert not Path("new.json").exists()


def test_nothing_is_replaced_unless_told(command):
    text = json.dumps(CASES["chain"])
    for name in ("old.json", "there.json"):
        Path(name).write_text(text)
    for arguments, complaint in (
        (["old.json", "there.json"], "there.json: is there already; choose another name, or --overwrite"),
        (["old.json", "old.json", "--overwrite"], "old.json: is the input itself"),
        (["missing.json", "new.json"], "missing.json: No such file"),
        (["old.json", "there.json/new.json"], "there.json"),
    ):
        code, out, err = command(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), arguments
        assert err.startswith(f"codeformer: {complaint}")
    assert {path.name: path.read_text() for path in Path().iterdir()} == {"old.json": text, "there.json": text}
