"""ComfyUI workflows as graphs that can be edited, and the nodes that a migration reads and writes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class NodeKind:
    """What a node takes and gives, in the order that workflows count it in."""

    sockets: dict[str, str] = field(default_factory=dict)  # name to type
    widgets: dict[str, Any] = field(default_factory=dict)  # name to what a graph that is silent means; None: nothing
    outputs: dict[str, str] = field(default_factory=dict)  # name to type


IMAGE = {"image": "IMAGE"}
FACES = {"faces": "CODEFORMER_FACES"}
CROPS = {"crops": "IMAGE"}
MODEL = {"model": "CODEFORMER_MODEL"}
DETECTOR = {"detector": "CODEFORMER_DETECTOR"}
MASK = {"mask": "MASK"}

BUNDLED_MODEL = "bundled: mini"
BUNDLED_DETECTOR = "bundled: retinaface_mobile0.25"
RESNET_DETECTOR = "download: retinaface_resnet50 (MIT)"
RETYPED = {"FACERESTORE_MODEL": "CODEFORMER_MODEL"}  # sockets of the other packs, and ours

_reactor = {
    "facedetection": "retinaface_resnet50",
    "model": None,
    "visibility": 1.0,
    "codeformer_weight": 0.5,
}
_swap = {
    "enabled": True,
    "swap_model": "inswapper_128.onnx",
    "facedetection": "retinaface_resnet50",
    "face_restore_model": "none",
    "face_restore_visibility": 1.0,
    "codeformer_weight": 0.5,
}
_swapped = {"SWAPPED_IMAGE": "IMAGE", "FACE_MODEL": "FACE_MODEL", "ORIGINAL_IMAGE": "IMAGE"}
OLD = {  # of facerestore_cf and ReActor
    "FaceRestoreModelLoader": NodeKind(
        widgets={"model_name": None}, outputs={"FACERESTORE_MODEL": "FACERESTORE_MODEL"}
    ),
    "FaceRestoreCFWithModel": NodeKind(
        sockets={"facerestore_model": "FACERESTORE_MODEL", **IMAGE},
        widgets={"facedetection": "retinaface_resnet50", "codeformer_fidelity": 0.5},
        outputs={"IMAGE": "IMAGE"},
    ),
    "CropFace": NodeKind(sockets=IMAGE, widgets={"facedetection": "retinaface_resnet50"}, outputs={"IMAGE": "IMAGE"}),
    "ReActorRestoreFace": NodeKind(sockets=IMAGE, widgets=_reactor, outputs={"IMAGE": "IMAGE"}),
    "ReActorRestoreFaceAdvanced": NodeKind(
        sockets=IMAGE,
        widgets={
            **_reactor,
            "face_selection": "all",
            "sort_by": "area",
            "reverse_order": False,
            "take_start": 0,
            "take_count": 1,
        },
        outputs={"IMAGE": "IMAGE"},
    ),
    "ReActorFaceSwap": NodeKind(
        sockets={
            "input_image": "IMAGE",
            "source_image": "IMAGE",
            "face_model": "FACE_MODEL",
            "face_boost": "FACE_BOOST",
        },
        widgets={
            **_swap,
            "detect_gender_input": "no",
            "detect_gender_source": "no",
            "input_faces_index": "0",
            "source_faces_index": "0",
            "console_log_level": 1,
        },
        outputs=_swapped,
    ),
    "ReActorFaceSwapOpt": NodeKind(
        sockets={
            **{"input_image": "IMAGE", "source_image": "IMAGE", "face_model": "FACE_MODEL"},
            **{"options": "OPTIONS", "face_boost": "FACE_BOOST"},
        },
        widgets=_swap,
        outputs=_swapped,
    ),
}
NEW = {  # ours, and ComfyUI's own
    "CodeFormerLoadModel": NodeKind(widgets={"model_name": BUNDLED_MODEL, "accept_license": False}, outputs=MODEL),
    "CodeFormerLoadDetector": NodeKind(
        widgets={
            "detector_name": BUNDLED_DETECTOR,
            "score_threshold": 0.8,
            "short_side": 0,
            "parser_name": "none",
            "accept_license": False,
        },
        outputs=DETECTOR,
    ),
    "CodeFormerRestoreFaces": NodeKind(
        sockets={**IMAGE, **MODEL, **DETECTOR, **MASK},
        widgets={
            "fidelity": 0.5,
            "upscale": 1,
            "faces": "all",
            "colour_match": "auto",
            "mask_softness": 0.05,
            "large_faces": "keep_detail",
            "strength": 1.0,
            "enabled": True,
        },
        outputs={**IMAGE, **MASK, **FACES},
    ),
    "CodeFormerDetectFaces": NodeKind(sockets={**IMAGE, **DETECTOR}, outputs={**FACES, "count": "INT"}),
    "CodeFormerSelectFaces": NodeKind(
        sockets={**FACES, **MASK},
        widgets={
            "order": "size",
            "reverse": False,
            "first": 0,
            "count": 0,
            "indices": "",
            "min_size": 0,
            "max_size": 0,
            "min_score": 0.0,
        },
        outputs=FACES,
    ),
    "CodeFormerCropFaces": NodeKind(sockets={**IMAGE, **FACES}, widgets={"size": 512}, outputs={**CROPS, **FACES}),
    "CodeFormerRestoreAligned": NodeKind(
        sockets={**CROPS, **MODEL}, widgets={"fidelity": 0.5, "colour_match": "auto"}, outputs=CROPS
    ),
    "CodeFormerPasteFaces": NodeKind(
        sockets={**IMAGE, **FACES, **CROPS, "background": "IMAGE", **MASK, **DETECTOR},
        widgets={"mask_softness": 0.05, "large_faces": "keep_detail"},
        outputs={**IMAGE, **MASK},
    ),
    "ImageBlend": NodeKind(
        sockets={"image1": "IMAGE", "image2": "IMAGE"},
        widgets={"blend_factor": 0.5, "blend_mode": "normal"},
        outputs={"IMAGE": "IMAGE"},
    ),
}
KINDS = {**OLD, **NEW}

NodeId = int | str
ALWAYS, NEVER = 0, 2  # modes of a node; 4 is bypassed


@dataclass(frozen=True)
class Wire:
    """An output of a node, as the value of an input. Two are equal if they bring the same."""

    node: NodeId
    slot: int
    link: int | None = field(default=None, compare=False)  # the link's id in the UI format; None: a new one


@dataclass(eq=False)
class Node:
    """A node's type, and its inputs by name: widget values and wires."""

    id: NodeId
    type: str
    inputs: dict[str, Any]
    mode: int = ALWAYS
    was: str = ""  # its type in the file, if it has another one now
    near: "Node | None" = None  # of a new node: the one that it was made for
    edits: dict[str, Any] = field(default_factory=dict)  # of a node that stays: widgets that changed


class Graph:
    """The nodes of a workflow, or of one of its subgraphs."""

    def __init__(self, nodes: dict[NodeId, Node], new_ids: Iterator[NodeId], name: str = ""):
        self.nodes, self.new_ids, self.name = nodes, new_ids, name
        self.kept: set[tuple[NodeId, int]] = set()  # outputs, of old nodes that stay or on the way from them

    def turn(self, node: Node, type: str, **inputs: Any) -> Wire:
        """Give a node another type, and these inputs instead of its own; its first output."""
        node.was, node.type, node.inputs = node.type, type, _in_order(type, inputs)
        return Wire(node.id, 0)

    def add(self, near: Node, type: str, **inputs: Any) -> Wire:
        """Make a node for an old one, in the mode of that one; its first output."""
        made = Node(next(self.new_ids), type, _in_order(type, inputs), near.mode, near=near)
        self.nodes[made.id] = made
        return Wire(made.id, 0)

    def add_once(self, near: Node, type: str, **inputs: Any) -> Wire:
        """The first output of an active node with these inputs, which is made if there is none."""
        wanted = (type, _in_order(type, inputs), ALWAYS)
        for node in self.nodes.values():
            if (node.type, node.inputs, node.mode) == wanted:
                return Wire(node.id, 0)
        made = self.add(near, type, **inputs)
        self.nodes[made.node].mode = ALWAYS  # others may come to use it
        return made

    def follow(self, node: Node, type: str, socket: str, **inputs: Any) -> None:
        """Make a node that takes the first output of another, and gives its own to all that took it before."""
        takers = [
            (other, name, wire)
            for other in self.nodes.values()
            for name, wire in other.inputs.items()
            if isinstance(wire, Wire) and (wire.node, wire.slot) == (node.id, 0)
        ]
        made = self.add(node, type, **{socket: Wire(node.id, 0)}, **inputs)
        for other, name, wire in takers:
            other.inputs[name] = Wire(made.node, made.slot, wire.link)

    def edit(self, node: Node, **widgets: Any) -> None:
        """Change widgets of a node that stays what it is."""
        node.inputs.update(widgets)
        node.edits.update(widgets)

    def drop(self, node: Node, instead: Wire | None) -> None:
        """Leave a node out; what took its output takes `instead`."""
        del self.nodes[node.id]
        for other in self.nodes.values():
            for name, wire in list(other.inputs.items()):
                if isinstance(wire, Wire) and wire.node == node.id:
                    if instead is None:
                        del other.inputs[name]
                    else:
                        other.inputs[name] = Wire(instead.node, instead.slot, wire.link)


def _in_order(type: str, given: dict[str, Any]) -> dict[str, Any]:
    """All inputs of one of our nodes; sockets without a wire are left out."""
    kind = NEW[type]
    values = {**kind.widgets, **{name: value for name, value in given.items() if value is not None}}
    return {name: values[name] for name in (*kind.sockets, *kind.widgets) if name in values}
