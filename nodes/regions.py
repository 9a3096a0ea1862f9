"""Faces as masks, and as SEGS for the Impact Pack's detailers."""

from typing import Any

import torch
from comfy_api.v0_0_2 import io

from . import widgets
from .run.found import FoundFaces
from .run.loaded import LoadedDetector
from .run.report import Report
from .types import Faces

SHAPES = ["aligned", "ellipse", "box"]
FACES_PER_SEG = ["all", "largest"]


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
    def validate_inputs(cls, shape: str | None = None) -> bool:
        return widgets.check_lists(shape=(shape, SHAPES))

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
            description="Faces as SEGS, which the Impact Pack's detailers take; of a batch, SEGS for each picture, as "
            "a list.",
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The pictures that the faces were found in, or the same with restored faces, or 2, 3 or 4 "
                    "times as large. SEGS carry its faces.",
                ),
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
                    "segs",
                    display_name="segs",
                    is_output_list=True,
                    tooltip="One SEG a face, with an elliptical mask, labelled face; SEGS for each picture of a batch.",
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
            is_input_list=True,
            description="Find the faces that other detectors' SEGS point at. SEGS have no landmarks, which alignment "
            "needs, so faces are searched for, and those whose middle lies in a SEG's box are kept.",
            inputs=[
                io.Image.Input("image", tooltip="The pictures that the SEGS are of."),
                io.SEGS.Input("segs", tooltip="From the Impact Pack or others: for each picture, or one for all."),
                widgets.detector(),
                io.Combo.Input(
                    "faces_per_seg",
                    options=FACES_PER_SEG,
                    default="all",
                    optional=True,
                    tooltip="Of each SEG: all the faces in it, or the largest.",
                ),
            ],
            outputs=[
                Faces.Output(
                    "faces",
                    display_name="faces",
                    is_output_list=True,
                    tooltip="The faces of each SEG that has some, in the SEGS' order.",
                ),
                widgets.report(),
            ],
        )

    @classmethod
    def validate_inputs(cls, faces_per_seg: list[str | None] | None = None) -> bool:
        return widgets.check_lists(faces_per_seg=(faces_per_seg[0] if faces_per_seg else None, FACES_PER_SEG))

    @classmethod
    def execute(
        cls,
        image: list[torch.Tensor],
        segs: list[Any],
        detector: list[LoadedDetector] | None = None,
        faces_per_seg: list[str] | None = None,
    ) -> io.NodeOutput:
        from .run.regions import segs_to_faces

        report = Report()
        each = faces_per_seg[0] if faces_per_seg else "all"
        faces = segs_to_faces(image, segs, detector[0] if detector else None, each, report)
        return io.NodeOutput(faces, report.text, ui=widgets.shown(report))
