"""A gate trained for a model: nothing else of it changes."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from accelerate import Accelerator

from codeformer_core import CodeFormer, CodeFormerConfig, VQConfig, load_codeformer
from codeformer_core.weights.checkpoint import save_checkpoint
from training.export import stage_path
from training.gate import gate_config, main, train_gate
from training.presets import TrainConfig

SIZES = CodeFormerConfig(
    vq=VQConfig(
        image_size=64, patch=2, width=32, ch_mult=(1, 1), n_res_blocks=1, attn_sizes=(), codebook_size=16,
        codebook_dim=32,
    ),
    dim=32, n_layers=2, n_heads=2, mlp_dim=32, cft_sizes=(16, 32),
)  # fmt: skip


@pytest.fixture
def base(tmp_path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "base.safetensors"
    save_checkpoint(path, CodeFormer(SIZES).state_dict(), SIZES)
    return path


@pytest.fixture
def faces(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "faces"
    folder.mkdir()
    for i in range(4):
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    return folder


def short(base: Path, steps: int = 2) -> TrainConfig:
    """A few steps, with all losses that need no package."""
    config = gate_config(load_codeformer(base), steps)
    first, second, last = config.stages
    last = replace(last, batch_size=2, w_crops=0.0, save_every=1)
    return replace(config, stages=(first, second, last), perceptual="retinaface")


def test_the_gate_alone_is_trained_and_goes_on_from_there(base, faces, tmp_path):
    train_gate(short(base), base, [faces], tmp_path / "run", Accelerator(cpu=True), val=faces)
    trained = load_codeformer(stage_path(tmp_path / "run", 3))
    assert trained.config == replace(SIZES, gate=24)
    before, after = load_codeformer(base).state_dict(), trained.state_dict()
    assert all(torch.equal(after[name], t) for name, t in before.items())
    assert {name.split(".")[0] for name in after.keys() - before.keys()} == {"gate"}
    assert after["gate.shares.0.weight"].abs().max() > 0  # it began with zeros

    more = stage_path(tmp_path / "run", 3)
    train_gate(short(more), more, [faces], tmp_path / "more", Accelerator(cpu=True))
    further = load_codeformer(stage_path(tmp_path / "more", 3)).state_dict()
    assert not torch.equal(further["gate.shares.0.weight"], after["gate.shares.0.weight"])
    assert torch.equal(further["encoder.blocks.0.weight"], after["encoder.blocks.0.weight"])


def test_it_learns_to_let_clean_faces_through(base, faces, tmp_path):
    config = short(base, 40)
    first, second, last = config.stages
    last = replace(last, degradations=last.degradations[-1:], w_perceptual=0.0, warmup=0, decay=0, ema_decay=0.0)
    train_gate(
        replace(config, stages=(first, second, last)), base, [faces], tmp_path / "run", Accelerator(cpu=True)
    )  # fmt: skip
    net, clean = load_codeformer(stage_path(tmp_path / "run", 3)), torch.rand(2, 3, 64, 64) * 2 - 1

    def error(restored: torch.Tensor) -> float:
        return (restored - clean).abs().mean().item()

    with torch.inference_mode():
        assert error(net.restore(clean, 1.0)) < 0.5 * error(load_codeformer(base).restore(clean, 1.0))


@pytest.mark.parametrize("wrong", [{"cft_sizes": ()}, {"vq": replace(SIZES.vq, patch=1, image_size=32)}])
def test_a_model_that_a_gate_cannot_be_for_is_refused_in_one_line(wrong, faces, tmp_path, caplog):
    sizes, path = replace(SIZES, **wrong), tmp_path / "other.safetensors"
    save_checkpoint(path, CodeFormer(sizes).state_dict(), sizes)
    assert main([str(path), "--data", str(faces), "--out", str(tmp_path / "run")]) == 2
    assert "a gate is for faces of a multiple of 32 px with CFT at smaller sizes" in caplog.text
    assert not (tmp_path / "run").exists()
