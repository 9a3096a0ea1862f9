"""Which checkpoint a model's name means, and how each published model is meant to be used."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .fidelity.automatic import ASSUMED, MINI, Calibration
from .networks.config import COLORIZATION, INPAINTING
from .pasting.colour import ColourMatch
from .weights.checkpoint import checkpoint_info
from .weights.download import at_home, fetch_published, weights_folder
from .weights.published import PUBLISHED

logger = logging.getLogger(__name__)

BUNDLED = Path(__file__).parent / "assets" / "mini.safetensors"
VARIANTS = ("mini-fill", "mini-colour")  # bundled too, beside it

Job = Literal["restoration", "filling", "colouring"]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """How a model is run unless the user says otherwise."""

    w: float = 0.5
    colour_match: ColourMatch = "none"
    calibration: Calibration = ASSUMED  # of the automatic fidelity
    adain: bool = True
    keep_grey: bool = True  # grey pictures stay grey
    min_confidence: float = 0.1  # below it a face is doubted; this value is a careful guess, not calibrated
    job: Job = "restoration"  # what it was trained for
    strokes: bool = False  # of one for filling: it wants holes painted white, and else filled smoothly


USAGE = {
    # The codebook of mini has seen few colours besides those of faces. Its codes have 0.55 or more with sharp faces,
    # and from 0.11 on with what the detector wrongly takes for faces, but with blurred faces too (bench/README.md).
    "mini": Usage(w=0.8, colour_match="wavelet", calibration=MINI, min_confidence=0.6),
    "official": Usage(),
    "inpainting": Usage(w=1.0, adain=False, job="filling", strokes=True),
    "colorization": Usage(w=0.0, keep_grey=False, job="colouring"),
    "mini-fill": Usage(w=1.0, adain=False, job="filling"),
    "mini-colour": Usage(w=1.0, keep_grey=False, job="colouring"),
}
SUITABLE: dict[Job, str] = {
    "restoration": "mini, official, or a checkpoint of that kind",
    "filling": "mini-fill, inpainting, or a model for restoration",
    "colouring": "mini-colour or colorization",
}


def default_model(job: Job = "restoration") -> str:
    """The published model for a job if its weights are installed already, else the bundled one."""
    published, bundled = {
        "restoration": ("official", "mini"),
        "filling": ("inpainting", "mini-fill"),
        "colouring": ("colorization", "mini-colour"),
    }[job]
    return published if (weights_folder() / PUBLISHED[published].filename).is_file() else bundled


def check_job(usage: Usage, name: str, job: Job) -> None:
    """ValueError unless a model does for a job; filling may be done by one for restoration."""
    if usage.job != job and (usage.job, job) != ("restoration", "filling"):
        raise ValueError(f"{name} is a model for {usage.job}, not for {job}: give {SUITABLE[job]}")


def model_usage(name_or_path: str, path: Path) -> Usage:
    """How a model is meant to be run: told by its name, or by what its file says, or by its network's sizes."""
    if name_or_path in USAGE:
        return USAGE[name_or_path]
    info = checkpoint_info(path)
    if trained := [name for name in VARIANTS if info.metadata.get("job") == USAGE[name].job]:
        return USAGE[trained[0]]
    config = info.config
    kind = {INPAINTING: "inpainting", COLORIZATION: "colorization"}.get(config, "official")  # pyright: ignore
    if kind != "official":
        usage = USAGE[kind]
        logger.info("%s has the sizes of %s: w = %g, adain %s unless given", path.name, kind, usage.w, usage.adain)
    return USAGE[kind]


def model_path(name_or_path: str, *, accept_license: bool = False, offline: bool = False) -> Path:
    """The checkpoint of a name of `USAGE` (published weights are downloaded once), or the path itself.

    Raises FileNotFoundError for a file or name that there is not, and what `fetch_published` raises.
    """
    if name_or_path == "mini" or name_or_path in VARIANTS:
        bundled = BUNDLED.with_name(f"{name_or_path}.safetensors")
        if not bundled.is_file():
            raise FileNotFoundError(
                f"{bundled} is missing from this installation: install codeformer again, or give --model official"
            )
        return bundled
    if name_or_path in USAGE:
        return fetch_published(name_or_path, accept_license=accept_license, offline=offline)
    path = at_home(name_or_path)
    if not path.is_file():
        known = ", ".join(USAGE)
        raise FileNotFoundError(
            f"{name_or_path}: no such model: give one of {known}, or the path of a .safetensors or .pth file"
        )
    return path
