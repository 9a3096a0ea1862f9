"""The node that does everything."""

from typing import Any

import torch
from comfy_api.v0_0_2 import io

from ..codeformer_core.fidelity.plan import FidelityPlan
from . import widgets
from .run.found import FoundFaces
from .run.loaded import LoadedDetector, LoadedModel
from .run.model_files import default_model_stamp
from .run.report import Report
from .types import Faces


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
                widgets.model(lazy=True),
                widgets.detector(lazy=True),
                io.Mask.Input(
                    "mask", optional=True, lazy=True, tooltip="Where, and by its values how far, anything may change."
                ),
                widgets.fidelity(),
                io.Int.Input(
                    "upscale",
                    default=1,
                    min=1,
                    max=4,
                    tooltip="How many times larger the picture comes out (Lanczos, or by upscale_model), with the "
                    "faces pasted at that size.",
                ),
                widgets.which_faces(),
                widgets.colour_match(),
                widgets.mask_softness(),
                widgets.large_faces(),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    tooltip="How far restored faces cover the picture's own: 1 wholly, 0.5 by half, 0 not at all.",
                ),
                io.Boolean.Input(
                    "enabled",
                    default=True,
                    optional=True,
                    tooltip="Off: the picture comes out as it went in, at its own size, and nothing is loaded.",
                ),
                io.UpscaleModel.Input(
                    "upscale_model",
                    optional=True,
                    lazy=True,
                    tooltip="From Load Upscale Model: enlarges what lies around the faces, which is then scaled to "
                    "upscale.",
                ),
                widgets.weights(lazy=True),
                io.Float.Input(
                    "side_strength",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    tooltip="How far faces in profile, which are restored worst, cover the picture's own: falls from 1 "
                    "at 45 degrees to this at 90. 1 treats them like others.",
                ),
                io.Boolean.Input(
                    "occlusion",
                    default=False,
                    optional=True,
                    tooltip="Leave what hides a face, such as a microphone, as it is, if its colours are "
                    "not those of a face. Needs no parsing net.",
                ),
                Faces.Input(
                    "faces_in",
                    display_name="faces",
                    optional=True,
                    lazy=True,
                    tooltip="From CodeFormer Detect, Select or Track Faces: these are restored, no others looked for. "
                    "Those with tracks are held steady from frame to frame.",
                ),
            ],
            outputs=[
                io.Image.Output("restored", display_name="image", tooltip="The pictures with restored faces."),
                io.Mask.Output("changed", display_name="changed", tooltip="How far each pixel was replaced."),
                Faces.Output("found", display_name="faces", tooltip="The faces that were found."),
                io.Int.Output("count", display_name="count", tooltip="How many faces were restored in all pictures."),
                widgets.report(),
            ],
        )

    @classmethod
    def validate_inputs(
        cls, faces: str | None = None, colour_match: str | None = None, large_faces: str | None = None
    ) -> bool:
        return widgets.check_lists(
            faces=(faces, widgets.WHICH),
            colour_match=(colour_match, widgets.COLOUR_MATCHES),
            large_faces=(large_faces, widgets.LARGE_FACES),
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> object:
        return default_model_stamp()

    @classmethod
    def check_lazy_status(cls, enabled: bool = True, **inputs: object) -> list[str]:
        return [name for name, value in inputs.items() if value is None] if enabled else []

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
        strength: float = 1.0,
        enabled: bool = True,
        upscale_model: Any = None,
        weights: FidelityPlan | None = None,
        side_strength: float = 0.5,
        occlusion: bool = False,
        faces_in: FoundFaces | None = None,
    ) -> io.NodeOutput:
        from .run.restore import leave_batch, restore_batch

        report = Report()
        settings: dict[str, Any] = {"faces": faces, "given": faces_in, "fidelity": fidelity, "weights": weights}
        settings |= {"strength": strength, "upscale": upscale}
        settings |= {"feather": mask_softness, "colour_match": colour_match, "large_faces": large_faces}
        settings |= {"side_strength": side_strength, "occlusion": occlusion}
        if enabled:
            *done, weighed = restore_batch(image, mask, model, detector, upscale_model, report, **settings)
        else:
            *done, weighed = leave_batch(image, report)
        return io.NodeOutput(*done, report.text, ui=widgets.shown_weights(report, cls, weighed))
