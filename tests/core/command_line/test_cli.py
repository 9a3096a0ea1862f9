"""The command line as a stranger uses it: in process, with a tiny checkpoint and the bundled detector."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from skimage.data import astronaut

from codeformer_core import CodeFormer, whole_files
from codeformer_core.command_line import batch
from codeformer_core.command_line.arguments import LEVELS
from codeformer_core.command_line.cli import main
from codeformer_core.detection import detector
from codeformer_core.detection import load as loading
from codeformer_core.models import USAGE
from codeformer_core.restorer import FaceRestorer
from codeformer_core.weights import checkpoint
from codeformer_core.weights.checkpoint import save_checkpoint

HEAD = np.ascontiguousarray(astronaut()[:224, 112:336])


@pytest.fixture(autouse=True)
def fresh(tmp_path_factory, monkeypatch):
    """Weights elsewhere than the user's."""
    monkeypatch.setenv("CODEFORMER_HOME", str(tmp_path_factory.getbasetemp() / "weights"))
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("CODEFORMER_ACCEPT_LICENSE", "CODEFORMER_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def model(tiny_config, tiny_net, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_checkpoint(path, tiny_net.state_dict(), tiny_config)
    return path


@pytest.fixture(scope="module", autouse=True)
def detector_loaded_once():
    """The bundled detector, shared by all runs with the default settings."""
    original = loading.load_detector
    loaded = original()
    default = detector.DetectorConfig()

    def load(name="retinaface_mobile0.25", *, config=default, **options):
        bundled = name == "retinaface_mobile0.25" and config == default
        return loaded if bundled else original(name, config=config, **options)

    loading.load_detector = load
    yield
    loading.load_detector = original


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The current folder, with in/face.png, in/sub/face.jpg and in/plain.png."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    Image.fromarray(HEAD).save("in/face.png")
    Image.fromarray(HEAD).save("in/sub/face.jpg", quality=95)
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save("in/plain.png")
    return tmp_path


@pytest.fixture
def codeformer(here, capsys, monkeypatch):
    """Runs a command; gives the exit code, standard output, and the lines on standard error."""

    def codeformer(*arguments: str | Path) -> tuple[int, str, list[str]]:
        monkeypatch.setattr("logging.root.handlers", [])  # as in a new process; pytest's own would be in the way
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            code = stop.code if isinstance(stop.code, int) else 1
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err.splitlines()

    return codeformer


@pytest.fixture
def restore(codeformer, model):
    return lambda *arguments: codeformer("restore", *arguments, *([] if "--model" in arguments else ["--model", model]))


def below(folder: str) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file()}


def test_a_folder_of_photographs_from_first_to_second_run(restore):
    code, out, err = restore("in", "-o", "out")
    assert (code, out) == (0, "")
    assert err == [
        "3 pictures to restore with tiny.safetensors, w = 0.5",
        "face.png: 1 face restored",
        "plain.png: no face found, left unchanged",
        "sub/face.jpg: 1 face restored",
        "3 of 3 pictures done, 2 faces restored, in out",
    ]
    names = {"face.png", "plain.png", "sub/face.jpg"}
    assert below("out") == names | {f"{name}.json" for name in names}
    assert Path("out/plain.png").read_bytes() == Path("in/plain.png").read_bytes()
    (face,) = json.loads(Path("out/face.png.json").read_text())["faces"]
    what = {"box", "landmarks", "score", "affine", "restored", "w", "w_reasons", "codes_confidence", "note"}
    what |= {"pose", "strength", "hidden"}
    assert set(face) == what
    assert (face["w"], face["w_reasons"]) == (0.5, [])
    assert face["score"] > 0.9
    left, top, right, bottom = face["box"]
    assert all(left < x < right and top < y < bottom for x, y in face["landmarks"])
    restored = np.asarray(Image.open("out/face.png"))
    assert (restored != HEAD).any()
    assert np.array_equal(restored[-30:, :30], HEAD[-30:, :30])

    assert restore("in", "-o", "out") == (0, "", ["3 of 3 done before; --overwrite does them again"])
    assert restore("in", "-o", "out", "--batch-size", "1")[2] == ["3 of 3 done before; --overwrite does them again"]
    for changed in (["-w", "0.6"], ["--feather", "0.1"], ["--faces", "largest"], ["--overwrite"]):
        assert restore("in/plain.png", "-o", "out", *changed)[2][0].startswith("1 picture to restore"), changed
    assert restore("in", "-o", "out", "-q") == (0, "", [])


def test_the_package_runs_as_a_module(here):
    environment = {**os.environ, "PYTHONPATH": str(Path(batch.__file__).parents[2])}
    command = [sys.executable, "-m", "codeformer_core", "info", "missing.pth"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("codeformer: missing.pth: no such checkpoint file")


def test_files_patterns_and_what_comes_twice(restore, here):
    _, _, err = restore("in/f*.png", here / "in" / "face.png", "in/sub/face.jpg", "-o", "out", "--aligned")
    assert err[-1] == "2 of 2 pictures done, 2 faces restored, in out"
    assert below("out") == {"face.png", "face.png.json", "face.jpg", "face.jpg.json"}


def test_the_output_folder_may_lie_below_the_input(restore):
    for expected in ("3 of 3 pictures done, 2 faces restored, in in/out", "3 of 3 done before"):
        assert restore("in", "-o", "in/out")[2][-1].startswith(expected)


def test_a_damaged_file_is_named_after_the_others_are_done(restore):
    Path("in/bad.png").write_bytes(b"junk")
    for done in ("3 of 4", "0 of 1"):
        code, out, err = restore("in", "-o", "out")
        assert (code, out) == (2, "")
        assert err[-2].startswith(done)
        assert err[-1].startswith("codeformer: in/bad.png: is damaged or no picture; ")
    assert sum(line.startswith("codeformer: ") for line in err) == 1


def test_metadata_is_kept_unless_it_is_to_be_dropped(restore):
    text = PngInfo()
    text.add_text("parameters", "a portrait")
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", 3
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name in ("face", "plain"):  # one restored, one copied
        image = Image.open(f"in/{name}.png")
        image.rotate(180).save(f"in/{name}.png", pnginfo=text, exif=exif, icc_profile=profile, dpi=(300, 300))
    inputs = "in/face.png", "in/plain.png"
    assert restore(*inputs, "-o", "kept")[0] == restore(*inputs, "-o", "dropped", "--strip-metadata")[0] == 0
    for name, original in (("face.png", HEAD), ("plain.png", np.full((64, 64, 3), 90))):
        kept, dropped = Image.open(f"kept/{name}"), Image.open(f"dropped/{name}")
        assert kept.info["parameters"] == "a portrait"
        assert kept.getexif()[0x010F] == "maker"
        assert set(dropped.info) == {"icc_profile"}
        assert not dropped.getexif()
        assert np.array_equal(np.asarray(dropped)[-30:, :30], original[-30:, :30])  # upright, as it was seen
    assert "1 of 1 done before" in restore("in/face.png", "-o", "dropped", "--strip-metadata")[2][0]
    assert restore("in/face.png", "-o", "dropped")[2][-1].startswith("1 of 1 picture done")


def test_what_is_no_picture_for_us_is_named_at_the_end_and_stops_nobody(restore, monkeypatch):
    Path("in/endless.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\n")
    Path("in/IMG_1.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    code, _, err = restore("in", "-o", "out")
    assert code == 2
    assert err[-3] == "3 of 5 pictures done, 2 faces restored, in out"
    assert err[-2].startswith("codeformer: in/endless.jpg: is PostScript, which is not read; ")
    assert err[-1].startswith("codeformer: in/IMG_1.heic: is HEIF, which is not read here; pip install pillow-heif")


def test_an_animation_is_named(restore):
    frames = [Image.fromarray(np.full((64, 64, 3), level, np.uint8)) for level in (50, 90)]
    frames[0].save("in/move.webp", save_all=True, append_images=frames[1:])
    err = restore("in/move.webp", "-o", "out", "--upscale", "2", "-q")[2]
    assert err == ["in/move.webp: only the first of its 2 frames is read and written"]
    assert json.loads(Path("out/move.webp.json").read_text())["frames"] == 2


def test_crops_upscale_and_format(restore):
    assert restore("in/face.png", "-o", "out", "--upscale", "2", "--format", "jpg", "--save-crops")[0] == 0
    assert below("out") == {"face.jpg", "face.png.json", "face.png_faces/00_before.png", "face.png_faces/00_after.png"}
    assert Image.open("out/face.jpg").size == (448, 448)
    assert Image.open("out/face.png_faces/00_after.png").size == (64, 64)


def test_large_faces_can_be_skipped(restore):
    _, _, err = restore("in/face.png", "-o", "out", "--large-faces", "skip")
    assert err[1].startswith("face.png: 0 faces restored; skipped: ")
    assert Path("out/face.png").read_bytes() == Path("in/face.png").read_bytes()


def test_ctrl_c_says_how_to_go_on(restore, monkeypatch):
    original = batch.write_report

    def stopping(path, report):
        if path.name == "plain.png.json":  # of the second picture
            raise KeyboardInterrupt
        original(path, report)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "write_report", stopping)
        code, out, err = restore("in", "-o", "out")
    assert (code, out) == (130, "")
    assert err[-2:] == [
        "1 of 3 pictures done, 1 face restored, in out",
        "codeformer: stopped; run the same command again to go on where it stopped",
    ]
    before = restore("in", "-o", "out")[2][0]  # the third may have been on its way
    assert before in [f"{n} of 3 done before; --overwrite does them again" for n in (1, 2)]


def test_what_the_core_says_is_said_unless_quiet(codeformer):
    for arguments, level in (([], logging.INFO), (["-q"], logging.WARNING)):
        codeformer("degrade", "in/face.png", "-o", "out", "--overwrite", *arguments)
        assert logging.getLogger("codeformer_core.weights.download").getEffectiveLevel() == level


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep names in Unicode")
def test_a_name_that_is_no_utf_8_is_degraded(codeformer, here):
    os.rename(b"in/plain.png", b"in/pl\xffin.png")
    code, _, err = codeformer("degrade", "in", "-o", "out")
    assert (code, err[-1]) == (0, "3 of 3 pictures done, in out")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
def test_kill_is_as_ctrl_c_and_nohup_is_heeded(restore, monkeypatch):
    original = batch.write_picture

    def killed(number: int) -> int:
        def write(*arguments, **options):
            os.kill(os.getpid(), number)
            original(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(batch, "write_picture", write)
            return restore("in", "-o", "out", "--overwrite")[0]

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert killed(signal.SIGHUP) == 0
        assert killed(signal.SIGTERM) == 130
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert not list(Path("out").rglob("*.part"))


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_folder_that_takes_nothing(restore, monkeypatch, reason):
    def refuse(*arguments):
        raise OSError(reason, os.strerror(reason))

    Path("in/bad.png").write_bytes(b"junk")
    with monkeypatch.context() as patch:
        patch.setattr(whole_files.os, "replace", refuse)
        code, _, err = restore("in/bad.png", "in/face.png", "-o", "out")
    assert code == 2
    assert err[-2].startswith("codeformer: in/bad.png: ")  # what failed before is still said
    assert err[-1].startswith(f"codeformer: out/face.png.json: cannot be written ({os.strerror(reason)}); ")
    assert below("out") == set()


WRONG = {  # arguments after `restore in/face.png`, to what the one line must hold
    "-o out -w 1.5": "-w has '1.5': give a number from 0 (quality) to 1 (fidelity)",
    "-o out -w nan": "-w has 'nan'",
    "-o out -w much": "-w has 'much': give a number from 0 (quality) to 1 (fidelity), 32:0.2,64:0.5, auto or auto:0.4",
    "-o out -w auto:0.9-0.4": "limits are 0.9 to 0.4: give the lower one first",
    "-o out -w auto:nonsense": "-w is 'auto:nonsense': automatic fidelity takes two limits",
    "-o out -w 48:0.5": "no CFT at the scale 48: it has 32, 64",
    "-o out -w 32:2": "-w has '2': give a number from 0",
    "-o out -w 32:0.5,32:1": "names one twice",
    "-o out --w-region chin=1": "no region is called chin: there are eyes, brows, nose, mouth, skin, hair, rest",
    "-o out --w-region eyes": "--w-region is 'eyes': give names and weights, as in eyes=1,mouth=0.3",
    "-o out --w-region eyes=2": "--w-region has '2'",
    "-o out --w-faces 0.5,x": "--w-faces has 'x'",
    "-o out --w-mask missing.png": "missing.png: no such file",
    "-o out --w-mask in/face.png --w-outside 3": "outside the mask lies between 0 (quality) and 1 (fidelity), got 3.0",
    "-o out --w-outside 0.5": "--w-outside goes with --w-mask",
    "-o out --w-plan missing.json": "missing.json: No such file",
    "-o out --w-plan in/face.png": "in/face.png: ",
    "-o out --w-plan wrong.json": "wrong.json: a fidelity plan has no part called bass: there are base, ",
    "-o out --upscale 5": "invalid choice: 5",
    "-o out --upscale 0": "invalid choice: 0",
    "-o out --batch-size 0": "batch_size is at least 1",
    "-o out --feather 1": "0 to 0.25, got 1.0",
    "-o out --min-score 1.5": "score_threshold is 1.5",
    "-o out --max-faces 0": "max_faces is 0",
    "-o out --min-size -1": "min_size is -1.0",
    "-o out --min-size 9 --max-size 5": "max_size is 5.0",
    "-o out --format gif": "not written as 'gif'; use one of .png",
    "-o out --device nowhere": "--device nowhere cannot be used",
    "-o out --model missing.pth": "missing.pth: no such model: give one of mini, official",
    "-o out --model in": "in: no such model",
    "-o out --model in/face.png": "in/face.png: ",
    "-o out --model DETECTOR": "holds a RetinaFace detector",
    "-o out --model official": "S-Lab-1.0, https://",
    "-o out --model official --offline": "downloads are switched off",
    "-o out --detector MODEL": "tiny.safetensors: holds a CodeFormer, expected RetinaFace",
    "-o out --detector other": "no detector is called 'other'",
    "-o out --detector junk.onnx": "junk.onnx: not a YuNet",
    "-o out --detector junk.pth": "junk.pth: ",
    "-o out --detector retinaface_resnet50 --offline": "downloads are switched off",
    "-o out --parser MODEL": "tiny.safetensors: holds a CodeFormer, expected a face parser",
    "-o out --parser other": "other: no such",
    "-o out --parser parsenet": "CC-BY-NC-SA-4.0",
    "-o out --mask missing.png": "missing.png: no such file",
    "-o out --background missing": "missing: no such file",
    "-o in/face.png": "in/face.png: cannot be a folder",
    "-o in/face.png/out": "in/face.png/out: cannot be a folder",
    "": "the following arguments are required: -o/--output",
    "-o out --bogus": "unrecognized arguments: --bogus",
    "-o EMPTY": "-o/--output: the name is empty",
    "EMPTY -o out": "INPUT: the name is empty",
}


@pytest.mark.parametrize("words", WRONG)
def test_every_mistake_gets_one_line_and_exit_code_2(restore, codeformer, model, words):
    for folder in ("empty", "twin"):
        Path(folder).mkdir()
    for name in ("junk.onnx", "junk.pth"):
        Path(name).write_bytes(b"junk" * 100)
    Image.fromarray(HEAD[::-1]).save("twin/face.jpg")
    Path("wrong.json").write_text('{"bass": 0.5}')
    meant = {"EMPTY": "", "MODEL": str(model), "DETECTOR": str(loading.BUNDLED)}
    code, out, err = restore("in/face.png", *(meant.get(word, word) for word in words.split()))
    assert (code, out) == (2, "")
    assert len(err) == 1
    assert err[0].startswith("codeformer: ")
    assert WRONG[words] in err[0]
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ("missing.png", "missing.png: no picture there"),
        ("*.gif", "*.gif: no picture there"),
        ("empty", "empty: no picture there"),
        ("twin/face.png", "give a folder above both"),
    ],
)
def test_inputs_that_are_wrong_are_named_at_the_end_and_the_others_are_done(restore, wrong, complaint):
    for folder in ("empty", "twin"):
        Path(folder).mkdir()
    Image.fromarray(HEAD[::-1]).save("twin/face.png")
    code, out, err = restore("in/face.png", wrong, "-o", "out")
    assert (code, out) == (2, "")
    assert err[-1].startswith("codeformer: ")
    assert complaint in err[-1]
    assert Path("out/face.png").is_file()


def test_without_a_model_the_remedies_are_named(codeformer, monkeypatch, here):
    monkeypatch.setattr("codeformer_core.models.BUNDLED", here / "mini.safetensors")
    code, _, err = codeformer("restore", "in", "-o", "out")
    assert code == 2
    assert "--model official" in err[0]


def test_no_original_is_overwritten(restore, codeformer):
    Image.fromarray(HEAD).save("in/plain.gif")
    before = {path: path.read_bytes() for path in Path("in").rglob("*.*")}
    for run, arguments in ((restore, []), (restore, ["--overwrite"]), (codeformer, ["degrade"])):
        code, _, err = run(*arguments, "in", "-o", "in")
        assert code == 2
        assert sum("would overwrite the input" in line for line in err) >= 3
        assert {path: path.read_bytes() for path in before} == before


def test_running_out_of_memory_is_one_line(restore, monkeypatch):
    for error, remedy in ((MemoryError(), "--upscale"), (torch.cuda.OutOfMemoryError("CUDA"), "--device cpu")):

        def fail(*arguments, error=error, **named):
            raise error

        monkeypatch.setattr(FaceRestorer, "restore", fail)
        code, _, err = restore("in/face.png", "-o", "out")
        assert code == 2
        assert err[-1].startswith("codeformer: out of ")
        assert remedy in err[-1]


def test_degrading_depends_on_the_name_and_the_seed_alone(codeformer):
    assert codeformer("degrade", "in", "-o", "a")[::2] == (0, ["3 of 3 pictures done, in a"])
    assert below("a") == {"face.png", "plain.png", "sub/face.png"}
    codeformer("degrade", "in/face.png", "-o", "b", "-q")
    assert Path("b/face.png").read_bytes() == Path("a/face.png").read_bytes()
    codeformer("degrade", "in/face.png", "-o", "c", "--seed", "1")
    assert Path("c/face.png").read_bytes() != Path("a/face.png").read_bytes()
    Image.open("in/face.png").save("in/other.png")
    codeformer("degrade", "in/other.png", "-o", "a")
    assert Path("a/other.png").read_bytes() != Path("a/face.png").read_bytes()
    assert Image.open("a/face.png").size == (224, 224)


def test_degrading_replaces_nothing_unless_told(codeformer):
    Path("out").mkdir()
    Path("out/face.png").write_bytes(b"another picture")
    code, _, err = codeformer("degrade", "in/face.png", "-o", "out")
    assert (code, Path("out/face.png").read_bytes()) == (2, b"another picture")
    assert "--overwrite" in err[-1]


def test_a_folder_that_cannot_be_written_to_is_found_out_before_the_network_runs(restore, monkeypatch):
    def full(*arguments, **named):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    monkeypatch.setattr(FaceRestorer, "restore", lambda *_: pytest.fail("the network ran"))
    code, _, err = restore("in/face.png", "-o", "out")
    assert code == 2
    assert err == ["codeformer: out: cannot be written to (Read-only file system); choose another --output"]


def test_degrading_by_level_and_by_range(codeformer):
    def loss(*options: str) -> float:
        assert codeformer("degrade", "in/face.png", "-o", "out", "--overwrite", *options)[0] == 0
        return float(np.abs(np.asarray(Image.open("out/face.png")).astype(float) - HEAD).mean())

    assert loss("--level", "mild") < loss("--level", "medium") < loss("--level", "heavy")
    nothing = ["--blur-sigma", "0", "0", "--downscale", "1", "1", "--noise", "0", "0", "--jpeg-quality", "100", "100"]
    assert loss(*nothing) < 2
    assert all(loss("--level", level) > 0 for level in LEVELS)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["in", "-o", "out", "--seed", "-1"], "--seed is 0 or more"),
        (["in", "-o", "out", "--noise", "5", "2"], "noise is (low, high)"),
        (["in", "-o", "out", "--jpeg-quality", "0", "50"], "jpeg_quality is (low, high)"),
        (["in", "-o", "out", "--level", "hard"], "invalid choice: 'hard'"),
        (["missing", "-o", "out"], "missing: no picture there"),
        (["in", "-o", "in/face.png"], "cannot be a folder"),
    ],
)
def test_mistakes_in_degrading(codeformer, arguments, reason):
    code, out, err = codeformer("degrade", *arguments)
    assert (code, out, len(err)) == (2, "", 1)
    assert reason in err[0]
    assert not Path("out").exists()


def test_degrading_reports_damaged_files_and_results_of_one_name(codeformer):
    Path("in/bad.png").write_bytes(b"junk")
    Image.fromarray(HEAD).save("in/face.gif")
    code, _, err = codeformer("degrade", "in", "-o", "out")
    assert code == 2
    assert "3 of 5 pictures done, in out" in err
    assert sum(line.startswith("codeformer: in/bad.png: is damaged") for line in err) == 1
    assert sum("would replace that of in/face.gif" in line for line in err) == 1


def test_info_and_convert(codeformer, model, tiny_net):
    code, out, err = codeformer("info", model)
    assert (code, err) == (0, [])
    for fact in (f"{model}: CodeFormer", "faces of 64 px, 16 x 16 codes", "codebook of 24 items", "4 heads", "32, 64"):
        assert fact in out
    torch.save({"params_ema": tiny_net.state_dict()}, "net.pth")
    code, out, err = codeformer("convert", "net.pth", "net.safetensors")
    assert (code, err) == (0, [])
    assert out.startswith("net.safetensors: CodeFormer\n")
    assert codeformer("info", loading.BUNDLED)[1].startswith(f"{loading.BUNDLED}: RetinaFace detector\n")
    for arguments in (
        ["info", "missing.pth"],
        ["info", "in"],
        ["info", "in/face.png"],
        ["convert", "missing.pth", "new.safetensors"],
        ["convert", "net.pth", "new.pth"],
        ["convert", "in/face.png", "new.safetensors"],
    ):
        code, out, err = codeformer(*arguments)
        assert (code, out, len(err)) == (2, "", 1), arguments
    assert not list(Path().glob("new.*"))


@pytest.mark.parametrize(
    ("lookup", "words"),
    [
        ("linear", "codes told by a linear layer"),
        ("nearest", "codes nearest to the encoder's features"),
        ("none", "no lookup: the encoder's features are decoded"),
    ],
)
def test_info_of_an_ablation_says_how_codes_are_found(codeformer, tiny_config, lookup, words):
    net = CodeFormer(replace(tiny_config, lookup=lookup))
    save_checkpoint("net.safetensors", net.state_dict(), net.config)
    code, out, err = codeformer("info", "net.safetensors")
    assert (code, err) == (0, [])
    assert f"  {words}\n" in out
    assert "transformer" not in out


def test_converting_replaces_nothing_unless_told(codeformer, model):
    Path("mine.safetensors").write_bytes(b"mine")
    code, out, err = codeformer("convert", model, "mine.safetensors")
    assert (code, out, len(err)) == (2, "", 1)
    assert err[0] == "codeformer: mine.safetensors: is there already; choose another name, or --overwrite"
    assert Path("mine.safetensors").read_bytes() == b"mine"
    assert codeformer("convert", model, "mine.safetensors", "--overwrite")[0] == 0
    assert Path("mine.safetensors").read_bytes() != b"mine"


def test_the_converted_checkpoint_restores_the_same(restore, tiny_net, tiny_config):
    checkpoint.save_checkpoint("own.safetensors", tiny_net.state_dict(), tiny_config)
    restore("in/face.png", "-o", "a")
    restore("in/face.png", "-o", "b", "--model", "own.safetensors")
    assert Path("a/face.png").read_bytes() == Path("b/face.png").read_bytes()


def test_help_says_the_defaults_of_the_bundled_model(codeformer):
    _, out, _ = codeformer("restore", "--help")
    assert f"mini {USAGE['mini'].min_confidence:g})" in " ".join(out.split())


@pytest.mark.parametrize("command", [(), ("restore",), ("degrade",), ("info",), ("convert",), ("migrate-workflow",)])
def test_help_explains_every_argument(codeformer, command):
    code, out, err = codeformer(*command, "--help")
    assert (code, err) == (0, [])
    assert out.startswith(" ".join(["usage: codeformer", *command]))
    assert max(map(len, out.splitlines())) <= 110
    entries = out.split("\n\nexamples:")[0].split("\n  ")[1:]  # an option without help stands alone on its line
    bare = [
        entry
        for entry, after in zip(entries, [*entries[1:], ""], strict=True)
        if entry.startswith(("-", "INPUT", "IN ", "OUT", "FILE"))
        and "  " not in entry.strip()
        and not after.startswith("    ")
    ]
    assert bare == []


@pytest.mark.parametrize("arguments", [(), ("bogus",), ("--bogus",)])
def test_without_a_command_the_help_is_pointed_out(codeformer, arguments):
    code, out, err = codeformer(*arguments)
    assert (code, out, len(err)) == (2, "", 1)
    assert err[0].endswith("see codeformer --help")


def test_the_report_says_which_weights_were_in_force_and_why(restore):
    assert restore("in/face.png", "-o", "out", "-w", "32:0.25,64:0.5", "--w-region", "eyes=1")[0] == 0
    (face,) = json.loads(Path("out/face.png.json").read_text())["faces"]
    assert (face["w"], face["w_reasons"]) == ({"32": 0.25, "64": 0.5}, ["eyes 1"])


def test_the_same_weight_at_every_scale_is_that_number_bit_for_bit(restore):
    for folder, w in (("number", "0.3"), ("scales", "32:0.3,64:0.3")):
        assert restore("in/face.png", "-o", folder, "-w", w)[0] == 0
    assert Path("number/face.png").read_bytes() == Path("scales/face.png").read_bytes()


def test_a_plan_from_a_file_with_options_in_place_of_its_parts(restore):
    Path("plan.json").write_text('{"base": 0.2, "regions": {"eyes": 1, "mouth": 0.1}, "scales": {"32": 0.5}}')
    code, _, err = restore("in/face.png", "-o", "out", "--w-plan", "plan.json", "--w-region", "mouth=0.7")
    assert code == 0
    assert err[0].endswith("w = 0.2, by regions, scales")
    report = json.loads(Path("out/face.png.json").read_text())
    assert report["settings"]["w"] == {"base": 0.2, "regions": {"eyes": 1, "mouth": 0.7}, "scales": {"32": 0.5}}
    assert report["faces"][0]["w"] == {"32": 0.1, "64": 0.2}


def test_a_fidelity_mask_of_any_size_holds_for_its_picture_and_a_change_of_it_does_the_picture_again(restore):
    mask = np.zeros((40, 50), np.uint8)
    Image.fromarray(mask).save("mask.png")
    assert restore("in/face.png", "-o", "codebook", "-w", "0")[0] == 0
    arguments = ("in/face.png", "-o", "out", "-w", "1", "--w-mask", "mask.png")
    assert restore(*arguments)[0] == 0
    assert Path("out/face.png").read_bytes() == Path("codebook/face.png").read_bytes()  # black: only what is outside
    Image.fromarray(mask + 255).save("mask.png")
    code, _, err = restore(*arguments)
    assert (code, err[-1]) == (0, "1 of 1 picture done, 1 face restored, in out")
    assert restore("in/face.png", "-o", "whole", "-w", "1")[0] == 0
    assert Path("out/face.png").read_bytes() == Path("whole/face.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "meta"], "--device meta cannot be used"),
        (["--device", "hpu"], "--device hpu cannot be used"),
        (["--device", "xla"], "--device xla cannot be used"),
        (["--device", "vulkan"], "--device vulkan cannot be used"),
        (["--device", "cuda:99"], "--device cuda:99 cannot be used"),
        (["--detect-size", "1000000"], "short_side is 1000000, expected auto, None, or 32 to 4096 pixels"),
        (["--detect-size", "large"], "--detect-size: 'large' is no size: give auto, or pixels, such as 1280"),
        (["--model", "~nosuchuser/x"], "~nosuchuser/x: no such model"),
        (["--parser", "in"], "in: is a folder or a device"),
        (["--parser", "/dev/zero"], "/dev/zero: is a folder or a device"),
        (["--mask", "pipe.png"], "pipe.png: is no ordinary file"),
    ],
)
def test_odd_values_get_one_line(codeformer, model, arguments, said):
    os.mkfifo("pipe.png")
    given = ["restore", "in/plain.png", "-q", "-o", "out", "--model", str(model), *arguments]
    code, _, err = codeformer(*given)
    assert code == 2
    (line,) = err
    assert said in line


@pytest.mark.parametrize("command", ["restore", "degrade"])
def test_pipes_and_devices_are_not_waited_for(codeformer, model, command):
    os.mkfifo("pipe.png")
    for name in ("pipe.png", "/dev/zero"):
        code, _, err = codeformer(
            command, name, "-o", "out", *(["--model", str(model)] if command == "restore" else [])
        )
        assert code == 2
        assert any(f"{name}: is no ordinary file" in line for line in err)


def test_too_little_memory_is_one_line(codeformer, monkeypatch, model):
    def full(*_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: 9 bytes")

    monkeypatch.setattr(FaceRestorer, "as_aligned", full)
    code, _, err = codeformer("restore", "in/plain.png", "-o", "out", "--aligned", "--model", str(model))
    assert code == 2
    assert any("out of memory; give smaller pictures" in line for line in err)


@pytest.mark.parametrize("option", ["--device", "--model", "--detector", "--parser", "--mask"])
def test_a_name_that_is_empty_is_no_default(here, option, capsys):
    with pytest.raises(SystemExit):
        main(["restore", "in/plain.png", "-o", "out", option, ""])
    assert "the name is empty" in capsys.readouterr().err


def test_an_unreadable_fidelity_mask_does_not_stop_the_other_pictures_and_masks_are_no_targets(restore):
    Path("masks/sub").mkdir(parents=True)
    for name in ("face.png", "plain.png"):
        Image.fromarray(np.full((8, 8), 255, np.uint8)).save(f"masks/{name}")
    Path("masks/sub/face.jpg").write_bytes(b"no picture")
    code, _, err = restore("in", "-o", "out", "-w", "1", "--w-mask", "masks")
    assert code == 2
    assert err[-1].startswith("codeformer: masks/sub/face.jpg: ")
    assert Path("out/face.png").is_file()
    before = Path("masks/face.png").read_bytes()
    assert restore("in/face.png", "-o", "masks", "--w-mask", "masks", "--overwrite")[0] == 2
    assert Path("masks/face.png").read_bytes() == before


def test_frames_of_a_plan_are_the_pictures_places_and_a_moved_picture_is_done_again(restore):
    Path("plan.json").write_text('{"frames": {"0": 0.2, "2": 1}}')
    assert restore("in", "-o", "out", "--w-plan", "plan.json")[0] == 0
    weights = [json.loads(Path(f"out/{name}.json").read_text())["faces"] for name in ("face.png", "sub/face.jpg")]
    assert [(face["w"], face["w_reasons"]) for (face,) in weights] == [(0.2, ["frame 0"]), (1.0, ["frame 2"])]
    _, _, err = restore("in", "-o", "out", "--w-plan", "plan.json")
    assert err == ["3 of 3 done before; --overwrite does them again"]
    Image.fromarray(HEAD).save("in/a.png")  # comes first
    _, _, err = restore("in", "-o", "out", "--w-plan", "plan.json")
    assert err[-1].startswith("4 of 4 pictures done")


def test_what_is_given_beside_a_plan_stands_in_place_of_its_part(restore):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("black.png")
    Path("plan.json").write_text('{"base": 1, "sizes": {"10": 0.1, "20": 0.2}, "outside": 0.5}')
    assert restore("in/face.png", "-o", "a", "--w-plan", "plan.json", "-w", "0.7")[0] == 0
    assert json.loads(Path("a/face.png.json").read_text())["faces"][0]["w"] == 0.7
    given = ("--w-plan", "plan.json", "--w-mask", "black.png", "--w-outside", "0.3")
    assert restore("in/face.png", "-o", "b", *given)[0] == 0
    assert json.loads(Path("b/face.png.json").read_text())["faces"][0]["w"] == 0.3
