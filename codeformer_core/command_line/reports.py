"""The JSON beside each restored picture: what was found and done, and whether it would come out the same again."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..restoration import AlignedFace
from ..whole_files import whole_file

MARK, VERSION = "codeformer_report", 1  # tells our reports from other programs' files of the same name
KEYS = {"inputs", "output", "size", "settings", "faces"}  # of the first version, which had no mark


def read_report(path: Path) -> dict[str, Any]:
    """Our report at `path`; empty if there is none, or none that can be read, or a file of another program."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) and _is_ours(report, path) else {}


def _is_ours(report: dict[str, Any], path: Path) -> bool:
    output = report.get("output")
    if not isinstance(output, str):
        return False
    begun = report.keys() == {"output"} and Path(output).stem == Path(path.stem).stem  # by the first version
    return MARK in report or report.keys() >= KEYS or begun


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Save JSON values, whole or not at all. OSError where the disk does not take them."""
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps({MARK: VERSION, **report}, indent=1) + "\n", encoding="utf-8")


def own_results(report: dict[str, Any]) -> list[str]:
    """The names of results that this program wrote beside a report, in whatever format."""
    return _names([report["output"], *_list(report, "earlier")]) if report else []


def own_crops(report: dict[str, Any]) -> list[str]:
    """The names of the crops that this program wrote in the folder that goes with a report."""
    if MARK in report:
        return _names(_list(report, "crops"))
    settings = report.get("settings")  # of the first version, which did not list them
    if not isinstance(settings, dict) or not settings.get("save_crops"):
        return []
    restored = [isinstance(face, dict) and face.get("restored") is True for face in _list(report, "faces")]
    after = [f"{i:02}_after.png" for i, done in enumerate(restored) if done]
    return [*(f"{i:02}_before.png" for i in range(len(restored))), *after]


def _list(report: dict[str, Any], key: str) -> list[Any]:
    value = report.get(key)
    return value if isinstance(value, list) else []


def _names(values: list[Any]) -> list[str]:
    """Those that name a file in a folder, and none elsewhere."""
    return [name for name in values if isinstance(name, str) and name and Path(name).name == name]


def face_report(face: AlignedFace) -> dict[str, Any]:
    """One face as JSON values: box and landmarks in pixels of the picture, `affine` from there to the crop.

    `pose` is in degrees. `strength` is how far the face covers the picture's own, and `hidden` the share of its crop
    that is kept since something hides the face, None if that was not looked for.
    `codes_confidence` is the mean probability of the predicted codes, None for a face that the network has not seen.
    """
    weights = None if face.restored is None else face.weights
    return {
        "box": face.face.box.astype(float).round(2).tolist(),
        "landmarks": face.face.landmarks.astype(float).round(2).tolist(),
        "score": round(face.face.score, 4),
        "pose": {name: round(angle, 1) for name, angle in asdict(face.face.pose).items()},
        "affine": face.affine.round(6).tolist(),
        "restored": face.restored is not None,
        "w": _by_name(weights.at_scales()) if weights else None,
        "w_reasons": list(weights.reasons) if weights else [],
        "codes_confidence": None if face.confidence is None else round(face.mean_confidence, 4),
        "strength": None if face.restored is None else round(face.strength, 4),
        "hidden": None if face.unhidden is None else round(1 - float(face.unhidden.mean()), 4),
        "note": face.note,
    }


def _by_name(w: float | dict[int, float]) -> float | dict[str, float]:
    return round(w, 4) if isinstance(w, int | float) else {str(size): round(value, 4) for size, value in w.items()}
