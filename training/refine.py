"""A trained model refined: python -m training.refine MODEL --data FACES --out RUN.

The decoder alone learns finer detail from clean faces, and after it all but the codebook learns to restore. The codes
stay what they were, so that nothing has to be learnt anew. A model whose network does not see squares of pixels, as one
of 256 px by the preset mini_256, becomes one of twice the side first: 2 x 2 pixels are channels of the same network,
whose first result is the smaller model's with each pixel four times. RUN/stage3.safetensors is the model. The same
command goes on where a run stopped.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator

from codeformer_core.models import model_path
from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.weights.checkpoint import load_codeformer

from .checkpoints import file_hash
from .commands import run_command
from .export import stage_path
from .faces.augment import AugmentConfig
from .faces.sampling import default_workers
from .precision import accelerator_for
from .presets import MINI_DEGRADATIONS, NEARLY_SHARP, UNTOUCHED, StageConfig, TrainConfig, with_steps
from .stages.image_loss import ImageLoss
from .stages.whole import DecoderStage, FreeStage
from .train import train_stage

logger = logging.getLogger(__name__)

PATCH = 2
_COMMON = {
    "batch_size": 4,
    "lr": 3e-4,
    "betas": (0.9, 0.99),
    "warmup": 20,
    "final_lr": 0.05,
    "clip_norm": 1.0,
    "ema_decay": 0.995,
    "w_perceptual": 0.3,
    "w_crops": 0.3,
    "w_colour": 1.0,
    "adversarial": "hinge",
    "adaptive_most": 1.0,
    "discriminator_lr": 2e-4,
    "augment": AugmentConfig(tone=0.4, background=0.3),
    "save_every": 25,
    "sample_every": 250,
    "validate_every": 1_000,
    "log_every": 25,
}
DECODER = StageConfig(
    **_COMMON, steps=1_000, decay=500, w_l1=2.0, w_adversarial=0.3, adversarial_from=200, degradations=(UNTOUCHED,)
)
RESTORER = StageConfig(
    **{**_COMMON, "w_crops": 0.15},  # twice as much, or an adversary, drew hatchings into bad faces
    steps=3_000,
    decay=1_500,
    w_l1=4.0,
    w_eyes=2.0,  # brown ones came out green
    w_adversarial=0.0,
    degradations=(*MINI_DEGRADATIONS * 3, *(NEARLY_SHARP,) * 3, *(UNTOUCHED,) * 2),
)


def enlarged(base: CodeFormer) -> CodeFormer:
    """The network on squares of PATCH x PATCH pixels: its faces are PATCH times as large, its features as they were.

    At first it sees the mean of each square, and gives all of its pixels one colour. One that sees squares already is
    left as it is.
    """
    if not base.config.cft_sizes:
        raise ValueError("it has no CFT, so it is no whole model; begin from what stage III gave")
    if base.config.vq.patch != 1:
        return base.eval()
    size = PATCH * base.config.vq.image_size
    net = CodeFormer(replace(base.config, vq=replace(base.config.vq, image_size=size, patch=PATCH)))
    small, state = base.state_dict(), net.state_dict()
    state |= {name: t for name, t in small.items() if t.shape == state[name].shape}
    first, last = "encoder.blocks.0", f"generator.blocks.{len(base.generator.blocks) - 1}"
    # The first three channels of a square are its mean times PATCH; the others, its details, begin with nothing.
    for name, factor in ((f"{first}.weight", 1 / PATCH), (f"{last}.weight", PATCH), (f"{last}.bias", PATCH)):
        state[name] = torch.zeros_like(state[name])
        state[name][tuple(slice(n) for n in small[name].shape)] = small[name] * factor
    net.load_state_dict(state)
    return net.eval()


def refine_config(net: CodeFormer, steps: Sequence[int | None] = (None, None)) -> TrainConfig:
    """The run that refines an enlarged network, its decoder as "stage 2" and the rest as stage 3."""
    decoder, restorer = (p if n is None else with_steps(p, n) for p, n in zip((DECODER, RESTORER), steps, strict=True))
    return TrainConfig(
        name="refine",
        model=net.config,
        stages=(StageConfig(), decoder, restorer),
        min_side=min(192, net.config.vq.image_size),
        perceptual="efficientnet",
        perceptual_size=min(256, net.config.vq.image_size),
        discriminator="projected",
        balance=True,
        train_decoder=True,
    )


def refine(
    config: TrainConfig,
    base: Path,
    folders: Sequence[Path],
    out: Path,
    accelerator: Accelerator,
    *,
    val: Path | None = None,
    workers: int = 0,
) -> None:
    """Train both parts, or go on: RUN/stage2.safetensors is the model after the decoder, stage3 the whole."""
    hashes = [file_hash(base)]

    def decoder(config: TrainConfig, number: int, loss: ImageLoss, out: Path) -> tuple[DecoderStage, list[str]]:
        return DecoderStage(config, loss, enlarged(load_codeformer(base))), hashes

    def restorer(config: TrainConfig, number: int, loss: ImageLoss, out: Path) -> tuple[FreeStage, list[str]]:
        before = stage_path(out, 2)
        return FreeStage(config, loss, load_codeformer(before)), [file_hash(before)]

    for number, build in ((2, decoder), (3, restorer)):
        train_stage(config, number, folders, out, accelerator, workers=workers, val=val, build=build)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0, 2 with one line that says what is wrong and what to do, or 130 after Ctrl-C."""
    parser = argparse.ArgumentParser("python -m training.refine", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("base", help="the model to begin with: a checkpoint, or mini")
    parser.add_argument("--data", required=True, type=Path, action="append", help="folder of aligned faces; repeatable")
    parser.add_argument("--val", type=Path, help="folder of held faces, measured in between")
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    parser.add_argument("--steps", type=int, nargs=2, help="lengths of both parts, in place of the recipe's")
    parser.add_argument("--workers", type=int, help="processes that read and degrade faces (default: up to 4)")
    parser.add_argument("--mixed-precision", choices=("no", "bf16"), default="no")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    def work() -> None:
        base = model_path(args.base)
        config = refine_config(enlarged(load_codeformer(base)), args.steps or (None, None))
        config = replace(config, mixed_precision=args.mixed_precision)
        accelerator = accelerator_for(config.mixed_precision)
        workers = default_workers() if args.workers is None else args.workers
        refine(config, base, args.data, args.out, accelerator, val=args.val, workers=workers)

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
