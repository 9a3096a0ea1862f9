"""How sure the network is of faces and of things that a detector takes for faces, and what a threshold leaves."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch

from codeformer_core import DetectorConfig, FaceRestorer, load_codeformer, load_detector, read_picture
from codeformer_core.detection.second_look import found_again
from codeformer_core.models import model_path, model_usage
from codeformer_core.pasting.alignment import template
from codeformer_core.pictures.arrays import to_network
from codeformer_core.pictures.degradation import LEVELS, degradation_rng, degrade, sample_degradation
from codeformer_core.pictures.formats import PICTURE_SUFFIXES

SEARCHED_AT = (640, 900, 1280, 1800)  # the larger, the more is taken for a face
NO_FACES = (
    "brick",
    "chelsea",
    "clock",
    "coffee",
    "coins",
    "gravel",
    "hubble_deep_field",
    "page",
    "rocket",
    "text",
)
SIDE = 512


def main() -> None:
    """Print a row for each level of degradation of the faces in a folder, and one for what is no face."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path, help="a folder of aligned faces")
    parser.add_argument("--model", default="mini")
    args = parser.parse_args()
    path = model_path(args.model)
    restorer = FaceRestorer(load_codeformer(path), load_detector())
    least = model_usage(args.model, path).min_confidence
    print(f"below {least:g} a face is doubted")
    print("| crops | number | least | 5 % | middle | 95 % | doubted | left |\n|---|---|---|---|---|---|---|---|")
    pictures = [
        _framed(read_picture(file).rgb) for file in sorted(args.faces.iterdir()) if file.suffix in PICTURE_SUFFIXES
    ]
    for level in ("clean", "mild", "medium", "heavy"):
        found = (_found(restorer, _degraded(picture, level, i)) for i, picture in enumerate(pictures))
        _row(level, [crops[0] for crops in found if crops], restorer, least)
    wrong = [crop for picture in _no_faces() for side in SEARCHED_AT for crop in _found(restorer, picture, side)]
    _row("no faces", wrong, restorer, least)


def _framed(face: np.ndarray) -> np.ndarray:
    filter = cv2.INTER_AREA if len(face) > SIDE else cv2.INTER_CUBIC
    return cv2.resize(face, (SIDE, SIDE), interpolation=filter)


def _degraded(face: np.ndarray, level: str, seed: int) -> np.ndarray:
    if level != "clean":
        face = degrade(face, sample_degradation(LEVELS[level], degradation_rng(0, seed)))
    edge = SIDE // 4
    return cv2.copyMakeBorder(face, edge, edge, edge, edge, cv2.BORDER_REFLECT)


def _no_faces() -> Iterator[np.ndarray]:
    for name in NO_FACES:
        picture = getattr(skimage.data, name)()
        yield np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture[..., :3].copy()


def _found(restorer: FaceRestorer, picture: np.ndarray, short_side: int = 640) -> list[np.ndarray]:
    assert restorer.detector is not None
    faces = restorer.detector.detect(picture, DetectorConfig(short_side=short_side))[0]
    return [face.crop for face in restorer.align(picture, [face for face in faces if face.eye_distance >= 5])]


@torch.inference_mode()
def _row(name: str, crops: list[np.ndarray], restorer: FaceRestorer, least: float) -> None:
    assert restorer.net is not None
    assert restorer.detector is not None
    sure = [float(restorer.net.predict_codes(to_network(crop[None])).confidence.mean()) for crop in crops]
    doubted = [crop for crop, value in zip(crops, sure, strict=True) if value < least]
    left = found_again(restorer.detector, doubted, template(restorer.face_size)).count(False)
    values = " | ".join(f"{value:.2f}" for value in np.quantile(sure, [0, 0.05, 0.5, 0.95]))
    print(f"| {name} | {len(crops)} | {values} | {len(doubted)} | {left} |")


if __name__ == "__main__":
    main()
