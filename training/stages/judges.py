"""The fixed networks that judge restored faces in a stage."""

from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import nn

from ..averaging import cast_convolutions, channels_last
from ..presets import TrainConfig
from .shift_tolerant import ShiftTolerantLPIPS


def load_judges(
    config: TrainConfig, number: int, accelerator: Accelerator, load_perceptual: Callable[[], nn.Module]
) -> tuple[nn.Module | None, nn.Module | None]:
    """The perceptual network and that of LPIPS on crops, on the device; None for one that the stage does without.

    In mixed precision their convolutions are cast once, as autocast would at each step.
    """
    stage, judges = config.stage(number), config.judges_faces(number)
    perceptual = crops = None
    if (judges and stage.w_perceptual) or config.discriminator == "projected":  # which looks through it too
        perceptual = channels_last(load_perceptual(), accelerator.device)
    if judges and stage.w_crops:
        crops = channels_last(ShiftTolerantLPIPS("vgg"), accelerator.device)
    if accelerator.mixed_precision == "bf16":
        for judge in (perceptual, crops):
            cast_convolutions(judge, torch.bfloat16)
    return perceptual, crops
