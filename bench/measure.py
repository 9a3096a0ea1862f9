"""What the benches share: runs that take turns, so that a busy machine slows all of them, and what they ran on."""

import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: what was measured, and against what."""

    bench: str
    case: str
    value: float
    unit: str
    than: str = ""  # the baseline, in the same run, that a ratio is to
    wanted: str = ""


def take_turns(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run in each round, A B C A B C ..., after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for counted in [False] + [True] * rounds:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if counted:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the ratios of runs of the same round."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def print_seconds(seconds: Mapping[str, Sequence[float]]) -> None:
    """A line for each run: median, fastest and slowest."""
    for name, values in seconds.items():
        print(f"{name:<40} {statistics.median(values):8.3f} s   ({min(values):.3f} to {max(values):.3f})")


def rows_of(bench: str, seconds: Mapping[str, Sequence[float]]) -> list[Row]:
    """The medians of runs that took turns."""
    return [Row(bench=bench, case=name, value=statistics.median(some), unit="s") for name, some in seconds.items()]


def processor() -> str:
    """The name of the CPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def machine() -> str:
    """One line: the version of torch, the CPU and the threads."""
    return f"torch {torch.__version__}, {processor()}, {torch.get_num_threads()} threads, {platform.system()}"


def machine_name() -> str:
    """The machine as a file's name."""
    name = f"{processor() or platform.machine()} {os.cpu_count()} cores"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
