"""Faces at any angle: right landmarks, faces lost and found twice, and the cost: `python -m bench.angles FACES`.

FACES is a folder of aligned faces. Each is put into a picture of 640 x 640 pixels of its own mean colour, found upright
by the search alone, and turned in steps of 15 degrees; its landmarks then are to be within 0.15 eye distances of those,
turned. `--photos` turns the pictures of a folder as they are, with all their faces. Costs are of upright pictures, with
`any_angle` over without, in turns.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from codeformer_core import DetectorConfig, Face, load_detector
from codeformer_core.pictures.files import read_picture

from .measure import machine

SIDE, RIGHT = 640, 0.15  # px, eye distances
ALONE = DetectorConfig(any_angle=False)


def on_plain_ground(face: np.ndarray, size: int, blur: float) -> np.ndarray:
    """(640, 640, 3) uint8 with the face at `size` px in its middle, blurred by `blur` px."""
    picture = np.broadcast_to(face.mean((0, 1)).astype(np.uint8), (SIDE, SIDE, 3)).copy()
    smaller = size < len(face)
    scaled = cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    start = (SIDE - size) // 2
    picture[start : start + size, start : start + size] = cv2.GaussianBlur(scaled, (0, 0), blur) if blur else scaled
    return picture


def turned(picture: np.ndarray, angle: float, whole: bool) -> tuple[np.ndarray, np.ndarray]:
    """The picture turned counter-clockwise by so many degrees, `whole` or in its own frame, and the transform to it."""
    height, width = h, w = picture.shape[:2]
    affine = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), angle, 1)
    if whole:
        cos, sin = abs(affine[0, 0]), abs(affine[0, 1])
        w, h = round(width * cos + height * sin), round(width * sin + height * cos)
        affine[:, 2] += ((w - width) / 2, (h - height) / 2)
    ground = (128, 128, 128) if whole else picture[0, 0].tolist()
    return cv2.warpAffine(picture, affine, (w, h), borderValue=ground), affine


def pictures(args: argparse.Namespace) -> Iterator[np.ndarray]:
    """The upright pictures."""
    for path in sorted(args.faces.iterdir())[args.start :: args.every]:
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
            rgb = read_picture(path).rgb
            yield rgb if args.photos else on_plain_ground(rgb, args.size, args.blur)


def off(face: Face, wanted: np.ndarray) -> float:
    """Eye distances from the wanted landmarks."""
    return float(np.linalg.norm(face.landmarks - wanted, axis=1).mean() / np.linalg.norm(wanted[1] - wanted[0]))


def seconds(detector, picture: np.ndarray, config: DetectorConfig | None) -> float:
    """What one search takes."""
    start = time.perf_counter()
    detector.detect(picture, config)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--photos", action="store_true", help="whole pictures instead of aligned faces")
    parser.add_argument("--size", type=int, default=260, help="px that an aligned face is put at")
    parser.add_argument("--blur", type=float, default=0, help="px")
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="every so manyth picture, from --start on")
    parser.add_argument("--step", type=int, default=15, help="degrees")
    parser.add_argument("--rounds", type=int, default=5, help="of the costs; 0: none")
    parser.add_argument("--detector", default="retinaface_mobile0.25")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    detector = load_detector(args.detector)
    print(machine())
    errors, extra, upright, costs = defaultdict(list), 0, 0, []
    for picture in pictures(args):
        known = detector.detect(picture, ALONE)[0]
        upright += len(known)
        for angle in range(0, 360, args.step):
            image, affine = turned(picture, angle, args.photos)
            found = detector.detect(image)[0]
            wanted = [cv2.transform(face.landmarks[None], affine)[0] for face in known]
            errors[angle] += [min((off(face, points) for face in found), default=np.inf) for points in wanted]
            extra += max(len(found) - len(known), 0)
        if args.rounds and known:
            rounds = [(seconds(detector, picture, None), seconds(detector, picture, ALONE)) for _ in range(args.rounds)]
            costs.append(np.median([both / alone for both, alone in rounds]))
    print(f"{upright} faces found upright\n\n| angle | right | seen, but wrong | not found |\n|---|---|---|---|")
    total = [error for its in errors.values() for error in its]
    for angle, values in [*errors.items(), ("all", total)]:
        values = np.array(values)
        right, near = (values < RIGHT).mean(), (values < 2).mean()
        print(f"| {angle} | {right:.1%} | {near - right:.1%} | {1 - near:.1%} |")
    print(f"\n{extra} faces more than there are, in {len(errors[0]) * len(errors)} turned ones")
    if costs:
        print(f"cost of an upright picture: {np.mean(costs):.2f} in the mean, {np.percentile(costs, 95):.2f} at 95 %")


if __name__ == "__main__":
    main()
