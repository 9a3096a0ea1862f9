"""What is seen of a run: curves for TensorBoard, and grids of sample faces."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch
from accelerate import Accelerator
from einops import rearrange
from PIL import Image
from torch import Tensor

from codeformer_core.whole_files import whole_file

from .averaging import mean_of_processes

LEVELS = 5  # bins of degradation strength in which the accuracy is averaged


class Means:
    """Averages of scalars, and of the token accuracy by degradation level, since the last `take`."""

    def __init__(self, device: torch.device | str):
        self.device = device
        self._clear()

    def _clear(self) -> None:
        self.sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, dtype=torch.float64, device=self.device))
        self.right = torch.zeros(LEVELS, 2, dtype=torch.float64, device=self.device)

    def add(self, values: Mapping[str, Tensor | float]) -> None:
        for name, value in values.items():
            value = value.detach().double() if isinstance(value, Tensor) else torch.tensor(value).double()
            self.sums[name] += torch.stack([value.to(self.device), torch.ones_like(value).to(self.device)])

    def add_accuracy(self, accuracy: Tensor, level: Tensor) -> None:
        """`accuracy` (b,) of faces whose degradations have `level` (b,) in [0, 1]."""
        bins = (level * LEVELS).long().clamp(0, LEVELS - 1)
        pairs = torch.stack([accuracy.double(), torch.ones_like(accuracy, dtype=torch.float64)], dim=1)
        self.right.index_add_(0, bins.to(self.device), pairs)

    def take(self, accelerator: Accelerator) -> dict[str, float]:
        """The averages over all processes; the next ones begin."""
        names = sorted(self.sums)
        table = mean_of_processes(accelerator, torch.cat([*(self.sums[n][None] for n in names), self.right]))
        labels = names + [f"accuracy/level {i / LEVELS:.1f}-{(i + 1) / LEVELS:.1f}" for i in range(LEVELS)]
        means = {name: total / n for name, (total, n) in zip(labels, table.tolist(), strict=True) if n}
        self._clear()
        return means


def save_grid(path: Path, rows: list[Tensor]) -> None:
    """Write a JPEG with a column per face; each row is (n, 3, s, s), RGB in [-1, 1]."""
    grid = rearrange(torch.stack([row.float().cpu() for row in rows]), "r n c h w -> (r h) (n w) c")
    picture = Image.fromarray(((grid.clamp(-1, 1) + 1) * 127.5).round().byte().numpy())
    with whole_file(path) as unfinished:
        picture.save(unfinished, "JPEG", quality=92)
