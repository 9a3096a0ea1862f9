"""How many faces of 512 px a second the training data loader reads and degrades: `python -m bench.degradation`."""

import argparse
import tempfile
import time
from pathlib import Path

import cv2

from codeformer_core.pictures.degradation import PAPER, PUBLISHED_LARGE, PUBLISHED_SMALL
from codeformer_core.pictures.files import read_picture, write_picture
from training.faces.data import FaceFolder, SampleKey
from training.faces.sampling import face_loader

FACE = Path(__file__).parents[1] / "workflows" / "assets" / "astronaut.jpg"
PRESETS = {"paper": PAPER, "published, large": PUBLISHED_LARGE, "published, small": PUBLISHED_SMALL}
SIZE, BATCH = 512, 8


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--faces", type=int, default=480, help="of each preset")
    args = parser.parse_args()
    face = cv2.resize(read_picture(FACE).rgb, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(16):
            write_picture(Path(folder) / f"{i}.jpg", face)
        for name, preset in PRESETS.items():
            faces = FaceFolder(folder, SIZE, seed=0, degradation=preset)
            rate, per_core = loader_rate(faces, args.faces, args.workers), core_rate(faces, args.faces // 4)
            print(f"{name:16} {rate:6.1f} faces/s with {args.workers} workers; {per_core:6.1f} per second of one core")


def loader_rate(faces: FaceFolder, count: int, workers: int) -> float:
    """Faces a second of wall time, from JPEG files to batches of tensors, without the workers' start."""
    batches = iter(face_loader(faces, batch_size=BATCH, workers=workers))
    for _ in range(4 * max(workers, 1)):  # what the workers fetch ahead
        next(batches)
    start = time.perf_counter()
    for _ in range(count // BATCH):
        next(batches)
    return count // BATCH * BATCH / (time.perf_counter() - start)


def core_rate(faces: FaceFolder, count: int) -> float:
    """Faces a second of processor time: what one core would do if nothing else ran on it."""
    cv2.setNumThreads(1)
    start = time.process_time()
    for i in range(count):
        faces[SampleKey(0, i, i % len(faces))]
    return count / (time.process_time() - start)


if __name__ == "__main__":
    main()
