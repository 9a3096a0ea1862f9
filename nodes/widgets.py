"""Inputs and outputs that several nodes share, checks of their values, and what is shown on a node."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from comfy_api.v0_0_2 import io, ui

from .run.pictures import PREVIEWS
from .run.report import Report
from .types import Detector, Model, Weights

CATEGORY = "image/face restoration"
LARGE_FACES = ["keep_detail", "replace", "skip"]
WHICH = ["all", "largest", "centre"]
COLOUR_MATCHES = ["auto", "none", "lab", "wavelet"]


def fidelity(
    tooltip: str = "The paper's w. 0: the cleanest face, whose likeness may drift. 1: closest to the input, its faults "
    "included. 0.5 to 0.8 suits most pictures, 0 to 0.3 very bad ones.",
    default: float = 0.7,
    optional: bool = False,
) -> io.Float.Input:
    """The paper's w."""
    return io.Float.Input("fidelity", default=default, min=0.0, max=1.0, step=0.05, optional=optional, tooltip=tooltip)


def fraction(name: str, default: float, tooltip: str) -> io.Float.Input:
    """A weight or a factor, 0 to 1."""
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.05, tooltip=tooltip)


def region(name: str, default: float, tooltip: str) -> io.Float.Input:
    """The weight of a region, or, below 0, none of its own."""
    return io.Float.Input(name, default=default, min=-1.0, max=1.0, step=0.05, tooltip=tooltip)


def weights_to_build_on() -> io.Input:
    """What a node of weights begins with."""
    return Weights.Input(
        "weights",
        optional=True,
        tooltip="Weights to build on: what this node sets stands in place of theirs, the rest of them stays.",
    )


def weights(name: str = "weights", lazy: bool = False) -> io.Input:
    """The weights of a node that restores."""
    return Weights.Input(
        name,
        optional=True,
        lazy=lazy,
        tooltip="From CodeFormer CFT Weights and its like: by scale, region, place, face, frame, or automatic. Their "
        "base, where they have one, stands in place of fidelity.",
    )


def weighted() -> io.Output:
    """What a node of weights gives."""
    return Weights.Output(
        "weighted",
        display_name="weights",
        tooltip="For Restore Faces, Restore Aligned Faces, Fidelity Sweep, or the next node of weights.",
    )


def colour_match() -> io.Combo.Input:
    """How restored faces get the input's colours."""
    return io.Combo.Input(
        "colour_match",
        options=COLOUR_MATCHES,
        default="auto",
        tooltip="Give restored faces the input's colours. auto: as the model wants it, wavelet for the bundled one, "
        "none for others. lab: mean and spread of each Lab channel. wavelet: all that is coarse.",
    )


def which_faces(
    tooltip: str = "Of each picture: all faces, the largest, or the one nearest to the centre.",
) -> io.Combo.Input:
    """Which of the found faces are restored."""
    return io.Combo.Input("faces", display_name="which faces", options=WHICH, default="all", tooltip=tooltip)


def mask_softness() -> io.Float.Input:
    """The feather of pasted faces."""
    return io.Float.Input(
        "mask_softness",
        default=0.05,
        min=0.0,
        max=0.25,
        step=0.01,
        tooltip="Width of the soft edge around each pasted face, as a fraction of the face's side.",
    )


def large_faces() -> io.Combo.Input:
    """What is done with faces larger than their crops."""
    return io.Combo.Input(
        "large_faces",
        options=LARGE_FACES,
        default="keep_detail",
        tooltip="Faces with more pixels in the picture than in their crop. keep_detail: what is finer than the crop "
        "stays the picture's own. replace: the crop alone, softer. skip: they are left as they are.",
    )


def model(lazy: bool = False) -> io.Input:
    """The network, which is optional everywhere."""
    return Model.Input(
        "model",
        optional=True,
        lazy=lazy,
        tooltip="From CodeFormer Load Model. Not connected: the official codeformer.pth if models/facerestore_models "
        "has it, or else the bundled model.",
    )


def mask_part(name: str, default: bool, tooltip: str) -> io.Boolean.Input:
    """Whether masks of a parsing net take a part of the head in."""
    return io.Boolean.Input(name, default=default, optional=True, tooltip=tooltip)


def detector(
    tooltip: str = "From CodeFormer Load Detector. Not connected: the bundled RetinaFace.", lazy: bool = False
) -> io.Input:
    """The detector, which is optional everywhere."""
    return Detector.Input("detector", optional=True, lazy=lazy, tooltip=tooltip)


def report() -> io.String.Output:
    """What the node has to say, as it is shown on it."""
    return io.String.Output(
        "report", display_name="report", tooltip="What was done, what was left and why, as it is shown on the node."
    )


def shown(said: Report, node: type[io.ComfyNode] | None = None, images: torch.Tensor | None = None) -> dict[str, Any]:
    """A node's `ui`: what was said, which is also shown on the node, and the first of its pictures, if it has some."""
    text: dict[str, Any] = {"text": (said.show(),)}
    if images is None:
        return text
    if not len(images):  # which ComfyUI cannot save; the keys are the same, so that it can join lists of results
        return text | {"images": [], "animated": (False,)}
    return text | ui.PreviewImage(images[:PREVIEWS, ..., :3], cls=node).as_dict()


def shown_weights(said: Report, node: type[io.ComfyNode], weighed: Sequence[np.ndarray]) -> dict[str, Any]:
    """The same with the weights in force drawn over the first pictures; without weights there are none."""
    return shown(said, node, torch.from_numpy(np.stack(weighed))) if weighed else shown(said)


def check_lists(**chosen: tuple[str | None, Sequence[str]]) -> bool:
    """True, or ValueError for the first value that its list lacks; old versions of ComfyUI do not look.

    An exception, since ComfyUI lays a text that is returned on every input that was checked. None comes by a link.
    """
    for name, (value, options) in chosen.items():
        if value is not None and value not in options:
            raise ValueError(f"{name} is {value!r}, which is not there: choose one of {', '.join(options)}")
    return True
