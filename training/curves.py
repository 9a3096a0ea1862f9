"""What is seen of a run: curves for TensorBoard, and grids of sample faces.

python -m training.curves RUN CURVES.png draws the curves of a run's stages in one picture.
"""

import argparse
import logging
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from einops import rearrange
from PIL import Image
from torch import Tensor

from codeformer_core.whole_files import whole_file

from .averaging import mean_of_processes

logger = logging.getLogger(__name__)
LEVELS = 5  # bins of degradation strength in which the accuracy is averaged
DRAWN = ("psnr", "perceptual", "codebook/perplexity", "code", "accuracy")  # of each stage, those that it has


class Means:
    """Averages of scalars, and of the token accuracy by degradation level, since the last `take`."""

    def __init__(self, device: torch.device | str):
        self.device = device
        self._clear()

    def _clear(self) -> None:
        self.sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, device=self.device))
        self.right = torch.zeros(LEVELS, 2, device=self.device)

    def add(self, values: Mapping[str, Tensor | float]) -> None:
        for name, value in values.items():
            value = torch.as_tensor(value).detach().to(self.device, torch.float32)
            self.sums[name] += torch.stack([value, torch.ones_like(value)])

    def add_accuracy(self, accuracy: Tensor, level: Tensor) -> None:
        """`accuracy` (b,) of faces whose degradations have `level` (b,) in [0, 1]."""
        bins = (level * LEVELS).long().clamp(0, LEVELS - 1)
        pairs = torch.stack([accuracy, torch.ones_like(accuracy)], dim=1)
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


def read_curves(folder: Path) -> dict[str, tuple[list[int], list[float]]]:
    """The steps and values of each curve that TensorBoard would show."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # slow to import

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()  # 0: all of them
    points = {name: events.Scalars(name) for name in events.Tags()["scalars"]}
    return {name: ([p.step for p in some], [p.value for p in some]) for name, some in points.items()}


def draw_curves(run: Path, picture: Path) -> None:
    """Draw what each stage of a run has learnt, a stage a row, as a PNG."""
    from matplotlib.figure import Figure  # slow to import

    found = {n: read_curves(folder) for n in (1, 2, 3) if (folder := run / f"stage{n}" / "curves").is_dir()}
    stages = {n: curves for n, curves in found.items() if curves}  # one that has just begun has no points
    if not stages:
        raise ValueError(f"{run}: holds no stage's curves; expected the --out of training.train")
    panels = {n: [name for name in DRAWN if name in curves] for n, curves in stages.items()}
    columns = max(len(names) for names in panels.values())
    figure = Figure(figsize=(3 * columns, 2.4 * len(stages)), layout="constrained")
    grid = figure.subplots(len(stages), columns, squeeze=False)
    for row, (number, names) in zip(grid, panels.items(), strict=True):
        for axes in row[len(names) :]:
            axes.set_axis_off()
        for axes, name in zip(row, names, strict=False):
            axes.plot(*stages[number][name], linewidth=1)
            axes.set_title(f"stage {number}: {name}", fontsize=9)
            axes.tick_params(labelsize=7)
            axes.grid(alpha=0.3)
    with whole_file(picture) as unfinished:
        figure.savefig(unfinished, format="png", dpi=100)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0, or 2 with one line that says what is wrong."""
    parser = argparse.ArgumentParser("python -m training.curves", description="Draw the curves of a run as a PNG.")
    parser.add_argument("run", type=Path, help="the --out of training.train")
    parser.add_argument("picture", type=Path)
    args = parser.parse_args(argv)
    try:
        draw_curves(args.run, args.picture)
    except (ValueError, OSError) as error:
        logger.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
