"""How far restored faces of a film flicker, frame by frame and held steady: films with known motion, made of photos."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from codeformer_core import Face, FaceRestorer, RestoreConfig, load_codeformer, load_detector, read_picture
from codeformer_core.film.steady import SteadyConfig, SteadyFaces
from codeformer_core.film.tracks import TrackConfig, track_faces
from codeformer_core.models import model_path, model_usage
from codeformer_core.pasting.alignment import crop_face, estimate_affine
from codeformer_core.pictures.degradation import Degradation, degrade
from codeformer_core.restoration import AlignedFace

FRAMES = 12
SIDE = 360  # px of a frame
FACE = 150  # px of the face's box in it, before motion
WEIGHTS = (0.0, 0.5, 1.0)
MOTIONS: dict[str, Callable[[float], tuple[float, float, float]]] = {  # frame: px to the right, degrees, zoom
    "still": lambda t: (0.0, 0.0, 1.0),
    "drift": lambda t: (1.5 * (t - FRAMES / 2), 0.0, 1.0),
    "turn": lambda t: (0.0, 10 * np.sin(t / 4), 1.0),
    "zoom": lambda t: (0.7 * t, 0.4 * t, 1 + 0.01 * t),
}
DAMAGE = {
    "noise": Degradation(sigma_x=0.8, sigma_y=0.8, downscale=1.5, noise=12, jpeg_quality=70),
    "blur": Degradation(sigma_x=2.0, sigma_y=2.0, downscale=3, noise=8, jpeg_quality=60),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Film:
    """A clean face, and damaged frames of it with the way back from each."""

    clean: np.ndarray  # (s, s, 3) float32: the aligned face
    frames: list[np.ndarray]  # (h, w, 3) uint8
    back: list[np.ndarray]  # (3, 3), from each frame to the aligned face


def main() -> None:
    """Print a row for each photo, motion, damage and weight."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="+", help="pictures; the largest face of each is filmed")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--motions", nargs="+", choices=MOTIONS, default=list(MOTIONS))
    parser.add_argument("--damage", nargs="+", choices=DAMAGE, default=list(DAMAGE))
    parser.add_argument("--change", type=Path, nargs=2, help="two aligned faces: how soon a change is followed")
    for name, value in vars(SteadyConfig()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value)
    parser.add_argument("--smoothing", type=float, default=TrackConfig().smoothing)
    args = parser.parse_args()
    config = SteadyConfig(**{name: getattr(args, name) for name in vars(SteadyConfig())})
    usage = model_usage(args.model, model_path(args.model))
    settings = RestoreConfig(calibration=usage.calibration, adain=usage.adain, colour_match=usage.colour_match)
    restorer = FaceRestorer(load_codeformer(model_path(args.model)), load_detector(), settings)
    print("| photo | motion | damage | w | flicker | steady | less | PSNR | steady |\n" + "|---" * 9 + "|")
    totals: dict[float, list[np.ndarray]] = {w: [] for w in WEIGHTS}
    for photo in args.photos:
        for motion in args.motions:
            for damage in args.damage:
                film = _film(restorer, read_picture(photo).rgb, MOTIONS[motion], DAMAGE[damage])
                for w, row in _measured(restorer, film, config, args.smoothing).items():
                    totals[w].append(row)
                    _print(f"{photo.stem} | {motion} | {damage} | {w:g}", row)
    for w, rows in totals.items():
        _print(f"mean | | | {w:g}", np.mean(rows, axis=0))
    if args.change:
        _change(restorer, [read_picture(path).rgb for path in args.change], config)


def _print(what: str, row: np.ndarray) -> None:
    alone, steady, psnr, steady_psnr = row
    less = 100 * (1 - steady / alone)
    print(f"| {what} | {alone:.2f} | {steady:.2f} | {less:.0f} % | {psnr:.2f} | {steady_psnr:.2f} |", flush=True)


def _film(
    restorer: FaceRestorer,
    photo: np.ndarray,
    motion: Callable[[float], tuple[float, float, float]],
    damage: Degradation,
) -> Film:
    face = max(restorer.detect([photo])[0], key=lambda face: face.size)
    (x, y), scale = face.centre, FACE / face.size
    if scale < 1:
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        x, y, scale = x * scale, y * scale, 1.0
        face = max(restorer.detect([photo])[0], key=lambda face: face.size)
    to_face = estimate_affine(face.landmarks, restorer.face_size)
    frames, back = [], []
    for t in range(FRAMES):
        right, turn, zoom = motion(t)
        move = np.vstack([cv2.getRotationMatrix2D((x, y), turn, zoom * scale), [0, 0, 1]])
        move[:2, 2] += (SIDE / 2 - x + right, SIDE / 2 - y)
        frame = cv2.warpAffine(photo, move[:2], (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        frames.append(degrade(frame, replace(damage, noise_seed=t)))
        back.append(np.vstack([to_face, [0, 0, 1]]) @ np.linalg.inv(move))
    return Film(clean=crop_face(photo, to_face, restorer.face_size), frames=frames, back=back)


def _measured(restorer: FaceRestorer, film: Film, config: SteadyConfig, smoothing: float) -> dict[float, np.ndarray]:
    """For each weight: flicker frame by frame and steady, in 8-bit units, PSNR frame by frame and steady."""
    found = [[max(faces, key=lambda face: face.size)] if faces else [] for faces in restorer.detect(film.frames)]
    tracked = track_faces(found, TrackConfig(smoothing=smoothing))
    alone = _aligned(restorer, film, found)
    alone_at = restorer.restore_at(WEIGHTS, alone)
    rows = {}
    for w, faces in zip(WEIGHTS, alone_at, strict=True):
        steady = SteadyFaces(FaceRestorer(restorer.net, None, replace(restorer.config, w=w)), config).restore(
            _aligned(restorer, film, tracked)
        )
        flicker, psnr = zip(_judged(film, faces), _judged(film, steady), strict=True)
        rows[w] = np.array([*flicker, *psnr])
    return rows


def _aligned(restorer: FaceRestorer, film: Film, frames: list[list[Face]]) -> list[AlignedFace]:
    return [
        face
        for t, (frame, faces) in enumerate(zip(film.frames, frames, strict=True))
        for face in restorer.align(frame, [replace(face, image_index=t) for face in faces])
    ]


def _judged(film: Film, faces: list[AlignedFace]) -> tuple[float, float]:
    """Flicker and PSNR of restored faces that are all brought to the place of the clean one; its middle counts."""
    size = len(film.clean)
    middle = slice(size // 5, size - size // 5)
    there = []
    for face in faces:
        if face.restored is None:
            continue
        way = film.back[face.face.image_index] @ np.linalg.inv(np.vstack([face.affine, [0, 0, 1]]))
        there.append(cv2.warpAffine(face.restored, way[:2], (size, size), flags=cv2.INTER_CUBIC)[middle, middle])
    stack = np.stack(there) * 255
    errors = ((stack - film.clean[middle, middle] * 255) ** 2).mean((1, 2, 3))
    return float(np.abs(np.diff(stack, axis=0)).mean()), float((10 * np.log10(255**2 / errors)).mean())


def _change(restorer: FaceRestorer, pair: list[np.ndarray], config: SteadyConfig) -> None:
    """Print how far, in each frame after a change over three frames, the restored face has gone over to the new one."""
    size = restorer.face_size
    first, second = (cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) for face in pair)
    shares = np.clip((np.arange(FRAMES) - FRAMES // 2 + 1) / 3, 0, 1)
    faces = []
    for t, share in enumerate(shares):
        blend = (first + share * (second - first)).round().astype(np.uint8)
        face = restorer.as_aligned(degrade(blend, replace(DAMAGE["noise"], noise_seed=t)))
        faces.append(replace(face, face=replace(face.face, track=0, image_index=t)))
    print("\n| w | | " + " | ".join(f"{t - FRAMES // 2 + 1}" for t in range(FRAMES // 2, FRAMES)))
    for w in WEIGHTS:
        own = FaceRestorer(restorer.net, None, replace(restorer.config, w=w))
        alone = np.stack([face.restored for face in own.restore(faces)])  # pyright: ignore[reportCallIssue, reportArgumentType]
        steady = np.stack([face.restored for face in SteadyFaces(own, config).restore(faces)])  # pyright: ignore[reportCallIssue, reportArgumentType]
        before, after = alone[: FRAMES // 2 - 1].mean(0), alone[FRAMES // 2 + 2 :].mean(0)
        way = after - before
        for name, film in (("frame by frame", alone), ("steady", steady)):
            gone = ((film - before) * way).sum((1, 2, 3)) / (way**2).sum()
            print(f"| {w:g} | {name} | " + " | ".join(f"{x:.2f}" for x in gone[FRAMES // 2 :]) + " |")


if __name__ == "__main__":
    main()
