"""Train a stage of a preset, or all three: python -m training.train --preset mini --stage all --data FACES --out RUN.

The same command goes on where a run stopped. On several GPUs or machines: torchrun ... -m training.train ...
"""

import argparse
import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from codeformer_core.weights.checkpoint import save_checkpoint

from .averaging import (
    WeightAverage,
    channels_last,
    check_same,
    shared_losses,
    without_sending,
)
from .checkpoints import file_hash, load_state, run_json, save_state
from .commands import run_command
from .curves import Means, save_grid
from .estimate import as_table, estimate
from .export import (
    begin_from,
    discriminator_path,
    export,
    load_autoencoder,
    load_discriminator,
    load_predictor,
    stage_path,
)
from .faces.data import FaceFolder, SampleKey
from .faces.sampling import check_batch, default_workers, face_loader
from .precision import accelerator_for
from .presets import PRESETS, PerceptualName, StageConfig, TrainConfig, with_steps
from .stages.adversary import Adversary
from .stages.codebook import CodeUsage, count_codes, revive
from .stages.group_norm import use_quick_norms
from .stages.image_loss import ImageLoss
from .stages.judges import load_judges
from .stages.perceptual import load_perceptual
from .stages.stage1 import StageOne
from .stages.stage2 import StageTwo
from .stages.stage3 import StageThree
from .validation import Validation, check_gates
from .watch import FiniteWatch

logger = logging.getLogger(__name__)
Stage = StageOne | StageTwo | StageThree
SAMPLES = 6  # faces in a sample grid


def train_stage(
    config: TrainConfig,
    number: int,
    folders: Sequence[Path],
    out: Path,
    accelerator: Accelerator,
    *,
    shares: Sequence[float] | None = None,
    accumulate: int = 1,
    workers: int = 0,
    perceptual_weights: Path | None = None,
    begin: Path | None = None,
    val: Path | None = None,
    stop_at: int | None = None,
    build: Callable[[TrainConfig, int, ImageLoss, Path], tuple[Stage, list[str]]] | None = None,
) -> None:
    """Run one stage to its end, or from where it stopped to its end; `stop_at` is a step at which to stop early.

    `val` is a folder of held faces, on which it is measured and which the sample grids show.

    What the stage adds, or the whole network, starts from the checkpoint `begin`; see `training.export.begin_from`.
    `build` takes the place of `build_stage`.

    Leaves in `out`: stage<number>.safetensors with the averaged weights, and stage<number>/ with what resuming needs,
    TensorBoard's curves and sample grids; stage I also stage1_discriminator.safetensors. ValueError or OSError before
    the first step if something is missing.
    """
    stage_config, device = config.stage(number), accelerator.device
    folder, is_main = out / f"stage{number}", accelerator.is_main_process

    torch.manual_seed(config.seed * 10 + number)  # the random weights
    perceptual, crops = load_judges(
        config, number, accelerator, partial(load_perceptual, config.perceptual, perceptual_weights)
    )
    stage, origin = (build or build_stage)(config, number, ImageLoss(config, number, perceptual, crops), out)
    if begin is not None:
        begin_from(stage.net, begin, number)
        origin = [*origin, file_hash(begin)]
    net = channels_last(stage.net, device).train()
    if device.type == "cpu":
        use_quick_norms(net)
    if not isinstance(stage, StageOne):
        channels_last(stage.teacher.net, device)
    average = WeightAverage(net, stage_config.ema_decay)
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=stage_config.lr, betas=stage_config.betas)
    adversary = Adversary(config, number, perceptual).to(device)
    if inherits_discriminator(config, number):
        load_discriminator(adversary.net, discriminator_path(out))
        origin = [*origin, file_hash(discriminator_path(out))]
    usage = CodeUsage(config.model.vq.codebook_size, device)
    validation = None
    if val is not None and is_main:
        validation = Validation(val, config.model.vq.image_size, device, adain=config.adain)

    for left in folder.glob(".*.part") if is_main else ():  # of a run that was killed while it wrote
        left.unlink()
    step = 0
    if state := load_state(folder / "resume.pt", config, number):
        if state["origin"] != origin:
            raise ValueError(
                f"{folder}: began from other checkpoints (has the stage before been trained on since?); "
                "remove this folder to begin again, or put them back and give the same --begin-from"
            )
        net.load_state_dict(state["net"])
        average.net.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        if state["adversary"] is not None:
            adversary.load_state_dict(state["adversary"])
        usage.counts.copy_(state["usage"])
        step = state["step"]
    same_step(accelerator, step, out)
    if step >= stage_config.steps:
        if is_main and not stage_path(out, number).is_file():  # it was removed
            export(stage_path(out, number), average.net, stage.exported_config, config, number, step)
        logger.info("stage %d is finished (%d steps), see %s", number, step, stage_path(out, number))
        return
    parts_rest = bool(stage_config.phases) or config.no_codebook
    losses = shared_losses(accelerator, net, stage.losses, parts_rest=parts_rest)
    faces = stage_faces(config, number, folders, shares)
    if state and state.get("faces", faces.fingerprint) != faces.fingerprint:
        logger.warning("%s: goes on with other faces than it had so far (now %d)", folder, len(faces))
    shown_faces = faces if val is None else held_faces(config, number, val)
    loader = face_loader(
        faces,
        batch_size=stage_config.batch_size,
        first_step=step,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        accumulate=accumulate,
        workers=workers,
        pin_memory=device.type == "cuda",
    )

    def save() -> None:
        nets = {"network": net, "average": average.net, "discriminator": adversary.net}
        check_same(accelerator, nets, step)
        if not is_main:
            return
        state = {
            "step": step,
            "config": run_json(config, number),
            "origin": origin,
            "faces": faces.fingerprint,
            "net": net.state_dict(),
            "average": average.net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "adversary": adversary.state_dict() if adversary.active(step - 1) else None,  # what has not begun has none
            "usage": usage.counts,
        }
        export(stage_path(out, number), average.net, stage.exported_config, config, number, step)
        if number == 1 and adversary.active(step - 1):
            save_checkpoint(discriminator_path(out), adversary.net.state_dict())
        save_state(folder / "resume.pt", state)

    accelerator.wait_for_everyone()  # all have looked for an earlier state
    if step == 0:
        save()  # a full disk is found out before the first step; all else that may be wrong was found out above
    means = Means(device)
    writer = SummaryWriter(str(folder / "curves"), purge_step=step) if is_main else None
    intervals = (
        *(stage_config.log_every, stage_config.sample_every),
        *(stage_config.validate_every, stage_config.save_every),
    )
    first_step, began = step, time.monotonic()
    end = stage_config.steps if stop_at is None else min(stage_config.steps, stop_at)
    progress = tqdm(total=stage_config.steps, initial=step, desc=f"stage {number}", unit="step", disable=not is_main)
    watch = FiniteWatch(number, faces.paths)
    batches = iter(loader)
    while step < end:
        factor = learning_rate_factor(stage_config, step)
        optimizer.param_groups[0]["lr"] = stage_config.lr * factor
        adversary.optimizer.param_groups[0]["lr"] = adversary.lr * factor
        optimizer.zero_grad()
        adversary.optimizer.zero_grad()
        z: list[Tensor] = []
        for part in range(accumulate):
            batch = to_device(next(batches), device)
            last = part == accumulate - 1
            with accelerator.autocast(), nullcontext() if last else without_sending(losses):
                outcome = losses(batch, step)
                loss, logs = adversary.backward(accelerator, stage, outcome, batch, step, accumulate)
            watch.add_loss(loss, step, batch["index"])
            means.add(outcome.logs | logs)
            if outcome.accuracy is not None:
                means.add_accuracy(outcome.accuracy, batch["level"])
            if stage_config.revive_every and outcome.codes is not None and outcome.z is not None:
                usage.add(accelerator.reduce(count_codes(outcome.codes, len(usage.counts))))  # pyright: ignore
                z.append(outcome.z)
        norm = nn.utils.clip_grad_norm_(trained, stage_config.clip_norm or math.inf)
        means.add({"gradient norm": norm})
        watch.add_gradient(norm, step)
        optimizer.step()
        if (norm := adversary.step(accelerator)) is not None:
            watch.add_gradient(norm, step)
        average.update(net, step)
        step += 1
        # After the first step too: the random items lie far from what the encoder gives.
        if z and (step == 1 or step % stage_config.revive_every == 0):
            means.add({"codebook/used": usage.used, "codebook/perplexity": usage.perplexity})
            if step <= stage_config.revive_until:
                items = [n.get_parameter("quantize.embedding.weight") for n in (net, average.net)]
                outputs = accelerator.gather(torch.cat(z))
                revive(items, usage.counts == 0, outputs, optimizer=optimizer, seed=config.seed, step=step)  # pyright: ignore
            usage.reset()

        progress.update()
        if step == end or any(step % n == 0 for n in intervals):
            watch.check()
        if step % stage_config.log_every == 0 or step == end:
            values = means.take(accelerator)
            if writer is not None:
                for name, value in values.items():
                    writer.add_scalar(name, value, step)
                writer.add_scalar("lr", optimizer.param_groups[0]["lr"], step)
            shown = {k: f"{v:.3g}" for k, v in values.items() if "/" not in k}
            rate = (step - first_step) * stage_config.batch_size / (time.monotonic() - began)
            progress.set_postfix({**shown, "faces/s": f"{rate:.1f}"})
        if is_main and (step % stage_config.sample_every == 0 or step == end):
            save_samples(folder / "samples" / f"{step:08d}.jpg", stage, average.net, shown_faces, device)
        if validation and writer is not None and (step % stage_config.validate_every == 0 or step == end):
            values = validation.measure(average.net, None if isinstance(stage, StageOne) else stage.teacher.net)
            for name, value in values.items():
                writer.add_scalar(name, value, step)
            for text, met in check_gates(config.gates, number, step, stage_config.steps, values).items():
                logger.info("step %d of stage %d: %s %s", step, number, "met:" if met else "MISSED:", text)
        if step % stage_config.save_every == 0 or step == end:
            save()
    progress.close()
    if writer is not None:
        writer.close()
    accelerator.wait_for_everyone()


def build_stage(config: TrainConfig, number: int, image_loss: ImageLoss, out: Path) -> tuple[Stage, list[str]]:
    """A stage's networks, begun from the stage before, and the hashes of the checkpoints that they come from."""
    before = [stage_path(out, n) for n in range(1, number)]
    if number == 1:
        return StageOne(config, image_loss), []
    autoencoder = load_autoencoder(before[0], config)
    if number == 2:
        return StageTwo(config, image_loss, autoencoder), [file_hash(path) for path in before]
    predictor = load_predictor(before[1], config)
    return StageThree(config, image_loss, autoencoder, predictor), [file_hash(path) for path in before]


def inherits_discriminator(config: TrainConfig, number: int) -> bool:
    """Whether a stage begins with stage I's discriminator."""
    stage = config.stage(number)
    wanted = number > 1 and stage.inherit_discriminator and stage.w_adversarial > 0
    return wanted and config.judges_faces(number)


def same_step(accelerator: Accelerator, step: int, out: Path) -> None:
    """ValueError unless all processes go on from one step; those of machines with an `out` each would not."""
    steps = accelerator.gather(torch.tensor([step], device=accelerator.device)).tolist()  # pyright: ignore
    if len(set(steps)) > 1:
        raise ValueError(f"{out}: processes go on from steps {steps}; --out must be one folder that all machines share")


def stage_faces(
    config: TrainConfig, number: int, folders: Sequence[Path], shares: Sequence[float] | None
) -> FaceFolder:
    """The faces of a stage, degraded as it wants them."""
    stage = config.stage(number)
    return FaceFolder(
        folders,
        config.model.vq.image_size,
        seed=config.seed * 10 + number,
        degradation=stage.degradations_at if number > 1 or config.no_codebook else None,
        augment=stage.augment,
        shares=shares,
        balance=config.balance,
        min_side=config.min_side,
    )


def held_faces(config: TrainConfig, number: int, folder: Path) -> FaceFolder:
    """The faces of a folder as a stage would see them, but as they are and not changed for variety."""
    plain = [replace(s, augment=replace(s.augment, flip=0.0, tone=0.0, background=0.0)) for s in config.stages]
    plain_config = replace(config, stages=tuple(plain), balance=False, min_side=1)
    return stage_faces(plain_config, number, [folder], None)


def learning_rate_factor(stage: StageConfig, step: int) -> float:
    """The share of the learning rate at a step: a linear rise, a constant part, a half cosine at the end; halvings."""
    halved = 0.5 ** sum(step >= at for at in stage.halve_at)
    if step < stage.warmup:
        return halved * (step + 1) / stage.warmup
    left = stage.steps - step
    if left >= stage.decay:
        return halved
    return halved * (stage.final_lr + (1 - stage.final_lr) * (1 - math.cos(math.pi * left / stage.decay)) / 2)


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """A batch with its pictures on the device, channels last; its numbers stay, so that to read them is no wait."""
    return {
        name: value.to(device, non_blocking=True, memory_format=torch.channels_last) if value.ndim == 4 else value
        for name, value in batch.items()
    }


@torch.no_grad()
def save_samples(path: Path, stage: Stage, net: nn.Module, faces: FaceFolder, device: torch.device) -> None:
    """Restore the same few faces, spread over the folder, with the averaged weights."""
    places = range(0, len(faces), -(-len(faces) // SAMPLES))
    samples = [faces[SampleKey(0, slot, index)] for slot, index in enumerate(places)]
    batch = {
        name: torch.stack([s[name] for s in samples]).to(device) for name in samples[0] if name in ("hq", "lq", "mask")
    }
    save_grid(path, stage.rows(net, batch))  # pyright: ignore[reportArgumentType]


def build_parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    parser = argparse.ArgumentParser("python -m training.train", description=__doc__)
    parser.add_argument("--preset", required=True, choices=PRESETS, help="what to train, see training/presets.py")
    parser.add_argument("--stage", default="all", choices=("1", "2", "3", "all"))
    parser.add_argument("--data", type=Path, action="append", help="folder of aligned faces; repeatable")
    parser.add_argument("--shares", type=float, nargs="+", help="how often each --data is drawn (default: by its size)")
    parser.add_argument("--out", type=Path, help="folder of the run")
    parser.add_argument("--estimate", action="store_true", help="say what the stages cost on this machine, and end")
    parser.add_argument("--val", type=Path, help="folder of aligned faces that are not trained on, to measure on")
    parser.add_argument("--begin-from", type=Path, help="a checkpoint from which the stage begins, as far as it fits")
    parser.add_argument("--steps", type=int, help="length of the stage, in place of the preset's")
    parser.add_argument("--accumulate", type=int, default=1, help="batches whose gradients are summed in a step")
    parser.add_argument("--workers", type=int, help="processes that read and degrade faces (default: up to 4)")
    parser.add_argument("--perceptual", choices=get_args(PerceptualName), help="in place of the preset's")
    parser.add_argument("--perceptual-weights", type=Path, help="file of the perceptual network")
    parser.add_argument("--mixed-precision", choices=("no", "bf16"))
    parser.add_argument("--seed", type=int)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0, 2 with one line that says what is wrong and what to do, or 130 after Ctrl-C."""
    args = (parser := build_parser()).parse_args(argv)
    if not args.estimate and (args.data is None or args.out is None):
        parser.error("--data and --out are needed to train")
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    def work() -> None:
        config = PRESETS[args.preset]
        numbers = config.numbers if args.stage == "all" else (int(args.stage),)
        if not set(numbers) <= set(config.numbers):
            raise ValueError(f"preset {config.name} has stage 1 alone; leave out --stage {args.stage}")
        for name in ("perceptual", "mixed_precision", "seed"):
            if getattr(args, name) is not None:
                config = replace(config, **{name: getattr(args, name)})
        if args.steps is not None:
            if len(numbers) > 1:
                raise ValueError("--steps is the length of one stage; give --stage 1, 2 or 3 with it")
            stages = [with_steps(s, args.steps) if n in numbers else s for n, s in enumerate(config.stages, 1)]
            config = replace(config, stages=tuple(stages))
        accelerator = accelerator_for(config.mixed_precision)
        if args.estimate:
            costs = [estimate(config, number, accelerator) for number in numbers]
            sys.stdout.write(f"{config.name} on {accelerator.device}, from one step of each stage\n{as_table(costs)}")
            return
        for number in numbers:  # stage III is not to fail for it after days of the others
            check_batch(config.stage(number).batch_size, accelerator.num_processes, args.accumulate)
        for number in numbers:
            train_stage(
                config,
                number,
                args.data,
                args.out,
                accelerator,
                shares=args.shares,
                accumulate=args.accumulate,
                workers=default_workers() if args.workers is None else args.workers,
                perceptual_weights=args.perceptual_weights,
                begin=args.begin_from,
                val=args.val,
            )
        accelerator.end_training()

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
