"""Which checkpoint a model's name means, and how each published model is meant to be used."""

import logging
from dataclasses import dataclass
from pathlib import Path

from .fidelity.automatic import ASSUMED, MINI, Calibration
from .networks.config import COLORIZATION, INPAINTING
from .pasting.colour import ColourMatch
from .weights.checkpoint import checkpoint_info
from .weights.download import at_home, fetch_published, weights_folder
from .weights.published import PUBLISHED

logger = logging.getLogger(__name__)

BUNDLED = Path(__file__).parent / "assets" / "mini.safetensors"


@dataclass(frozen=True, kw_only=True)
class Usage:
    """How a model is run unless the user says otherwise."""

    w: float = 0.5
    colour_match: ColourMatch = "none"
    calibration: Calibration = ASSUMED  # of the automatic fidelity
    adain: bool = True
    keep_grey: bool = True  # grey pictures stay grey
    min_confidence: float = 0.1  # below it a face is doubted; this value is a careful guess, not calibrated


USAGE = {
    # The codebook of mini has seen few colours besides those of faces. Its codes have 0.44 or more with sharp faces,
    # and 0.06 to 0.39 with what the detector wrongly takes for faces, but with blurred faces too (bench/README.md).
    "mini": Usage(w=0.8, colour_match="wavelet", calibration=MINI, min_confidence=0.35),
    "official": Usage(),
    "inpainting": Usage(w=1.0, adain=False),
    "colorization": Usage(w=0.0, keep_grey=False),
}


def default_model() -> str:
    """`official` if its weights are installed already, else `mini`, which is bundled."""
    return "official" if (weights_folder() / PUBLISHED["official"].filename).is_file() else "mini"


def model_usage(name_or_path: str, path: Path) -> Usage:
    """How a model is meant to be run: told by its name, or by the sizes of the network in its file."""
    if name_or_path in USAGE:
        return USAGE[name_or_path]
    config = checkpoint_info(path).config
    kind = {INPAINTING: "inpainting", COLORIZATION: "colorization"}.get(config, "official")  # pyright: ignore
    if kind != "official":
        usage = USAGE[kind]
        logger.info("%s has the sizes of %s: w = %g, adain %s unless given", path.name, kind, usage.w, usage.adain)
    return USAGE[kind]


def model_path(name_or_path: str, *, accept_license: bool = False, offline: bool = False) -> Path:
    """The checkpoint of a name of `USAGE` (published weights are downloaded once), or the path itself.

    Raises FileNotFoundError for a file or name that there is not, and what `fetch_published` raises.
    """
    if name_or_path == "mini":
        if not BUNDLED.is_file():
            raise FileNotFoundError(
                f"{BUNDLED} is missing from this installation: install codeformer again, or give --model official"
            )
        return BUNDLED
    if name_or_path in USAGE:
        return fetch_published(name_or_path, accept_license=accept_license, offline=offline)
    path = at_home(name_or_path)
    if not path.is_file():
        known = ", ".join(USAGE)
        raise FileNotFoundError(
            f"{name_or_path}: no such model: give one of {known}, or the path of a .safetensors or .pth file"
        )
    return path
