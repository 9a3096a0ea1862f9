"""Peak memory of `codeformer restore` for a picture of 200 faces, 512 px a face: a part of `python -m bench growth`.

Files in, files out, as the command does it; restoration is the identity, all else is counted. Each case runs in its own
process and takes so many of the faces. What the picture takes is in all of them, so the slope is what a face takes.
"""

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from skimage.data import astronaut

from codeformer_core import CodeFormerConfig, FaceRestorer, load_detector
from codeformer_core.command_line.batch import restore_files
from codeformer_core.command_line.jobs import BatchConfig, find_jobs
from codeformer_core.command_line.memory import keep_freed_memory
from codeformer_core.detection.faces import FaceSelection
from codeformer_core.networks.codeformer import CodePrediction
from codeformer_core.restoration import RestoreConfig

from .memory import resident

ROWS, COLUMNS, SIDE = 10, 20, 180


class Identity(torch.nn.Module):
    """Gives each face back as it is."""

    def __init__(self):
        super().__init__()
        self.config = CodeFormerConfig()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def predict_codes(self, lq: torch.Tensor) -> CodePrediction:
        logits = torch.zeros(len(lq), 256, 2)
        return CodePrediction(logits, logits.argmax(-1), lq, {})

    def decode(self, prediction: CodePrediction, w: Any, adain: bool = True) -> torch.Tensor:
        return prediction.features


def crowd() -> np.ndarray:
    """(3000, 4000, 3) uint8: the astronaut (public domain), 20 by 10 times."""
    head = cv2.resize(np.ascontiguousarray(astronaut()[:320, 64:384]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    picture = np.full((3000, 4000, 3), 128, np.uint8)
    for y in range(ROWS):
        for x in range(COLUMNS):
            picture[60 + 290 * y : 60 + 290 * y + SIDE, 10 + 199 * x : 10 + 199 * x + SIDE] = head
    return picture


def measure(source: Path, faces: int) -> tuple[int, float]:
    """Faces restored, and peak bytes beyond what is resident once all is loaded, in this process."""
    keep_freed_memory()
    torch.set_num_threads(1)
    config = RestoreConfig(selection=FaceSelection(max_faces=faces))
    restorer = FaceRestorer(Identity(), load_detector(), config)  # pyright: ignore[reportArgumentType]
    restorer(cv2.resize(astronaut(), (960, 640)))
    jobs, _ = find_jobs([source], source.parent / "out")
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    (outcome,) = restore_files(jobs, restorer, BatchConfig(out=source.parent / "out"))
    return outcome.restored, resident("VmHWM") - before


if __name__ == "__main__":
    print(*measure(Path(sys.argv[1]), int(sys.argv[2])))
