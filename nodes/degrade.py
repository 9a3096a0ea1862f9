"""Making test inputs."""

import torch
from comfy_api.v0_0_2 import io

from . import widgets
from .run.report import Report

LEVELS = ["mild", "medium", "heavy"]


class CodeFormerDegrade(io.ComfyNode):
    """Blur, downscale, noise and JPEG, as in the paper's training pairs (Eq. 9)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerDegrade",
            display_name="CodeFormer Degrade",
            category=widgets.CATEGORY,
            description="Make a bad picture of a good one, for trying things: blur, downscale, noise and JPEG, drawn "
            "from the level's ranges by the seed, then scaled back (Eq. 9 of the paper).",
            inputs=[
                io.Image.Input("image", tooltip="Good pictures. Each gets a degradation of its own."),
                io.Combo.Input(
                    "level",
                    options=LEVELS,
                    default="medium",
                    tooltip="For faces of 512 px: mild has blur of 1 to 3 px and 1 to 4 times fewer pixels, medium 3 "
                    "to 7 and 4 to 10, heavy 7 to 14 and 10 to 26.",
                ),
                io.Int.Input("seed", default=0, min=0, max=2**32 - 1, tooltip="The same seed gives the same result."),
            ],
            outputs=[
                io.Image.Output("degraded", display_name="image", tooltip="The bad pictures, as large as before.")
            ],
        )

    @classmethod
    def validate_inputs(cls, level: str | None = None) -> bool:
        return widgets.check_lists(level=(level, LEVELS))

    @classmethod
    def execute(cls, image: torch.Tensor, level: str, seed: int) -> io.NodeOutput:
        from .run.degrade import degrade_batch

        report = Report()
        return io.NodeOutput(degrade_batch(image, level, seed, report), ui=widgets.shown(report))
