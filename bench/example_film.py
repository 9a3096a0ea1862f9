"""The film of the example workflows: `python -m bench.example_film` writes workflows/assets/portrait.mp4 anew.

A slow move over astronaut.jpg, as a bad camera sees it: small, blurred, with other noise in each frame.
"""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from codeformer_core.film.pyav import pyav

ASSETS = Path(__file__).parents[1] / "workflows" / "assets"
FRAMES, RATE = 36, 15
SIDE = 320  # px
SMALLER, BLUR, NOISE = 2.5, 0.7, 5.0  # times; px on the small frame; of 255, likewise
SEED = 3
CRF = "25"


def frames() -> list[np.ndarray]:
    """RGB uint8 (SIDE, SIDE, 3): drawing near, and a little aside."""
    picture = cv2.imread(str(ASSETS / "astronaut.jpg"))
    assert picture is not None
    draws, small = np.random.default_rng(SEED), round(SIDE / SMALLER)
    made = []
    for t in np.linspace(0, 1, FRAMES):
        seen = 400 - 130 * t  # px of the picture
        x, y = 225 + 12 * np.sin(2 * np.pi * t), 205 - 65 * t
        scale = small / seen
        matrix = np.array([[scale, 0, small / 2 - x * scale], [0, scale, small / 2 - y * scale]])
        frame = cv2.warpAffine(cv2.GaussianBlur(picture, (0, 0), 0.5 / scale), matrix, (small, small))
        frame = cv2.GaussianBlur(frame, (0, 0), BLUR) + draws.normal(0, NOISE, (small, small, 3))
        frame = cv2.resize(frame.clip(0, 255).astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        made.append(np.ascontiguousarray(frame[..., ::-1]))
    return made


def main() -> None:
    av = pyav()
    with av.open(str(ASSETS / "portrait.mp4"), "w") as film:
        video = film.add_stream("libx264", rate=Fraction(RATE), width=SIDE, height=SIDE, pix_fmt="yuv420p")
        video.options = {"crf": CRF, "preset": "slower"}
        for frame in frames():
            film.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(video.encode(None))


if __name__ == "__main__":
    main()
