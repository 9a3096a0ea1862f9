"""Sheets of blind pairs: two models side by side, in an order that only the key tells."""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from codeformer_core import FaceRestorer, RestoreConfig, load_codeformer, load_detector, read_picture, write_picture
from codeformer_core.models import model_path, model_usage
from codeformer_core.pasting.alignment import crop_face, estimate_affine
from codeformer_core.pictures.degradation import LEVELS, degradation_rng, degrade, sample_degradation
from codeformer_core.pictures.folders import find_pictures
from training.faces.data import find_faces, read_face

SIDE = 512  # px of a face on a sheet
ROWS = 6  # of a sheet
Trio = tuple[np.ndarray, np.ndarray, np.ndarray]  # input, by the one model, by the other


def main() -> None:
    """Save sheets of input, X and Y for each w, and key.json, which says whether X is the first or the second model."""
    parser = argparse.ArgumentParser(prog="python -m bench.blind", description=__doc__)
    parser.add_argument("models", nargs=2, help="checkpoints, or names")
    parser.add_argument("--faces", type=Path, help="folder of clean aligned faces, degraded mildly and medium in turn")
    parser.add_argument("--number", type=int, default=24, help="of these faces, spread over the folder")
    parser.add_argument("--photos", type=Path, help="folder of photographs, whose faces are found")
    parser.add_argument("--w", type=float, nargs="+", default=[0.5, 0.8])
    parser.add_argument("--out", type=Path, required=True, help="folder for the sheets")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    key: dict[str, int] = {}
    for w in args.w:
        restorers = [restorer_of(model, w) for model in args.models]
        trios: list[Trio] = []
        if args.faces:
            trios += of_faces(restorers, args.faces, args.number)
        if args.photos:
            trios += of_photos(restorers, args.photos)
        for start in range(0, len(trios), ROWS):
            rows = []
            for n, (before, *both) in enumerate(trios[start : start + ROWS], start):
                first = int(np.random.default_rng([n, round(1000 * w)]).integers(2))
                key[f"w {w:g}, {n}"] = first + 1
                rows.append(numbered(np.hstack([before, both[first], both[1 - first]]), n))
            write_picture(args.out / f"w{w:g}_{start // ROWS}.jpg", np.vstack(rows))
    (args.out / "key.json").write_text(json.dumps({"models": args.models, "X is": key}, indent=1))


def restorer_of(model: str, w: float) -> FaceRestorer:
    """The model as it is used, but for w."""
    path = model_path(model)
    usage = model_usage(model, path)
    config = RestoreConfig(w=w, calibration=usage.calibration, colour_match=usage.colour_match)
    return FaceRestorer(load_codeformer(path), load_detector(), config)


def of_faces(restorers: list[FaceRestorer], folder: Path, number: int) -> list[Trio]:
    """Degraded faces, restored by both."""
    paths = find_faces(folder, min_side=256)
    trios = []
    for n, i in enumerate(np.linspace(0, len(paths) - 1, min(number, len(paths))).astype(int)):
        rng = degradation_rng(0, n)
        face = degrade(read_face(paths[i], SIDE), sample_degradation(LEVELS[("mild", "medium")[n % 2]], rng))
        one, other = (r.paste(face, r.restore([r.as_aligned(face)])) for r in restorers)
        trios.append((face, one, other))
    return trios


def of_photos(restorers: list[FaceRestorer], folder: Path) -> list[Trio]:
    """Every face of photographs, cut out of what both make of the whole picture."""
    trios = []
    for path, _ in find_pictures([folder]).pictures:
        photo = read_picture(path).rgb
        (faces,) = restorers[0].detect([photo])
        results = [photo, *(r([photo], faces=[faces])[0].image for r in restorers)]  # pyright: ignore[reportIndexIssue]
        for face in faces:
            affine = estimate_affine(face.landmarks, SIDE)
            before, one, other = (np.rint(255 * crop_face(image, affine, SIDE)).astype(np.uint8) for image in results)
            trios.append((before, one, other))
    return trios


def numbered(row: np.ndarray, number: int) -> np.ndarray:
    """A row of a sheet with its number in the corner."""
    return cv2.putText(row.copy(), str(number), (8, 36), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 0), 3)


if __name__ == "__main__":
    main()
