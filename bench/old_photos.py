"""A torn and a grey copy of a picture, for the workflows: `python -m bench.old_photos`.

torn.webp is transparent where it is torn, which Load Image of ComfyUI gives as a mask; its colours there are paper's.
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

ASSETS = Path(__file__).parents[1] / "workflows" / "assets"
TEARS = (  # in px of astronaut.jpg, and their width
    ([(150, 40), (185, 78), (196, 112), (226, 128), (252, 168), (300, 190)], 7),
    ([(262, 40), (246, 84), (262, 104), (252, 140)], 5),
    ([(180, 150), (214, 158), (236, 152), (262, 160)], 6),
    ([(60, 300), (140, 260), (220, 280)], 6),
)
PAPER = (236, 231, 220)


def main() -> None:
    """Write both pictures."""
    photo = np.array(Image.open(ASSETS / "astronaut.jpg").convert("RGB"))
    height, width = photo.shape[:2]
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    Image.fromarray(grey).save(ASSETS / "grey.jpg", quality=90)
    mask = np.zeros((height, width), np.uint8)
    for points, thick in TEARS:
        scaled = np.rint(np.array(points) * (width / 512)).astype(np.int32)
        cv2.polylines(mask, [scaled], False, 255, round(thick * width / 512))
    torn = np.where(mask[..., None] > 0, np.array(PAPER, np.uint8), photo)
    Image.fromarray(np.dstack([torn, 255 - mask])).save(ASSETS / "torn.webp", quality=90, exact=True)


if __name__ == "__main__":
    main()
