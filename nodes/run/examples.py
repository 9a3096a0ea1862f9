"""The pictures that the example workflows open, put where ComfyUI looks for them."""

import logging
import shutil
from pathlib import Path

import folder_paths

from ...codeformer_core.whole_files import whole_file

ASSETS = Path(__file__).parents[2] / "workflows" / "assets"
NAMES = ("astronaut.jpg", "group.jpg", "group.mp4", "portrait.mp4", "torn.webp", "grey.jpg")

logger = logging.getLogger(__name__)


def offer_examples() -> None:
    """Copy those that ComfyUI's input folder lacks; what is there is never replaced, and a folder may be read-only."""
    folder = Path(folder_paths.get_input_directory())
    for name in NAMES:
        if (folder / name).exists():
            continue
        try:
            with whole_file(folder / name) as unfinished:
                shutil.copyfile(ASSETS / name, unfinished)
        except OSError as error:
            logger.info("%s of the example workflows could not be put into the input folder: %s", name, error)
