"""Training data: folders of aligned faces, clean and degraded.

Everything random about a sample comes from (seed, step, slot), `slot` being its place in the batch of all processes.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from codeformer_core.pictures.arrays import from_float, to_float
from codeformer_core.pictures.degradation import (
    PAPER,
    Degradation,
    DegradationConfig,
    degradation_rng,
    degrade,
    sample_degradation,
)
from codeformer_core.pictures.files import PictureError, read_picture
from codeformer_core.pictures.folders import find_pictures
from codeformer_core.pictures.formats import open_image

from .augment import AugmentConfig, augment_face, change_colours, polyline_mask
from .lightness import balance_weights, face_lightness

logger = logging.getLogger(__name__)
INDEX = "index.jsonl"
DegradationsAt = Callable[[int], Sequence[DegradationConfig]]


class SampleKey(NamedTuple):
    """One place in one step's batch, and the face that stands there."""

    step: int
    slot: int  # 0 to the batch size of all processes together
    face: int  # its index in the FaceFolder


class FaceFolder(Dataset[dict[str, Any]]):
    """Aligned faces of one or more folders, clean and degraded, as tensors.

    A folder's pictures are those that its index.jsonl lists (one object a line, with "file"), or else all below it.
    Pictures that are not square, or smaller than `min_side` (default `size`), are left out. A damaged one is named in
    the log once, and the next good one stands in for it. ValueError if a folder has none left.

    `degradation` is for faces of 512 px and is scaled to `size`; of several, each sample draws one; a function tells
    them by the step; None gives no `lq` (stage I), unless `augment` changes colours or masks. `shares` says how much of
    the samples comes from each folder (default: as many as it has pictures); `balance` draws faces of rare skin
    lightness more often, up to 4 times.
    """

    def __init__(
        self,
        folders: str | Path | Sequence[str | Path],
        size: int,
        *,
        seed: int,
        degradation: DegradationConfig | Sequence[DegradationConfig] | DegradationsAt | None = None,
        augment: AugmentConfig | None = None,
        shares: Sequence[float] | None = None,
        balance: bool = False,
        min_side: int | None = None,
    ):
        folders = [folders] if isinstance(folders, str | Path) else list(folders)
        if shares is not None and (len(shares) != len(folders) or min(shares, default=0) <= 0):
            raise ValueError(f"shares are positive numbers, one for each of the {len(folders)} folders, got {shares}")
        self.size, self.seed = size, seed
        self.augment = augment or AugmentConfig()
        self.degradation = [degradation] if isinstance(degradation, DegradationConfig) else degradation or ()
        found = [find_faces(Path(folder), size if min_side is None else min_side) for folder in folders]
        self.paths = [path for paths in found for path in paths]
        self._listed = {path: light for folder in folders for path, light in listed_lightness(Path(folder)).items()}
        # Shared memory, so that a damaged file is named once and not once by every loader worker.
        self._damaged = torch.zeros(len(self.paths), dtype=torch.bool).share_memory_()
        self.weights = self._weights([len(paths) for paths in found], shares, balance)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: SampleKey) -> dict[str, Any]:
        """The sample of one place of one step; pictures are (3, s, s) float32 RGB in [-1, 1].

        `hq` is the clean face; `native` the side that it really has, at most `size`; `lq` the input; `index` the
        face's; `level` how strong the degradation is, in [0, 1]; `slot` is the key's; `which` of the degradations was
        drawn; `mask` (1, s, s), 1 where the input is painted over (`augment.mask`).
        """
        rng = degradation_rng(self.seed, key.step, key.slot)
        index, face, native = self._good(key.face)
        hq = augment_face(face, self.augment, rng)
        sample = {"hq": to_tensor(hq), "index": index, "slot": key.slot, "level": np.float32(0), "which": 0}
        sample["native"] = native
        augment = self.augment
        degradations = self.degradation(key.step) if callable(self.degradation) else self.degradation
        if not degradations and not augment.colour_jitter and not augment.grey and not augment.mask:
            return sample
        lq = hq
        if degradations:
            sample["which"] = int(rng.integers(len(degradations)))
            drawn = sample_degradation(degradations[sample["which"]].scaled(self.size), rng)
            sample["level"] = np.float32(degradation_level(drawn, self.size))  # MPS has no float64
            lq = degrade(hq, drawn)
        sample["lq"] = to_tensor(change_colours(lq, augment, rng))
        if augment.mask:
            masked = rng.random() < augment.mask
            mask = polyline_mask(self.size, rng) if masked else np.zeros((self.size, self.size), np.float32)
            sample["mask"] = torch.from_numpy(mask)[None]
            sample["lq"] = torch.where(sample["mask"] > 0, 1.0, sample["lq"])
        return sample

    @property
    def fingerprint(self) -> str:
        """Which faces they are, by the names of their files in order: in hex."""
        return hashlib.sha256("\n".join(path.name for path in self.paths).encode()).hexdigest()

    def clean_face(self, index: int) -> np.ndarray:
        """The face (size, size, 3) uint8 RGB as it is on the disk, scaled; PictureError if it is damaged."""
        return read_face(self.paths[index], self.size)

    def _good(self, index: int) -> tuple[int, np.ndarray, int]:
        """The face, or the next one that can be read: its index, its picture at `size`, the side that it really has."""
        for i in range(index, index + len(self)):
            i %= len(self)
            try:
                rgb = read_rgb(self.paths[i])
                return i, scaled_face(rgb, self.size), min(len(rgb), self.size)
            except PictureError as error:
                if not self._damaged[i]:
                    self._damaged[i] = True
                    logger.warning("%s; the next picture stands in for it", error)
        raise ValueError(f"{self.paths[0].parent}: none of its {len(self)} pictures can be read")

    def _weights(self, counts: list[int], shares: Sequence[float] | None, balance: bool) -> np.ndarray | None:
        """How often each face is drawn (n,), sum 1; None if all are as often."""
        if shares is None and not balance:
            return None
        weights = []
        for folder, count in enumerate(counts):
            start = sum(counts[:folder])
            indices = range(start, start + count)
            one = balance_weights([self._lightness(i) for i in indices]) if balance else np.full(count, 1 / count)
            weights.append(one * (shares[folder] if shares is not None else count))
        return np.concatenate(weights) / sum(w.sum() for w in weights)

    def _lightness(self, index: int) -> float:
        listed = self._listed.get(self.paths[index])
        return face_lightness(self._good(index)[1]) if listed is None else listed


def find_faces(folder: Path, min_side: int) -> list[Path]:
    """The aligned pictures of a folder by its index.jsonl or by name; ValueError if none is square and large enough."""
    if (folder / INDEX).is_file():
        paths = [folder / entry["file"] for entry in read_index(folder)]
    else:
        paths = [path for path, _ in find_pictures([folder]).pictures]
    good, small = [], []
    for path in paths:
        try:
            with open_image(path) as image:  # reads the header only
                width, height = image.size
        except (OSError, PictureError) as error:
            logger.warning("%s: is left out, it is no picture (%s)", path, error)
            continue
        if width != height:
            logger.warning("%s: is left out, it is %d x %d and not square; align it first", path, width, height)
        else:
            (small if width < min_side else good).append(path)
    if small:
        logger.warning("%s: %d of %d pictures are under %d px, left out", folder, len(small), len(paths), min_side)
    if not good:
        raise ValueError(
            f"{folder}: none of its {len(paths)} pictures is an aligned face of {min_side} px or more; "
            "make a folder of such faces with python -m training.prepare"
        )
    return good


def read_index(folder: Path) -> list[dict[str, Any]]:
    """What a folder's index.jsonl says of each face; empty if it has none."""
    index = folder / INDEX
    lines = index.read_text(encoding="utf-8").splitlines() if index.is_file() else []
    try:
        entries = [json.loads(line) for line in lines if line.strip()]
    except ValueError as error:
        raise ValueError(f"{index}: a line is no JSON ({error}); mend it, or remove the file") from error
    if any("file" not in entry for entry in entries):
        raise ValueError(f'{index}: a line names no "file"; mend it, or remove the file to take all pictures')
    return entries


def listed_lightness(folder: Path) -> dict[Path, float]:
    """The lightness of faces as training.prepare has written it down; others are to be measured."""
    return {folder / entry["file"]: entry["lightness"] for entry in read_index(folder) if "lightness" in entry}


def read_face(path: str | Path, size: int) -> np.ndarray:
    """A picture file as (size, size, 3) uint8 RGB: averaged down, or interpolated up where it is smaller."""
    return scaled_face(read_rgb(path), size)


def read_rgb(path: str | Path) -> np.ndarray:
    """A picture file as (h, w, 3) uint8 RGB."""
    rgb = read_picture(path).rgb
    return rgb if rgb.dtype == np.uint8 else from_float(to_float(rgb), np.dtype(np.uint8))


def scaled_face(rgb: np.ndarray, size: int) -> np.ndarray:
    """A square picture as (size, size, 3)."""
    if rgb.shape[0] == size == rgb.shape[1]:
        return rgb
    smaller = rgb.shape[0] > size
    return cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)


def to_tensor(image: np.ndarray) -> Tensor:
    """(h, w, 3) uint8 as (3, h, w) float32 in [-1, 1]."""
    planes = image.transpose(2, 0, 1)
    x = np.divide(planes, np.float32(127.5), out=np.empty(planes.shape, np.float32))
    return torch.from_numpy(np.subtract(x, 1, out=x))


def degradation_level(degradation: Degradation, size: int) -> float:
    """How strong a degradation is for faces of `size` px, in [0, 1]: where it lies in the paper's ranges, on average.

    0 is the weakest blur, downscale, noise and compression of Eq. 9's ranges, 1 the strongest.
    """
    paper = PAPER.scaled(size)
    quality_low, quality_high = paper.jpeg_quality
    ranges = (
        ((degradation.sigma_x + degradation.sigma_y) / 2, *paper.blur_sigma),
        (degradation.downscale, *paper.downscale),
        (degradation.noise, *paper.noise),
        (-degradation.jpeg_quality, -quality_high, -quality_low),
    )
    places = [(value - low) / (high - low) if high > low else 0.0 for value, low, high in ranges]
    return float(np.clip(places, 0, 1).mean())
