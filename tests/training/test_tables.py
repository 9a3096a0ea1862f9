"""All tables of ablations, from training to text, on networks that learn in two steps each."""

import logging
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from codeformer_core import CodeFormerConfig, VQConfig, load_codeformer
from training import tables
from training.evaluate import main as evaluate_main
from training.export import stage_path
from training.presets import StageConfig, TrainConfig
from training.tables import SCALES, TABLES, key, main, variants

_STAGE: dict[str, Any] = {"steps": 1, "batch_size": 2, "lr": 1e-3, "w_adversarial": 0.0, "revive_every": 1}
TOY = TrainConfig(
    name="ours",
    model=CodeFormerConfig(
        vq=VQConfig(image_size=64, width=32, ch_mult=(1, 1, 1), n_res_blocks=1, attn_sizes=(), codebook_dim=32),
        dim=32,
        n_heads=2,
        n_layers=9,
        mlp_dim=32,
        cft_sizes=(32,),
    ),
    perceptual="retinaface",
    stages=(StageConfig(**_STAGE), StageConfig(**_STAGE), StageConfig(**_STAGE)),
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for i in range(3):
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(small, (64, 64), interpolation=cv2.INTER_CUBIC))
    return folder


def test_tables_are_trained_measured_and_printed_once(faces, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SCALES, "mini", TOY)
    monkeypatch.setattr(tables.logging, "basicConfig", lambda **_: None)
    command = ["--preset-scale", "mini", "--data", str(faces), "--val", str(faces), "--workers", "0"]
    command += ["--out", str(tmp_path)]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert text == (tmp_path / "tables.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    for table in TABLES:
        for row in table.rows:
            assert [text or "-" for text in row.cells] in [line[: len(row.cells)] for line in lines]
    head = next(line for line in lines if line[0] == "Exp.")
    assert {"PD ↓", "PSNR ↑", "SSIM ↑", "codes ↑"} <= set(head)

    # Every network loads in the core, and training.evaluate takes it.
    lq = torch.zeros(1, 3, 64, 64)
    for name, config in variants(TOY).items():
        last = max(row.stage for table in TABLES for row in table.rows if row.variant == name)
        net = load_codeformer(stage_path(tmp_path / name, last))
        assert (net.config.lookup, net.config.seen_sizes) == (config.model.lookup, config.model.seen_sizes)
        assert net.restore(lq, w=0.0).shape == lq.shape
    model, out = stage_path(tmp_path / "linear", 2), tmp_path / "report"
    assert (
        evaluate_main([str(model), "--data", str(faces), "--out", str(out), "--min-side", "1", "--levels", "mild"]) == 0
    )

    # Nothing is done again; a figure whose network or faces have changed is measured anew.
    def fail(*_, **__):
        raise AssertionError("this was done already")

    monkeypatch.setattr(tables, "measure", fail)
    monkeypatch.setattr("training.train.save_state", fail)
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out == text
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for face in list(faces.iterdir())[:2]:
        shutil.copy(face, fewer)
    with pytest.raises(AssertionError, match="done already"):  # on other faces
        main([str(fewer) if i and command[i - 1] == "--val" else part for i, part in enumerate(command)])
    stage_path(tmp_path / "layers15", 2).write_bytes(stage_path(tmp_path / "layers4", 2).read_bytes())
    with pytest.raises(AssertionError, match="done already"):
        main(command)


def test_what_hinders_a_table_is_one_line(faces, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(SCALES, "mini", TOY)
    monkeypatch.setattr(tables.logging, "basicConfig", lambda **_: None)
    command = ["--preset-scale", "mini", "--data", str(faces), "--val", str(tmp_path / "none"), "--out", str(tmp_path)]
    with caplog.at_level(logging.ERROR):
        assert main(command) == 2
    assert "none" in caplog.records[-1].message


def test_scales_have_all_the_papers_variants():
    for base in SCALES.values():
        found = variants(base)
        assert {row.variant for table in TABLES for row in table.rows} == set(found)
        assert found["multi_scale"].model.seen_sizes == (32, 64)
        assert base.model.vq.latent_size == 16
        assert found["codes384"].model.vq.codebook_size == 384
        assert found["layers15"].model.n_layers == 15
        assert found["no_codebook"].numbers == (1,)
        assert base.model.vq.codebook_size == 1024
        assert base.model.n_layers == 9
        shared = {n for n, c in found.items() if c.model.vq == base.model.vq}
        assert shared == set(found) - {"codes384", "codes768"}
    assert len({key(row) for table in TABLES for row in table.rows}) == 12
