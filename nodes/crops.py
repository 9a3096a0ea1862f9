"""Aligned crops as an ordinary IMAGE batch: out of the picture, restored, and back into it."""

import torch
from comfy_api.v0_0_2 import io

from ..codeformer_core.fidelity.plan import FidelityPlan
from . import widgets
from .run.found import FoundFaces
from .run.loaded import LoadedDetector, LoadedModel
from .run.model_files import default_model_stamp
from .run.report import Report
from .types import Faces


class CodeFormerCropFaces(io.ComfyNode):
    """Aligned crops of faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerCropFaces",
            display_name="CodeFormer Crop Faces",
            category=widgets.CATEGORY,
            description="Cut out faces, upright and aligned as CodeFormer wants them. Any node may edit the crops "
            "before CodeFormer Paste Faces puts them back.",
            inputs=[
                io.Image.Input("image", tooltip="The pictures that the faces were found in."),
                Faces.Input("faces", tooltip="From CodeFormer Detect Faces or Select Faces."),
                io.Int.Input(
                    "size", default=512, min=64, max=2048, step=64, tooltip="Side of the crops, px. Models want 512."
                ),
            ],
            outputs=[
                io.Image.Output(
                    "crops",
                    display_name="crops",
                    tooltip="One crop a face: the first picture's faces, then the next one's.",
                ),
                Faces.Output("cropped", display_name="faces", tooltip="The same faces, for CodeFormer Paste Faces."),
            ],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, faces: FoundFaces, size: int) -> io.NodeOutput:
        from .run.restore import crop_faces

        report = Report()
        crops = crop_faces(image, faces, size, report)
        return io.NodeOutput(crops, faces, ui=widgets.shown(report, cls, crops))


class CodeFormerRestoreAligned(io.ComfyNode):
    """Restores pictures that are aligned faces already."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerRestoreAligned",
            display_name="CodeFormer Restore Aligned Faces",
            category=widgets.CATEGORY,
            description="Restore pictures that are aligned faces (crops on the FFHQ template), without detection.",
            inputs=[
                io.Image.Input("crops", tooltip="Square pictures of any size, one aligned face each."),
                widgets.model(),
                widgets.fidelity(),
                widgets.colour_match(),
                widgets.weights(),
            ],
            outputs=[
                io.Image.Output(
                    "restored", display_name="crops", tooltip="The faces, as large as the model makes them."
                ),
                widgets.report(),
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
        crops: torch.Tensor,
        fidelity: float,
        colour_match: str,
        model: LoadedModel | None = None,
        weights: FidelityPlan | None = None,
    ) -> io.NodeOutput:
        from .run.restore import restore_crops

        report = Report()
        settings = {"fidelity": fidelity, "weights": weights, "colour_match": colour_match}
        restored = restore_crops(crops, model, report, **settings)  # pyright: ignore[reportArgumentType]
        return io.NodeOutput(restored, report.text, ui=widgets.shown(report, cls, restored))


class CodeFormerPasteFaces(io.ComfyNode):
    """Puts crops back where they came from."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerPasteFaces",
            display_name="CodeFormer Paste Faces",
            category=widgets.CATEGORY,
            description="Put crops back into the pictures that they were cut from, or onto the same pictures enlarged "
            "by an upscaler.",
            inputs=[
                io.Image.Input("image", tooltip="The pictures that the faces were found in."),
                Faces.Input("faces", tooltip="The faces that the crops are of, best from CodeFormer Crop Faces."),
                io.Image.Input("crops", tooltip="One crop a face, in the faces' order, of any one size."),
                io.Image.Input(
                    "background",
                    optional=True,
                    tooltip="The same pictures 1, 2, 3 or 4 times as large, from any upscaler: faces are pasted there.",
                ),
                io.Mask.Input("mask", optional=True, tooltip="Where, and by its values how far, anything may change."),
                widgets.detector("With a parsing net in it, masks follow the faces. Nothing else of it is used here."),
                widgets.mask_softness(),
                widgets.large_faces(),
            ],
            outputs=[
                io.Image.Output("pasted", display_name="image", tooltip="The pictures with the crops in them."),
                io.Mask.Output("changed", display_name="changed", tooltip="How far each pixel was replaced."),
                widgets.report(),
            ],
        )

    @classmethod
    def validate_inputs(cls, large_faces: str | None = None) -> bool:
        return widgets.check_lists(large_faces=(large_faces, widgets.LARGE_FACES))

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        faces: FoundFaces,
        crops: torch.Tensor,
        mask_softness: float,
        large_faces: str,
        background: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        detector: LoadedDetector | None = None,
    ) -> io.NodeOutput:
        from .run.restore import paste_crops

        options = {"background": background, "mask": mask, "detector": detector}
        options |= {"mask_softness": mask_softness, "large_faces": large_faces}
        report = Report()
        pasted = paste_crops(image, faces, crops, report, **options)
        return io.NodeOutput(*pasted, report.text, ui=widgets.shown(report))
