"""Tune the bundled model to another job: `python -m training.variant fill --data FACES --out RUN`.

It writes RUN/mini-fill.safetensors, which holds only what differs from mini (`codeformer_core.weights.variants`).
The same command goes on where a run stopped. `--steps 0` writes the file of what there is.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator

from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.weights.checkpoint import load_codeformer, read_config, read_state_dict, save_checkpoint
from codeformer_core.weights.variants import BASE_KEY, BASES, HASH_KEY, difference, tensors_hash

from .checkpoints import file_hash
from .commands import run_command
from .export import stage_path
from .faces.augment import AugmentConfig
from .precision import accelerator_for
from .presets import MINI_DEGRADATIONS, NEARLY_SHARP, UNTOUCHED, StageConfig, TrainConfig, with_steps
from .stages.image_loss import ImageLoss
from .stages.variant import VariantStage
from .train import train_stage

logger = logging.getLogger(__name__)

_COMMON = {
    "batch_size": 4,
    "lr": 3e-4,
    "betas": (0.9, 0.99),
    "warmup": 20,
    "decay": 100,
    "final_lr": 0.05,
    "clip_norm": 1.0,
    "ema_decay": 0.98,
    "w_l1": 4.0,
    "w_perceptual": 0.4,
    "w_adversarial": 0.0,
    "save_every": 20,
    "sample_every": 80,
    "log_every": 20,
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a variant is for, and how it is trained and used."""

    name: str  # in its file's metadata; codeformer_core.models.USAGE says how it is used
    stage: StageConfig
    adain: bool


JOBS = {
    "fill": Job(
        name="filling",
        adain=False,  # the painted parts are in the encoder's statistics
        stage=StageConfig(
            **_COMMON,
            steps=240,
            degradations=(UNTOUCHED, NEARLY_SHARP),
            augment=AugmentConfig(tone=0.4, background=0.3, mask=1.0),
        ),
    ),
    "colour": Job(
        name="colouring",
        adain=True,
        stage=StageConfig(
            **_COMMON,
            steps=120,
            w_colour=4.0,
            degradations=(UNTOUCHED, NEARLY_SHARP, MINI_DEGRADATIONS[1]),
            augment=AugmentConfig(  # seven of ten grey, the others faded or tinted; no colours that nobody could guess
                tone=0.2,
                tone_gamma=(0.8, 1.4),
                tone_balance=0.02,
                grey=0.7,
                colour_jitter=0.8,
                brightness=(0.85, 1.2),
                contrast=(0.6, 1.1),
                saturation=(0.0, 0.7),
                hue=0.02,
                shift=15.0,
            ),
        ),
    ),
}


def variant_config(job: str, base: CodeFormer, steps: int | None = None) -> TrainConfig:
    """The run that tunes `base` to a job: CFT at the sizes of the paper's networks for these jobs, up to 128 px."""
    stage = JOBS[job].stage if steps is None else with_steps(JOBS[job].stage, steps)
    sizes = tuple(size for size in base.config.cft_sizes if size <= 128)
    return TrainConfig(
        name=job,
        model=replace(base.config, cft_sizes=sizes, gate=0),
        stages=(StageConfig(), StageConfig(), stage),
        perceptual="efficientnet",
        perceptual_size=min(256, base.config.vq.image_size),
        min_side=min(192, base.config.vq.image_size),
        mixed_precision="bf16",
        balance=True,
        adain=JOBS[job].adain,
    )


def train_variant(
    config: TrainConfig, base: Path, folders: Sequence[Path], out: Path, accelerator: Accelerator
) -> None:
    """Train it, or go on, as `training.train` does for stage III; what it learns is in stage3.safetensors."""

    def build(config: TrainConfig, number: int, image_loss: ImageLoss, out: Path) -> tuple[VariantStage, list[str]]:
        return VariantStage(config, image_loss, load_codeformer(base)), [file_hash(base)]

    train_stage(config, 3, folders, out, accelerator, build=build)


def export_variant(job: str, base: str, out: Path) -> Path:
    """Write OUT/<base>-<job>.safetensors in half precision: what differs from the base, and how it came about."""
    trained, facts = read_state_dict(stage_path(out, 3))
    if facts.get("preset") != job:
        raise ValueError(f"{stage_path(out, 3)}: is of a run for {facts.get('preset')}, not {job}; give that of {job}")
    config = read_config(trained, facts)
    shared = read_state_dict(BASES[base])[0]
    state = {name: t.to(shared[name].dtype if name in shared else torch.float16) for name, t in trained.items()}
    facts |= {"job": JOBS[job].name, BASE_KEY: base, HASH_KEY: tensors_hash(shared)}
    target = out / f"{base}-{job}.safetensors"
    save_checkpoint(target, difference(state, shared), config, facts)
    return target


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0, 2 with one line that says what is wrong and what to do, or 130 after Ctrl-C."""
    parser = argparse.ArgumentParser("python -m training.variant", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--base", choices=BASES, default="mini")
    parser.add_argument("--data", required=True, type=Path, action="append", help="folder of aligned faces; repeatable")
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    parser.add_argument("--steps", type=int, help="length of the run, in place of the preset's; 0: only write the file")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    def work() -> None:
        if args.steps != 0:
            config = variant_config(args.job, load_codeformer(BASES[args.base]), args.steps)
            accelerator = accelerator_for(config.mixed_precision)
            train_variant(config, BASES[args.base], args.data, args.out, accelerator)
        logger.info("%s", export_variant(args.job, args.base, args.out))

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
