"""Looking into the network, and mixing the codes of two faces."""

import torch
from comfy_api.v0_0_2 import io

from . import widgets
from .run.loaded import LoadedModel
from .run.model_files import default_model_stamp
from .run.report import Report


class CodeFormerInspect(io.ComfyNode):
    """What the network sees in aligned faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerInspect",
            display_name="CodeFormer Inspect",
            category=widgets.CATEGORY,
            description="Show what the network sees in aligned faces: its codes and how sure it is of each, the codes "
            "of the nearest neighbours beside the transformer's, and what each scale of CFT changes. With the clean "
            "faces it also shows Code GT and counts the right codes (Figures 6 and 7 of the paper).",
            inputs=[
                io.Image.Input("crops", tooltip="Aligned faces, from CodeFormer Crop Faces."),
                io.Image.Input("clean", optional=True, tooltip="The same faces before they were degraded, if known."),
                widgets.model(),
            ],
            outputs=[
                io.Image.Output("sheet", display_name="sheet", tooltip="One sheet of pictures with labels a face."),
                io.Mask.Output(
                    "confidence",
                    display_name="confidence",
                    tooltip="How sure the network is of each place of each face: the probability of its code.",
                ),
                widgets.report(),
            ],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> object:
        return default_model_stamp()

    @classmethod
    def execute(
        cls, crops: torch.Tensor, clean: torch.Tensor | None = None, model: LoadedModel | None = None
    ) -> io.NodeOutput:
        from .run.inspect import inspect_crops

        report = Report()
        sheet, confidence = inspect_crops(crops, clean, model, report)
        return io.NodeOutput(sheet, confidence, report.text, ui=widgets.shown(report, cls, sheet))


class CodeFormerMixCodes(io.ComfyNode):
    """Faces made of the codes of two."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerMixCodes",
            display_name="CodeFormer Mix Codes",
            category=widgets.CATEGORY,
            description="Make faces of two code maps: where a mask says so, the second face's codes stand in place of "
            "the first's; without a mask, where the network is surer of them.",
            inputs=[
                io.Image.Input("crops", tooltip="Aligned faces, from CodeFormer Crop Faces."),
                io.Image.Input("others", tooltip="As many aligned faces, whose codes are mixed in; or one for all."),
                io.Mask.Input(
                    "others_mask",
                    optional=True,
                    tooltip="Over the aligned faces: where it is more than a half, the codes are the others'.",
                ),
                widgets.model(),
                widgets.fidelity("The paper's w, towards the first faces. 0: what the codes alone give.", 0.0),
            ],
            outputs=[
                io.Image.Output("mixed", display_name="crops", tooltip="The faces, as large as the model makes them."),
                widgets.report(),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> object:
        return default_model_stamp()

    @classmethod
    def execute(
        cls,
        crops: torch.Tensor,
        others: torch.Tensor,
        fidelity: float,
        others_mask: torch.Tensor | None = None,
        model: LoadedModel | None = None,
    ) -> io.NodeOutput:
        from .run.inspect import mix_crops

        report = Report()
        mixed = mix_crops(crops, others, others_mask, model, fidelity, report)
        return io.NodeOutput(mixed, report.text, ui=widgets.shown(report, cls, mixed))
