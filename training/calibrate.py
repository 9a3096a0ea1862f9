"""Calibrate the automatic fidelity for a model: `python -m training.calibrate MODEL --data TRAIN --val VAL`.

Fits how the severity of a face's degradation is told without the clean face, and which w suits each severity, on
faces of `--data`; prints a `Calibration` for codeformer_core/fidelity/automatic.py, and on the faces of `--val` a table
of the automatic fidelity beside every single w.
"""

import argparse
import sys
import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from codeformer_core.fidelity.automatic import FACE_SHARE, Calibration, FaceQuality, face_quality
from codeformer_core.fidelity.plan import AutoFidelity
from codeformer_core.models import model_path
from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.pictures.arrays import to_float, to_network
from codeformer_core.pictures.degradation import Degradation, degradation_rng, degrade, sample_degradation
from codeformer_core.weights.checkpoint import load_codeformer

from .evaluation.compare import LEVELS
from .evaluation.metrics import feature_distance, psnr, to_unit
from .faces.data import find_faces, read_face
from .stages.perceptual import RetinaFaceFeatures

W = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
SEVERITIES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)  # keys of the fitted weights
REACH = 0.25  # of severity: how far around a key faces count for it
NEARLY = 0.005  # of the least distance: where more of the input brings less than this, quality is preferred
CLEAN = 0.9  # the least w of a clean face
FLOOR = 0.01  # added to distances before their logarithm, about that of faces that look the same


@dataclass(frozen=True, eq=False)
class Sample:
    """One degraded face."""

    level: str
    quality: FaceQuality
    distance: float  # perceptual, of the input to the clean face
    distances: np.ndarray  # (len(W),), of the restored faces; empty if they were not made
    psnrs: np.ndarray  # likewise, dB


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 2 with one line on stderr if the input was wrong."""
    parser = argparse.ArgumentParser("python -m training.calibrate", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("model", help="a CodeFormer checkpoint, or a name such as mini")
    parser.add_argument("--data", type=Path, required=True, help="clean aligned faces to fit to")
    parser.add_argument("--val", type=Path, required=True, help="others, for the table")
    parser.add_argument("--limit", type=int, default=120, help="at most so many faces to fit to (default 120)")
    parser.add_argument("--min-side", type=int, default=192, help="smaller faces are left out, px (default 192)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    try:
        if args.limit < 1:
            raise ValueError(f"--limit is 1 or more, got {args.limit}")
        if args.seed < 0:
            raise ValueError(f"--seed is 0 or more, got {args.seed}")
        net = load_codeformer(model_path(args.model))
        faces, others = (find_faces(folder, min_side=args.min_side) for folder in (args.data, args.val))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"training.calibrate: {error}\n")
        return 2
    np.random.default_rng(args.seed).shuffle(faces)  # pyright: ignore[reportArgumentType]
    faces = faces[: args.limit]
    fitted = by_level(net, faces, args.seed)
    calibration = fit_weights(fit_severity([*fitted, *one_by_one(net, faces[::2], args.seed)]), fitted)
    sys.stdout.write(f"{calibration}\n\n{table(by_level(net, others, args.seed + 1), calibration)}")
    return 0


def by_level(net: CodeFormer, faces: Sequence[Path], seed: int) -> list[Sample]:
    """Each face clean and at each level of evaluation, restored at each w."""
    size, samples = net.config.vq.image_size, []
    features = RetinaFaceFeatures()
    for path in tqdm(faces, desc="levels", unit="face"):
        clean = read_face(path, size)
        samples.append(_sample(net, features, "clean", clean, clean, 1.0, W))
        for level, config in LEVELS.items():
            rng = degradation_rng(seed, zlib.crc32(level.encode()), zlib.crc32(path.stem.encode()))
            lq = degrade(clean, sample_degradation(config.scaled(size), rng))
            samples.append(_sample(net, features, level, clean, lq, 1.0, W))
    return samples


def one_by_one(net: CodeFormer, faces: Sequence[Path], seed: int) -> list[Sample]:
    """Each face with one kind of degradation at a time, in steps: none restored, for the severity alone."""
    size, samples = net.config.vq.image_size, []
    features = RetinaFaceFeatures()
    scale = size / 512
    for path in tqdm(faces, desc="one by one", unit="face"):
        clean = read_face(path, size)
        for step in (0.25, 0.5, 1.0):
            kinds = {
                "blur": {"sigma_x": 8 * scale * step, "sigma_y": 8 * scale * step},
                "noise": {"noise": 25 * step},
                "jpeg": {"jpeg_quality": round(70 - 60 * step)},
                "small": {"downscale": 2 ** (4 * step)},
            }
            for kind, changed in kinds.items():
                seeded = Degradation(noise_seed=seed + zlib.crc32(path.stem.encode()), **changed)
                lq = degrade(clean, seeded)
                shrunk = changed.get("downscale", 1.0)
                samples.append(_sample(net, features, kind, clean, lq, float(shrunk), ()))
    return samples


@torch.inference_mode()
def _sample(
    net: CodeFormer,
    features: RetinaFaceFeatures,
    level: str,
    clean: np.ndarray,
    lq: np.ndarray,
    shrunk: float,
    weights: Sequence[float],
) -> Sample:
    crop, size = to_float(lq), len(lq)
    prediction = net.predict_codes(to_network(crop[None]))
    confidence = float(prediction.confidence.mean())
    truth = to_unit(to_network(to_float(clean)[None]))
    made = [to_unit(to_network(crop[None])), *(to_unit(net.decode(prediction, w)) for w in weights)]
    distances = [float(feature_distance(features, face, truth)) for face in made]
    return Sample(
        level=level,
        quality=face_quality(crop, np.ones((size, size), bool), FACE_SHARE * size / shrunk, confidence),
        distance=distances[0],
        distances=np.array(distances[1:]),
        psnrs=np.array([float(psnr(face, truth)) for face in made[1:]]),
    )


def fit_severity(samples: Sequence[Sample]) -> Calibration:
    """The logarithm of the input's distance from the clean face, by non-negative least squares on the qualities."""
    from scipy.optimize import nnls

    logs = np.log([sample.distance + FLOOR for sample in samples])
    low, high = (logs[[sample.level == level for sample in samples]].mean() for level in ("clean", "heavy"))
    wanted = (logs - low) / (high - low)
    qualities = np.array([astuple(sample.quality) for sample in samples])
    slopes, _ = nnls(np.column_stack([qualities, np.ones(len(qualities)), -np.ones(len(qualities))]), wanted)
    kept = tuple(round(float(slope), 4) for slope in slopes[:5])
    return Calibration(slopes=kept, offset=round(float(slopes[5] - slopes[6]), 4), weights=())  # pyright: ignore


def fit_weights(calibration: Calibration, samples: Sequence[Sample]) -> Calibration:
    """The weights at `SEVERITIES`, never rising: the lowest whose mean distance there is nearly the least."""
    severities = np.array([calibration.severity(sample.quality) for sample in samples])
    curves = np.stack([sample.distances for sample in samples])
    grid = np.round(np.arange(0, 1.001, 0.05), 2)
    weights = []
    for key in SEVERITIES:
        near = np.clip(1 - np.abs(severities - key) / REACH, 0, None)
        if near.sum() < 1:  # too few faces as bad as this: no more is known than of the key before
            weights.append(weights[-1] if weights else 1.0)
            continue
        mean = np.interp(grid, W, near @ curves / near.sum())
        enough = float(grid[mean <= (1 + NEARLY) * mean.min()].min())
        weights.append(min(enough, *weights[-1:], 1.0))
    weights[0] = max(weights[0], CLEAN)
    return replace(calibration, weights=tuple(zip(SEVERITIES, weights, strict=True)))


def table(samples: Sequence[Sample], calibration: Calibration) -> str:
    """Mean distance and PSNR by level, and of mild, medium and heavy mixed: each single w, and automatic."""
    levels = ("clean", *LEVELS, "mixed")
    rows = [["w", *levels]]
    at = [calibration.weight(sample.quality, AutoFidelity()) for sample in samples]
    for name, weights in [*((f"{w:g}", [w] * len(samples)) for w in W), ("auto", at)]:
        cells = []
        for level in levels:
            chosen = [i for i, s in enumerate(samples) if (s.level in LEVELS if level == "mixed" else s.level == level)]
            distance = np.mean([np.interp(weights[i], W, samples[i].distances) for i in chosen])
            quality = np.mean([np.interp(weights[i], W, samples[i].psnrs) for i in chosen])
            mean = f" w {np.mean([weights[i] for i in chosen]):.2f}" if name == "auto" else ""
            cells.append(f"{distance:.4f} {quality:.2f} dB{mean}")
        rows.append([name, *cells])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
