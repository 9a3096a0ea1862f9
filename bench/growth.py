"""How memory grows with faces, frames, pictures and pixels: `python -m bench growth` (Linux, since it reads /proc)."""

import tempfile
from pathlib import Path

import numpy as np

from codeformer_core.pictures.files import write_picture

from .crowd import crowd
from .films import make_film
from .folder import AFTER
from .measure import Row
from .memory import HEIGHT, WIDTH, child, one_face

FACES = (1, 25, 100, 200)
FRAMES = (100, 400)
STEPS = {6: 2, 24: 1}  # millions of pixels: every n-th row and column of 24 million


def rows(rounds: int) -> list[Row]:
    """Peak MB, once each, in processes of their own."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for faces in FACES:
            write_picture(folder / f"crowd{faces}.png", crowd())
            restored, peak = child("bench.crowd", folder / f"crowd{faces}.png", faces).split()
            found.append(_row(f"faces of a 12-megapixel picture: {restored}", float(peak) / 1e6))
        for frames in FRAMES:
            make_film(folder / f"{frames}.mp4", frames)
            found.append(_row(f"frames of a film: {frames}", float(child("bench.films", folder / f"{frames}.mp4"))))
        for pictures, peak in zip(AFTER, child("bench.folder").split(), strict=True):
            found.append(_row(f"pictures of a folder: {pictures}", float(peak)))
        for millions, step in STEPS.items():
            write_picture(folder / f"{millions}.png", np.ascontiguousarray(one_face("small")[::step, ::step]))
            beyond = float(child("bench.memory", ".png", folder / f"{millions}.png"))
            found.append(_row(f"megapixels of a picture: {millions}", beyond * HEIGHT * WIDTH * 3 / 1e6))
    return found


def _row(case: str, peak: float) -> Row:
    return Row(bench="growth", case=case, value=peak, unit="MB")
