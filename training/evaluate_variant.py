"""How well variants do: `python -m training.evaluate_variant fill --data VAL`, or colour, prints a table.

fill: white strokes over a quarter, in the mean, of each aligned face; PSNR (dB) of their pixels, PD and PD-E (see
training.evaluate) of the whole face, by OpenCV's fill, by a model for restoration on that, and by that for filling.
colour: the mean distance of a and b in CIE Lab of faces that were made grey, by tercile of their lightness.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from codeformer_core.colouring import FaceColourer, colouring_settings
from codeformer_core.filling import FaceFiller, FillConfig, filling_settings
from codeformer_core.models import check_job, model_path, model_usage
from codeformer_core.restoration import RestoreConfig
from codeformer_core.restorer import FaceRestorer
from codeformer_core.weights.checkpoint import load_codeformer

from .evaluation.jobs import by_tercile, compare_colouring, compare_filling
from .evaluation.library_metrics import library_metrics
from .evaluation.metrics import bundled_metrics
from .evaluation.report import markdown
from .faces.data import find_faces, read_face
from .faces.lightness import face_lightness


def fill_table(model: str, paths: Sequence[Path], size: int) -> str:
    """The table of filling, as Markdown."""
    fillers = {}
    for name in ("mini", model):
        usage = model_usage(name, model_path(name))
        check_job(usage, name, "filling")
        restorer = FaceRestorer(load_codeformer(model_path(name)), config=RestoreConfig(**filling_settings(usage)))
        fillers[Path(name).stem] = FaceFiller(restorer, FillConfig(grow=1, strokes=usage.strokes))
    distances = {"PD": bundled_metrics()["PD"]}
    distances |= {name: metric for name, metric in library_metrics(()).faces.items() if name == "PD-E"}
    values = compare_filling(fillers, paths, size, distances)
    head = ["filled by", "PSNR of the holes", *distances]
    rows = [[row, f"{v['PSNR'].mean():.2f}", *(f"{v[d].mean():.3f}" for d in distances)] for row, v in values.items()]
    return markdown([head, *rows])


def colour_table(model: str, paths: Sequence[Path], size: int) -> str:
    """The table of colouring, as Markdown."""
    usage = model_usage(model, model_path(model))
    check_job(usage, model, "colouring")
    restorer = FaceRestorer(load_codeformer(model_path(model)), config=RestoreConfig(**colouring_settings(usage)))
    values = compare_colouring({Path(model).stem: FaceColourer(restorer)}, paths, size)
    lightness = [face_lightness(read_face(path, 64)) for path in paths]
    lines = [["colours of", "face", "dark", "middle", "light", "whole crop"]]
    for row, columns in values.items():
        thirds = by_tercile(columns["chroma"], lightness)
        lines.append([row, *(f"{v:.2f}" for v in (columns["chroma"].mean(), *thirds, columns["crop"].mean()))])
    return markdown(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0, or 2 with one line that says what is wrong and what to do."""
    parser = argparse.ArgumentParser("python -m training.evaluate_variant", description=(__doc__ or "").split(":")[0])
    parser.add_argument("job", choices=("fill", "colour"))
    parser.add_argument("--model", help="a name or a file (default: mini-fill or mini-colour)")
    parser.add_argument("--data", type=Path, required=True, help="folder of clean aligned faces")
    parser.add_argument("--size", type=int, default=256, help="px to which faces are scaled (default 256)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth face")
    args = parser.parse_args(argv)
    try:
        for name in ("size", "every"):
            if getattr(args, name) < 1:
                raise ValueError(f"--{name} is 1 or more, got {getattr(args, name)}")
        paths = find_faces(args.data, min_side=args.size)[:: args.every]
        made = fill_table if args.job == "fill" else colour_table
        table = made(args.model or f"mini-{args.job}", paths, args.size)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"training.evaluate_variant: {error}\n")
        return 2
    sys.stdout.write(f"{len(paths)} faces of {args.size} px\n\n{table}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
