"""Tables 1 and 2 as the paper lays them out, with the figures of a report."""

from collections.abc import Mapping, Sequence
from typing import Any

from .report import cell, markdown

# Column of the paper, whether more is better, and what stands in for it where its weights are not at hand.
TABLE_1 = (
    ("LPIPS", False, "ST-LPIPS"),
    ("FID", False, "FD-A"),
    ("IDS", True, "ID-D"),
    ("PSNR", True, ""),
    ("SSIM", True, ""),
)
TABLE_2 = (("FID", False, "FD-A"), ("MUSIQ", True, ""))

Rows = Mapping[str, Mapping[str, Any]]  # {row: {metric: value}}


def table_1(levels: Mapping[str, Rows]) -> str:
    """Faces beside their clean ones, the paper's CelebA-Test: a row for each level and w, a column for each metric."""
    columns = _columns(TABLE_1, levels)
    lines = [["Faces", "Method", *(f"{name} {arrow}" for name, arrow in columns)]]
    for level, rows in levels.items():
        for row, method in _methods(rows).items():
            lines.append([level, method, *(cell(rows[row], name) for name, _ in columns)])
    return markdown(lines)


def table_2(sets: Mapping[str, Rows]) -> str:
    """Faces without clean ones: a row for each w, columns for each set, the paper's LFW, WebPhoto and WIDER."""
    columns = _columns(TABLE_2, sets)
    lines = [["Method", *(f"{name}: {column} {arrow}" for name in sets for column, arrow in columns)]]
    for row, method in _methods(next(iter(sets.values()))).items():
        lines.append([method, *(cell(rows[row], name) for rows in sets.values() for name, _ in columns)])
    return markdown(lines)


def _columns(wanted: Sequence[tuple[str, bool, str]], parts: Mapping[str, Rows]) -> list[tuple[str, str]]:
    """(name, arrow) of the metrics that there are; stand-ins are distances."""
    there = {metric for rows in parts.values() for row in rows.values() for metric in row}
    columns = []
    for name, more_is_better, instead in wanted:
        if name in there:
            columns.append((name, "↑" if more_is_better else "↓"))
        elif instead in there:
            columns.append((instead, "↓"))
    return columns


def _methods(rows: Rows) -> dict[str, str]:
    """The paper's rows among all, and their names there."""
    restored = {row: f"CodeFormer, {row}" for row in rows if row.startswith("w = ")}
    return {"Input": "Input", **restored}
