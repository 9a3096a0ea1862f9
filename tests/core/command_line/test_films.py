"""Films from the command line: the rules of pictures hold for them too."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codeformer_core import Face, FaceRestorer, RestoreConfig
from codeformer_core.command_line import cli
from codeformer_core.command_line.batch import is_done
from codeformer_core.command_line.cli import main
from codeformer_core.command_line.films import FilmOptions, film_batch, restore_films
from codeformer_core.command_line.jobs import BatchConfig, find_jobs, is_film
from codeformer_core.detection import load as loading
from codeformer_core.detection.detector import as_pictures
from codeformer_core.film import job
from codeformer_core.film.frames import Colours, to_frame
from codeformer_core.pasting.alignment import template
from codeformer_core.weights.checkpoint import save_checkpoint

av = pytest.importorskip("av")


class MiddleDetector:
    def detect(self, images, config=None) -> list[list[Face]]:
        face = Face(box=np.array([16, 16, 80, 80]), landmarks=template(64) + 16, score=0.98)
        return [[face] for _ in as_pictures(images)]


def make(path: Path, frames: int = 6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as film:
        video = film.add_stream("libx264", rate=25, width=96, height=96, pix_fmt="yuv420p")
        for _ in range(frames):
            image = np.kron(
                np.random.default_rng(0).integers(60, 200, (12, 12, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8)
            )
            film.mux(video.encode(to_frame(image, "yuv420p", Colours(matrix=1, range=1, primaries=1, transfer=1))))
        film.mux(video.encode(None))
    return path


@pytest.fixture
def run(tmp_path, tiny_net):
    def run(*inputs: Path, crf: int | None = None, **options):
        restorer = FaceRestorer(tiny_net, MiddleDetector(), RestoreConfig(min_confidence=0))
        config = film_batch(BatchConfig(out=tmp_path / "out", settings={"w": 0.5}, **options), FilmOptions(crf=crf))
        jobs, _ = find_jobs(inputs, config.out)
        todo = [job for job in jobs if is_film(job.source) and (config.overwrite or not is_done(job, config))]
        done = restore_films(todo, restorer, config, FilmOptions(crf=crf), lambda job: None)
        return {outcome.job.relative.as_posix(): outcome for outcome in done}

    return run


def test_films_are_done_once_and_again_when_a_setting_changes(tmp_path, run):
    source = make(tmp_path / "in" / "sub" / "a.mp4")
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "b.png")
    assert [o.message for o in run(tmp_path / "in").values()] == ["6 faces of 1 track restored in 6 frames"]
    report = json.loads((tmp_path / "out" / "sub" / "a.mp4.json").read_text())
    assert (report["output"], report["size"], report["frames"], len(report["tracks"])) == ("a.mp4", [96, 96], 6, 1)
    assert {p.name for p in (tmp_path / "out" / "sub").iterdir()} == {"a.mp4", "a.mp4.json"}
    assert run(tmp_path / "in") == {}
    assert len(run(tmp_path / "in", crf=30)) == 1
    make(source, 5)
    assert len(run(tmp_path / "in", crf=30)) == 1


def test_no_other_file_is_replaced_and_no_input(tmp_path, run):
    source, other = make(tmp_path / "a.mp4"), tmp_path / "out" / "a.mp4"
    other.parent.mkdir()
    other.write_bytes(b"mine")
    assert "is there already" in run(source)["a.mp4"].message
    assert other.read_bytes() == b"mine"
    assert run(source, overwrite=True)["a.mp4"].restored == 6
    assert "would overwrite the input" in run(other, overwrite=True)["a.mp4"].message


def test_what_is_no_film_stops_no_other(tmp_path, run):
    make(tmp_path / "in" / "b.mp4")
    (tmp_path / "in" / "a.mp4").write_text("text")
    outcomes = run(tmp_path / "in")
    assert outcomes["a.mp4"].failed
    assert str(tmp_path / "in" / "a.mp4") in outcomes["a.mp4"].message
    assert outcomes["b.mp4"].restored == 6


def test_flags_for_pictures_and_masks(tmp_path, run):
    source, mask = make(tmp_path / "a.mp4"), tmp_path / "mask.png"
    Image.new("L", (96, 96)).save(mask)
    assert "--aligned is for pictures" in run(source, aligned=True)["a.mp4"].message
    assert "--background is for pictures" in run(source, background=mask)["a.mp4"].message
    assert run(source, mask=mask, fidelity_mask=mask)["a.mp4"].restored == 6
    Image.new("L", (90, 96)).save(mask)
    assert "must be 96 x 96" in run(source, mask=mask)["a.mp4"].message


@pytest.fixture
def codeformer(tmp_path, tiny_net, tiny_config, capsys, monkeypatch):
    """Runs `codeformer restore` on tmp_path/in, of one film and one picture; the exit code and its complaints."""
    model = tmp_path / "tiny.safetensors"
    save_checkpoint(model, tiny_net.state_dict(), tiny_config)
    make(tmp_path / "in" / "a.mp4")
    Image.new("RGB", (32, 32)).save(tmp_path / "in" / "b.png")
    monkeypatch.setattr(loading, "load_detector", lambda *given, **named: MiddleDetector())

    def codeformer(*arguments: str) -> tuple[int, list[str]]:
        monkeypatch.setattr("logging.root.handlers", [])
        places = [str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", str(model)]
        code = main(["restore", *places, "--min-confidence", "0", *arguments])
        lines = capsys.readouterr().err.splitlines()
        return code, [line for line in lines if line.startswith("codeformer: ")]

    return codeformer


def results(tmp_path: Path) -> set[str]:
    out = tmp_path / "out"
    return {path.relative_to(out).as_posix() for path in out.rglob("*")} if out.exists() else set()


BOTH = {"a.mp4", "a.mp4.json", "b.png", "b.png.json"}


def test_a_folder_of_films_and_pictures(tmp_path, codeformer, monkeypatch):
    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(cli.logger, "info", lambda text, *values: said.append(text % values))
        assert codeformer() == (0, [])
    assert said[-1].startswith("2 of 2 files done")
    assert results(tmp_path) == BOTH
    (tmp_path / "in" / "c.mp4").write_text("text")
    code, (line,) = codeformer()
    assert (code, results(tmp_path)) == (2, BOTH)
    assert "c.mp4: is damaged or no film" in line


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--codec", "divx"), "use one of h264"),
        (("--crf", "64"), "0 (best) to 63"),
        (("--crf", "-1"), "0 (best) to 63"),
        (("--codec", "h264", "--crf", "52"), "0 (best) to 51 for h264"),
        (("--codec", "ffv1", "--crf", "20"), "ffv1 has no crf"),
    ],
)
def test_a_wrong_codec_or_quality_is_found_out_before_any_work(tmp_path, codeformer, wrong, words):
    code, (line,) = codeformer(*wrong)
    assert (code, results(tmp_path)) == (2, set())
    assert words in line


def test_a_quality_that_only_the_films_own_codec_has_not(tmp_path, codeformer):
    code, (line,) = codeformer("--crf", "60")
    assert (code, results(tmp_path)) == (2, {"b.png", "b.png.json"})
    assert "a.mp4: crf is 60, expected 0 (best) to 51 for h264" in line


def test_without_pyav_pictures_are_done_and_the_remedy_is_named(tmp_path, codeformer, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "av", None)
        code, (line,) = codeformer()
    assert (code, results(tmp_path)) == (2, {"b.png", "b.png.json"})
    assert 'pip install "comfyui-codeformer[film]"' in line
    assert codeformer() == (0, [])
    assert results(tmp_path) == BOTH


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_and_the_same_command_again(tmp_path, tiny_net, tiny_config):
    model, source, out = tmp_path / "tiny.safetensors", make(tmp_path / "a.mp4", 104), tmp_path / "out"
    save_checkpoint(model, tiny_net.state_dict(), tiny_config)
    command = [sys.executable, "-m", "codeformer_core", "restore", str(source), "-o", str(out), "--model", str(model)]
    command += ["--detect-size", "64"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    slowly = (
        "import signal, sys, time; from codeformer_core.command_line.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell's & has it ignored\n"
        "from codeformer_core.detection.retinaface import RetinaFaceDetector as Detector; detect = Detector.detect\n"
        "Detector.detect = lambda *given: (time.sleep(0.3), detect(*given))[1]\n"
        f"sys.exit(main({command[3:]!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", slowly], stderr=subprocess.PIPE, text=True, env=environment)
    end = time.monotonic() + 120
    while not (out / ".a.mp4.job").is_dir() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.5)  # amid the search, which takes seconds
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "codeformer: stopped; run the same command again to go on where it stopped"
    assert "Traceback" not in said
    assert not (out / "a.mp4").exists()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {"a.mp4", "a.mp4.json"}
    with av.open(str(out / "a.mp4")) as film:
        assert len(list(film.decode(video=0))) == 104


def test_odd_names_and_the_same_stem_twice(tmp_path, run):
    folder = tmp_path / "in"
    for name in ("%03d.mp4", "a b'c.mp4", "file:x.mp4", "-o.mp4", "ü.mp4"):
        make(folder / name)
    assert {outcome.restored for outcome in run(folder).values()} == {6}
    make(tmp_path / "two" / "c.avi")
    make(tmp_path / "two" / "c.mkv")
    outcomes = run(tmp_path / "two").values()
    assert sorted(outcome.failed for outcome in outcomes) == [False, True]
    assert "would replace that of" in next(outcome.message for outcome in outcomes if outcome.failed)


def test_the_output_folder_is_the_input_folder(tmp_path, run):
    source = make(tmp_path / "out" / "a.mp4")
    before = source.read_bytes()
    assert "would overwrite the input" in run(source)["a.mp4"].message
    assert (source.read_bytes(), results(tmp_path)) == (before, {"a.mp4"})


def test_a_full_disk_leaves_no_half_film(tmp_path, codeformer, monkeypatch):
    def full(*given, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    for place in ("encode_segment", "write_film"):
        with monkeypatch.context() as patch:
            patch.setattr(job, place, full)
            code, (line,) = codeformer()
        assert code == 2
        assert "No space left on device" in line
        assert not (tmp_path / "out" / "a.mp4").exists()
    assert codeformer() == (0, [])
    assert results(tmp_path) == BOTH


@pytest.mark.parametrize("flags", [("--upscale", "4"), ("-w", "auto"), ("--max-faces", "1"), ("--strip-metadata",)])
def test_flags_of_pictures_that_hold_for_films(tmp_path, codeformer, flags):
    assert codeformer(*flags) == (0, [])
    with av.open(str(tmp_path / "out" / "a.mp4")) as film:
        assert next(film.decode(video=0)).width == (384 if "--upscale" in flags else 96)
