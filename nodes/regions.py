"""Faces as masks, and as SEGS for the Impact Pack's detailers."""

from typing import Any

import torch
from comfy_api.v0_0_2 import io

from . import widgets
from .run.found import FoundFaces
from .run.loaded import LoadedDetector
from .types import Faces

SHAPES = ["aligned", "ellipse", "box"]


class CodeFormerFacesToMask(io.ComfyNode):
    """Where faces are, as a mask."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerFacesToMask",
            display_name="CodeFormer Faces to Mask",
            category=widgets.CATEGORY,
            description="A mask of the faces of each picture.",
            inputs=[
                Faces.Input("faces", tooltip="From any CodeFormer node that gives faces."),
                io.Combo.Input(
                    "shape",
                    options=SHAPES,
                    default="aligned",
                    tooltip="aligned: the soft square that pasting uses, hair and neck in it. ellipse and box: in the "
                    "detector's box, hard.",
                ),
                io.Float.Input(
                    "grow", default=1.0, min=0.1, max=4.0, step=0.05, tooltip="Size of the ellipse or box, as a factor."
                ),
            ],
            outputs=[
                io.Mask.Output("mask", display_name="mask", tooltip="One mask a picture, 1 where there is a face.")
            ],
        )

    @classmethod
    def validate_inputs(cls, shape: str | None = None) -> bool | str:
        return widgets.are_of_lists(shape=(shape, SHAPES))

    @classmethod
    def execute(cls, faces: FoundFaces, shape: str, grow: float) -> io.NodeOutput:
        from .run.regions import faces_to_mask

        return io.NodeOutput(faces_to_mask(faces, shape, grow))


class CodeFormerFacesToSegs(io.ComfyNode):
    """Faces in the Impact Pack's format."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerFacesToSegs",
            display_name="CodeFormer Faces to SEGS",
            category=widgets.CATEGORY,
            description="The faces of one picture as SEGS, which the Impact Pack's detailers take.",
            inputs=[
                io.Image.Input("image", tooltip="The one picture that the faces were found in."),
                Faces.Input("faces", tooltip="From CodeFormer Detect Faces or Select Faces."),
                io.Float.Input(
                    "crop_factor",
                    default=3.0,
                    min=1.0,
                    max=10.0,
                    step=0.1,
                    tooltip="How many times as large as the face's box the region is that a detailer works on.",
                ),
            ],
            outputs=[
                io.SEGS.Output(
                    "segs", display_name="segs", tooltip="One SEG a face, with an elliptical mask, labelled face."
                )
            ],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, faces: FoundFaces, crop_factor: float) -> io.NodeOutput:
        from .run.regions import faces_to_segs

        return io.NodeOutput(faces_to_segs(image, faces, crop_factor))


class CodeFormerSegsToFaces(io.ComfyNode):
    """Faces, with landmarks, that lie in SEGS of other packs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerSegsToFaces",
            display_name="CodeFormer SEGS to Faces",
            category=widgets.CATEGORY,
            description="Find the faces that other detectors' SEGS point at. SEGS have no landmarks, which alignment "
            "needs, so faces are searched for, and those whose middle lies in a SEG's box are kept.",
            inputs=[
                io.Image.Input("image", tooltip="The one picture that the SEGS are of."),
                io.SEGS.Input("segs", tooltip="From the Impact Pack or others."),
                widgets.detector(),
            ],
            outputs=[
                Faces.Output(
                    "faces", display_name="faces", tooltip="One face for each SEG that has one, in their order."
                )
            ],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, segs: Any, detector: LoadedDetector | None = None) -> io.NodeOutput:
        from .run.regions import segs_to_faces

        return io.NodeOutput(segs_to_faces(image, segs, detector))
