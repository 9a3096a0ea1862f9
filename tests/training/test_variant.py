"""Variants of a tiny model: what is trained, what stays the base's, and what the file holds."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors import safe_open

from codeformer_core import CodeFormer, CodeFormerConfig, VQConfig, load_codeformer
from codeformer_core.weights.checkpoint import save_checkpoint
from codeformer_core.weights.variants import BASES
from training.stages.image_loss import ImageLoss
from training.stages.variant import InMask
from training.variant import export_variant, main, train_variant, variant_config

SIZES = CodeFormerConfig(
    vq=VQConfig(
        image_size=32, width=32, ch_mult=(1, 1), n_res_blocks=1, attn_sizes=(), codebook_size=16, codebook_dim=32
    ),
    dim=32,
    n_layers=4,
    n_heads=2,
    mlp_dim=32,
    cft_sizes=(16, 32),
)  # fmt: skip


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, {name: t.half() for name, t in CodeFormer(SIZES).state_dict().items()}, SIZES)
    monkeypatch.setitem(BASES, "tiny", path)
    return path


@pytest.fixture
def faces(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "faces"
    folder.mkdir()
    for i in range(4):
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    return folder


@pytest.mark.parametrize("job", ["fill", "colour"])
def test_a_variant_differs_in_what_was_trained(base, faces, tmp_path, job):
    whole = variant_config(job, load_codeformer(base), 2)
    stage = replace(whole.stage(3), batch_size=2)
    config = replace(whole, stages=(stage, stage, stage), perceptual="retinaface", mixed_precision="no")
    train_variant(config, base, [faces], tmp_path / "run", Accelerator(cpu=True))
    path = export_variant(job, "tiny", tmp_path / "run")
    with safe_open(path, "pt") as file:
        held, facts = set(file.keys()), file.metadata()
    assert facts["job"] == {"fill": "filling", "colour": "colouring"}[job]
    fixed = ("quantize.", "generator.", "position_emb", "ft_layers.", "encoder.blocks.0.")
    assert not any(name.startswith(fixed) for name in held)
    for trained in ("feat_emb.weight", "encoder.blocks.4.conv1.weight", "fuse_convs_dict.16.shift.2.weight"):
        assert trained in held
    net = load_codeformer(path)
    assert net.config == SIZES
    assert torch.equal(net.quantize.embedding.weight, load_codeformer(base).quantize.embedding.weight)


def test_outside_the_mask_nothing_is_compared(base):
    config = variant_config("fill", load_codeformer(base))
    config = replace(config, stages=(replace(config.stage(3), w_perceptual=0.0),) * 3)
    loss = InMask(ImageLoss(config, 3, torch.nn.Identity()))
    hq, restored = torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., :8] = 1
    batch = {"hq": hq, "native": torch.tensor([32])}
    parts = {share: loss(restored, {**batch, "mask": mask * share}, 0)[1]["l1"].item() for share in (0, 1)}
    assert parts == {0: 0.0, 1: 0.25}
    assert loss(restored, batch, 0)[1]["l1"].item() == 1


def test_the_run_of_another_job_is_refused(base, tmp_path, caplog):
    save_checkpoint(tmp_path / "stage3.safetensors", CodeFormer(SIZES).state_dict(), SIZES, {"preset": "fill"})
    command = ["colour", "--base", "mini", "--data", str(tmp_path), "--out", str(tmp_path), "--steps", "0"]
    assert main(command) == 2
    assert "is of a run for fill, not colour" in caplog.text


def test_a_folder_without_a_run_is_one_line(base, tmp_path, caplog):
    assert main(["fill", "--base", "mini", "--data", str(tmp_path), "--out", str(tmp_path), "--steps", "0"]) == 2
    assert "stage3.safetensors" in caplog.text
