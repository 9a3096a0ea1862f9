"""The script for cards runs, on a tiny network, and says where there is none; results become a table and a plot."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from bench import card
from bench.__main__ import plot, table

ROOT = Path(__file__).parents[2]


def test_the_table_for_cards_is_printed_on_a_processor_too(tiny_config):
    lines = card.table(torch.device("cpu"), tiny_config, rounds=1, batches=(1, 2), side=64)
    assert [line.split(" | ")[:2] for line in lines if line[2:].startswith(("float32", "mixed", "bfloat16"))] == [
        [f"| {name}", str(batch)] for name in ("float32", "mixed", "bfloat16") for batch in (1, 2)
    ]
    assert lines[-2].startswith("times plain at the best batch (")


def test_without_a_card_one_line_says_so():
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "bench.card"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert (run.returncode, run.stderr.strip()) == (1, card.NO_CARD)


def test_results_become_a_table_and_a_plot(tmp_path):
    row = {
        "bench": "startup",
        "case": "codeformer restore",
        "value": 1.5,
        "unit": "times",
        "than": "torch",
        "wanted": "2",
    }
    part = {"machine": "a machine", "rows": [row, {**row, "value": 3.0, "unit": "s", "than": "", "wanted": ""}]}
    assert table("startup", part).splitlines()[-2:] == [
        "| codeformer restore | 1.5 times torch | 2 |",
        "| codeformer restore | 3 s |  |",
    ]
    plot({"startup": part}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[1:4] == b"PNG"
