"""How a run does on faces that it is not trained on, as scalars for the curves and as gates of the recipe."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.networks.vqgan import VQAutoEncoder
from codeformer_core.pictures.files import PictureError

from .evaluation.compare import EvalConfig, Networks, compare
from .evaluation.grid import grid_strength
from .evaluation.metrics import FaceMetric, bundled_metrics, to_unit
from .faces.data import find_faces, read_face, read_rgb, to_tensor
from .presets import Gate
from .stages.image_loss import at_size

logger = logging.getLogger(__name__)
FACES = 24
MEASURED_AT = 256  # px, so that networks of all sizes can be compared
METRICS = ("PSNR", "PD", "tone")


class Validation:
    """The held faces of one folder, spread over its names, and what is measured on them."""

    def __init__(self, folder: Path, size: int, device: torch.device, *, adain: bool = True):
        found = find_faces(folder, min_side=1)
        spread = np.linspace(0, len(found) - 1, min(FACES, len(found))).round().astype(int)
        self.paths = [path for i in spread if _can_be_read(path := found[i])]
        if not self.paths:
            raise ValueError(f"{folder}: its pictures are damaged; give other faces to measure on")
        self.size, self.device, self.adain = size, device, adain
        everything = bundled_metrics(device)
        self.metrics = {name: _measured_small(everything[name]) for name in METRICS}

    def measure(self, net: nn.Module, teacher: VQAutoEncoder | CodeFormer | None) -> dict[str, float]:
        """The scalars of a stage's network: of an autoencoder, or of a CodeFormer whose codes are the teacher's."""
        if isinstance(net, CodeFormer):
            return self._restored(net, teacher)
        assert isinstance(net, VQAutoEncoder)
        return self._rebuilt(net)

    @torch.inference_mode()
    def _rebuilt(self, net: VQAutoEncoder) -> dict[str, float]:
        values: dict[str, list[Tensor]] = {}
        codes, rebuilt, given = [], [], []
        for start in range(0, len(self.paths), 4):
            clean = self._faces(self.paths[start : start + 4])
            z, _ = net.encoder(clean)
            codes.append(net.quantize.nearest(z))
            outputs = {"": net.generator(net.quantize.look_up(codes[-1])), " without codebook": net.generator(z)}
            rebuilt.append(outputs[""])
            given.append(clean)
            for suffix, output in outputs.items():
                for name in METRICS if not suffix else ("PSNR",):
                    measured = self.metrics[name](to_unit(output), to_unit(clean))
                    values.setdefault(name + suffix, []).append(measured.float().cpu())
        means = {f"val/{name}": float(torch.cat(some).mean()) for name, some in values.items()}
        used = torch.cat(codes).unique().numel() / net.config.codebook_size
        means["val/codes used"] = used
        # Faces that were JPEGs have something of a grid themselves.
        period = max(net.config.patch, 4)
        means["val/grid"] = grid_strength(torch.cat(rebuilt), period) / grid_strength(torch.cat(given), period)
        return means

    def _restored(self, net: CodeFormer, teacher: VQAutoEncoder | CodeFormer | None) -> dict[str, float]:
        config, means = EvalConfig(w=(0.0, 1.0), adain=self.adain, batch_size=4), {}
        if isinstance(teacher, CodeFormer):
            networks = Networks(codeformer=net, teacher=teacher)
        else:
            networks = Networks(codeformer=net, stage1=teacher)
        for level in config.levels:
            rows = compare(networks, self.paths, level, self.metrics, config)
            for row in ("w = 0", "w = 1", "Code GT"):
                for name, some in rows.get(row, {}).items():
                    if name != "codes":
                        means[f"val/{level}/{row} {name}"] = float(some.mean())
            means[f"val/{level}/accuracy"] = float(rows["w = 0"]["codes"].mean())
            above = means[f"val/{level}/w = 0 PD"] - means[f"val/{level}/Code GT PD"]
            means[f"val/{level}/PD above Code GT"] = above
        return means

    def _faces(self, paths: Sequence[Path]) -> Tensor:
        return torch.stack([to_tensor(read_face(path, self.size)) for path in paths]).to(self.device)


def _can_be_read(path: Path) -> bool:
    try:
        read_rgb(path)
    except PictureError as error:
        logger.warning("%s; it is not measured on", error)
        return False
    return True


def check_gates(
    gates: Sequence[Gate], number: int, step: int, steps: int, values: Mapping[str, float]
) -> dict[str, bool]:
    """What the recipe demands of stage `number` at this step of `steps`, in words, and whether the values meet it."""
    met = {}
    for gate in gates:
        if gate.stage == number and step >= min(gate.step, steps):
            value, sign = values[gate.scalar], "<=" if gate.at_most else ">="
            text = f"{gate.scalar}: {value:.3f} {sign} {gate.limit:g}"
            met[text] = value <= gate.limit if gate.at_most else value >= gate.limit
    return met


def _measured_small(metric: FaceMetric) -> FaceMetric:
    def measure(restored: Tensor, clean: Tensor) -> Tensor:
        side = min(MEASURED_AT, clean.shape[-1])
        return metric(at_size(restored, side), at_size(clean, side))

    return measure
