"""Peak memory for a 24-megapixel picture with one face, beyond picture and network: `python -m bench memory` (Linux).

Each case runs in its own process. The networks are loaded and warmed up; then the peak of the resident memory is set
back, and read after the picture is done (VmHWM of /proc/self/status). Restoration is the identity, as the network's own
memory is left aside; what detection, alignment, paste-back and the files take is all counted.
"""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage.data import astronaut

from codeformer_core import CodeFormer, CodeFormerConfig, FaceRestorer, load_detector
from codeformer_core.pictures.files import read_picture, write_picture
from codeformer_core.weights.checkpoint import for_inference

from .measure import Row

HEIGHT, WIDTH = 4000, 6000
FACES = {"small": 1500, "large": 10000}  # height of the whole astronaut picture in pixels; her face is a quarter of it
PATHS = ("array", ".png", ".jpg")


def one_face(face: str) -> np.ndarray:
    """(4000, 6000, 3) uint8: the astronaut (public domain), enlarged, on grey, with some noise as of a sensor."""
    side = FACES[face]
    picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    top, left = (HEIGHT - side) // 2, (WIDTH - side) // 2
    if side > HEIGHT:
        top, left = 0, WIDTH // 2 - round(0.44 * side)  # her head is at the top
    large = cv2.resize(astronaut(), (side, side), interpolation=cv2.INTER_CUBIC)
    shown = picture[top : top + side, max(left, 0) : left + side]
    shown[:] = large[: shown.shape[0], max(-left, 0) : max(-left, 0) + shown.shape[1]]
    return cv2.add(picture, np.random.default_rng(0).integers(0, 8, picture.shape, np.uint8))


def run(restorer: FaceRestorer, image: np.ndarray, faces: int) -> np.ndarray:
    found = restorer.detect(image)[0]
    if len(found) != faces:
        raise SystemExit(f"found {len(found)} faces, expected {faces}")
    aligned = restorer.align(image, found)
    return restorer.paste(image, [replace(face, restored=face.crop) for face in aligned])


def resident(field: str) -> int:
    """Bytes of VmRSS (now) or VmHWM (at most since it was set back)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def measure(path: str, source: Path) -> float:
    """Peak bytes per pixel and channel beyond the picture, in this process."""
    torch.set_num_threads(2)
    net = for_inference(CodeFormer(CodeFormerConfig()))
    restorer = FaceRestorer(net, load_detector())
    run(restorer, cv2.resize(astronaut(), (960, 640)), 1)
    image = np.load(source) if path == "array" else None
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    if image is not None:
        run(restorer, image, 1)
        beyond = resident("VmHWM") - before
    else:
        picture = read_picture(source)
        write_picture(source.with_stem("result"), run(restorer, picture.rgb, 1), picture)
        beyond = resident("VmHWM") - before - picture.rgb.nbytes
    return beyond / (HEIGHT * WIDTH * 3)


def rows(rounds: int) -> list[Row]:
    """Bytes for each pixel and channel, by way and size of the face; once, as they hardly vary."""
    found = []
    for face in FACES:
        for path in PATHS:
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder) / ("picture" + (".npy" if path == "array" else path))
                if path == "array":
                    np.save(source, one_face(face))
                else:
                    write_picture(source, one_face(face))
                beyond = float(child("bench.memory", path, source))
            unit = "bytes per pixel and channel"
            found.append(Row(bench="memory", case=f"{face} face, {path}", value=beyond, unit=unit, wanted="6"))
    return found


def child(module: str, *arguments: object) -> str:
    """What a module prints, run in a process of its own."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    print(measure(sys.argv[1], Path(sys.argv[2])))
