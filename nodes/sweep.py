"""The same faces at several fidelity weights, side by side."""

import torch
from comfy_api.v0_0_2 import io

from . import widgets
from .run.loaded import LoadedDetector, LoadedModel
from .run.model_files import default_model_stamp
from .run.report import Report


class CodeFormerFidelitySweep(io.ComfyNode):
    """What w does to the faces of one picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerFidelitySweep",
            display_name="CodeFormer Fidelity Sweep",
            category=widgets.CATEGORY,
            description="Restore one picture at several fidelity weights, to choose among. Codes are predicted once.",
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
    def validate_inputs(cls, colour_match: str | None = None) -> bool:
        return widgets.check_lists(colour_match=(colour_match, widgets.COLOUR_MATCHES))

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
    ) -> io.NodeOutput:
        from .run.sweep import sweep

        settings = {"weights": weights, "most_faces": most_faces, "colour_match": colour_match}
        report = Report()
        swept = sweep(image, model, detector, report, **settings)  # pyright: ignore[reportArgumentType]
        return io.NodeOutput(*swept, ui=widgets.shown(report))
