"""Peak memory of a film's job by its length: a part of `python -m bench growth`.

Each film is made here: the astronaut (public domain), moving, at 160 x 160 px. The bundled detector searches at 160 px,
and a small network of random weights restores, so that what is measured is the job, not the model. Each film is
restored in a process of its own, whose peak of resident memory (VmHWM) is read at its end.
"""

import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage.data import astronaut

from codeformer_core.film.job import restore_film
from codeformer_core.film.pyav import pyav

from .folder import SIDE, small_restorer
from .memory import resident


def make_film(path: Path, frames: int) -> None:
    av = pyav()
    head = cv2.resize(np.ascontiguousarray(astronaut()[:240, 100:340]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    with av.open(str(path), "w") as film:
        video = film.add_stream("libx264", rate=Fraction(25), width=SIDE, height=SIDE, pix_fmt="yuv420p")
        for i in range(frames):
            moved = np.roll(head, round(6 * np.sin(i / 9)), 1)
            film.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(moved), format="rgb24")))
        film.mux(video.encode(None))


def measure(source: Path) -> float:
    """Peak MB of restoring a film in this process."""
    torch.set_num_threads(1)
    report = restore_film(source, source.with_stem("out"), small_restorer())
    if report.restored < report.frames / 2:
        raise SystemExit(f"{report.restored} faces in {report.frames} frames")
    return resident("VmHWM") / 1e6


if __name__ == "__main__":
    print(measure(Path(sys.argv[1])))
