"""Making a folder of aligned faces: `python -m training.prepare PHOTOS... --out FACES`.

Finds the faces of photographs with the core's own detector, leaves out those that are small, blurred, turned away, cut
off or doubtful, and saves the others aligned, as PNG, with a line of index.jsonl each. A second run goes on where the
first one stopped: photographs that sources.jsonl lists are done.
"""

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from codeformer_core.command_line.starting import check_device
from codeformer_core.detection.detector import Detector, DetectorConfig
from codeformer_core.detection.faces import Face
from codeformer_core.detection.load import load_detector
from codeformer_core.pasting.alignment import affine_scale, crop_face, estimate_affine, inside_picture, template
from codeformer_core.pictures.arrays import from_float
from codeformer_core.pictures.files import PictureError, read_picture, write_picture
from codeformer_core.pictures.folders import find_pictures

from .faces.lightness import face_lightness
from .faces.regions import face_region

logger = logging.getLogger(__name__)

SHARPNESS_SIZE = 256  # px; faces are brought to this size before their sharpness is measured


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Which faces are good enough to train on."""

    size: int = 512  # side of the saved faces, px
    min_score: float = 0.9  # the detector's
    max_enlargement: float = 1.2  # more than this many saved pixels for one of the photograph is soft
    max_misfit: float = 0.12  # mean distance of the aligned landmarks from the template, in eye distances: turned heads
    min_inside: float = 0.9  # share of the crop that lies on the photograph
    min_sharpness: float = 7.0  # see `sharpness`

    def __post_init__(self):
        if self.size < 32:
            raise ValueError(f"size is the side of the saved faces, 32 px or more, got {self.size}")
        for name in ("min_score", "min_inside"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is from 0 to 1, got {getattr(self, name)}")
        for name in ("max_enlargement", "max_misfit", "min_sharpness"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is 0 or more, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedFace:
    """A face of a photograph, aligned, and what was measured of it."""

    crop: np.ndarray  # (size, size, 3) uint8
    facts: dict[str, float]  # score, enlargement, misfit, inside, sharpness, lightness


def sharpness(face: np.ndarray) -> float:
    """Standard deviation of the Laplacian of the grey face region, at 256 px, in 8-bit units; blurred faces are low."""
    small = cv2.resize(face, (SHARPNESS_SIZE, SHARPNESS_SIZE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F)[face_region(SHARPNESS_SIZE)].std())


def prepare_face(image: np.ndarray, face: Face, config: PrepareConfig) -> PreparedFace | str:
    """The aligned face of a photograph (h, w, 3), or in a word why it is left out."""
    if face.score < config.min_score:
        return "doubtful"
    try:
        affine = estimate_affine(face.landmarks, config.size)
    except ValueError:
        return "turned"
    wanted = template(config.size)
    aligned = cv2.transform(face.landmarks[None].astype(np.float64), affine)[0]
    misfit = np.linalg.norm(aligned - wanted, axis=1).mean() / np.linalg.norm(wanted[1] - wanted[0])
    enlargement = affine_scale(affine)
    inside = inside_picture(affine, config.size, image.shape[:2]).mean()
    for reason, bad in (
        ("small", enlargement > config.max_enlargement),
        ("turned", misfit > config.max_misfit),
        ("cut off", inside < config.min_inside),
    ):
        if bad:
            return reason
    crop = from_float(crop_face(image, affine, config.size), np.dtype(np.uint8))
    if sharpness(crop) < config.min_sharpness:
        return "blurred"
    facts = {
        "score": face.score,
        "enlargement": enlargement,
        "misfit": float(misfit),
        "inside": float(inside),
        "sharpness": sharpness(crop),
        "lightness": face_lightness(crop),
    }
    return PreparedFace(crop=crop, facts={name: round(value, 4) for name, value in facts.items()})


def prepare(inputs: Sequence[str | Path], out: Path, detector: Detector, config: PrepareConfig) -> Counter[str]:
    """Fill `out` with the good faces of all pictures of `inputs`; how many were saved, and left out for which reason.

    A damaged picture is named in the log and counted. ValueError if there is no picture, OSError if a face cannot be
    saved.
    """
    counts: Counter[str] = Counter()
    sources, index = out / "sources.jsonl", out / "index.jsonl"
    for path in (sources, index):
        _drop_cut_line(path)
    done = {entry["source"]: entry.get("path") for entry in _lines(sources)}
    listed = {entry["file"] for entry in _lines(index)}
    found = find_pictures(inputs, exclude=out)
    for problem in found.problems:
        logger.warning("%s", problem)
    todo = []
    for path, name in found.pictures:
        if (source := name.as_posix()) not in done:
            todo.append((path, name))
        elif done[source] not in (None, str(path.resolve())):  # None: by an older version
            logger.warning("%s: passed over, %s was done as %s; give a folder above both", path, done[source], source)
    out.mkdir(parents=True, exist_ok=True)
    for path, name in tqdm(todo, unit="photo"):
        outcomes: list[str] = []
        try:
            image = read_picture(path).rgb
        except PictureError as error:
            logger.warning("%s", error)
            outcomes.append("damaged")
        else:
            for i, face in enumerate(detector.detect([image])[0]):
                prepared = prepare_face(image, face, config)
                if isinstance(prepared, str):
                    outcomes.append(prepared)
                    continue
                file = name.with_name(f"{name.stem}_{name.suffix[1:]}_{i}.png").as_posix()
                write_picture(out / file, prepared.crop)
                if file not in listed:  # it is, if the last run was stopped between the two files
                    _append(index, {"file": file, "source": name.as_posix(), **prepared.facts})
                outcomes.append("saved")
        _append(sources, {"source": name.as_posix(), "path": str(path.resolve()), "faces": outcomes})
        counts.update(outcomes or ["without a face"])
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 2 with one line on stderr if the input was wrong or no face was good."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = _parser().parse_args(arguments)
    try:
        config = PrepareConfig(
            size=args.size,
            min_score=args.min_score,
            max_enlargement=args.max_enlargement,
            max_misfit=args.max_misfit,
            min_inside=args.min_inside,
            min_sharpness=args.min_sharpness,
        )
        search = DetectorConfig(score_threshold=min(config.min_score, 0.8))
        check_device(args.device)
        detector = load_detector(args.detector, device=args.device, config=search)
        with logging_redirect_tqdm():
            counts = prepare(args.inputs, args.out, detector, config)
        if not _lines(args.out / "index.jsonl"):
            raise ValueError(f"{args.out}: no face was good enough ({_text(counts)}); give other photographs or limits")
    except (ValueError, OSError) as error:
        sys.stderr.write(f"training.prepare: {error}\n")
        return 2
    logger.info("%s: %s", args.out, _text(counts) or "nothing was left to do; for other limits, another --out")
    return 0


def _text(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def _lines(path: Path) -> list[dict]:
    """The objects of a .jsonl file, if there is one."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def _drop_cut_line(path: Path) -> None:
    """Take away a last line that a killed run did not finish."""
    if path.is_file() and not (content := path.read_bytes()).endswith(b"\n"):
        path.write_bytes(content[: content.rfind(b"\n") + 1])


def _append(path: Path, entry: dict) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m training.prepare", description=(__doc__ or "").split("\n\n")[1])
    defaults = PrepareConfig()
    add = parser.add_argument
    add("inputs", nargs="+", help="photographs, folders and patterns")
    add("--out", type=Path, required=True, help="folder of aligned faces, made if need be")
    add("--size", type=int, default=defaults.size, help="side of the saved faces, px (default: 512)")
    add("--min-score", type=float, default=defaults.min_score, help="of the detector, 0 to 1")
    add("--max-enlargement", type=float, default=defaults.max_enlargement, help="saved pixels for one of the photo")
    add("--max-misfit", type=float, default=defaults.max_misfit, help="of the landmarks, in eye distances")
    add("--min-inside", type=float, default=defaults.min_inside, help="share of the crop on the photograph, 0 to 1")
    add("--min-sharpness", type=float, default=defaults.min_sharpness, help="0 takes all")
    add("--detector", default="retinaface_mobile0.25", help="name or weights file")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


if __name__ == "__main__":
    sys.exit(main())
