"""The arguments of `training.evaluate`."""

import argparse
from pathlib import Path

import torch

from .compare import LEVELS
from .library_metrics import ON_REQUEST


def parser(about: str) -> argparse.ArgumentParser:
    """The command's arguments; the first paragraph of `about` says what it does."""
    result = argparse.ArgumentParser("python -m training.evaluate", description=about.split("\n\n")[0])
    add = result.add_argument
    add("model", help="checkpoint of a CodeFormer or of stage I, or a model's name")
    add("--data", type=Path, help="folder of clean aligned faces")
    add("--out", type=Path, required=True, help="folder for the table and the figures")
    add("--stage1", type=Path, help="checkpoint of the autoencoder whose codes are the right ones")
    add(
        "--inputs",
        type=Path,
        nargs="+",
        default=[],
        help="folder of degraded faces named as the clean ones, instead of the levels; without --data one or more "
        "folders of faces that have no clean ones",
    )
    add("--reference", type=Path, help="folder of good faces to which FID and FD-A are measured (default: the clean)")
    add("--levels", nargs="+", choices=LEVELS, default=list(LEVELS))
    add("--w", nargs="+", type=float, default=[0.0, 0.25, 0.5, 0.75, 1.0], help="fidelity weights, 0 to 1")
    add("--adain", action=argparse.BooleanOptionalAction, default=True, help="keep the input's colours")
    add("--seed", type=int, default=0)
    add("--limit", type=_positive, help="only the first faces")
    add("--min-side", type=int, default=128, help="px; smaller pictures are left out")
    add("--batch-size", type=_positive, default=8)
    add("--size", type=int, help="px of the faces with a clean one, scaled to the model's side and back (default: it)")
    add("--bars", action="store_true", help="say which of the default model's bars are met")
    add("--strip", type=int, default=6, help="faces in the strips of w")
    add(
        "--with",
        dest="extra",
        nargs="+",
        type=_metric,
        default=[],
        metavar="NAME[=FILE]",
        help=f"more metrics: {', '.join(ON_REQUEST)}; FILE has the weights, which are fetched otherwise",
    )
    add("--accept-license", action="store_true", help="fetch weights whose licence restricts their use (musiq)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return result


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"is 1 or more, got {number}")
    return number


def _metric(text: str) -> str:
    name = text.partition("=")[0]
    if name not in ON_REQUEST:
        raise argparse.ArgumentTypeError(f"no metric is called {name}; choose from {', '.join(ON_REQUEST)}")
    return text
