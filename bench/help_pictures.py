"""The pictures that the bundled model makes for the help pages and the README: `python -m bench.help_pictures`."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from codeformer_core import (
    FaceRestorer,
    FidelityPlan,
    RestoreConfig,
    load_codeformer,
    load_detector,
    read_picture,
    write_picture,
)
from codeformer_core.fidelity.plan import REGIONS, AutoFidelity
from codeformer_core.fidelity.regions import regions_of_landmarks
from codeformer_core.inspection import inspect_face, mix_codes
from codeformer_core.models import BUNDLED, USAGE
from codeformer_core.pasting.alignment import template
from codeformer_core.pictures.arrays import from_network, to_network
from codeformer_core.pictures.degradation import LEVELS, Degradation, degradation_rng, degrade, sample_degradation
from codeformer_core.restoration import AlignedFace, Weighting

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "web" / "docs" / "images"
ASSETS = ROOT / "workflows" / "assets"
SIDE = 220  # px of a face in a picture
usage = USAGE["mini"]
config = RestoreConfig(calibration=usage.calibration, colour_match=usage.colour_match)
net = load_codeformer(BUNDLED)
restorer = FaceRestorer(net, load_detector(), config)


def face_of(name: str, number: int = 0, level: str | None = None, seed: int = 3) -> AlignedFace:
    """An aligned face of a picture, clean or degraded."""
    picture = read_picture(ASSETS / name).rgb
    face = restorer.align(picture, restorer.detect(picture)[0])[number]
    if level is None:
        return face
    lq = degrade((face.crop * 255).astype(np.uint8), _drawn(level, len(face.crop), seed))
    return restorer.as_aligned(lq)


def _drawn(level: str, size: int, seed: int) -> Degradation:
    return sample_degradation(LEVELS[level].scaled(size), degradation_rng(seed))


def restored(face: AlignedFace, w: Weighting) -> Any:
    """The face at a weight, with the weights that were in force."""
    (done,) = restorer.restore_at([w], [face])[0]
    return done


def heat(values: np.ndarray) -> np.ndarray:
    """Values (h, w) in [0, 1] as colours, as the nodes draw them."""
    return cv2.applyColorMap((values * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1] / np.float32(255)


def strip(name: str, tiles: dict[str, Any]) -> None:
    """Titled pictures (h, w, 3) in [0, 1] side by side, as a JPEG of the help pages."""
    drawn = []
    for title, tile in tiles.items():
        filter = cv2.INTER_AREA if len(tile) > SIDE else cv2.INTER_CUBIC if len(tile) > 32 else cv2.INTER_NEAREST
        tile = cv2.resize(tile.astype(np.float32), (SIDE, SIDE), interpolation=filter)
        label = np.full((24, SIDE, 3), 255, np.uint8)
        cv2.putText(label, title, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        drawn.append(np.concatenate([label / np.float32(255), tile.clip(0, 1)]))
    write_picture(IMAGES / f"{name}.jpg", (np.concatenate(drawn, 1) * 255).round().astype(np.uint8), quality=85)


def before_after() -> None:
    """docs/before_after.jpg: the faces of a group as they are, and at w = 0, 0.5 and 1."""
    faces = [face_of("group.jpg", number) for number in range(4)]
    rows = {"input": [face.crop for face in faces]}
    rows |= {f"w = {w:g}": [restored(face, w).restored for face in faces] for w in (0.0, 0.5, 1.0)}
    drawn = []
    for title, tiles in rows.items():
        label = np.full((256, 60, 3), 255, np.uint8)
        cv2.putText(label, title, (2, 132), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
        scaled = [cv2.resize(tile, (256, 256), interpolation=cv2.INTER_AREA) for tile in tiles]
        drawn.append(np.concatenate([label / np.float32(255), *scaled], 1))
    picture = (np.concatenate(drawn) * 255).round().astype(np.uint8)
    write_picture(ROOT / "docs" / "before_after.jpg", picture, quality=90)


def main() -> None:
    before_after()
    IMAGES.mkdir(exist_ok=True)
    lq = face_of("astronaut.jpg", level="mild")
    sizes = net.config.cft_sizes
    alone = {f"{n} px alone": FidelityPlan(base=1.0, scales={m: float(m == n) for m in sizes}) for n in sizes}
    plans = {"w = 0": 0.0, **alone, "all, w = 1": 1.0}
    strip("scales", {"input": lq.crop} | {title: restored(lq, plan).restored for title, plan in plans.items()})

    shares = regions_of_landmarks(template(256), 256)
    colours = [heat(np.full((1, 1), i / (len(REGIONS) - 1), np.float32))[0, 0] for i in range(len(REGIONS))]
    drawn = sum(shares[name][..., None] * colour for name, colour in zip(REGIONS, colours, strict=True))
    eyes = restored(lq, FidelityPlan(base=0.2, regions={"eyes": 1.0, "brows": 0.8, "mouth": 0.8}))
    face = cv2.resize(lq.crop, (256, 256))
    tiles = {"input": lq.crop, "w = 0.2": restored(lq, 0.2).restored, "eyes 1, brows, mouth 0.8": eyes.restored}
    strip("regions", tiles | {"its weights": heat(eyes.weights.map(256)), "regions": (face + drawn) / 2})

    levels = {"clean": None, "mild": "mild", "medium": "medium", "heavy": "heavy"}
    faces = {level: face_of("astronaut.jpg", level=name) for level, name in levels.items()}
    chosen = {level: restored(face, FidelityPlan(base=AutoFidelity())) for level, face in faces.items()}
    tiles = {}
    for level, face in chosen.items():
        tiles |= {level: face.crop, f"{level}, w {face.weights.w:.2f}": face.restored}
    strip("automatic", tiles)

    plan = FidelityPlan(sizes={44: 0.2, 56: 0.9})
    group = [restored(face_of("group.jpg", number), plan) for number in range(4)]
    tiles = {}
    for face in group:
        tiles[f"{face.face.size:.0f} px, w {face.weights.w:.2f}" + " " * len(tiles)] = face.restored
    strip("faces", tiles)

    frames = {f"frame {n}, w {w}": w for n, w in ((0, 0.2), (8, 0.4), (16, 0.6), (24, 0.8))}
    strip("schedule", {"input": lq.crop} | {title: restored(lq, w).restored for title, w in frames.items()})

    bad, clean = face_of("group.jpg", 0, "medium", 5), face_of("group.jpg", 0)
    seen = inspect_face(net, bad.crop, clean.crop)
    tiles = {"input": bad.crop, "confidence": heat(seen.confidence), "w = 0": seen.restored}
    tiles |= {"nearest neighbours": seen.from_nearest, "Code GT": seen.from_clean}
    strip("inspect", tiles | {f"CFT at {n} px": heat((seen.changes[n] / 0.15).clip(0, 1)) for n in sizes[:2]})

    predictions = [net.predict_codes(to_network(face.crop[None])) for face in (bad, clean)]
    mixed = from_network(net.decode(mix_codes(predictions[0], predictions[1]), 0.0))[0]
    strip("mixed", {"crops": bad.crop, "its codes": seen.restored, "others": clean.crop, "the surer codes": mixed})


if __name__ == "__main__":
    main()
