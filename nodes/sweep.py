"""The same faces at several fidelity weights, side by side."""

import torch
from comfy_api.v0_0_2 import io

from ..codeformer_core.fidelity.plan import REGIONS, FidelityPlan
from . import widgets
from .run.loaded import LoadedDetector, LoadedModel
from .run.model_files import default_model_stamp
from .run.report import Report

SCALES = [f"scale {size}" for size in (32, 64, 128, 256)]
SWEPT = ["fidelity", *SCALES, *(f"region {name}" for name in REGIONS), "automatic lowest", "automatic highest"]


class CodeFormerFidelitySweep(io.ComfyNode):
    """What w does to the faces of one picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerFidelitySweep",
            display_name="CodeFormer Fidelity Sweep",
            category=widgets.CATEGORY,
            description="Restore one picture at several fidelity weights, or with one part of them changed. "
            "Codes are predicted once.",
            inputs=[
                io.Image.Input("image", tooltip="One picture; of a batch, the first that has a face."),
                widgets.model(),
                widgets.detector(),
                io.String.Input(
                    "weights", default="0, 0.25, 0.5, 0.75, 1", tooltip="Values of w from 0 to 1, with commas between."
                ),
                io.Int.Input(
                    "most_faces", default=4, min=1, max=64, tooltip="How many faces are swept, the largest first."
                ),
                widgets.colour_match(),
                widgets.weights("cft_weights"),
                io.Combo.Input(
                    "swept",
                    options=SWEPT,
                    default="fidelity",
                    optional=True,
                    tooltip="What takes the weights in turn: the fidelity, the factor of a scale of CFT, the fidelity "
                    "of a region, or a limit of the automatic fidelity. All else stays as cft_weights have it.",
                ),
                widgets.fidelity("What is not swept has this, unless cft_weights bring a base.", 0.7, True),
            ],
            outputs=[
                io.Image.Output("pictures", display_name="pictures", tooltip="The whole picture at each w."),
                io.Image.Output(
                    "strip",
                    display_name="strip",
                    tooltip="A row a face: the input, then the face at each w, with labels.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, colour_match: str | None = None, swept: str | None = None) -> bool:
        return widgets.check_lists(colour_match=(colour_match, widgets.COLOUR_MATCHES), swept=(swept, SWEPT))

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> object:
        return default_model_stamp()

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        weights: str,
        most_faces: int,
        colour_match: str,
        model: LoadedModel | None = None,
        detector: LoadedDetector | None = None,
        cft_weights: FidelityPlan | None = None,
        swept: str = "fidelity",
        fidelity: float = 0.7,
    ) -> io.NodeOutput:
        from .run.sweep import sweep

        settings = {"weights": weights, "most_faces": most_faces, "colour_match": colour_match}
        settings |= {"plan": cft_weights, "swept": swept, "fidelity": fidelity}
        report = Report()
        results = sweep(image, model, detector, report, **settings)  # pyright: ignore[reportArgumentType]
        return io.NodeOutput(*results, ui=widgets.shown(report))
