"""One portrait by the command line against `import torch` alone: `python -m bench.startup`.

Each run is a fresh process: start, imports, weights, first convolutions, the picture read, restored and written.
"""

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from skimage.data import astronaut

from codeformer_core.pictures.files import write_picture

from .measure import machine, median_ratio, print_seconds, take_turns


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        portrait = Path(folder) / "portrait.png"
        write_picture(portrait, astronaut())
        restore = ["-m", "codeformer_core", "restore", str(portrait), "-o", f"{folder}/out", "--overwrite", "--quiet"]
        commands = {"import torch": ["-c", "import torch"], "codeformer restore": restore}
        runs = {
            name: partial(subprocess.run, [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            for name, arguments in commands.items()
        }
        seconds = take_turns(runs, args.rounds)
    print(machine())
    print_seconds(seconds)
    print(f"{median_ratio(seconds['codeformer restore'], seconds['import torch']):.2f} times `import torch`")


if __name__ == "__main__":
    main()
