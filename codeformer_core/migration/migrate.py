"""Workflows made with the nodes of facerestore_cf and ReActor, rewritten to use ours."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..whole_files import whole_file
from .left_alone import PASSING, left, line
from .old_inputs import OldInputs, is_other_network
from .workflow_graph import NEVER, NEW, RESNET_DETECTOR, Graph, Node, Wire
from .workflow_json import APIWorkflow, UIWorkflow, read_workflow

MAX_BYTES = 100_000_000  # of a workflow
UNCHANGED = object()  # what a rule returns that has left its node as it was
MODEL_NAMES = ("model_name", "model", "face_restore_model")
# sort_by to our order, and whether that one starts at the other end; ReActor sorts upwards
ORDERS = {
    "area": ("size", True),
    "x_position": ("left_to_right", False),
    "y_position": ("top_to_bottom", False),
    "detection_confidence": ("score", True),
}
WIDGETS = {  # what widgets of theirs are called with us, where they mean the same
    "model_name": "model_name",
    "model": "model_name",
    "codeformer_fidelity": "fidelity",
    "codeformer_weight": "fidelity",
    "visibility": "strength",
    "face_restore_model": "model_name",
    "face_restore_visibility": "strength",
    "take_start": "first",
    "take_count": "count",
}


def migrate_file(source: Path, target: Path, *, overwrite: bool = False, replace_gfpgan: bool = False) -> str:
    """Rewrite a workflow of either format; what was done, and a line for each thing that was not carried over.

    Nodes that restore with other networks (GFPGAN, GPEN, RestoreFormer) stay unless `replace_gfpgan`.
    OSError or ValueError, before anything is written, if `source` is no workflow, or `target` is there already.
    """
    data = _read_json(source)
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target}: is the input itself; give the result another name")
    if target.exists() and not overwrite:
        raise ValueError(f"{target}: is there already; choose another name, or --overwrite")
    try:
        workflow = read_workflow(data)
        done, lost = migrate(workflow, replace_gfpgan=replace_gfpgan)
        written = json.dumps(workflow.write(), indent=2, ensure_ascii=False)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    except RecursionError as error:
        raise ValueError(
            f"{source}: is no workflow, its values are nested too deeply; save it in ComfyUI again"
        ) from error
    with whole_file(target) as unfinished:
        unfinished.write_bytes(written.encode("utf-8", "backslashreplace") + b"\n")  # JSON escapes surrogates so
    counted = "1 node" if done == 1 else f"{done} nodes"
    said = f"{counted} migrated" if done else "nothing to migrate, the workflow is as it was"
    new = [node for graph in workflow.graphs for node in graph.nodes.values() if node.near]
    if any(node.inputs.get("detector_name") == RESNET_DETECTOR for node in new):
        said += "; it wants the detector retinaface_resnet50 (109 MB, MIT), which is fetched if it is not there"
    return "".join(f"{line}\n" for line in (f"{target}: {said}", *lost))


def _read_json(path: Path) -> Any:
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: is a folder or a device, not a file; give a workflow's .json")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes, more than {MAX_BYTES}")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is no JSON file ({error})") from error


def migrate(workflow: UIWorkflow | APIWorkflow, *, replace_gfpgan: bool = False) -> tuple[int, list[str]]:
    """Turn the old nodes of all graphs into ours, in place; how many, and a line for each thing that is lost."""
    lines: list[str] = []
    migrated: list[tuple[Graph, Node]] = []
    kept = {} if replace_gfpgan else _of_other_networks(workflow)
    for graph in workflow.graphs:
        wires = [wire for node in graph.nodes.values() for wire in node.inputs.values() if isinstance(wire, Wire)]
        graph.kept = {(wire.node, wire.slot) for wire in wires if workflow.origin(graph, wire) in kept} | {
            (node.id, 0) for node in graph.nodes.values() if node in kept
        }
    for graph in workflow.graphs:
        found = [node for node in graph.nodes.values() if node.type in RULES]
        for node in sorted(found, key=lambda node: node.type != "FaceRestoreModelLoader"):  # others use loaders again
            if node in kept:
                continue
            old = OldInputs(node)
            if RULES[node.type](graph, node, old) is not UNCHANGED:
                migrated.append((graph, node))
            lines += [line(graph, node, note) for note in old.all_notes()]
    done = {node for _, node in migrated}
    for graph in workflow.graphs:
        lines += left(graph, PASSING | workflow.subgraph_types, done, kept)
    for graph, pair in workflow.promoted():
        for node in [node for of, node in migrated if of is graph and str(node.id) == str(pair[0])]:
            if not _rename_promoted(graph, node, pair) and node.was:
                lines.append(line(graph, node, f"{pair[1]!r}, which is shown elsewhere too, has no equivalent"))
    for name, types in workflow.group_nodes.items():
        if held := [type for type in types if type in RULES]:
            lines.append(
                f"group node {name!r} ({', '.join(held)}): is left as it is; ungroup it, or turn it into a subgraph, "
                "and migrate again"
            )
    return len(migrated), lines


def _load_model(graph: Graph, node: Node, old: OldInputs) -> None:
    graph.turn(node, "CodeFormerLoadModel", model_name=old.model_name("model_name"))


def _restore_cf(graph: Graph, node: Node, old: OldInputs) -> None:
    old.rename("fidelity", "codeformer_fidelity")  # so called in prompts written by hand
    graph.turn(
        node,
        "CodeFormerRestoreFaces",
        image=old.wire("image"),
        model=old.wire("facerestore_model"),
        detector=_detector(graph, node, old),
        fidelity=old.number("codeformer_fidelity", 0, 1),
    )


def _crop(graph: Graph, node: Node, old: OldInputs) -> None:
    image = old.wire("image")
    faces = graph.add(node, "CodeFormerDetectFaces", image=image, detector=_detector(graph, node, old))
    graph.turn(node, "CodeFormerCropFaces", image=image, faces=faces)


def _reactor(graph: Graph, node: Node, old: OldInputs) -> None:
    image = old.wire("image")
    if node.inputs.get("model") == "none" and node.mode != NEVER:
        old.ignore()
        old.notes.append("model is none, so that it did nothing: it is left out, and its image goes on without it")
        graph.drop(node, image)
        return
    model = graph.add_once(node, "CodeFormerLoadModel", model_name=old.model_name("model"))
    detector = _detector(graph, node, old)
    fidelity = old.number("codeformer_weight", 0, 1)
    visibility = old.number("visibility", 0, 1)
    is_advanced = node.type == "ReActorRestoreFaceAdvanced"
    faces = old.value("face_selection", "all", "filter", "largest") if is_advanced else "all"
    if faces != "filter":
        graph.turn(
            node,
            "CodeFormerRestoreFaces",
            **{"image": image, "model": model, "detector": detector, "fidelity": fidelity},
            **{"faces": faces, "strength": visibility},
        )
        return
    is_last = visibility == 1
    put = graph.turn if is_last else graph.add
    found = graph.add(node, "CodeFormerDetectFaces", image=image, detector=detector)
    chosen = graph.add(node, "CodeFormerSelectFaces", faces=found, **_selection(old))
    crops = graph.add(node, "CodeFormerCropFaces", image=image, faces=chosen)
    crops = graph.add(node, "CodeFormerRestoreAligned", crops=crops, model=model, fidelity=fidelity)
    restored = put(node, "CodeFormerPasteFaces", image=image, faces=chosen, crops=crops, detector=detector)
    if not is_last:
        graph.turn(node, "ImageBlend", image1=image, image2=restored, blend_factor=visibility)


def _swap(graph: Graph, node: Node, old: OldInputs) -> object:
    """A face swap with a restoration inside: the swap without it, and our node behind it."""
    name, visibility = old.peek("face_restore_model"), old.peek("face_restore_visibility")
    readable = isinstance(visibility, Wire | int | float) and isinstance(old.peek("enabled"), Wire | bool)
    if not isinstance(name, str) or not readable:
        old.ignore()
        what = "is linked" if isinstance(name, Wire) else "cannot be made out"
        old.notes.append(f"its face_restore_model {what}: it is left as it is")
        return UNCHANGED
    if name == "none":  # nothing to restore
        old.ignore()
        return UNCHANGED
    # New links: those of the swap stay where they are.
    switch = old.peek("enabled")
    inputs = {
        "model": graph.add_once(node, "CodeFormerLoadModel", model_name=old.model_name("face_restore_model")),
        "detector": _detector(graph, node, old),
        "fidelity": _again(old.number("codeformer_weight", 0, 1)),
        "strength": _again(old.number("face_restore_visibility", 0, 1)),
        "enabled": _again(switch),
    }
    graph.follow(node, "CodeFormerRestoreFaces", "image", **inputs)
    graph.edit(node, face_restore_model="none")
    old.ignore()
    old.notes.append("swaps faces as before, now without restoration; our node behind it restores them")
    return None


def _again(value: Any) -> Any:
    """A value; of a wire another to the same output."""
    return Wire(value.node, value.slot) if isinstance(value, Wire) else value


def _selection(old: OldInputs) -> dict[str, Any]:
    """The widgets of CodeFormerSelectFaces."""
    sort_by = old.value("sort_by", *ORDERS)
    order, is_opposite = ORDERS[sort_by]
    if is_opposite:
        reverse = not old.value("reverse_order", False, True)
        first = "least" if reverse else "greatest"
        old.notes.append(f"sort_by {sort_by!r} is taken as the {first} first: see whether the right faces are chosen")
    else:
        reverse = old.switch("reverse_order")
    return {
        "order": order,
        "reverse": reverse,
        "first": old.number("take_start", 0, 999),
        "count": old.number("take_count", 1, 999),
    }


def _detector(graph: Graph, node: Node, old: OldInputs) -> Wire | None:
    """The detector of a node; None is the bundled one."""
    name = old.value("facedetection")
    if name == "YOLOv5l":
        old.notes.append("facedetection 'YOLOv5l' has no equivalent; retinaface_resnet50, the nearest, is used")
    if name in ("retinaface_resnet50", "YOLOv5l"):
        return graph.add_once(node, "CodeFormerLoadDetector", detector_name=RESNET_DETECTOR)
    if name != "retinaface_mobile0.25":
        old.notes.append(f"facedetection {name!r} has no equivalent; the bundled retinaface_mobile0.25 is used")
    return None


def _of_other_networks(workflow: UIWorkflow | APIWorkflow) -> dict[Node, str]:
    """The old nodes that restore with another network than CodeFormer, or load one, and their models' names."""
    pairs = [(graph, node) for graph in workflow.graphs for node in graph.nodes.values() if node.type in RULES]
    others: dict[Node, str] = {}
    for _, node in pairs:
        for name in MODEL_NAMES:
            if is_other_network(node.inputs.get(name)):
                others[node] = node.inputs[name]
    loaders = {node for _, node in pairs if node.type == "FaceRestoreModelLoader"}
    for graph, node in pairs:
        wire = node.inputs.get("facerestore_model")
        origin = workflow.origin(graph, wire) if isinstance(wire, Wire) else None
        if origin in others:
            others[node] = others[origin]
        elif isinstance(wire, Wire) and origin not in loaders and loaders and loaders <= others.keys():
            others[node] = others[next(iter(loaders))]  # on a way that cannot be followed
    return others


def _rename_promoted(graph: Graph, node: Node, promoted: list[Any]) -> bool:
    """Let [node id, widget, ...] name the widget that an old one has become, if there is one."""
    name = WIDGETS.get(str(promoted[1]))
    for heir in graph.nodes.values():
        if (heir is node or heir.near is node) and heir.type in NEW and name in NEW[heir.type].widgets:
            promoted[:2] = type(promoted[0])(heir.id), name
            return True
    return False


RULES: dict[str, Callable[[Graph, Node, OldInputs], object]] = {
    "FaceRestoreModelLoader": _load_model,
    "FaceRestoreCFWithModel": _restore_cf,
    "CropFace": _crop,
    "ReActorRestoreFace": _reactor,
    "ReActorRestoreFaceAdvanced": _reactor,
    "ReActorFaceSwap": _swap,
    "ReActorFaceSwapOpt": _swap,
}
