"""Small faces in large pictures: how many `--detect-size auto` finds, against 640, what else it finds, what it costs.

`python -m bench.small_faces FACES PHOTOS` (folders of aligned faces and of photos). Faces with their surroundings are
shrunk until the short side of their box is 16, 24 or 32 px, and put with soft edges into photos enlarged to 4000 x 3000
px; with `--skip N` other faces are taken. Whatever else is found there with auto, and not with 640, is printed: a
wrong one, or a face of the photo that 640 missed. Costs are ratios of detection in one run.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch

from codeformer_core import load_detector
from codeformer_core.detection.detector import Detector, DetectorConfig
from codeformer_core.detection.faces import Face
from codeformer_core.pictures.files import read_picture

from .measure import machine, median_ratio, print_seconds, take_turns

SHAPE = 3000, 4000
SIZES = 16, 24, 32
EVERY = 400  # px between planted faces
AUTO, USUAL = DetectorConfig(), DetectorConfig(short_side=640)
COSTS = {"640 x 640": (640, 640), "1920 x 1080": (1080, 1920), "12 megapixels": (3000, 4000), "24": (4000, 6000)}
PICTURES = "astronaut", "coffee", "chelsea", "rocket", "immunohistochemistry", "retina", "hubble_deep_field"
TEXTURES = (
    "coffee",
    "chelsea",
    "rocket",
    "immunohistochemistry",
    "retina",
    "hubble_deep_field",
    "brick",
    "grass",
    "gravel",
    "page",
    "text",
    "clock",
    "moon",
)


def read(path: Path) -> np.ndarray:
    return read_picture(path).rgb


def filling(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The middle of a picture, enlarged to fill (height, width)."""
    scale = max(shape[0] / picture.shape[0], shape[1] / picture.shape[1])
    height, width = (max(round(n * scale), least) for n, least in zip(picture.shape, shape, strict=False))
    large = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    top, left = (height - shape[0]) // 2, (width - shape[1]) // 2
    return np.ascontiguousarray(large[top : top + shape[0], left : left + shape[1]])


def plant(
    picture: np.ndarray, faces: list[tuple[np.ndarray, Face]], size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Put faces of so many px into a picture, one every `EVERY` px; the middles of their landmarks."""
    places = []
    for n, (y, x) in enumerate(
        (y, x) for y in range(200, SHAPE[0] - 200, EVERY) for x in range(200, SHAPE[1] - 200, EVERY)
    ):
        face, found = faces[n % len(faces)]
        side = round(len(face) * size / found.size)
        small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
        top, left = (np.array([y, x]) + rng.integers(-80, 80, 2)).tolist()
        ramp = np.minimum(1, np.minimum(np.arange(side), np.arange(side)[::-1]) / (side * 0.12))
        alpha = np.outer(ramp, ramp)[..., None]
        here = picture[top : top + side, left : left + side]
        here[:] = np.round(here + alpha * (small - here)).astype(np.uint8)
        places.append((left, top) + found.landmarks.mean(0) * side / len(face))
    return places


def is_at(face: Face, place: np.ndarray, size: float) -> bool:
    return bool(np.linalg.norm(face.landmarks.mean(0) - place) < size / 2)


def is_new(face: Face, others: list[Face]) -> bool:
    return not any(is_at(face, other.landmarks.mean(0), max(face.size, other.size)) for other in others)


def recall(detector: Detector, faces: list[tuple[np.ndarray, Face]], photos: list[np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    for size in SIZES:
        seen = {"640": 0, "auto": 0}
        total = doubles = 0
        for photo in photos:
            picture = filling(photo, SHAPE)
            places = plant(picture, [faces[i] for i in rng.permutation(len(faces))], size, rng)
            total += len(places)
            for name, config in (("640", USUAL), ("auto", AUTO)):
                found = detector.detect(picture, config)[0]
                hits = [sum(is_at(face, place, size) for face in found) for place in places]
                seen[name] += sum(hit > 0 for hit in hits)
                doubles += sum(hit > 1 for hit in hits)
        print(f"{size} px: found of {total}: {seen['640']} with 640, {seen['auto']} with auto; {doubles} twice")


def others(detector: Detector, pictures: dict[str, np.ndarray]) -> None:
    """What auto finds and 640 does not, in pictures with nothing planted."""
    for name, picture in pictures.items():
        usual, auto = (detector.detect(picture, config)[0] for config in (USUAL, AUTO))
        new = [face for face in auto if is_new(face, usual)]
        lost = [face for face in usual if is_new(face, auto)]
        print(f"{name}: 640 finds {len(usual)}, auto {len(new)} more, {len(lost)} fewer", end="")
        print("".join(f"; {f.size:.0f} px at {f.centre[0]:.0f}, {f.centre[1]:.0f}, {f.score:.2f}" for f in new))


def costs(detector: Detector, rounds: int) -> None:
    for name, shape in COSTS.items():
        picture = filling(skimage.data.astronaut(), shape)
        runs = {
            f"{name}, {which}": lambda picture=picture, config=config: detector.detect(picture, config)
            for which, config in (("640", USUAL), ("auto", AUTO))
        }
        seconds = take_turns(runs, rounds)
        print_seconds(seconds)
        print(f"{name}: {median_ratio(*list(seconds.values())[::-1]):.2f} times")


def mosaic() -> np.ndarray:
    """scikit-image's pictures without faces, as they are, side by side: texture as sharp as it gets."""
    pictures = [np.atleast_3d(getattr(skimage.data, name)()) for name in TEXTURES]
    picture = np.full((*SHAPE, 3), 128, np.uint8)
    for n, (y, x) in enumerate((y, x) for y in range(0, SHAPE[0], 500) for x in range(0, SHAPE[1], 500)):
        part = pictures[n % len(pictures)][-500:, -500:]
        picture[y : y + part.shape[0], x : x + part.shape[1]] = np.ascontiguousarray(
            np.rot90(part, 2 * (n // len(pictures) % 2))
        )
    return picture


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    print(machine())
    detector = load_detector()
    faces = []
    for path in sorted(args.faces.iterdir())[args.skip :: 2]:
        face = read(path) if path.suffix in (".webp", ".png", ".jpg") else None
        found = detector.detect(face, USUAL)[0] if face is not None else []
        if face is not None and found:
            faces.append((face, found[0]))
    photos = {path.name: read(path) for path in sorted(args.photos.iterdir()) if path.suffix in (".png", ".jpg")}
    recall(detector, faces, list(photos.values())[args.skip :: 3])
    others(detector, {name: filling(photo, SHAPE) for name, photo in photos.items()})
    others(detector, {name: filling(getattr(skimage.data, name)(), SHAPE) for name in PICTURES})
    others(detector, {"mosaic": mosaic()})
    costs(detector, args.rounds)


if __name__ == "__main__":
    main()
