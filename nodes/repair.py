"""Nodes for old photographs: holes of faces are filled, grey faces get colours."""

from typing import Any

import torch
from comfy_api.v0_0_2 import io

from . import widgets
from .run.loaded import LoadedDetector, LoadedModel
from .run.model_files import default_model_stamp
from .run.report import Report
from .types import Faces, Model

LUMINANCES = ["kept", "restored"]


class CodeFormerFillFaces(io.ComfyNode):
    """Draws anew what is torn, scratched or painted over of faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerFillFaces",
            display_name="CodeFormer Fill Faces",
            category=widgets.CATEGORY,
            description="Draw faces anew where a mask is painted: tears, scratches, stains. Nothing else changes; what "
            "of the mask lies on no face stays as it is.",
            inputs=[
                io.Image.Input("image", tooltip="Pictures with damaged faces. Alpha is kept."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="What is to be filled, as painted in the mask editor of Load Image or made by any node. "
                    "Not needed with white.",
                ),
                Model.Input(
                    "model",
                    optional=True,
                    tooltip="From CodeFormer Load Model: one for filling, or one for restoration, which does worse. "
                    "Not connected: codeformer_inpainting.pth if models/facerestore_models has it, or else the bundled "
                    "mini-fill.",
                ),
                widgets.detector(),
                widgets.which_faces(),
                io.Float.Input(
                    "threshold",
                    default=0.5,
                    min=0.05,
                    max=1.0,
                    step=0.05,
                    tooltip="From which value on the mask is painted. Lower takes in soft edges.",
                ),
                io.Int.Input(
                    "grow",
                    default=1,
                    min=0,
                    max=100,
                    tooltip="Pixels around the mask over which the filled face fades into the picture; further out "
                    "nothing changes.",
                ),
                io.Boolean.Input(
                    "white",
                    default=False,
                    tooltip="The pictures themselves have pure white strokes, which are filled; with a mask, those in "
                    "it.",
                ),
            ],
            outputs=[
                io.Image.Output("filled", display_name="image", tooltip="The pictures with filled faces."),
                io.Mask.Output("changed", display_name="changed", tooltip="How far each pixel was replaced."),
                Faces.Output("found", display_name="faces", tooltip="The faces that were found."),
                widgets.report(),
            ],
        )

    @classmethod
    def validate_inputs(cls, faces: str | None = None) -> bool:
        return widgets.check_lists(faces=(faces, widgets.WHICH))

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> object:
        return default_model_stamp("filling")

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        mask: torch.Tensor | None = None,
        model: LoadedModel | None = None,
        detector: LoadedDetector | None = None,
        **settings: Any,
    ) -> io.NodeOutput:
        from .run.repair import fill_batch

        report = Report()
        done = fill_batch(image, mask, model, detector, report, **settings)
        return io.NodeOutput(*done, report.text, ui=widgets.shown(report))


class CodeFormerColourFaces(io.ComfyNode):
    """Gives grey, toned or faded faces colours."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerColourFaces",
            display_name="CodeFormer Colour Faces",
            category=widgets.CATEGORY,
            description="Give faces of grey, sepia or faded pictures colours, and leave light and shade as they are. "
            "What is around faces stays grey, or comes from a coloured background.",
            inputs=[
                io.Image.Input("image", tooltip="Grey, toned or faded pictures. Alpha is kept."),
                Model.Input(
                    "model",
                    optional=True,
                    tooltip="From CodeFormer Load Model: one for colouring. Not connected: codeformer_colorization.pth "
                    "if models/facerestore_models has it, or else the bundled mini-colour.",
                ),
                widgets.detector(),
                io.Image.Input(
                    "background",
                    optional=True,
                    tooltip="The same pictures as another node has coloured them: the faces are put into these.",
                ),
                widgets.which_faces(),
                widgets.fraction("strength", 1.0, "Of the new colours: 1 wholly, 0.5 half as strong, 0 none."),
                io.Combo.Input(
                    "luminance",
                    options=LUMINANCES,
                    default="kept",
                    tooltip="Light and shade of coloured faces. kept: the picture's own. restored: those of the "
                    "restored face.",
                ),
            ],
            outputs=[
                io.Image.Output("coloured", display_name="image", tooltip="The pictures with coloured faces."),
                io.Mask.Output("changed", display_name="changed", tooltip="How far each pixel was coloured."),
                Faces.Output("found", display_name="faces", tooltip="The faces that were found."),
                widgets.report(),
            ],
        )

    @classmethod
    def validate_inputs(cls, faces: str | None = None, luminance: str | None = None) -> bool:
        return widgets.check_lists(faces=(faces, widgets.WHICH), luminance=(luminance, LUMINANCES))

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> object:
        return default_model_stamp("colouring")

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        model: LoadedModel | None = None,
        detector: LoadedDetector | None = None,
        background: torch.Tensor | None = None,
        **settings: Any,
    ) -> io.NodeOutput:
        from .run.repair import colour_batch

        report = Report()
        done = colour_batch(image, background, model, detector, report, **settings)
        return io.NodeOutput(*done, report.text, ui=widgets.shown(report))
