import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from codeformer_core import CodeFormer, VQAutoEncoder
from codeformer_core.pasting.alignment import template
from codeformer_core.weights.checkpoint import save_checkpoint
from training.evaluate import evaluate, evaluate_without_clean, find_inputs, main
from training.evaluation.compare import EvalConfig, Networks, at_strength, degraded, draw
from training.evaluation.library_metrics import LibraryMetrics, library_metrics
from training.evaluation.metrics import (
    RetinaFaceFeatures,
    feature_distance,
    iris_error,
    lab_error,
    psnr,
    ssim,
    surroundings_error,
    to_unit,
    tone_error,
)
from training.evaluation.paper_tables import table_1, table_2
from training.evaluation.report import bars, summary, table
from training.evaluation.rows import moments_of
from training.faces.data import degradation_level, read_face, to_tensor
from training.faces.regions import surroundings


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    """(2, 3, 64, 64) smooth pictures."""
    small = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(small, (64, 64), mode="bicubic").clamp(0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, faces) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    for i in range(4):
        rgb = (faces[i % 2].permute(1, 2, 0).numpy() * (255 - 20 * i)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), rgb)
    return folder


@pytest.fixture(scope="module")
def networks(tiny_net: CodeFormer) -> Networks:
    stage1 = VQAutoEncoder(tiny_net.config.vq).eval()
    stage1.quantize.load_state_dict(tiny_net.quantize.state_dict())
    return Networks(codeformer=tiny_net, stage1=stage1)


@pytest.fixture(scope="module")
def distance() -> RetinaFaceFeatures:
    return RetinaFaceFeatures()


def test_psnr_and_ssim_are_scikit_images(faces):
    noisy = (faces + 0.1 * torch.randn(faces.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    for i in range(2):
        a, b = (x[i].permute(1, 2, 0).double().numpy() for x in (noisy, faces))
        assert psnr(noisy, faces)[i] == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-3)
        wanted = structural_similarity(
            a, b, channel_axis=2, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert ssim(noisy, faces)[i] == pytest.approx(wanted, abs=1e-3)


def test_every_metric_is_best_for_the_same_face_and_worse_for_a_worse_one(faces, distance):
    def perceptual(a, b):
        return feature_distance(distance, a, b)

    noise = torch.randn(faces.shape, generator=torch.Generator().manual_seed(1))
    slightly, badly = ((faces + s * noise).clamp(0, 1) for s in (0.02, 0.2))
    for metric, best, sign in ((psnr, 100, 1), (ssim, 1, 1), (perceptual, 0, -1), (lab_error, 0, -1)):
        assert metric(faces, faces) == pytest.approx(best, abs=1e-5)
        assert (sign * metric(slightly, faces) > sign * metric(badly, faces)).all()


def test_tone_error_is_the_shift_of_the_whole_face(faces):
    grey = torch.full((1, 3, 64, 64), 119 / 255)  # L = 50
    darker = torch.full((1, 3, 64, 64), 94 / 255)  # L = 40
    assert tone_error(darker, grey).item() == pytest.approx(10, abs=0.3)
    assert lab_error(darker, grey).item() == pytest.approx(10, abs=0.3)


def test_irises_and_surroundings_are_seen_alone():
    grey = torch.full((1, 3, 512, 512), 0.5)
    green_eyes, other_background = grey.clone(), grey.clone()
    for x, y in template(512)[:2].round().astype(int):
        green_eyes[:, 1, y - 12 : y + 13, x - 12 : x + 13] += 0.2
    other_background[..., :40, :40] = 1
    assert iris_error(green_eyes, grey) > 20
    assert iris_error(other_background, grey) == surroundings_error(green_eyes, grey) == 0
    share = 40 * 40 / surroundings(512).sum()
    assert surroundings_error(other_background, grey).item() == pytest.approx(46.6 * share, rel=0.01)  # L 53.4 to 100
    assert iris_error(grey + 0.2, grey) == pytest.approx(0, abs=0.05)  # lightness is not colour
    tiny = torch.full((1, 3, 16, 16), 0.5)
    assert iris_error(tiny, tiny) == 0  # and not NaN, of no pixel at all


def test_degradation_of_a_face_is_fixed_by_its_name():
    config = EvalConfig()
    heavy = config.levels["heavy"]
    one = draw(Path("a/1.png"), "heavy", heavy, 0)
    assert draw(Path("b/1.jpg"), "heavy", heavy, 0) == one
    assert draw(Path("a/2.png"), "heavy", heavy, 0) != one
    assert draw(Path("a/1.png"), "heavy", heavy, 1) != one


def test_strength_runs_through_the_papers_ranges():
    levels = [degradation_level(at_strength(t, 256, 0), 256) for t in (0.0, 0.25, 0.5, 1.0)]
    assert levels == pytest.approx([0.0, 0.25, 0.5, 1.0], abs=0.01)


def test_report_has_all_rows_and_its_bounds(networks, folder):
    config = EvalConfig(w=(0.0, 1.0), levels={"mild": EvalConfig().levels["mild"]}, batch_size=3)
    report = evaluate(networks, sorted(folder.glob("*.png")), config)
    rows = report["levels"]["mild"]
    assert list(rows) == ["Input", "Nearest neighbour", "w = 0", "w = 1", "Code GT"]
    assert rows["Code GT"]["codes"] == 1
    assert "codes" not in rows["Input"]
    assert rows["w = 0"]["codes"] == rows["w = 1"]["codes"] < 1
    assert rows["w = 0"]["PSNR"] != rows["w = 1"]["PSNR"]
    assert set(report["left_out"]) >= {"LPIPS", "MUSIQ", "FID", "IDS", "ST-LPIPS-VGG"}
    assert report["clean_codes"] == "stage I"
    again = evaluate(networks, sorted(folder.glob("*.png")), config)
    assert json.dumps(again) == json.dumps(report)
    assert len(table(report["levels"]).splitlines()) == 2 + len(rows)


def test_faces_of_another_size_are_scaled_for_the_network_and_back(networks, folder):
    paths, inside = sorted(folder.glob("*.png"))[:2], networks.image_size
    config = EvalConfig(w=(0.5,), levels={"mild": EvalConfig().levels["mild"]}, size=2 * inside)
    report = evaluate(networks, paths, config)
    faces = [read_face(path, 2 * inside) for path in paths]
    clean, lq = (
        torch.stack([to_tensor(f) for f in some])
        for some in (faces, degraded(paths, faces, "mild", 2 * inside, config))
    )
    restored = networks.codeformer.restore(F.interpolate(lq, (inside, inside), mode="area"), 0.5)
    enlarged = F.interpolate(restored, (2 * inside, 2 * inside), mode="bilinear", align_corners=False)
    for row, output in (("Input", lq), ("w = 0.5", enlarged)):
        wanted = psnr(to_unit(output), to_unit(clean)).mean().item()
        assert report["levels"]["mild"][row]["PSNR"] == pytest.approx(wanted, abs=1e-3)
    assert report["image_size"] == 2 * inside


def test_terciles_are_of_the_clean_faces_lightness():
    values = {"w = 0": {"Lab": np.array([1.0, 3.0, 2.0, 1.0, 3.0, 2.0])}}
    by_skin = summary(values, [10, 30, 20, 11, 31, 21])["w = 0"]["Lab by skin"]
    assert by_skin == {"dark": 1, "middle": 2, "light": 3, "spread": pytest.approx(2)}


def test_bars():
    def level(psnrs, distances):
        names = ("Input", "w = 0", "w = 0.5", "w = 1")
        return {n: {"PSNR": p, "PD": d} for n, p, d in zip(names, psnrs, distances, strict=True)}

    good = level((25, 24, 25, 26), (1.0, 0.6, 0.6, 0.6))
    assert all(bars({"mild": good, "medium": good, "heavy": good}).values())
    backwards = dict(reversed(good.items()))
    assert all(bars(dict.fromkeys(("mild", "medium", "heavy"), backwards)).values())
    bad = level((25, 26, 25, 24), (1.0, 0.9, 0.9, 0.9))
    assert not any(bars({"mild": bad, "medium": bad, "heavy": bad}).values())
    with pytest.raises(ValueError, match="medium"):
        bars({"mild": good})


def test_stage_one_alone_can_be_evaluated(networks, folder):
    config = EvalConfig(levels={"mild": EvalConfig().levels["mild"]})
    report = evaluate(Networks(stage1=networks.stage1), sorted(folder.glob("*.png")), config)
    assert list(report["levels"]["mild"]) == ["Input", "Nearest neighbour", "Code GT"]


def test_another_codebook_is_refused(networks):
    with pytest.raises(ValueError, match="another codebook"):
        Networks(codeformer=networks.codeformer, stage1=VQAutoEncoder(networks.codeformer.config.vq))


def test_unknown_metric_is_named():
    with pytest.raises(ValueError, match="nonsense"):
        library_metrics(["nonsense"])


def test_table_1_shows_stand_ins_of_what_is_left_out():
    means = {"PSNR": 20.0, "SSIM": 0.5, "ST-LPIPS": 0.25, "ID-D": 0.5, "FID": 42.0, "FD-A": 1.0}
    rows = {"Input": means, "Nearest neighbour": means, "w = 0.5": means}
    lines = table_1({"pairs": rows}).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        *("Faces", "Method", "ST-LPIPS ↓", "FID ↓", "ID-D ↓", "PSNR ↑", "SSIM ↑")
    ]
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["Input", "CodeFormer, w = 0.5"]
    assert [cell.strip() for cell in lines[2].split("|")[3:-1]] == ["0.250", "42.00", "0.500", "20.00", "0.500"]


def test_table_2_has_the_sets_side_by_side():
    sets = {
        name: {"Input": {"FID": 1.0, "MUSIQ": 2.0}, "w = 0": {"FID": 3.0, "MUSIQ": 4.0}} for name in ("LFW", "WIDER")
    }
    lines = table_2(sets).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        *("Method", "LFW: FID ↓", "LFW: MUSIQ ↑", "WIDER: FID ↓", "WIDER: MUSIQ ↑")
    ]
    assert [cell.strip() for cell in lines[3].split("|")[1:-1]] == ["CodeFormer, w = 0", "3.00", "4.00", "3.00", "4.00"]


def means_of_channels(faces: torch.Tensor) -> torch.Tensor:
    return faces.mean((2, 3))


def test_sets_are_measured_against_the_clean_faces_or_a_reference(networks, folder):
    extra = LibraryMetrics(faces={}, alone={}, sets={"FD": means_of_channels}, left_out={})
    faces = sorted(folder.glob("*.png"))
    config = EvalConfig(w=(0.0,), batch_size=3)
    pairs = find_inputs(faces, folder, folder)
    rows = evaluate(networks, faces, config, extra, inputs=pairs)["levels"]["pairs"]
    assert rows["Input"]["FD"] == pytest.approx(0, abs=1e-6)
    assert rows["w = 0"]["FD"] > 0
    references = moments_of(faces[:2], 64, extra, torch.device("cpu"))
    rows = evaluate(networks, faces, config, extra, inputs=pairs, references=references)["levels"]["pairs"]
    assert rows["Input"]["FD"] > 1e-5


def test_one_face_is_no_set(networks, folder):
    extra = LibraryMetrics(faces={}, alone={}, sets={"FD": means_of_channels}, left_out={})
    face = folder / "0.png"
    report = evaluate(networks, [face], EvalConfig(w=(0.0,)), extra, inputs={face: face})
    assert "FD" not in report["levels"]["pairs"]["w = 0"]
    assert "two or more" in report["left_out"]["FD"]


def test_faces_without_clean_ones(networks, folder):
    extra = LibraryMetrics(
        faces={}, alone={"mean": lambda x: x.mean((1, 2, 3))}, sets={"FD": means_of_channels}, left_out={}
    )
    faces = sorted(folder.glob("*.png"))
    references = moments_of(faces, 64, extra, torch.device("cpu"))
    report = evaluate_without_clean(networks, {"LFW": faces}, EvalConfig(w=(0.0, 1.0)), extra, references)
    rows = report["sets"]["LFW"]
    assert list(rows) == ["Input", "Nearest neighbour", "w = 0", "w = 1"]
    assert rows["Input"]["FD"] == pytest.approx(0, abs=1e-6)
    assert 0 < rows["w = 0"]["mean"] < 1
    alone = evaluate_without_clean(networks, {"LFW": faces}, EvalConfig(w=(0.0,)), extra, None)
    assert "--reference" in alone["left_out"]["FD"]
    nothing = LibraryMetrics(faces={}, alone={}, sets={}, left_out={})
    with pytest.raises(ValueError, match="--reference"):
        evaluate_without_clean(networks, {"LFW": faces}, EvalConfig(), nothing, None)


def test_command_line_writes_tables_and_figures(networks, folder, tmp_path, capsys):
    model, out = tmp_path / "net.safetensors", tmp_path / "out"
    save_checkpoint(model, networks.codeformer.state_dict(), networks.codeformer.config)
    arguments = [str(model), "--data", str(folder), "--min-side", "32", "--device", "cpu", "--levels", "heavy"]
    assert main([*arguments, "--w", "0", "1", "--strip", "2", "--limit", "2", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "| heavy | Code GT" in printed
    assert "left out: FID" in printed
    assert "own prediction" in printed
    assert {path.name for path in out.iterdir()} == {
        *("evaluation.json", "evaluation.md", "accuracy.json", "accuracy.png", "strip_heavy.png")
    }
    strip = cv2.imread(str(out / "strip_heavy.png"))
    assert strip is not None
    assert strip.shape == (2 * 64 + 8, 6 * 64, 3)


def test_pairs_take_the_place_of_the_levels(networks, folder, tmp_path):
    faces = sorted(folder.glob("*.png"))
    report = evaluate(networks, faces, EvalConfig(w=(1.0,)), inputs=find_inputs(faces, folder, folder))
    assert list(report["levels"]) == ["pairs"]
    assert report["levels"]["pairs"]["Input"]["PSNR"] == 100


def test_pairs_are_told_by_where_they_lie(tmp_path):
    def write(*names: str) -> list[Path]:
        paths = [tmp_path / name for name in names]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.zeros((64, 64, 3), np.uint8))
        return paths

    clean, degraded = tmp_path / "hq", tmp_path / "lq"
    faces = write("hq/u/1.png", "hq/v/1.png")
    inputs = write("lq/u/1.jpg", "lq/v/1.png")
    assert find_inputs(faces, clean, degraded) == dict(zip(faces, inputs, strict=True))
    write("lq/u/1.webp")
    with pytest.raises(ValueError, match=r"2 pictures named u.1"):
        find_inputs(faces, clean, degraded)
    write("hq/2.png")
    with pytest.raises(ValueError, match="0 pictures named 2"):
        find_inputs([clean / "2.png"], clean, degraded)


def test_command_line_takes_degraded_faces_alone(networks, folder, tmp_path, capsys):
    model, out = tmp_path / "net.safetensors", tmp_path / "out"
    save_checkpoint(model, networks.codeformer.state_dict(), networks.codeformer.config)
    arguments = [str(model), "--min-side", "32", "--device", "cpu", "--w", "0", "--strip", "2", "--out", str(out)]
    assert main([*arguments, "--inputs", str(folder), "--reference", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert f"4 of {folder.name}" in printed
    assert "CodeFormer, w = 0" in printed
    assert (out / f"strip_{folder.name}.png").is_file()
    assert main(arguments) == 2
    assert "--inputs" in capsys.readouterr().err
    assert main([*arguments, "--inputs", str(folder), str(folder)]) == 2
    assert "must differ" in capsys.readouterr().err


def test_missing_data_ends_with_one_line(networks, tmp_path, capsys):
    model = tmp_path / "net.safetensors"
    save_checkpoint(model, networks.codeformer.state_dict(), networks.codeformer.config)
    assert main([str(model), "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("training.evaluate: ")


@pytest.mark.parametrize("device", ["nonsense", "meta"])
def test_a_device_that_is_none_ends_with_one_line(device, tmp_path, capsys):
    assert main(["mini", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--device", device]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"training.evaluate: --device {device} cannot be used")
