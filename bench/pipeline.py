"""The stages of the command alone, and all of them overlapping: `python -m bench pipeline`.

Read; search and align; restore; paste and write: first each for all pictures, then the command's way. "Elsewhere"
stands in for a network on a graphics card: it takes time, and none of the processor's. The portrait, which comes first,
is done once more, so that everything is warm.
"""

import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from skimage.data import astronaut

from codeformer_core import CodeFormerConfig, FaceRestorer, load_codeformer, load_detector
from codeformer_core.command_line.batch import restore_files
from codeformer_core.command_line.jobs import BatchConfig, find_jobs
from codeformer_core.command_line.memory import keep_freed_memory
from codeformer_core.models import BUNDLED
from codeformer_core.networks.codeformer import CodePrediction
from codeformer_core.pictures.files import read_picture, write_picture
from codeformer_core.restoration import RestoreConfig

from .measure import Row
from .memory import one_face

STAGES = ("read", "find", "restore", "write")
FRAMES = 64


class Elsewhere(torch.nn.Module):
    """Gives each face back as it is, after `seconds`."""

    def __init__(self, seconds: float):
        super().__init__()
        self.config, self.seconds = CodeFormerConfig(), seconds
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def predict_codes(self, lq: torch.Tensor) -> CodePrediction:
        time.sleep(self.seconds * len(lq))
        logits = torch.zeros(len(lq), 4, 2)
        logits[..., 0] = 9
        return CodePrediction(logits, logits.argmax(-1), lq, {})

    def decode(self, prediction: CodePrediction, w: Any, adain: bool = True) -> torch.Tensor:
        return prediction.features


def eight_faces() -> np.ndarray:
    """(1080, 1920, 3) uint8: the astronaut (public domain) 4 by 2 times, enlarged 1.1 to 2.3 times around her face."""
    cells = []
    for rows in np.linspace(230, 500, 8).round().astype(int):
        half = round(rows * 480 / 540 / 2)
        cells.append(cv2.resize(astronaut()[:rows, 225 - half : 225 + half], (480, 540)))
    return np.vstack([np.hstack(cells[0::2]), np.hstack(cells[1::2])])


def frame(i: int) -> np.ndarray:
    """(720, 1280, 3) uint8: the astronaut twice, moving, with some noise as of a sensor."""
    picture = np.full((720, 1280, 3), 128, np.uint8)
    head = cv2.resize(np.ascontiguousarray(astronaut()[:400, 60:460]), (600, 600))
    for x in (20, 660):
        picture[60 + i % 40 : 660 + i % 40, x - i % 16 : x - i % 16 + 600] = head
    return cv2.add(picture, np.random.default_rng(i).integers(0, 8, picture.shape, np.uint8))


CASES: dict[str, tuple[Callable[[int], np.ndarray], int, str]] = {
    "portrait": (lambda _: astronaut(), 1, ".png"),
    "group of eight, 1080p": (lambda _: eight_faces(), 1, ".png"),
    "one face, 24 megapixels": (lambda _: one_face("small"), 1, ".jpg"),
    f"{FRAMES} frames of 720p, two faces each": (frame, FRAMES, ".png"),
}


def rows(rounds: int) -> list[Row]:
    """Seconds of the stages and of the whole, and the whole over the longest stage."""
    keep_freed_memory()
    detector, found = load_detector(), []
    nets = {"mini": load_codeformer(BUNDLED), "elsewhere, 40 ms a face": Elsewhere(0.04)}
    for case, (draw, count, suffix) in CASES.items():
        for name, net in nets.items():
            if name != "mini" and count == 1:
                continue
            config = RestoreConfig(batch_size=1 if name == "mini" else 4)
            restorer = FaceRestorer(net, detector, config)  # pyright: ignore[reportArgumentType]
            with tempfile.TemporaryDirectory() as folder:
                for i in range(count):
                    write_picture(Path(folder, "in", f"{i:04}{suffix}"), draw(i))
                seconds = [in_stages(restorer, Path(folder)) for _ in range(rounds + (case == "portrait"))][-rounds:]
            medians = {stage: median(some[stage] for some in seconds) for stage in seconds[0]}
            found += [
                Row(bench="pipeline", case=f"{case}, {name}: {stage}", value=value, unit="s")
                for stage, value in medians.items()
            ]
            ratio = median(some["whole"] / max(some[stage] for stage in STAGES) for some in seconds)
            wanted, than = "1.15" if count > 1 else "", "the longest stage"
            found.append(
                Row(bench="pipeline", case=f"{case}, {name}", value=ratio, unit="times", than=than, wanted=wanted)
            )
    return found


def in_stages(restorer: FaceRestorer, folder: Path) -> dict[str, float]:
    """Seconds of each stage alone, and of the whole."""
    jobs, _ = find_jobs([folder / "in"], folder / "out")
    times = [time.perf_counter()]
    pictures = [read_picture(job.source) for job in jobs]
    times.append(time.perf_counter())
    faces = [restorer.align(picture.rgb, restorer.detect(picture.rgb)[0]) for picture in pictures]
    times.append(time.perf_counter())
    restored = iter(restorer.restore([face for its_faces in faces for face in its_faces]))
    times.append(time.perf_counter())
    (folder / "alone").mkdir(exist_ok=True)
    for job, picture, its_faces in zip(jobs, pictures, faces, strict=True):
        pasted = restorer.paste(picture.rgb, list(islice(restored, len(its_faces))))
        write_picture(folder / "alone" / job.source.name, pasted, picture)
    times.append(time.perf_counter())
    del pictures, faces
    config = BatchConfig(out=folder / "out", overwrite=True)
    outcomes = list(restore_files(jobs, restorer, config))
    times.append(time.perf_counter())
    if not all(outcome.restored for outcome in outcomes):
        raise SystemExit(f"no face was found in {folder}")
    return dict(zip((*STAGES, "whole"), np.diff(times).tolist(), strict=True))
