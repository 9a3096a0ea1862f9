"""The JSON beside each restored picture: what was found and done, and whether it would come out the same again."""

import json
from pathlib import Path
from typing import Any

from ..restorer import AlignedFace
from ..whole_files import whole_file


def read_report(path: Path) -> dict[str, Any]:
    """The report at `path`; empty if there is none, or none that can be read."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Save JSON values, whole or not at all. OSError where the disk does not take them."""
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def face_report(face: AlignedFace, w: Any) -> dict[str, Any]:
    """One face as JSON values: box and landmarks in pixels of the picture, `affine` from there to the crop.

    `codes_confidence` is the mean probability of the predicted codes, None for a face that the network has not seen.
    """
    return {
        "box": face.face.box.astype(float).round(2).tolist(),
        "landmarks": face.face.landmarks.astype(float).round(2).tolist(),
        "score": round(face.face.score, 4),
        "affine": face.affine.round(6).tolist(),
        "restored": face.restored is not None,
        "w": w,
        "codes_confidence": None if face.confidence is None else round(face.mean_confidence, 4),
        "note": face.note,
    }


def stamp(path: Path) -> dict[str, Any]:
    """A file's name, size and date as JSON values: another file, or a changed one, has another stamp."""
    status = path.stat()
    return {"name": path.name, "bytes": status.st_size, "modified_ns": status.st_mtime_ns}
