"""The paper's Tables 3, 6 and 7: python -m training.tables --preset-scale mini --data FACES --val HELD --out RUNS.

Trains each variant as far as its rows need it (those with the same autoencoder share stage I), measures on the held
faces, degraded by Eq. 9, and prints the tables. What is finished is not done again: the same command goes on.
"""

import argparse
import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from accelerate import Accelerator, InitProcessGroupKwargs

from codeformer_core.networks.config import CodeFormerConfig, VQConfig
from codeformer_core.pictures.degradation import PAPER as PAPER_DEGRADATION
from codeformer_core.whole_files import whole_file

from .checkpoints import file_hash
from .commands import run_command
from .evaluate import evaluate, load_networks
from .evaluation.compare import EvalConfig
from .evaluation.library_metrics import LibraryMetrics, library_metrics
from .evaluation.report import cell, markdown
from .export import discriminator_path, stage_path
from .faces.data import find_faces
from .faces.sampling import default_workers
from .precision import accelerator_for
from .presets import MINI_256, PAPER, TrainConfig, ablations, with_steps
from .train import train_stage

logger = logging.getLogger(__name__)
LEVEL = "Eq. 9"
EVALUATION = EvalConfig(levels={LEVEL: PAPER_DEGRADATION}, w=(0.0, 1.0))
# The columns that are printed, as far as training.evaluate gives them, and whether more is better.
COLUMNS = {
    **{"LPIPS": False, "ST-LPIPS": False, "PD": False, "FID": False, "FD-A": False},
    **{"IDS": True, "ID-D": False, "PSNR": True, "SSIM": True, "codes": True},
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table: what it is called, and which network gives it."""

    cells: tuple[str, ...]
    variant: str
    stage: int = 2
    w: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper."""

    title: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]


# (e) to (g): the decoder free or fixed, without CFT and with it at w = 1; "ours" is the whole network.
TABLES = (
    Table(
        title="Table 3: networks and code lookup",
        head=("Exp.", "codebook", "lookup", "decoder fixed", "CFT"),
        rows=(
            Row(cells=("(a)", "", "", "", ""), variant="no_codebook", stage=1),
            Row(cells=("(b)", "x", "nearest neighbour", "x", ""), variant="nearest"),
            Row(cells=("(c)", "x", "CNN, linear layer", "x", ""), variant="linear"),
            Row(cells=("(d)", "x", "transformer", "", ""), variant="train_decoder"),
            Row(cells=("(e)", "x", "transformer", "", "x"), variant="train_decoder", stage=3, w=1.0),
            Row(cells=("(f)", "x", "transformer", "x", ""), variant="ours"),
            Row(cells=("(g)", "x", "transformer", "x", "x"), variant="ours", stage=3, w=1.0),
        ),
    ),
    Table(
        title="Table 6: size of the codebook",
        head=("code items",),
        rows=(
            Row(cells=("384",), variant="codes384"),
            Row(cells=("768",), variant="codes768"),
            Row(cells=("1024",), variant="ours"),
        ),
    ),
    Table(
        title="Table 7: layers of the transformer, and features of several scales",
        head=("layers", "features"),
        rows=(
            Row(cells=("4", "16"), variant="layers4"),
            Row(cells=("9", "16"), variant="ours"),
            Row(cells=("15", "16"), variant="layers15"),
            Row(cells=("9", "16, 32, 64"), variant="multi_scale"),
        ),
    ),
)


def _mini() -> TrainConfig:
    """Faces of 128 px by the recipe of mini_256, with the paper's 16 x 16 codes, 1024 items, 9 layers, degradations."""
    vq = VQConfig(image_size=128, patch=2, width=32, ch_mult=(1, 2, 4), n_res_blocks=1, attn_sizes=(), codebook_dim=128)
    model = CodeFormerConfig(vq=vq, dim=128, n_heads=4, n_layers=9, mlp_dim=256, cft_sizes=(32, 64))
    steps = (1_500, 1_000, 800)
    stages = [with_steps(stage, n) for stage, n in zip(MINI_256.stages, steps, strict=True)]
    first, second, third = (replace(stage, degradations=(PAPER_DEGRADATION,)) for stage in stages)
    return replace(
        MINI_256, name="ours", model=model, min_side=128, mixed_precision="no", stages=(first, second, third)
    )


SCALES = {"mini": _mini(), "paper": replace(PAPER, name="ours")}


def variants(base: TrainConfig) -> dict[str, TrainConfig]:
    """The networks of the tables by name: the whole one first, since others take stage I from it."""
    named = {row.variant for table in TABLES for row in table.rows}
    return {"ours": base} | {config.name: config for config in ablations(base) if config.name in named}


def train_variant(config: TrainConfig, base: TrainConfig, stages: Sequence[int], out: Path, **options: Any) -> None:
    """Train a variant's stages in out/<its name>; stage I is the whole network's where the autoencoder is the same."""
    mine, shared = out / config.name, out / base.name
    takes = config is not base and not config.no_codebook and config.model.vq == base.model.vq
    for source, target in (
        (stage_path(shared, 1), stage_path(mine, 1)),
        (discriminator_path(shared), discriminator_path(mine)),
    ):
        old = not target.is_file() or (source.is_file() and file_hash(source) != file_hash(target))
        if takes and source.is_file() and old and options["accelerator"].is_main_process:
            with whole_file(target) as unfinished:
                shutil.copyfile(source, unfinished)
    options["accelerator"].wait_for_everyone()
    for number in stages:
        if not (takes and number == 1):
            train_stage(config, number, out=mine, **options)


def measure(
    row: Row, config: TrainConfig, out: Path, faces: Sequence[Path], extra: LibraryMetrics, device: str
) -> dict[str, float]:
    """What a row's network gives on held faces: means by column."""
    own = None if config.no_codebook else stage_path(out, 1)
    networks = load_networks(stage_path(out, row.stage), own, device)
    values = evaluate(networks, list(faces), EVALUATION, extra)["levels"][LEVEL][f"w = {row.w:g}"]
    return {name: values[name] for name in COLUMNS if name in values and not (config.no_codebook and name == "codes")}


def as_text(measured: Mapping[str, Mapping[str, float]], n_faces: int) -> str:
    """The tables in the paper's layout, in Markdown; `measured` is by `key`."""
    there = [name for name in COLUMNS if any(name in values for values in measured.values())]
    parts = []
    for table in TABLES:
        lines = [[*table.head, *(f"{name} {'↑' if COLUMNS[name] else '↓'}" for name in there)]]
        cells = [[*row.cells, *(cell(measured[key(row)], name) for name in there)] for row in table.rows]
        lines += [[text or "-" for text in line] for line in cells]
        parts.append(f"{table.title}\n\n{markdown(lines)}")
    how = f"{n_faces} held faces, degraded by Eq. 9; w = 1 in rows with CFT, codes alone (w = 0, stage II) in others\n"
    return "\n".join([*parts, how])


def key(row: Row) -> str:
    """What a row's figures are called in tables.json: rows of several tables may be of one network."""
    return f"{row.variant}, stage {row.stage}, w = {row.w:g}"


def run(base: TrainConfig, val: Path, out: Path, accelerator: Accelerator, **options: Any) -> str:
    """Train and measure all that is not done yet; the tables, which also lie in out/tables.md and out/tables.json."""
    faces, extra = find_faces(val, min_side=1), library_metrics((), device=accelerator.device)
    rows = {key(row): row for table in TABLES for row in table.rows}
    told = [sorted({*extra.faces, *extra.alone, *extra.sets}), [[face.name, file_hash(face)] for face in faces]]
    record = out / "tables.json"
    measured: dict[str, Any] = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    for name, config in variants(base).items():
        of_it = {text: row for text, row in rows.items() if row.variant == name}
        stages = range(1, max(row.stage for row in of_it.values()) + 1)
        train_variant(config, base, stages, out, accelerator=accelerator, **options)
        for text, row in of_it.items() if accelerator.is_main_process else ():
            networks = sorted({file_hash(stage_path(out / name, n)) for n in (1, row.stage)})
            made_from = hashlib.sha256(json.dumps([networks, *told]).encode()).hexdigest()
            if measured.get(text, {}).get("made from") != made_from:
                means = measure(row, config, out / name, faces, extra, str(accelerator.device))
                measured[text] = {"made from": made_from, "means": means}
                with whole_file(record) as unfinished:
                    unfinished.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        accelerator.wait_for_everyone()
    if not accelerator.is_main_process:
        return ""
    tables = as_text({text: measured[text]["means"] for text in rows}, len(faces))
    with whole_file(out / "tables.md") as unfinished:
        unfinished.write_text(tables, encoding="utf-8")
    return tables


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0, 2 with one line that says what is wrong and what to do, or 130 after Ctrl-C."""
    parser = argparse.ArgumentParser("python -m training.tables", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument(
        "--preset-scale", required=True, choices=SCALES, help="mini: 2.5 hours of one core; paper: GPUs"
    )
    parser.add_argument("--data", required=True, type=Path, action="append", help="folder of aligned faces; repeatable")
    parser.add_argument("--val", required=True, type=Path, help="folder of aligned faces to measure on")
    parser.add_argument("--out", required=True, type=Path, help="folder of the runs and the tables")
    parser.add_argument("--workers", type=int, help="processes that read and degrade faces (default: up to 4)")
    parser.add_argument("--accumulate", type=int, default=1, help="batches whose gradients are summed in a step")
    parser.add_argument("--perceptual-weights", type=Path, help="file of the perceptual network")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    base = SCALES[args.preset_scale]

    def work() -> None:
        patient = InitProcessGroupKwargs(timeout=timedelta(hours=12))  # while one process measures, the others wait
        accelerator = accelerator_for(base.mixed_precision, kwargs_handlers=[patient])
        tables = run(
            base,
            args.val,
            args.out,
            accelerator,
            folders=args.data,
            accumulate=args.accumulate,
            workers=default_workers() if args.workers is None else args.workers,
            perceptual_weights=args.perceptual_weights,
        )
        sys.stdout.write(tables)

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
