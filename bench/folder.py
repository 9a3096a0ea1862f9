"""Peak memory of `codeformer restore` on a folder of 1,000 small pictures: a part of `python -m bench growth`."""

import tempfile
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
from codeformer_core.command_line.batch import restore_files
from codeformer_core.command_line.jobs import BatchConfig, find_jobs
from codeformer_core.pictures.files import write_picture

from .memory import resident

SIDE = 160  # px
AFTER = (100, 1000)  # pictures


def small_restorer() -> FaceRestorer:
    """The bundled detector at 160 px and a small network of random weights, so that what is measured is the job."""
    torch.manual_seed(0)
    vq = VQConfig(image_size=64, width=32, ch_mult=(1, 1, 2), n_res_blocks=1, attn_sizes=(16,), codebook_size=24)
    net = CodeFormer(CodeFormerConfig(vq=vq, dim=32, n_heads=4, n_layers=2, mlp_dim=48, cft_sizes=(32, 64))).eval()
    detector = load_detector(config=DetectorConfig(short_side=SIDE, any_angle=False))
    return FaceRestorer(net, detector, RestoreConfig(min_confidence=0, batch_size=1))


def measure() -> list[float]:
    """Peak MB after so many pictures, in this process."""
    torch.set_num_threads(1)
    head = cv2.resize(np.ascontiguousarray(astronaut()[:240, 100:340]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(max(AFTER)):
            write_picture(folder / "in" / f"{i:04}.jpg", np.roll(head, i % 20, 1))
        jobs, _ = find_jobs([folder / "in"], folder / "out")
        done = restore_files(jobs, small_restorer(), BatchConfig(out=folder / "out"))
        for number, outcome in enumerate(done, 1):
            if outcome.restored != 1:
                raise SystemExit(outcome.message)
            if number in AFTER:
                peaks.append(resident("VmHWM") / 1e6)
    return peaks


if __name__ == "__main__":
    print(*measure())
