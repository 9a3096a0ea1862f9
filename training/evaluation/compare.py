"""The rows of the paper's tables: what a network makes of degraded faces, and its bounds from below and above."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.networks.vqgan import VQAutoEncoder
from codeformer_core.pictures.degradation import (
    HEAVY,
    MEDIUM,
    MILD,
    PAPER,
    Degradation,
    DegradationConfig,
    degradation_rng,
    degrade,
    sample_degradation,
)

from ..faces.data import read_face, to_tensor
from ..stages.image_loss import at_size
from .frechet import Moments
from .library_metrics import LibraryMetrics
from .metrics import FaceMetric, to_unit
from .rows import Rows

SMALLEST = 11  # px, side of the faces that can be measured
LEVELS = {"mild": MILD, "medium": MEDIUM, "heavy": HEAVY}


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """What is evaluated, and how."""

    levels: Mapping[str, DegradationConfig] = field(default_factory=lambda: LEVELS)  # for faces of 512 px
    w: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    adain: bool = True
    seed: int = 0
    batch_size: int = 8
    size: int | None = None  # px of the faces, which are scaled to the network's side and back (None: that side)

    def __post_init__(self):
        if self.size is not None and self.size < SMALLEST:
            raise ValueError(f"size is at least {SMALLEST} px, the window of SSIM, got {self.size}")
        if not all(0 <= w <= 1 for w in self.w):
            raise ValueError(f"the fidelity weight w lies between 0 and 1, got {self.w}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is at least 1, got {self.batch_size}")


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What is evaluated: a CodeFormer, the autoencoder of its stage I, or both."""

    codeformer: CodeFormer | None = None
    stage1: VQAutoEncoder | None = None
    teacher: CodeFormer | None = None  # without stage I: whose codes of clean faces are right; None: the CodeFormer's

    def __post_init__(self):
        if self.codeformer is None and self.stage1 is None:
            raise ValueError("nothing to evaluate: give a CodeFormer, the autoencoder of stage I, or both")
        if self.codeformer is not None and self.stage1 is not None:
            ours, theirs = self.codeformer.quantize.embedding.weight, self.stage1.quantize.embedding.weight
            if ours.shape != theirs.shape or not torch.allclose(ours.float(), theirs.float(), atol=2e-3, rtol=2e-3):
                raise ValueError("the stage I checkpoint has another codebook; give the one that the model came from")

    @property
    def image_size(self) -> int:
        """Side of the faces, px."""
        return self.codeformer.config.vq.image_size if self.codeformer else self._stage1.config.image_size

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next((self.codeformer or self._stage1).parameters()).device

    def clean_codes(self, clean: Tensor) -> Tensor:  # (b, 3, s, s) in [-1, 1] -> (b, n)
        """The codes of clean faces: stage I's, or without it those that the CodeFormer itself predicts for them."""
        if self.stage1 is None and self.codeformer is not None:
            return (self.teacher or self.codeformer).predict_codes(clean).codes
        return self._stage1.quantize.nearest(self._stage1.encoder(clean)[0])

    def nearest_codes(self, lq: Tensor) -> Tensor:  # (b, 3, s, s) in [-1, 1] -> (b, n)
        """The codes nearest to the encoder's features, without a transformer."""
        net = self.codeformer or self._stage1
        return net.quantize.nearest(net.encoder(lq)[0])

    def rows(
        self, lq: Tensor, clean_codes: Tensor | None, config: EvalConfig
    ) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        """(name, faces (b, 3, s, s) in [-1, 1], codes (b, n) if it has any) of each row of the table.

        "Code GT" is among them where there are codes of clean faces.
        """
        yield "Input", lq, None
        nearest = self.nearest_codes(lq)
        yield "Nearest neighbour", self._decode(nearest), nearest
        if self.codeformer is not None:
            prediction = self.codeformer.predict_codes(lq)
            for w in config.w if self.codeformer.config.cft_sizes else (0.0,):
                yield f"w = {w:g}", self.codeformer.decode(prediction, w, config.adain), prediction.codes
        if clean_codes is not None:
            yield "Code GT", self._decode(clean_codes), clean_codes

    def _decode(self, codes: Tensor) -> Tensor:
        net = self.codeformer or self._stage1
        return net.generator(net.quantize.look_up(codes))

    @property
    def _stage1(self) -> VQAutoEncoder:
        assert self.stage1 is not None  # by __post_init__
        return self.stage1


def draw(path: Path, level: str, degradation: DegradationConfig, seed: int) -> Degradation:
    """The degradation of one face at one level: fixed by the seed and the file's name, whatever else is evaluated."""
    keys = (zlib.crc32(level.encode()), zlib.crc32(path.stem.encode()))
    return sample_degradation(degradation, degradation_rng(seed, *keys))


def degraded(paths: list[Path], clean: list[np.ndarray], level: str, size: int, config: EvalConfig) -> list[np.ndarray]:
    """The inputs (s, s, 3) uint8 of one level."""
    scaled = config.levels[level].scaled(size)
    pairs = zip(paths, clean, strict=True)
    return [degrade(face, draw(path, level, scaled, config.seed)) for path, face in pairs]


@torch.inference_mode()
def compare(
    networks: Networks,
    paths: list[Path],
    level: str,
    metrics: Mapping[str, FaceMetric],
    config: EvalConfig,
    *,
    inputs: Mapping[Path, Path] | None = None,
    extra: LibraryMetrics | None = None,
    references: Mapping[str, Moments] | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Every row's metrics, a value per face: {row: {metric: (n,)}}; "codes" is the share of right codes.

    `inputs` gives the degraded picture of each clean face's stem instead of a level of `config`. A metric of `extra`
    that is of the whole set has one value, (1,): its distance from `references`, or without them from the clean faces.
    """
    inside, rows = networks.image_size, Rows(metrics, extra)
    size = config.size or inside
    clean_set = {metric: Moments() for metric in rows.sets}
    for start in tqdm(range(0, len(paths), config.batch_size), desc=level, unit="batch"):
        batch = paths[start : start + config.batch_size]
        faces = [read_face(path, size) for path in batch]
        if inputs is not None:
            lq_faces = [read_face(inputs[path], size) for path in batch]
        else:
            lq_faces = degraded(batch, faces, level, size, config)
        clean, lq = (torch.stack([to_tensor(face) for face in some]).to(networks.device) for some in (faces, lq_faces))
        clean_codes = networks.clean_codes(at_size(clean, inside))
        clean = to_unit(clean)
        for name, output, codes in networks.rows(at_size(lq, inside), clean_codes, config):
            rows.add(name, to_unit(lq if name == "Input" else at_size(output, size)), clean)
            if codes is not None:
                rows.add_values(name, "codes", (codes == clean_codes).float().mean(1))
        if references is None:
            for metric, describe in rows.sets.items():
                clean_set[metric].add(describe(clean))
    return rows.values(clean_set if references is None else references)


@torch.inference_mode()
def without_clean(
    networks: Networks,
    paths: list[Path],
    config: EvalConfig,
    extra: LibraryMetrics,
    references: Mapping[str, Moments],
) -> dict[str, dict[str, np.ndarray]]:
    """As `compare`, of degraded faces to which there are no clean ones: metrics of a face alone, and of the set."""
    rows = Rows({}, extra)
    for start in tqdm(range(0, len(paths), config.batch_size), desc=paths[0].parent.name, unit="batch"):
        batch = [to_tensor(read_face(path, networks.image_size)) for path in paths[start : start + config.batch_size]]
        for name, output, _ in networks.rows(torch.stack(batch).to(networks.device), None, config):
            rows.add(name, to_unit(output), None)
    return rows.values(references)


def at_strength(strength: float, size: int, noise_seed: int) -> Degradation:
    """The degradation at one place, 0 to 1, of all the ranges of Eq. 9 at once."""
    paper = PAPER.scaled(size)
    sigma, downscale, noise = (
        low + strength * (high - low) for low, high in (paper.blur_sigma, paper.downscale, paper.noise)
    )
    low, high = paper.jpeg_quality
    return Degradation(
        sigma_x=sigma,
        sigma_y=sigma,
        kernel_size=paper.kernel_size,
        downscale=downscale,
        noise=noise,
        noise_seed=noise_seed,
        jpeg_quality=round(high + strength * (low - high)),
    )


@torch.inference_mode()
def code_accuracy(
    networks: Networks, paths: list[Path], strengths: tuple[float, ...], config: EvalConfig
) -> dict[str, list[float]]:
    """The share of right codes at each strength of degradation (Fig. 6): transformer and nearest neighbour."""
    size = networks.image_size
    right: dict[str, list[list[Tensor]]] = {}
    for start in tqdm(range(0, len(paths), config.batch_size), desc="code accuracy", unit="batch"):
        batch = paths[start : start + config.batch_size]
        faces = [read_face(path, size) for path in batch]
        clean = torch.stack([to_tensor(face) for face in faces]).to(networks.device)
        clean_codes = networks.clean_codes(clean)
        for i, strength in enumerate(strengths):
            seeds = [zlib.crc32(f"{config.seed} {path.stem}".encode()) for path in batch]
            some = [degrade(f, at_strength(strength, size, s)) for f, s in zip(faces, seeds, strict=True)]
            lq = torch.stack([to_tensor(face) for face in some]).to(networks.device)
            codes = {"nearest neighbour": networks.nearest_codes(lq)}
            if networks.codeformer is not None:
                codes["transformer"] = networks.codeformer.predict_codes(lq).codes
            for name, found in codes.items():
                by_strength = right.setdefault(name, [[] for _ in strengths])
                by_strength[i].append((found == clean_codes).float().mean(1).cpu())
    return {name: [float(torch.cat(v).mean()) for v in by_strength] for name, by_strength in right.items()}
