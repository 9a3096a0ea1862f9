"""Workflows made with the nodes of facerestore_cf and ReActor, rewritten to use ours."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..whole_files import whole_file
from .workflow_graph import BUNDLED_MODEL, NEVER, NEW, OLD, RESNET_DETECTOR, Graph, Node, Wire
from .workflow_json import APIWorkflow, UIWorkflow, read_workflow

MAX_BYTES = 100_000_000  # of a workflow
OTHER_NETWORKS = ("gfpgan", "gpen", "restoreformer")  # in the names of files
PASSING = {"Reroute", "Reroute (rgthree)", "SetNode", "GetNode"}  # these take the type of what they pass on
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
    "visibility": "blend_factor",
    "take_start": "first",
    "take_count": "count",
}


def migrate_file(source: Path, target: Path, *, overwrite: bool = False) -> str:
    """Rewrite a workflow of either format; what was done, and a line for each thing that was not carried over.

    OSError or ValueError, before anything is written, if `source` is no workflow, or `target` is there already.
    """
    data = _read_json(source)
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target}: is the input itself; give the result another name")
    if target.exists() and not overwrite:
        raise ValueError(f"{target}: is there already; choose another name, or --overwrite")
    try:
        workflow = read_workflow(data)
        done, lost = migrate(workflow)
        written = json.dumps(workflow.write(), indent=2, ensure_ascii=False)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
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


def migrate(workflow: UIWorkflow | APIWorkflow) -> tuple[int, list[str]]:
    """Turn the old nodes of all graphs into ours, in place; how many, and a line for each thing that is lost."""
    lines: list[str] = []
    migrated: list[tuple[Graph, Node]] = []
    for graph in workflow.graphs:
        found = [node for node in graph.nodes.values() if node.type in RULES]
        for node in sorted(found, key=lambda node: node.type != "FaceRestoreModelLoader"):  # others use loaders again
            old = _OldInputs(node)
            RULES[node.type](graph, node, old)
            migrated.append((graph, node))
            lines += [_line(graph, node, note) for note in old.all_notes()]
        lines += _left(graph, PASSING | workflow.subgraph_types)
    for graph, pair in workflow.promoted():
        for node in [node for of, node in migrated if of is graph and str(node.id) == str(pair[0])]:
            if not _rename_promoted(graph, node, pair):
                lines.append(_line(graph, node, f"{pair[1]!r}, which is shown elsewhere too, has no equivalent"))
    for name, types in workflow.group_nodes.items():
        if held := [type for type in types if type in RULES]:
            lines.append(
                f"group node {name!r} ({', '.join(held)}): is left as it is; ungroup it, or turn it into a subgraph, "
                "and migrate again"
            )
    return len(migrated), lines


class _OldInputs:
    """The inputs of an old node, to be taken one by one, and notes on those that do not fit."""

    def __init__(self, node: Node):
        self._defaults, self._left, self.notes = OLD[node.type].widgets, dict(node.inputs), []

    def wire(self, name: str) -> Wire | None:
        """What a socket is linked to."""
        return self._left.pop(name) if isinstance(self._left.get(name), Wire) else None

    def value(self, name: str, *choices: Any) -> Any:
        """The value of a widget; the default where it is linked, or none of the choices if some are given."""
        default = self._defaults.get(name)
        found = self._left.pop(name, default)
        if isinstance(found, Wire):
            self.notes.append(f"the link to {name} has no equivalent and is left out; {name} counts as {default!r}")
        elif choices and found not in choices:
            self.notes.append(f"{name} {found!r} is unknown and counts as {default!r}")
        return default if isinstance(found, Wire) or (choices and found not in choices) else found

    def number(self, name: str, least: float, most: float) -> Any:
        """The value of a widget, or its link."""
        found = self._left.pop(name, self._defaults[name])
        if isinstance(found, Wire) or (isinstance(found, int | float) and least <= found <= most):
            return found
        self.notes.append(f"{name} {found!r} is not between {least} and {most} and counts as {self._defaults[name]!r}")
        return self._defaults[name]

    def switch(self, name: str) -> Any:
        """The value of a widget that is on or off, or its link."""
        return self.wire(name) or self.value(name, False, True)

    def model_name(self, name: str) -> Any:
        """The name of a file for CodeFormerLoadModel, or its link."""
        found = self._left.pop(name, None)
        if isinstance(found, Wire):
            self.notes.append(f"{name} is linked: see to it that it names a CodeFormer checkpoint")
            return found
        known = str(found).lower()
        if not isinstance(found, str) or known.endswith(".onnx") or any(other in known for other in OTHER_NETWORKS):
            self.notes.append(f"{name} {found!r} is no CodeFormer checkpoint; the bundled model is used")
            return BUNDLED_MODEL
        if "codeformer" not in known:
            self.notes.append(f"{name} {found!r} is kept: see to it that it is a CodeFormer checkpoint")
        return found

    def all_notes(self) -> Iterator[str]:
        """The notes, and one on each input that has not been taken."""
        yield from self.notes
        for name, found in self._left.items():
            if isinstance(found, Wire):
                yield f"the link to {name} has no equivalent and is left out"
            elif found != self._defaults.get(name):
                yield f"{name} = {found!r} has no equivalent"

    def ignore(self) -> None:
        """Take all that is left."""
        self._left.clear()


def _load_model(graph: Graph, node: Node, old: _OldInputs) -> None:
    graph.turn(node, "CodeFormerLoadModel", model_name=old.model_name("model_name"))


def _restore_cf(graph: Graph, node: Node, old: _OldInputs) -> None:
    graph.turn(
        node,
        "CodeFormerRestoreFaces",
        image=old.wire("image"),
        model=old.wire("facerestore_model"),
        detector=_detector(graph, node, old),
        fidelity=old.number("codeformer_fidelity", 0, 1),
    )


def _crop(graph: Graph, node: Node, old: _OldInputs) -> None:
    image = old.wire("image")
    faces = graph.add(node, "CodeFormerDetectFaces", image=image, detector=_detector(graph, node, old))
    graph.turn(node, "CodeFormerCropFaces", image=image, faces=faces)


def _reactor(graph: Graph, node: Node, old: _OldInputs) -> None:
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
    is_last = visibility == 1
    put = graph.turn if is_last else graph.add
    if faces == "filter":
        found = graph.add(node, "CodeFormerDetectFaces", image=image, detector=detector)
        chosen = graph.add(node, "CodeFormerSelectFaces", faces=found, **_selection(old))
        crops = graph.add(node, "CodeFormerCropFaces", image=image, faces=chosen)
        crops = graph.add(node, "CodeFormerRestoreAligned", crops=crops, model=model, fidelity=fidelity)
        restored = put(node, "CodeFormerPasteFaces", image=image, faces=chosen, crops=crops, detector=detector)
    else:
        restored = put(
            node, "CodeFormerRestoreFaces", image=image, model=model, detector=detector, fidelity=fidelity, faces=faces
        )
    if not is_last:
        graph.turn(node, "ImageBlend", image1=image, image2=restored, blend_factor=visibility)


def _selection(old: _OldInputs) -> dict[str, Any]:
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


def _detector(graph: Graph, node: Node, old: _OldInputs) -> Wire | None:
    """The detector of a node; None is the bundled one."""
    name = old.value("facedetection")
    if name == "retinaface_resnet50":
        return graph.add_once(node, "CodeFormerLoadDetector", detector_name=RESNET_DETECTOR)
    if name != "retinaface_mobile0.25":
        old.notes.append(f"facedetection {name!r} has no equivalent; the bundled retinaface_mobile0.25 is used")
    return None


def _left(graph: Graph, passing: set[str]) -> Iterator[str]:
    """What stays, of nodes that are not ours to migrate, and may not work as before."""
    loaders = {node.id for node in graph.nodes.values() if node.was == "FaceRestoreModelLoader"}
    for node in graph.nodes.values():
        if node.was or node.near or not node.type:
            continue
        if node.type.startswith("ReActor"):
            yield _line(graph, node, "has no equivalent and is left as it is")
        sources = {wire.node for wire in node.inputs.values() if isinstance(wire, Wire)}
        for loader in sorted(sources & loaders, key=str) if node.type not in passing else ():
            yield _line(graph, node, f"takes the model of node {loader}, which is one for our nodes now")


def _rename_promoted(graph: Graph, node: Node, promoted: list[Any]) -> bool:
    """Let [node id, widget, ...] name the widget that an old one has become, if there is one."""
    name = WIDGETS.get(str(promoted[1]))
    for heir in graph.nodes.values():
        if (heir is node or heir.near is node) and name in NEW[heir.type].widgets:
            promoted[:2] = type(promoted[0])(heir.id), name
            return True
    return False


def _line(graph: Graph, node: Node, text: str) -> str:
    where = f"subgraph {graph.name!r}, " if graph.name else ""
    return f"{where}node {node.id} ({node.was or node.type}): {text}"


RULES: dict[str, Callable[[Graph, Node, _OldInputs], None]] = {
    "FaceRestoreModelLoader": _load_model,
    "FaceRestoreCFWithModel": _restore_cf,
    "CropFace": _crop,
    "ReActorRestoreFace": _reactor,
    "ReActorRestoreFaceAdvanced": _reactor,
}
