"""Peak memory of a film's job at 200 and at 2,000 frames: `python -m bench.films` (Linux).

Each film is made here: the astronaut (public domain), moving, at 160 x 160 px. The bundled detector searches at 160 px,
and a small network of random weights restores, so that what is measured is the job, not the model. Each film is
restored in a process of its own, whose peak of resident memory (VmHWM) is read at its end.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage.data import astronaut

from codeformer_core import (
    CodeFormer,
    CodeFormerConfig,
    DetectorConfig,
    FaceRestorer,
    RestoreConfig,
    VQConfig,
    load_detector,
)
from codeformer_core.film.job import restore_film
from codeformer_core.film.pyav import pyav

from .measure import machine
from .memory import resident

SIDE = 160  # px
FRAMES = (200, 2000)


def make_film(path: Path, frames: int) -> None:
    av = pyav()
    head = cv2.resize(np.ascontiguousarray(astronaut()[:240, 100:340]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    with av.open(str(path), "w") as film:
        video = film.add_stream("libx264", rate=Fraction(25), width=SIDE, height=SIDE, pix_fmt="yuv420p")
        for i in range(frames):
            moved = np.roll(head, round(6 * np.sin(i / 9)), 1)
            film.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(moved), format="rgb24")))
        film.mux(video.encode(None))


def measure(source: Path) -> str:
    """Restore a film in this process: frames, peak MB, seconds, faces."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vq = VQConfig(image_size=64, width=32, ch_mult=(1, 1, 2), n_res_blocks=1, attn_sizes=(16,), codebook_size=24)
    net = CodeFormer(CodeFormerConfig(vq=vq, dim=32, n_heads=4, n_layers=2, mlp_dim=48, cft_sizes=(32, 64))).eval()
    detector = load_detector(config=DetectorConfig(short_side=SIDE, any_angle=False))
    began = time.perf_counter()
    report = restore_film(source, source.with_stem("out"), FaceRestorer(net, detector, RestoreConfig(min_confidence=0)))
    took = time.perf_counter() - began
    peak = resident("VmHWM") / 2**20
    counts = f"{report.frames:5} frames {report.restored:5} faces {len(report.tracks):3} tracks"
    return f"{counts} {peak:6.0f} MiB {took:5.0f} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--film", type=Path, help=argparse.SUPPRESS)  # what the child processes run
    args = parser.parse_args()
    if args.film:
        print(measure(args.film))
        return
    print(machine())
    for frames in FRAMES:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "film.mp4"
            make_film(source, frames)
            child = [sys.executable, "-m", "bench.films", "--film", str(source)]
            print(subprocess.run(child, check=True, capture_output=True, text=True).stdout, end="", flush=True)


if __name__ == "__main__":
    main()
