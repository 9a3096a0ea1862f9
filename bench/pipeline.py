"""Detection, alignment and paste-back of 8 faces against restoring one: `python -m bench.pipeline`."""

import argparse
from dataclasses import replace

import cv2
import numpy as np
import torch
from skimage.data import astronaut

from codeformer_core import CodeFormer, CodeFormerConfig, FaceRestorer, load_detector
from codeformer_core.weights.checkpoint import for_inference

from .measure import machine, median_ratio, print_seconds, take_turns


def eight_faces() -> np.ndarray:
    """(1080, 1920, 3) uint8: the astronaut (public domain) 4 by 2 times, enlarged 1.1 to 2.3 times around her face."""
    cells = []
    for rows in np.linspace(230, 500, 8).round().astype(int):
        half = round(rows * 480 / 540 / 2)
        cells.append(cv2.resize(astronaut()[:rows, 225 - half : 225 + half], (480, 540)))
    return np.vstack([np.hstack(cells[0::2]), np.hstack(cells[1::2])])


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    net = for_inference(CodeFormer(CodeFormerConfig()))
    restorer = FaceRestorer(net, load_detector())
    lq = torch.rand(1, 3, 512, 512) * 2 - 1

    image = eight_faces()
    faces = restorer.detect(image)[0]
    if len(faces) != 8:
        raise SystemExit(f"found {len(faces)} faces, there are 8")
    aligned = restorer.align(image, faces)
    restored = [replace(face, restored=face.crop) for face in aligned]  # the identity in place of the network

    print(machine())
    widths = sorted(round(face.width) for face in faces)
    print(f"{image.shape[1]} x {image.shape[0]} pixels, {len(faces)} faces, {widths[0]} to {widths[-1]} px wide")
    seconds = take_turns(
        {
            "detect": lambda: restorer.detect(image),
            "align": lambda: restorer.align(image, faces),
            "paste": lambda: restorer.paste(image, restored),
            "restore one face": lambda: net.restore(lq, 0.5),
        },
        args.rounds,
    )
    steps = [sum(of_round) for of_round in zip(*(seconds[step] for step in ("detect", "align", "paste")), strict=True)]
    print_seconds({**seconds, "detect, align and paste": steps})
    print(f"{median_ratio(steps, seconds['restore one face']):.2f} of the time that restoring one face takes")


if __name__ == "__main__":
    main()
