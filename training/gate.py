"""Give a trained model the gate that lets clean pixels of the input through: python -m training.gate MODEL ...

All else of the model stays what it was, and with it what it gives at w = 0. RUN/stage3.safetensors is the model. The
same command goes on where a run stopped.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from accelerate import Accelerator

from codeformer_core.models import model_path
from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.weights.checkpoint import load_codeformer

from .checkpoints import file_hash
from .commands import run_command
from .faces.augment import AugmentConfig
from .faces.sampling import default_workers
from .precision import accelerator_for
from .presets import MINI_DEGRADATIONS, NEARLY_SHARP, UNTOUCHED, StageConfig, TrainConfig, with_steps
from .stages.image_loss import ImageLoss
from .stages.whole import GateStage
from .train import train_stage

CHANNELS = 24
STAGE = StageConfig(
    steps=1_000,
    batch_size=4,
    degradations=(*MINI_DEGRADATIONS * 3, *(NEARLY_SHARP,) * 3, *(UNTOUCHED,) * 2),
    augment=AugmentConfig(tone=0.4, background=0.3),
    lr=1e-3,
    betas=(0.9, 0.99),
    warmup=20,
    decay=500,
    final_lr=0.02,
    clip_norm=1.0,
    ema_decay=0.99,
    w_l1=4.0,
    w_perceptual=1.0,  # weighed less against L1, it lets the noise of bad faces through
    w_crops=0.8,
    w_colour=1.0,
    w_eyes=2.0,
    w_adversarial=0.0,
    save_every=25,
    sample_every=250,
    validate_every=1_000,
    log_every=25,
)


def gate_config(base: CodeFormer, steps: int | None = None) -> TrainConfig:
    """The run that trains a gate for `base`, or its own further."""
    return TrainConfig(
        name="gate",
        model=replace(base.config, gate=base.config.gate or CHANNELS),
        stages=(StageConfig(), StageConfig(), STAGE if steps is None else with_steps(STAGE, steps)),
        min_side=min(192, base.config.vq.image_size),
        perceptual="efficientnet",
        perceptual_size=min(256, base.config.vq.image_size),
        balance=True,
    )


def train_gate(
    config: TrainConfig,
    base: Path,
    folders: Sequence[Path],
    out: Path,
    accelerator: Accelerator,
    *,
    val: Path | None = None,
    workers: int = 0,
) -> None:
    """Train it, or go on, as `training.train` does for stage III."""

    def build(config: TrainConfig, number: int, image_loss: ImageLoss, out: Path) -> tuple[GateStage, list[str]]:
        return GateStage(config, image_loss, load_codeformer(base)), [file_hash(base)]

    train_stage(config, 3, folders, out, accelerator, workers=workers, val=val, build=build)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0, 2 with one line that says what is wrong and what to do, or 130 after Ctrl-C."""
    parser = argparse.ArgumentParser("python -m training.gate", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("base", help="the model: a checkpoint, or mini")
    parser.add_argument("--data", required=True, type=Path, action="append", help="folder of aligned faces; repeatable")
    parser.add_argument("--val", type=Path, help="folder of held faces, measured in between")
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    parser.add_argument("--steps", type=int, help="length of the run, in place of the recipe's")
    parser.add_argument("--workers", type=int, help="processes that read and degrade faces (default: up to 4)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    def work() -> None:
        base = model_path(args.base)
        config = gate_config(load_codeformer(base), args.steps)
        workers = default_workers() if args.workers is None else args.workers
        train_gate(config, base, args.data, args.out, accelerator_for("no"), val=args.val, workers=workers)

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
