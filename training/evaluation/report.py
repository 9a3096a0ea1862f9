"""What an evaluation says, as a table, as JSON, and as pictures (the paper's Fig. 6 and Fig. 7)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from codeformer_core.pictures.files import write_picture
from codeformer_core.whole_files import whole_file

from ..faces.data import read_face, to_tensor
from .compare import EvalConfig, Networks, degraded
from .metrics import to_unit

TERCILES = ("dark", "middle", "light")
TWO_DECIMALS = ("PSNR", "Lab", "tone", "iris", "around", "FID", "FD-A", "MUSIQ")  # 3 for all others


def summary(values: Mapping[str, Mapping[str, np.ndarray]], lightness: Sequence[float]) -> dict[str, dict[str, Any]]:
    """Means of each row: {row: {metric: mean}}, and for "Lab" and "tone" by tercile of the clean face's lightness.

    "Lab by skin" holds the terciles' means and `spread`, by how much the largest is above the smallest (0.33: a third).
    """
    terciles = np.array_split(np.argsort(lightness, kind="stable"), 3)
    rows: dict[str, dict[str, Any]] = {}
    for name, metrics in values.items():
        rows[name] = {metric: float(v.mean()) for metric, v in metrics.items()}
        for metric in ("Lab", "tone"):
            if metric in metrics and len(lightness) >= 3:
                means = [float(metrics[metric][faces].mean()) for faces in terciles]
                spread = max(means) / max(min(means), 1e-6) - 1
                rows[name][f"{metric} by skin"] = dict(zip((*TERCILES, "spread"), [*means, spread], strict=True))
    return rows


def table(levels: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """The summaries of all levels as a Markdown table, a row of the paper's table per line."""
    first = next(iter(levels.values()))
    columns = list(dict.fromkeys(c for row in first.values() for c in row if not c.endswith("by skin")))
    skin = ["Lab by skin" in row for row in first.values()]
    head = ["level", "row", *columns, *(["Lab dark / middle / light", "spread"] if any(skin) else [])]
    lines = [head]
    for level, rows in levels.items():
        for name, row in rows.items():
            cells = [cell(row, column) for column in columns]
            if "Lab by skin" in row:
                by_skin = row["Lab by skin"]
                cells += [" / ".join(f"{by_skin[t]:.2f}" for t in TERCILES), f"{by_skin['spread']:.2f}"]
            lines.append([level, name, *cells])
    return markdown(lines)


def cell(row: Mapping[str, Any], metric: str) -> str:
    """A mean as a table shows it; empty where the row has none."""
    return f"{row[metric]:.{2 if metric in TWO_DECIMALS else 3}f}" if metric in row else ""


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells, the first of them the head, as a Markdown table."""
    lines = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = [[text.ljust(w, "-" if text == "---" else " ") for text, w in zip(r, widths, strict=True)] for r in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in padded) + "\n"


def bars(levels: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, bool]:
    """What the default model must reach against the degraded input (each PD there is), and whether it does."""
    for level in ("mild", "medium", "heavy"):
        if not {"Input", "w = 0", "w = 1"} <= set(levels.get(level, ())):
            raise ValueError(f"the bars need the rows w = 0 and w = 1 at level {level}; evaluate a CodeFormer at them")
    met: dict[str, bool] = {}

    def bar(text: str, value: float, limit: float, *, at_most: bool = False) -> None:
        sign = "<=" if at_most else ">="
        met[f"{text}: {value:.2f} {sign} {limit:g}"] = value <= limit if at_most else value >= limit

    for level, psnr_gain, ratio in (("mild", -0.5, 0.8), ("medium", 0.3, 0.7), ("heavy", 0.3, 0.7)):
        rows = levels[level]
        given, faithful, sharp = rows["Input"], rows["w = 1"], rows["w = 0"]
        bar(f"{level}, w = 1, PSNR gain in dB", faithful["PSNR"] - given["PSNR"], psnr_gain)
        for pd in (column for column in given if column.startswith("PD")):
            bar(f"{level}, w = 1, {pd} of the input's", faithful[pd] / given[pd], ratio, at_most=True)
            if level != "mild":
                bar(f"{level}, w = 0, {pd} of the input's", sharp[pd] / given[pd], 0.75, at_most=True)
        by_w = sorted((float(name.removeprefix("w = ")), row) for name, row in rows.items() if name.startswith("w = "))
        psnr = [row["PSNR"] for _, row in by_w]
        bar(f"{level}, least rise of PSNR from one w to the next in dB", float(np.diff(psnr).min()), 0)
        for name in ("w = 0", "w = 1") if "Lab by skin" in given else ():
            bar(f"{level}, {name}, spread of Lab by skin", rows[name]["Lab by skin"]["spread"], 0.33, at_most=True)
    return met


def draw_accuracy(path: Path, strengths: Sequence[float], curves: Mapping[str, Sequence[float]]) -> None:
    """The curve of code accuracy against degradation (Fig. 6) as a PNG."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, accuracy in curves.items():
        axes.plot(strengths, [100 * a for a in accuracy], marker="o", label=name)
    axes.set(xlabel="strength of degradation (0: weakest, 1: strongest of Eq. 9)", ylabel="right codes, %")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    with whole_file(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=120)


@torch.inference_mode()
def draw_strip(
    path: Path,
    networks: Networks,
    faces: Sequence[Path],
    level: str | None,
    config: EvalConfig,
    inputs: Mapping[Path, Path] | None = None,
) -> None:
    """Input, the restorations at each w, Code GT and the clean face, side by side, a face a row (Fig. 7), as a PNG.

    Without a level the faces are the degraded ones, and there are neither Code GT nor clean faces. `inputs` are
    pictures degraded already, by the clean ones' stems, in place of a level's.
    """
    size, device = networks.image_size, networks.device
    rows = []
    for path_of_face in faces:
        face = read_face(path_of_face, size)
        hq = None if level is None else to_tensor(face)[None].to(device)
        if inputs is not None:
            lq = read_face(inputs[path_of_face], size)
        else:
            lq = face if level is None else degraded([path_of_face], [face], level, size, config)[0]
        codes = None if hq is None else networks.clean_codes(hq)
        columns = {name: x for name, x, _ in networks.rows(to_tensor(lq)[None].to(device), codes, config)}
        if hq is not None:
            columns["clean"] = hq
        if not rows:
            rows.append(np.concatenate([_label(name, size) for name in columns], axis=1))
        rows.append(np.concatenate([_as_uint8(x) for x in columns.values()], axis=1))
    write_picture(path, np.concatenate(rows, axis=0))


def _as_uint8(x: torch.Tensor) -> np.ndarray:
    return (to_unit(x[0]).permute(1, 2, 0).float().cpu().numpy() * 255 + 0.5).astype(np.uint8)


def _label(text: str, width: int) -> np.ndarray:
    height, scale = max(width // 10, 8), width / 512
    image = np.full((height, width, 3), 255, np.uint8)
    thickness = max(1, round(2 * scale))
    place, font = (2, height * 3 // 4), cv2.FONT_HERSHEY_SIMPLEX
    return cv2.putText(image, text, place, font, scale, (0, 0, 0), thickness, cv2.LINE_AA)
