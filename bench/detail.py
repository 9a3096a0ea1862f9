"""What large faces keep of their fine detail, and how near they come to the clean picture."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from codeformer_core import Face, FaceRestorer, RestoreConfig, load_codeformer, read_picture
from codeformer_core.models import model_path, model_usage
from codeformer_core.pasting.alignment import template
from codeformer_core.pictures.degradation import LEVELS, degradation_rng, degrade, sample_degradation
from codeformer_core.pictures.formats import PICTURE_SUFFIXES
from training.evaluation.metrics import bundled_metrics

SIZES = (0.64, 0.88, 1.02, 1.19, 1.59, 2.03)  # of a face, times the network's crop
DEGRADED_SIZES = (0.75, 1.0, 1.6)
GRAINS = (0, 5, 10)  # standard deviation, of white = 255
LEAST = 480  # px: smaller faces of the folder are left out


def main() -> None:
    """Print a row for each kind of picture and size of its face."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path, help="a folder of clean aligned faces")
    parser.add_argument("--number", type=int, default=6, help="of faces, spread over the folder (default 6)")
    parser.add_argument("--model", default="mini")
    parser.add_argument("-w", type=float, help="fidelity (default: the model's own)")
    args = parser.parse_args()
    path = model_path(args.model)
    usage = model_usage(args.model, path)
    config = RestoreConfig(
        w=usage.w if args.w is None else args.w, calibration=usage.calibration, colour_match=usage.colour_match
    )
    restorer = FaceRestorer(load_codeformer(path), config=config)
    files = (file for file in sorted(args.faces.iterdir()) if file.suffix in PICTURE_SUFFIXES)
    faces = [face for file in files if len(face := read_picture(file).rgb) >= LEAST]
    faces = [faces[i] for i in np.linspace(0, len(faces) - 1, min(args.number, len(faces))).astype(int)]
    print("without -> with own detail; HF: energy of high frequencies in the face, out/in; the rest to the clean face")
    print("| picture | size | HF | PSNR, dB | SSIM | PD |\n|---|---|---|---|---|---|")
    for grain in GRAINS:
        for size in SIZES:
            _row(f"grain {grain}", size, restorer, faces, lambda face, seed, grain=grain: _grainy(face, grain, seed))
    for level in ("mild", "medium", "heavy"):
        for size in DEGRADED_SIZES:
            _row(level, size, restorer, faces, lambda face, seed, level=level: _degraded(face, level, seed))


def _grainy(picture: np.ndarray, grain: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, grain, picture.shape)
    return np.clip(picture + noise, 0, 255).round().astype(np.uint8)


def _degraded(picture: np.ndarray, level: str, seed: int) -> np.ndarray:
    side = len(picture) // 2
    return degrade(picture, sample_degradation(LEVELS[level].scaled(side), degradation_rng(0, seed)))


def _row(
    name: str,
    size: float,
    restorer: FaceRestorer,
    faces: list[np.ndarray],
    spoil: Callable[[np.ndarray, int], np.ndarray],
) -> None:
    side = 2 * round(size * restorer.face_size / 2)
    edge = side // 2
    place = slice(edge, edge + side)
    box = edge + side * np.array([0.2, 0.2, 0.8, 0.8])
    found = Face(box=box, landmarks=template(side) + edge, score=1.0)
    y, x = np.mgrid[:side, :side] / side
    skin = ((x - 0.5) / 0.3) ** 2 + ((y - 0.55) / 0.38) ** 2 < 1
    metrics = {name: metric for name, metric in bundled_metrics().items() if name in ("PSNR", "SSIM", "PD")}
    values = np.empty((len(faces), 2, 1 + len(metrics)))
    for i, face in enumerate(faces):
        filter = cv2.INTER_AREA if len(face) > side else cv2.INTER_CUBIC
        face = cv2.resize(face, (side, side), interpolation=filter)
        picture = spoil(cv2.copyMakeBorder(face, edge, edge, edge, edge, cv2.BORDER_REFLECT), i)
        restored = restorer.restore(restorer.align(picture, [found]))
        without = [replace(each, weights=None) for each in restored]  # so that nothing is known to be asked for
        for j, its_faces in enumerate((without, restored)):
            pasted = restorer.paste(picture, its_faces)[place, place]
            energy = _fine(pasted)[skin].mean() / _fine(picture[place, place])[skin].mean()
            distances = (float(metric(_tensor(pasted), _tensor(face))) for metric in metrics.values())
            values[i, j] = energy, *distances
    columns = zip(values.mean(0).T, (2, 2, 3, 4), strict=True)
    print(f"| {name} | {size} |", *(f"{a:.{n}f} -> {b:.{n}f} |" for (a, b), n in columns), flush=True)


def _fine(picture: np.ndarray) -> np.ndarray:
    """The square of what a Gaussian of 1 px takes out."""
    values = picture.astype(np.float32)
    return np.square(values - cv2.GaussianBlur(values, (0, 0), 1))


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


if __name__ == "__main__":
    main()
