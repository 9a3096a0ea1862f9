"""Speed and memory, a table and a plot for each machine: `python -m bench [startup network pipeline memory growth]`.

What is measured goes into `bench/results/MACHINE.json` and `.png`; parts that are not asked for stay as they were.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from datetime import date
from importlib import import_module
from pathlib import Path

from .measure import Row, machine, machine_name

PARTS = ("startup", "network", "pipeline", "memory", "growth")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", choices=PARTS, help=argparse.SUPPRESS)  # a part alone, in a process of its own
    args = parser.parse_args()
    if args.child:
        json.dump([asdict(row) for row in import_module(f".{args.child}", "bench").rows(args.rounds)], sys.stdout)
        return
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    os.environ |= {"OMP_NUM_THREADS": str(args.threads), "GOMP_SPINCOUNT": "1000"}
    path = RESULTS / f"{machine_name()}.json"
    parts = json.loads(path.read_text()) if path.exists() else {}
    for part in args.parts or PARTS:
        busy = os.getloadavg()[0]
        command = [sys.executable, "-m", "bench", "--child", part, "--rounds", str(args.rounds)]
        rows = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        facts = {
            "machine": f"{machine()}, {args.threads} used",
            "date": date.today().isoformat(),
            "rounds": args.rounds,
        }
        parts[part] = {**facts, "load before": round(busy, 2), "rows": rows}
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(parts, indent=1) + "\n")
        print(table(part, parts[part]), flush=True)
    plot(parts, path.with_suffix(".png"))


def table(part: str, of_part: dict) -> str:
    """The rows as Markdown."""
    facts = ", ".join(f"{name} {value}" for name, value in of_part.items() if name != "rows")
    lines = [f"\n{part}: {facts}\n", "| case | measured | wanted |", "|---|---|---|"]
    for row in (Row(**row) for row in of_part["rows"]):
        of = f" {row.than}" if row.than else ""
        lines.append(f"| {row.case} | {row.value:.3g} {row.unit}{of} | {row.wanted} |")
    return "\n".join(lines)


def plot(parts: dict, path: Path) -> None:
    """A panel for each part and unit; those with wanted values have them in their names."""
    from matplotlib.figure import Figure

    panels: dict[str, list[Row]] = {}
    for part in PARTS:
        for row in (Row(**row) for row in parts.get(part, {}).get("rows", ())):
            panels.setdefault(f"{part}, {row.unit} {row.than}".strip(), []).append(row)
    heights = [len(rows) + 2 for rows in panels.values()]
    figure = Figure(figsize=(9, 0.17 * sum(heights)), dpi=80, layout="constrained")
    axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axis, (name, rows) in zip(axes, panels.items(), strict=True):
        labels = [f"{row.case} (wanted {row.wanted})" if row.wanted else row.case for row in rows]
        axis.barh(range(len(rows)), [row.value for row in rows], color="#4477aa")
        axis.set_yticks(range(len(rows)), labels, fontsize=6)
        axis.invert_yaxis()
        axis.set_title(name, fontsize=7)
        axis.tick_params(axis="x", labelsize=6)
    figure.savefig(path)


if __name__ == "__main__":
    main()
