"""One portrait by the command line against `import torch` alone: `python -m bench startup`.

Each run is a fresh process: start, imports, weights, first convolutions, the picture read, restored and written.
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from skimage.data import astronaut

from codeformer_core.pictures.files import write_picture

from .measure import Row, median_ratio, rows_of, take_turns


def rows(rounds: int) -> list[Row]:
    """Seconds of both, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        portrait = Path(folder) / "portrait.png"
        write_picture(portrait, astronaut())
        options = ["-o", f"{folder}/out", "--model", "mini", "--overwrite", "--quiet"]
        commands = {
            "import torch": ["-c", "import torch"],
            "codeformer restore": ["-m", "codeformer_core", "restore", str(portrait), *options],
        }
        runs = {
            name: partial(subprocess.run, [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            for name, arguments in commands.items()
        }
        seconds = take_turns(runs, rounds)
    ratio = median_ratio(seconds["codeformer restore"], seconds["import torch"])
    found = Row(bench="startup", case="codeformer restore", value=ratio, unit="times", than="import torch", wanted="2")
    return [*rows_of("startup", seconds), found]
