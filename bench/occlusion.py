"""How well `pasting/occlusion.py` tells what hides a face: faces with a blob like a hand, or a bar, laid over them.

    python bench/occlusion.py FACES [--count 40]

FACES is a folder of aligned faces. For each strength of degradation: how much of the thing is kept from the input (mean
of 1 - mask over it), and how much of a face with nothing before it is wrongly kept (the same over the face's oval).
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from codeformer_core import FaceRestorer, load_codeformer
from codeformer_core.models import BUNDLED
from codeformer_core.pasting import occlusion
from codeformer_core.pictures.arrays import to_float
from codeformer_core.pictures.degradation import LEVELS, degradation_rng, degrade, sample_degradation
from codeformer_core.pictures.files import read_picture
from codeformer_core.restoration import RestoreConfig

KINDS = ("blob", "bar")
FLOORS = (0.06, 0.08, 0.10, 0.12, 0.15)  # lower limits; the upper one is twice as high


def hidden_by(face: np.ndarray, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The face (s, s, 3) with something drawn before it, and where that is, (s, s) bool."""
    size = len(face)
    place = np.zeros((size, size), np.uint8)
    x, y = (rng.uniform([0.35, 0.5], [0.65, 0.75]) * size).astype(int).tolist()
    if kind == "blob":  # a palm and fingers, of a skin's colour
        colour = np.array([0.80, 0.62, 0.52], np.float32) * np.float32(rng.uniform(0.45, 1.1))
        cv2.ellipse(place, (x, y), (int(0.13 * size), int(0.17 * size)), float(rng.uniform(0, 180)), 0, 360, 1, -1)
        for _ in range(3):
            tip = (int(x + rng.uniform(-0.22, 0.22) * size), int(y - rng.uniform(0.1, 0.25) * size))
            cv2.line(place, (x, y), tip, 1, int(0.06 * size))
    else:
        colour = rng.uniform(0, 1, 3).astype(np.float32)
        way = np.array([np.cos(angle := rng.uniform(0, np.pi)), np.sin(angle)]) * size * 1.5
        cv2.line(place, (int(x - way[0]), int(y - way[1])), (int(x + way[0]), int(y + way[1])), 1, int(0.11 * size))
    shade = 1 + 0.15 * np.linspace(-1, 1, size, dtype=np.float32)[None, :, None]
    return np.where(place[..., None] > 0, np.clip(colour * shade, 0, 1), face).astype(np.float32), place > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("faces", type=Path)
    parser.add_argument("--count", type=int, default=40)
    args = parser.parse_args()
    paths = sorted(args.faces.glob("*.webp")) + sorted(args.faces.glob("*.png"))
    paths = paths[:: max(len(paths) // args.count, 1)][: args.count]
    restorer = FaceRestorer(load_codeformer(BUNDLED), config=RestoreConfig(w=0.0))
    oval = np.zeros((restorer.face_size,) * 2, np.uint8)
    middle = restorer.face_size // 2
    cv2.ellipse(oval, (middle, int(1.1 * middle)), (int(0.6 * middle), int(0.78 * middle)), 0, 0, 360, 1, -1)
    for level in ("mild", "medium", "heavy"):
        kept: dict[tuple[str, float], list[float]] = {}
        for number, path in enumerate(paths):
            rng = degradation_rng(0, number)
            clean = to_float(read_picture(path).rgb)
            drawn = sample_degradation(LEVELS[level], rng)
            for kind in (*KINDS, "nothing"):
                picture, place = (clean, None) if kind == "nothing" else hidden_by(clean, kind, rng)
                face = restorer.as_aligned(degrade(picture, drawn).astype(np.float32))
                raw = restorer.decode([face], restorer.predict([face]))[0].restored
                assert raw is not None
                where = oval if place is None else np.minimum(cv2.resize(place.astype(np.uint8), oval.shape), oval)
                for floor in FLOORS:
                    occlusion.LIMITS = floor, 2 * floor
                    mask = occlusion.unhidden(face.crop, raw, face.inside)
                    kept.setdefault((kind, floor), []).append(float((1 - mask)[where > 0].mean()))
        for (kind, floor), values in sorted(kept.items()):
            worst = np.percentile(values, 10 if kind != "nothing" else 90)
            print(f"{level:7} {kind:8} {floor:.2f}  mean {np.mean(values):.3f}  worst tenth {worst:.3f}")


if __name__ == "__main__":
    main()
