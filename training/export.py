"""Trained weights as safetensors that the core and the nodes load, with how they were trained in the metadata.

python -m training.export RUN/stage3.safetensors MODEL.safetensors --half rewrites one in half precision, for shipping;
... MODEL.pth --pth for programs that read the published files.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.networks.config import CodeFormerConfig, VQConfig
from codeformer_core.networks.state_dicts import CheckpointError, load_strictly
from codeformer_core.networks.vqgan import VQAutoEncoder
from codeformer_core.weights.checkpoint import naming, read_config, read_state_dict, save_checkpoint

from .checkpoints import save_state
from .presets import TrainConfig

logger = logging.getLogger(__name__)
Net = TypeVar("Net", VQAutoEncoder, CodeFormer)


def export(
    path: Path,
    net: nn.Module,
    sizes: VQConfig | CodeFormerConfig,
    config: TrainConfig,
    number: int,
    step: int,
) -> None:
    """Write a stage's averaged weights; the metadata says the preset, the stage's options and the step."""
    stage = config.stage(number)
    training = {
        "preset": config.name,
        "stage": str(number),
        "step": str(step),
        "steps": str(stage.steps),
        "faces": str(step * stage.batch_size),
        "seed": str(config.seed),
        "stage_config": json.dumps(asdict(stage)),
    }
    save_checkpoint(path, net.state_dict(), sizes, training)


def rewrite(source: Path, target: Path, *, half: bool) -> None:
    """A checkpoint with its metadata under another name, in float16 if `half`."""
    state, config, facts = _read(source)
    if half:
        state = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    save_checkpoint(target, state, config, facts)


def write_pth(source: Path, target: Path) -> None:
    """A checkpoint as {"params_ema": state dict}, which is how the published files are and their scripts read them.

    ValueError for a network whose sizes such a file, which has no metadata, cannot tell.
    """
    if target.suffix != ".pth":
        raise ValueError(f"{target}: --pth writes a .pth file; choose a name that ends so")
    state, config, _ = _read(source)
    if (told := read_config(state, {})) != config:
        raise ValueError(f"{source}: a .pth file cannot hold its sizes ({told} would be read); leave out --pth")
    save_state(target, {"params_ema": {name: t.clone() for name, t in state.items()}})


def _read(source: Path) -> tuple[dict[str, Tensor], VQConfig | CodeFormerConfig, dict[str, str]]:
    state, facts = read_state_dict(source)
    with naming(source):
        config = read_config(state, facts)
    if config is None:
        raise ValueError(f"{source}: holds no CodeFormer and no autoencoder; give stage<N>.safetensors of a run")
    return state, config, facts


def stage_path(out: Path, number: int) -> Path:
    """Where a run in `out` leaves what stage `number` learnt."""
    return out / f"stage{number}.safetensors"


def discriminator_path(out: Path) -> Path:
    """Where stage I leaves its discriminator, once it has begun, for the later stages."""
    return out / "stage1_discriminator.safetensors"


def load_discriminator(net: nn.Module, path: Path) -> None:
    """Set a discriminator to what stage I has learnt; CheckpointError says how to get it, or what does not fit."""
    if not path.is_file():
        raise CheckpointError(
            f"{path}: this stage begins with stage I's discriminator, which is not there; run --stage 1 with this "
            "--out until its adversary has begun (adversarial_from of the preset)"
        )
    with naming(path):
        load_strictly(net, read_state_dict(path)[0], "discriminator")


def load_autoencoder(path: Path, config: TrainConfig) -> VQAutoEncoder:
    """What stage I learnt, for the next stages; CheckpointError says how to get it, or what does not fit."""
    return _load(VQAutoEncoder(config.model.vq), path, 1)


def load_predictor(path: Path, config: TrainConfig) -> CodeFormer:
    """What stage II learnt, for stage III; CheckpointError as in `load_autoencoder`."""
    return _load(CodeFormer(config.model.without_cft), path, 2)


def begin_from(net: nn.Module, path: Path, number: int) -> None:
    """Set what stage `number` adds (I: all, II: the prediction of codes, III: CFT) to the weights of a checkpoint.

    Where the checkpoint has the same codebook and decoder, in its own precision, the encoder and in stage III the
    prediction of codes are set too, in place of what the stage before has learnt. What the checkpoint lacks stays as it
    is, and is logged; CheckpointError if nothing fits.
    """
    state, _ = read_state_dict(path)
    own = net.state_dict()
    fixed = {name for name in own if name.startswith(("quantize.", "generator."))}
    same = all(name in state and torch.equal(state[name], own[name].to(state[name].dtype)) for name in fixed)
    wanted = {name: t for name, t in own.items() if (name not in fixed if same else _adding_stage(name) == number)}
    found = {name: state[name] for name, t in wanted.items() if name in state and state[name].shape == t.shape}
    if not any(_adding_stage(name) == number for name in found):
        raise CheckpointError(f"{path}: has none of the weights, in the shapes wanted, that stage {number} adds")
    net.load_state_dict(found, strict=False)
    which = "all but codebook and decoder, which are the same" if same else f"what stage {number} adds"
    logger.info("%s: %d of %d tensors begin from %s", which, len(found), len(wanted), path)


def _adding_stage(name: str) -> int:
    if name.startswith(("encoder.", "quantize.", "generator.")):
        return 1
    return 3 if name.startswith("fuse_convs_dict.") else 2


def _load(net: Net, path: Path, number: int) -> Net:
    if not path.is_file():
        raise CheckpointError(
            f"{path}: stage {number + 1} starts from stage {number}'s checkpoint, which is not there; "
            f"run --stage {number} with this --out first, or --stage all"
        )
    state, facts = read_state_dict(path)
    with naming(path):
        load_strictly(net, state, f"stage {number}")
    if facts.get("step") == "0":
        raise CheckpointError(f"{path}: stage {number} has not learnt anything yet; run --stage {number} first")
    if facts.get("step") != facts.get("steps"):
        logger.warning("%s: stage %d stopped at step %s of %s", path, number, facts.get("step"), facts.get("steps"))
    return net.eval()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0, or 2 with one line that says what is wrong and what to do."""
    parser = argparse.ArgumentParser("python -m training.export", description=__doc__)
    parser.add_argument("source", type=Path, help="stage<N>.safetensors of a run")
    parser.add_argument("target", type=Path, help="the .safetensors file to write, or with --pth the .pth")
    parser.add_argument("--half", action="store_true", help="float16: half the size")
    parser.add_argument("--pth", action="store_true", help="a .pth with params_ema, as the published files are")
    args = parser.parse_args(argv)
    try:
        if args.pth and args.half:
            raise ValueError("--pth keeps float32, as the published files do; leave out --half")
        if args.pth:
            write_pth(args.source, args.target)
        else:
            rewrite(args.source, args.target, half=args.half)
    except (ValueError, OSError) as error:
        logger.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
