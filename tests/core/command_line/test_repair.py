"""`codeformer fill` and `codeformer colour` on files, with a tiny network that says what it is for."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image
from safetensors.torch import load_file, save_file

from codeformer_core.command_line import repair
from codeformer_core.command_line.cli import main
from codeformer_core.detection.load import BUNDLED
from codeformer_core.pictures.files import read_picture
from codeformer_core.weights.checkpoint import save_checkpoint


@pytest.fixture
def model(tiny_net, tmp_path) -> Callable[[str], Path]:
    def of(job: str) -> Path:
        path = tmp_path / f"{job}.safetensors"
        save_checkpoint(path, tiny_net.state_dict(), tiny_net.config, {"job": job} if job != "restoration" else {})
        return path

    return of


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return skimage.data.astronaut()


@pytest.fixture
def mask(tmp_path, photo) -> Path:
    """A stroke over the cheek, and one on no face."""
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.line(mask, (190, 130), (250, 150), 255, 9)
    cv2.line(mask, (400, 400), (460, 420), 255, 9)
    path = tmp_path / "mask.png"
    Image.fromarray(mask).save(path)
    return path


def said(*args) -> int:
    return main([str(arg) for arg in args])


def test_a_hole_is_filled_reported_and_not_filled_again(tmp_path, photo, mask, model, caplog):
    source, out = tmp_path / "in" / "torn.png", tmp_path / "out"
    source.parent.mkdir()
    Image.fromarray(photo).save(source)
    command = ["fill", source.parent, "-o", out, "--fill-mask", mask, "--model", model("filling"), "--dtype", "float32"]
    assert said(*command) == 0
    assert "1 face filled" in caplog.text
    result, painted = read_picture(out / "torn.png").rgb, read_picture(mask).rgb[..., 0] > 127
    away = cv2.distanceTransform((~painted).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    np.testing.assert_array_equal(result[away > 3], photo[away > 3])
    np.testing.assert_array_equal(result[300:], photo[300:])
    assert (result != photo).any()
    report = json.loads((out / "torn.png.json").read_text())
    assert 0.3 < report["mask_on_no_face"] < 0.7
    caplog.clear()
    assert said(*command) == 0
    assert "1 of 1 done before" in caplog.text
    caplog.clear()
    assert said(*command, "--grow", "5") == 0
    assert "1 of 1 done before" not in caplog.text


def test_a_mask_on_no_face_is_reported_though_nothing_changes(tmp_path, photo, model):
    source, mask, out = tmp_path / "a.png", tmp_path / "mask.png", tmp_path / "out"
    Image.fromarray(photo).save(source)
    Image.fromarray(cv2.line(np.zeros(photo.shape[:2], np.uint8), (400, 400), (460, 420), 255, 9)).save(mask)
    assert said("fill", source, "-o", out, "--fill-mask", mask, "--model", model("filling")) == 0
    assert json.loads((out / "a.png.json").read_text())["mask_on_no_face"] == 1
    assert (out / "a.png").read_bytes() == source.read_bytes()


def test_another_detector_or_way_of_using_the_model_does_a_picture_again(
    tmp_path, photo, mask, model, caplog, monkeypatch
):
    source, detector = tmp_path / "a.png", tmp_path / "detector.safetensors"
    Image.fromarray(photo).save(source)
    shutil.copy(BUNDLED, detector)
    command = ["fill", source, "-o", tmp_path / "out", "--fill-mask", mask, "--model", model("filling")]
    command += ["--detector", detector]

    def done_before() -> bool:
        caplog.clear()
        assert said(*command) == 0
        return "1 of 1 done before" in caplog.text

    assert [done_before(), done_before()] == [False, True]
    save_file(load_file(BUNDLED), detector, {"trained": "further"})
    assert [done_before(), done_before()] == [False, True]
    usual = repair.filling_settings
    for change in ({"w": 0.25}, {"adain": True}, {"colour_match": "wavelet"}):
        monkeypatch.setattr(repair, "filling_settings", lambda usage, change=change: usual(usage) | change)
        assert [done_before(), done_before()] == [False, True]


def test_color_after_colour_does_nothing_again(tmp_path, photo, model, caplog):
    Image.fromarray(photo).save(tmp_path / "a.png")
    rest = [tmp_path / "a.png", "-o", tmp_path / "out", "--model", model("colouring")]
    assert said("colour", *rest) == 0
    assert "done before" not in caplog.text
    assert said("color", *rest) == 0
    assert "1 of 1 done before" in caplog.text


@pytest.mark.parametrize("command", ["fill", "colour"])
@pytest.mark.parametrize("option", ["--ray", "--upscale=2", "--aligned", "--w-mask=m.png"])
def test_what_only_restore_does_is_refused(command, option, capfd):
    with pytest.raises(SystemExit, match="2"):
        main([command, "a.png", "-o", "out", option])
    assert "unrecognized arguments" in capfd.readouterr().err


def test_a_black_mask_fills_nothing_and_is_named(tmp_path, photo, model, caplog):
    source, mask = tmp_path / "a.png", tmp_path / "mask.png"
    Image.fromarray(photo).save(source)
    Image.fromarray(photo[..., 0] * 0).save(mask)
    assert said("fill", source, "-o", tmp_path / "out", "--fill-mask", mask, "--model", model("filling")) == 0
    assert "nothing to fill (the mask is black, or nothing is white), left unchanged" in caplog.text
    assert (tmp_path / "out" / "a.png").read_bytes() == source.read_bytes()


def test_without_a_mask_or_with_a_model_for_another_job_one_line_says_so(tmp_path, photo, mask, model, capfd):
    Image.fromarray(photo).save(tmp_path / "a.png")
    assert said("fill", tmp_path / "a.png", "-o", tmp_path / "out") == 2
    assert "--fill-mask" in capfd.readouterr().err
    for command, job, right in (("fill", "colouring", "mini-fill"), ("colour", "restoration", "mini-colour")):
        more = ["--fill-mask", mask] if command == "fill" else []
        assert said(command, tmp_path / "a.png", "-o", tmp_path / "out", *more, "--model", model(job)) == 2
        error = capfd.readouterr().err
        assert right in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["grey", "deep", "alpha", "cmyk"])
def test_files_come_back_in_their_mode(tmp_path, photo, mask, model, kind):
    pictures = {
        "grey": lambda: Image.fromarray(photo).convert("L").save(tmp_path / "a.png"),
        "deep": lambda: cv2.imwrite(str(tmp_path / "a.png"), photo[..., ::-1].astype(np.uint16) * 257),
        "alpha": lambda: Image.fromarray(photo).convert("RGBA").save(tmp_path / "a.png"),
        "cmyk": lambda: Image.fromarray(photo).convert("CMYK").save(tmp_path / "a.jpg"),
    }
    pictures[kind]()
    (source,) = tmp_path.glob("a.*")
    out = tmp_path / "out"
    assert said("fill", source, "-o", out, "--fill-mask", mask, "--model", model("restoration")) == 0
    with Image.open(source) as before, Image.open(out / source.name) as after:
        assert (after.mode, after.size) == (before.mode, before.size)
    assert json.loads((out / f"{source.name}.json").read_text())["faces"][0]["restored"]
    assert said("colour", source, "-o", tmp_path / "coloured", "--model", model("colouring")) == 0
    with Image.open(source) as before, Image.open(tmp_path / "coloured" / source.name) as after:
        assert after.mode == ("RGB" if kind == "grey" else before.mode)  # one channel holds no colours


def test_colours_lie_on_faces_alone_or_in_a_background(tmp_path, photo, model, capfd, caplog):
    grey = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray((grey * np.array([1, 0.9, 0.8])).astype(np.uint8)).save(tmp_path / "b.png")
    command = ["colour", tmp_path / "a.png", "--model", model("colouring"), "--strength", "0.8"]
    assert said(*command, "-o", tmp_path / "out") == 0
    assert "1 face coloured" in caplog.text
    result = read_picture(tmp_path / "out" / "a.png").rgb
    np.testing.assert_array_equal(result[300:], grey[300:])
    assert said(*command, "-o", tmp_path / "both", "--background", tmp_path / "b.png") == 0
    both = read_picture(tmp_path / "both" / "a.png").rgb
    np.testing.assert_array_equal(both[300:], read_picture(tmp_path / "b.png").rgb[300:])
    assert (
        said("color", tmp_path / "a.png", "-o", tmp_path / "out2", "--strength", "2", "--model", model("colouring"))
        == 2
    )
    assert "strength" in capfd.readouterr().err
