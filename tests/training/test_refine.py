"""A refined model: where it begins, what each part trains, and going on."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch.nn import functional as F

from codeformer_core import CodeFormer, CodeFormerConfig, VQConfig, load_codeformer
from codeformer_core.weights.checkpoint import save_checkpoint
from training.export import stage_path
from training.presets import TrainConfig
from training.refine import enlarged, main, refine, refine_config
from training.stages.image_loss import ImageLoss
from training.stages.whole import FreeStage
from training.train import train_stage
from training.validation import Validation

SIZES = CodeFormerConfig(
    vq=VQConfig(
        image_size=32, width=32, ch_mult=(1, 1), n_res_blocks=1, attn_sizes=(), codebook_size=16, codebook_dim=32
    ),
    dim=32,
    n_layers=2,
    n_heads=2,
    mlp_dim=32,
    cft_sizes=(16, 32),
)


@pytest.fixture
def base(tmp_path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "small.safetensors"
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


@pytest.mark.parametrize("w", [0.0, 1.0])
def test_enlarged_begins_as_the_smaller_model(base, w):
    small = load_codeformer(base)
    net, face = enlarged(small), torch.rand(2, 3, 64, 64) * 2 - 1
    pixels = small.restore(F.avg_pool2d(face, 2), w=w).repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.no_grad():
        assert torch.allclose(net.restore(face, w=w), pixels, atol=1e-5)
    assert net.config == replace(SIZES, vq=replace(SIZES.vq, image_size=64, patch=2))


def test_the_codebook_stays_and_each_part_trains_its_own(base, faces, tmp_path, monkeypatch):
    start, out = enlarged(load_codeformer(base)), tmp_path / "run"
    config = short(start)
    refine(config, base, [faces], out, Accelerator(cpu=True), val=faces)
    states = [start.state_dict(), *(load_codeformer(stage_path(out, n)).state_dict() for n in (2, 3))]

    def changed(one: dict, other: dict) -> set[str]:
        return {name.split(".")[0] for name in one if not torch.equal(one[name], other[name])}

    assert changed(states[0], states[1]) == {"generator"}
    assert changed(states[1], states[2]) >= {"encoder", "ft_layers", "fuse_convs_dict", "generator"}
    assert "quantize" not in changed(states[1], states[2])

    def stopped(*args, **options):
        train_stage(*args, **options, stop_at=1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.refine.train_stage", stopped)
        with pytest.raises(KeyboardInterrupt):
            refine(config, base, [faces], tmp_path / "again", Accelerator(cpu=True))
    refine(config, base, [faces], tmp_path / "again", Accelerator(cpu=True))
    for name, t in load_codeformer(stage_path(tmp_path / "again", 3)).state_dict().items():
        torch.testing.assert_close(t, states[2][name], atol=1e-5, rtol=1e-4)


def short(start: CodeFormer) -> TrainConfig:
    """Two steps of each part, with all losses that need no package."""
    config = refine_config(start, (2, 2))
    first, *others = (replace(stage, batch_size=2, w_crops=0.0, save_every=1) for stage in config.stages)
    return replace(config, stages=(first, *others), perceptual="retinaface", discriminator="patch")


def test_each_face_is_at_w_0_or_1_whatever_process_it_is_in(base):
    net = enlarged(load_codeformer(base))
    config = short(net)
    stage = FreeStage(config, ImageLoss(config, 3, None, None), net)

    def drawn(slots: list[int], step: int) -> list[float]:
        w = stage.weights({"slot": torch.tensor(slots), "lq": torch.zeros(len(slots), 3, 64, 64)}, step).w
        assert isinstance(w, torch.Tensor)
        return w.tolist()

    assert {tuple(drawn([0, 1], step)) for step in range(40)} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert all(drawn([0], step) + drawn([1], step) == drawn([0, 1], step) for step in range(5))


def test_validation_holds_codes_to_those_of_the_model_before(base, faces):
    net, teacher = load_codeformer(base), load_codeformer(base)
    with torch.no_grad():
        net.get_parameter("idx_pred_layer.1.weight").zero_()  # every code is the first
    validation = Validation(faces, 32, torch.device("cpu"))
    assert validation.measure(net, None)["val/mild/accuracy"] == 1
    assert validation.measure(net, teacher)["val/mild/accuracy"] < 0.5


def test_a_model_without_cft_is_refused(faces, tmp_path, caplog):
    sizes, path = replace(SIZES, cft_sizes=()), tmp_path / "stage2.safetensors"
    save_checkpoint(path, CodeFormer(sizes).state_dict(), sizes)
    assert main([str(path), "--data", str(faces), "--out", str(tmp_path / "run")]) == 2
    assert "no CFT" in caplog.text


def test_a_model_of_squares_keeps_its_side(base):
    net = enlarged(load_codeformer(base))
    assert enlarged(net) is net
    assert refine_config(net).model == net.config
