"""Inputs that several nodes share, and checks of their values."""

from collections.abc import Sequence

from comfy_api.v0_0_2 import io

from .types import Detector, Model

CATEGORY = "image/face restoration"
COLOUR_MATCHES = ["auto", "none", "lab", "wavelet"]


def fidelity() -> io.Float.Input:
    """The paper's w."""
    return io.Float.Input(
        "fidelity",
        default=0.7,
        min=0.0,
        max=1.0,
        step=0.05,
        tooltip="The paper's w. 0: the cleanest face, whose likeness may drift. 1: closest to the input, its faults "
        "included. 0.5 to 0.8 suits most pictures, 0 to 0.3 very bad ones.",
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


def model() -> io.Input:
    """The network, which is optional everywhere."""
    return Model.Input(
        "model",
        optional=True,
        tooltip="From CodeFormer Load Model. Not connected: the official codeformer.pth if models/facerestore_models "
        "has it, or else the bundled model.",
    )


def detector(tooltip: str = "From CodeFormer Load Detector. Not connected: the bundled RetinaFace.") -> io.Input:
    """The detector, which is optional everywhere."""
    return Detector.Input("detector", optional=True, tooltip=tooltip)


def is_one_of(name: str, value: str | None, options: Sequence[str]) -> bool | str:
    """True, or what is wrong with a list's value; old versions of ComfyUI do not look. None: it comes by a link."""
    return value is None or value in options or f"{name} is {value!r}; choose one of {', '.join(options)}"
