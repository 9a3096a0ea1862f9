"""The node that does everything."""

import torch
from comfy_api.v0_0_2 import io

from . import widgets
from .run.loaded import LoadedDetector, LoadedModel
from .run.model_files import default_model_stamp
from .types import Faces

WHICH = ["all", "largest", "centre"]


class CodeFormerRestoreFaces(io.ComfyNode):
    """Finds, restores and pastes back the faces of pictures or frames."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerRestoreFaces",
            display_name="CodeFormer Restore Faces",
            category=widgets.CATEGORY,
            description="Find the faces of pictures or video frames, restore each with CodeFormer and put it back. "
            "A picture without a face comes out as it was, but for the upscaling.",
            inputs=[
                io.Image.Input("image", tooltip="Pictures, or frames of a video. Alpha is kept."),
                widgets.model(),
                widgets.detector(),
                io.Mask.Input("mask", optional=True, tooltip="Where, and by its values how far, anything may change."),
                widgets.fidelity(),
                io.Int.Input(
                    "upscale",
                    default=1,
                    min=1,
                    max=4,
                    tooltip="How many times larger the picture comes out (Lanczos), with the faces pasted at that "
                    "size. For a better background use CodeFormer Paste Faces.",
                ),
                io.Combo.Input(
                    "faces",
                    options=WHICH,
                    default="all",
                    tooltip="Of each picture: all faces, the largest, or the one nearest to the centre.",
                ),
                widgets.colour_match(),
                widgets.mask_softness(),
                widgets.large_faces(),
            ],
            outputs=[
                io.Image.Output("restored", display_name="image", tooltip="The pictures with restored faces."),
                io.Mask.Output("changed", display_name="mask", tooltip="How far each pixel was replaced."),
                Faces.Output("found", display_name="faces", tooltip="The faces that were worked on."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls, faces: str | None = None, colour_match: str | None = None, large_faces: str | None = None
    ) -> bool | str:
        return widgets.are_of_lists(
            faces=(faces, WHICH),
            colour_match=(colour_match, widgets.COLOUR_MATCHES),
            large_faces=(large_faces, widgets.LARGE_FACES),
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> object:
        return default_model_stamp()

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        fidelity: float,
        upscale: int,
        faces: str,
        colour_match: str,
        mask_softness: float,
        large_faces: str,
        model: LoadedModel | None = None,
        detector: LoadedDetector | None = None,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        from .run.restore import restore_batch

        settings = {"upscale": upscale, "feather": mask_softness}
        settings |= {"colour_match": colour_match, "large_faces": large_faces}
        return io.NodeOutput(*restore_batch(image, mask, model, detector, faces=faces, fidelity=fidelity, **settings))
