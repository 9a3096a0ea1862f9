"""Films by node: from file to file, told from each other, and gone on with."""

from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

av = pytest.importorskip("av")
SETTINGS = {"fidelity": 0.5, "upscale": 1, "faces": "all", "steady": True, "crf": -1}
FRAMES = 6


class Crossed(Exception):
    """As ComfyUI's own exception."""


def make(path: Path, frames: int = FRAMES) -> Path:
    """A film of blocks."""
    blocks = np.random.default_rng(0).integers(60, 200, (15, 20, 3), dtype=np.uint8)
    picture = np.kron(blocks, np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), "w") as film:
        video = film.add_stream("libx264", rate=25, width=160, height=120, pix_fmt="yuv420p")
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
    return path


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]


@pytest.fixture
def restore(run, nodes, tmp_path) -> Any:
    """`restore(video, ...)`: the result's path, and what was said."""

    def restored(video, **changed):
        loaded, report = run("loaded"), run("report").Report()
        kept = run("remembered").Remembered(0)
        detector = loaded.LoadedDetector(detector=nodes.detector, config=None, patcher=None, parser=None, found=kept)
        path = run("video").restore_video(video, nodes.model, detector, None, report, **SETTINGS | changed)
        return path, report.text

    return restored


def test_a_film_comes_out_with_restored_faces_in_the_temp_folder(run, restore, tmp_path):
    source = make(tmp_path / "film.mp4")
    path, said = restore(run("video").InputImpl.VideoFromFile(str(source)))
    assert path.parent == tmp_path / "temp"
    assert path.suffix == ".mp4"
    before, after = frames(source), frames(path)
    assert len(after) == FRAMES
    assert np.abs(after[0] - before[0])[30:70, 30:70].mean() > 5
    assert np.abs(after[0] - before[0])[-8:].mean() < 5
    first, *tracks = said.splitlines()
    assert first == f"{2 * FRAMES} faces restored in {FRAMES} frames of 160 x 120 px, h264; 2 tracks"
    assert tracks == [f"track {i}: frames 0 to {FRAMES - 1}, {FRAMES} restored" for i in (0, 1)]
    assert [p.name for p in (tmp_path / "temp").iterdir()] == [path.name]


def test_other_settings_and_other_films_have_other_results(run, restore, tmp_path):
    video = run("video").InputImpl.VideoFromFile(str(make(tmp_path / "film.mp4", 2)))
    other = run("video").InputImpl.VideoFromFile(str(make(tmp_path / "other.mp4", 3)))
    paths = [
        restore(video)[0],
        restore(video)[0],
        restore(video, steady=False)[0],
        restore(video, upscale=2)[0],
        restore(video, crf=30)[0],
        restore(other)[0],
    ]
    assert paths[0] == paths[1]
    assert len(set(paths)) == 5
    assert frames(paths[3])[0].shape == (240, 320, 3)


def test_an_interrupted_film_goes_on_where_it_was(run, restore, nodes, tmp_path, monkeypatch):
    video = run("video").InputImpl.VideoFromFile(str(make(tmp_path / "film.mp4")))
    progress, asked = run("progress"), []

    def stop():
        asked.append(None)
        if len(asked) == 9:  # in the second pass
            raise Crossed

    monkeypatch.setattr(progress.mm, "throw_exception_if_processing_interrupted", stop)
    with pytest.raises(Crossed):
        restore(video)
    searched = nodes.detector.searched
    assert searched >= FRAMES
    path, _ = restore(video)
    assert nodes.detector.searched - searched < FRAMES  # faces were not found anew
    assert len(frames(path)) == FRAMES


@pytest.mark.parametrize("kind", ["frames", "part", "bytes"])
def test_videos_that_are_no_whole_file_are_copied_for_as_long_as_is_worked(kind, run, restore, tmp_path):
    source = make(tmp_path / "film.mp4", 2)
    module = run("video")
    video = {
        "frames": lambda: SimpleNamespace(save_to=lambda path: Path(path).write_bytes(source.read_bytes())),
        "part": lambda: module.InputImpl.VideoFromFile(str(source), seconds=1.0),
        "bytes": lambda: module.InputImpl.VideoFromFile(BytesIO(source.read_bytes())),
    }[kind]()
    path, _ = restore(video)
    assert len(frames(path)) == 2
    assert [p.name for p in (tmp_path / "temp").iterdir()] == [path.name]


def test_a_whole_file_is_read_where_it_lies(run, tmp_path):
    source = make(tmp_path / "film.mp4", 2)
    with run("video").file_of(run("video").InputImpl.VideoFromFile(str(source))) as path:
        assert path == source


def test_what_is_no_film_is_named(run, restore, tmp_path):
    (tmp_path / "film.mp4").write_text("no film")
    with pytest.raises(ValueError, match=r"film\.mp4: "):
        restore(run("video").InputImpl.VideoFromFile(str(tmp_path / "film.mp4")))


def test_the_bar_never_goes_back(run, monkeypatch):
    progress, shown = run("progress"), []
    monkeypatch.setattr(progress.ProgressBar, "update_absolute", lambda self, value, total=None: shown.append(value))
    show = progress.watch_film()
    for stage in ("find", "restore", "write"):
        for done in range(11):
            show(stage, done, 10)
    assert shown == sorted(shown)
    assert shown[-1] == progress.TICKS
