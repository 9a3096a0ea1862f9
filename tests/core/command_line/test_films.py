"""Films from the command line: the rules of pictures hold for them too."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codeformer_core import Face, FaceRestorer, RestoreConfig
from codeformer_core.command_line.batch import BatchConfig, find_jobs, is_done, is_film
from codeformer_core.command_line.films import FilmOptions, film_batch, restore_films
from codeformer_core.detection.detector import as_pictures
from codeformer_core.film.frames import Colours, to_frame
from codeformer_core.pasting.alignment import template

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
