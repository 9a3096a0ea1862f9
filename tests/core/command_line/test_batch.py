"""Files in, files out, with a detector that finds one face where a picture is bright, so that no test waits for one."""

import errno
import json
import os
import shutil
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from codeformer_core.command_line import batch
from codeformer_core.command_line.batch import is_done, restore_files
from codeformer_core.command_line.jobs import BatchConfig, Outcome, find_jobs
from codeformer_core.detection.detector import as_pictures
from codeformer_core.detection.faces import Face
from codeformer_core.overlap import AT_ONCE
from codeformer_core.pasting.alignment import template
from codeformer_core.pictures import files
from codeformer_core.pictures.files import read_picture
from codeformer_core.restoration import RestoreConfig
from codeformer_core.restorer import FaceRestorer

SIZE = 96  # of the pictures; the face is the 64 pixels in the middle, as large as the network's crop


class MiddleDetector:
    """One face in the middle of every picture that is not dark."""

    def __init__(self):
        self.pictures = 0

    def detect(self, images, config=None) -> list[list[Face]]:
        pictures = as_pictures(images)
        self.pictures += len(pictures)
        face = Face(box=np.array([16, 16, 80, 80]), landmarks=template(64) + 16, score=0.987654)
        return [[face] if picture.max() > 20 else [] for picture in pictures]


def pixels(seed: int = 0, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 200, (size, size, 3), dtype=np.uint8)


def save(path: Path, image: np.ndarray | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels() if image is None else image).save(path, **options)
    return path


DARK = np.zeros((SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def detector() -> MiddleDetector:
    return MiddleDetector()


@pytest.fixture
def run(tmp_path, tiny_net, detector):
    """Restore inputs into tmp_path/out as the command line does; returns what was said about those that were done."""

    def run(
        *inputs: Path, w: float = 0.5, upscale: int = 1, suffix: str | None = None, **options
    ) -> dict[str, Outcome]:
        restorer = FaceRestorer(tiny_net, detector, RestoreConfig(w=w, upscale=upscale))
        config = BatchConfig(
            out=tmp_path / "out", settings={"w": w, "upscale": upscale, "format": suffix}, suffix=suffix, **options
        )
        jobs, _ = find_jobs(inputs, config.out)
        todo = [job for job in jobs if config.overwrite or not is_done(job, config)]
        return {o.job.relative.as_posix(): o for o in restore_files(todo, restorer, config)}

    return run


def report_of(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def files_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_folders_are_kept_and_the_report_says_what_was_done(tmp_path, run):
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "sub" / "b.jpg")
    outcomes = run(tmp_path / "in")
    assert [o.message for o in outcomes.values()] == ["1 face restored"] * 2
    assert files_below(tmp_path / "out") == {"a.png", "a.png.json", "sub/b.jpg", "sub/b.jpg.json"}
    report = report_of(tmp_path / "out" / "a.png.json")
    (face,) = report["faces"]
    assert report["output"] == "a.png"
    assert report["size"] == [SIZE, SIZE]
    assert (face["box"], face["score"], face["w"], face["restored"]) == ([16, 16, 80, 80], 0.9877, 0.5, True)
    np.testing.assert_allclose(face["landmarks"], template(64) + 16, atol=0.01)
    np.testing.assert_allclose(face["affine"], [[1, 0, -16], [0, 1, -16]], atol=1e-3)
    assert 1 / 24 <= face["codes_confidence"] <= 1  # 24 codes: the surest is at least as sure as a guess
    changed = (read_picture(tmp_path / "out" / "a.png").rgb != pixels()).any(-1)
    assert changed[32:64, 32:64].mean() > 0.9
    assert not changed[:16].any()
    assert not changed[:, 80:].any()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.webp", "a.tif", "a.bmp"])
def test_a_picture_without_a_face_comes_out_byte_for_byte(tmp_path, run, name):
    source = save(tmp_path / name, DARK)
    assert run(source)[name].message == "no face found, left unchanged"
    assert (tmp_path / "out" / name).read_bytes() == source.read_bytes()
    assert report_of(tmp_path / "out" / f"{name}.json")["faces"] == []
    assert run(source) == {}


def test_what_is_done_is_done_again_when_something_changes(tmp_path, run):
    source, mask = save(tmp_path / "a.png"), save(tmp_path / "mask.png", np.full((SIZE, SIZE), 255, np.uint8))
    other = save(tmp_path / "other" / "mask.png", np.full((SIZE, SIZE), 255, np.uint8))
    shutil.copystat(mask, other)
    assert len(run(source, mask=mask)) == 1
    assert run(source, mask=mask) == {}
    assert run(source, mask=other) == {}  # the same file elsewhere
    assert len(run(source, mask=mask, w=0.7)) == 1
    assert len(run(source, mask=mask)) == 1  # the result of w = 0.7 is not taken for that of 0.5
    save(mask, np.full((SIZE, SIZE), 0, np.uint8))
    assert len(run(source, mask=mask)) == 1
    assert np.array_equal(read_picture(tmp_path / "out" / "a.png").rgb, pixels())
    assert len(run(source)) == 1
    assert len(run(source, overwrite=True)) == 1
    assert run(source) == {}
    save(source, pixels(1))
    assert len(run(source)) == 1
    os.utime(source, (1, 1))  # as an editor does that saves as many bytes
    assert len(run(source)) == 1
    (tmp_path / "out" / "a.png").unlink()
    assert len(run(source)) == 1


FOREIGN = [
    *(b"", b"{", b"[]", b"null", b"\xff", b"{}", b"[" * 100_000),
    *(b'{"output": 3, "inputs": {}}', b'{"output": "b.png"}', b'{"output": "a.png", "title": "My holiday"}'),
]


@pytest.mark.parametrize("content", FOREIGN, ids=range(len(FOREIGN)))
def test_a_json_of_another_program_is_not_replaced(tmp_path, run, detector, content):
    source, sidecar = save(tmp_path / "a.png"), tmp_path / "out" / "a.png.json"
    sidecar.parent.mkdir()
    sidecar.write_bytes(content)
    outcome = run(source)["a.png"]
    assert outcome.failed
    assert outcome.message.startswith(f"{sidecar}: is there already")
    assert outcome.message.endswith("choose another folder with --output, or --overwrite")
    assert files_below(tmp_path / "out") == {"a.png.json"}
    assert sidecar.read_bytes() == content
    assert detector.pictures == 0
    assert run(source, overwrite=True)["a.png"].restored == 1
    assert run(source) == {}


@pytest.mark.parametrize("begun", [False, True])
def test_reports_of_the_first_version_count_as_ours(tmp_path, run, begun):
    source, path = save(tmp_path / "a.png"), tmp_path / "out" / "a.png.json"
    run(source, save_crops=True)
    report = report_of(path)
    first = {key: report[key] for key in ("inputs", "output", "size", "settings", "faces")}
    first["settings"] |= {"save_crops": True}
    path.write_text(json.dumps({"output": "a.png"} if begun else first))
    if not begun:
        assert run(source, w=0.7, save_crops=True)["a.png"].restored == 1
    assert run(source, w=0.3)["a.png"].restored == 1


def test_results_of_earlier_runs_are_ours_and_other_files_are_not(tmp_path, run):
    source = save(tmp_path / "a.png")
    run(source, suffix="jpg")
    foreign = save(tmp_path / "out" / "a.webp", DARK)
    before = foreign.read_bytes()
    assert run(source, suffix="webp")["a.png"].failed  # its report is ours, and so is a.jpg
    assert foreign.read_bytes() == before
    assert run(source, suffix="png")["a.png"].restored == 1
    assert report_of(tmp_path / "out" / "a.png.json")["earlier"] == ["a.jpg"]
    assert run(source, suffix="jpg")["a.png"].restored == 1


def test_crops_of_others_are_not_replaced(tmp_path, run):
    source = save(tmp_path / "a.png")
    stray = save(tmp_path / "out" / "a.png_faces" / "00_after.png", DARK)
    before = stray.read_bytes()
    outcome = run(source, save_crops=True)["a.png"]
    assert outcome.failed
    assert outcome.message.startswith(f"{stray}: is there already")
    assert files_below(tmp_path / "out") == {"a.png_faces/00_after.png"}
    assert stray.read_bytes() == before
    assert run(source, save_crops=True, overwrite=True)["a.png"].restored == 1
    assert stray.read_bytes() != before


def test_a_picture_that_has_vanished_stops_no_other(tmp_path, tiny_net, detector):
    paths = [save(tmp_path / "in" / f"{i}.png", pixels(i)) for i in range(3)]
    jobs, _ = find_jobs([tmp_path / "in"], tmp_path / "out")
    paths[1].unlink()
    outcomes = list(restore_files(jobs, FaceRestorer(tiny_net, detector), BatchConfig(out=tmp_path / "out")))
    assert [outcome.failed for outcome in outcomes] == [False, True, False]
    assert outcomes[1].message == f"{paths[1]}: cannot be read any more (No such file or directory); put it back"


@pytest.mark.parametrize("place", ["a.png", "a.png.json", "sub", "a.png_faces"])
def test_what_stands_in_the_way_of_one_picture_stops_no_other(tmp_path, run, place):
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "sub" / "b.png")
    save(tmp_path / "in" / "z.png")
    if place.startswith("a.png") and not place.endswith("faces"):
        (tmp_path / "out" / place).mkdir(parents=True)
    else:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / place).write_text("mine")
    outcomes = run(tmp_path / "in", save_crops=True, overwrite=True)
    (failed,) = [o for o in outcomes.values() if o.failed]
    assert failed.message.startswith(f"{tmp_path / 'out' / place}: is in the way of")
    assert outcomes["z.png"].restored == 1


def test_a_mask_is_never_the_place_of_the_result(tmp_path, run):
    source, mask = save(tmp_path / "a.png"), save(tmp_path / "out" / "a.png")
    for kind in ("mask", "fidelity_mask"):
        assert "would overwrite the input" in run(source, **{kind: mask}, overwrite=True)["a.png"].message


def test_a_damaged_fidelity_mask_stops_no_other_picture(tmp_path, run):
    for name in "abc":
        save(tmp_path / "in" / f"{name}.png")
        save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "masks" / "b.png").write_text("no picture")
    outcomes = run(tmp_path / "in", fidelity_mask=tmp_path / "masks")
    assert {name for name, o in outcomes.items() if o.failed} == {"b.png"}
    assert len(outcomes) == 3


def test_a_picture_that_changes_while_it_is_restored_is_done_again(tmp_path, run, detector, monkeypatch):
    source = save(tmp_path / "a.png")
    detect = detector.detect

    def changing(images, config=None):
        save(source, pixels(1))
        return detect(images, config)

    with monkeypatch.context() as patch:
        patch.setattr(detector, "detect", changing)
        run(source)
    assert run(source)["a.png"].restored == 1
    assert run(source) == {}


def test_a_picture_that_changes_while_it_is_read_is_done_again(tmp_path, run, monkeypatch):
    source, read = save(tmp_path / "a.png"), batch.read_picture

    def changing(path):
        picture = read(path)
        save(source, pixels(1))
        return picture

    with monkeypatch.context() as patch:
        patch.setattr(batch, "read_picture", changing)
        run(source)
    assert run(source)["a.png"].restored == 1


def test_a_damaged_file_in_the_middle_stops_nobody(tmp_path, run):
    for name in ("1.png", "3.png"):
        save(tmp_path / "in" / name)
    (tmp_path / "in" / "2.png").write_bytes(b"no picture")
    whole = save(tmp_path / "whole.png").read_bytes()
    (tmp_path / "in" / "4.png").write_bytes(whole[: len(whole) // 2])
    for tried in ({"1.png", "2.png", "3.png", "4.png"}, {"2.png", "4.png"}):  # the damaged ones are tried again
        outcomes = run(tmp_path / "in")
        assert set(outcomes) == tried
        failed = {name: o.message for name, o in outcomes.items() if o.failed}
        assert set(failed) == {"2.png", "4.png"}
        assert all(str(tmp_path / "in" / name) in message for name, message in failed.items())
        assert files_below(tmp_path / "out") == {"1.png", "1.png.json", "3.png", "3.png.json"}


@pytest.mark.parametrize("step", ["detect", "align", "paste"])
def test_a_picture_that_memory_does_not_hold_stops_no_other(tmp_path, run, monkeypatch, step):
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "b.png", pixels(size=80))
    usual = getattr(FaceRestorer, step)

    def full(self, image, *arguments, **named):
        if len(image) == 80:
            raise cv2.error("OpenCV(4.10.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes")
        return usual(self, image, *arguments, **named)

    monkeypatch.setattr(FaceRestorer, step, full)
    said = {name: (outcome.failed, outcome.message) for name, outcome in run(tmp_path / "in").items()}
    assert said["a.png"] == (False, "1 face restored")
    failed, message = said["b.png"]
    assert failed
    assert message.startswith(f"{tmp_path / 'in' / 'b.png'}: out of memory; give smaller pictures")
    assert not (tmp_path / "out" / "b.png").exists()


def test_pictures_share_network_batches_across_chunks(tmp_path, run, detector, monkeypatch):
    monkeypatch.setattr(batch, "CHUNK_PIXELS", 2 * SIZE**2)
    for i in range(5):
        save(tmp_path / "in" / f"{i}.png", pixels(i) if i != 2 else DARK)
    outcomes = run(tmp_path / "in")
    assert [o.restored for o in outcomes.values()] == [1, 1, 0, 1, 1]
    assert detector.pictures == 5
    for i in (0, 1, 3, 4):  # each got its own face back
        alone = run(tmp_path / "in" / f"{i}.png", overwrite=True)
        assert alone[f"{i}.png"].restored == 1
        difference = read_picture(tmp_path / "out" / f"{i}.png").rgb[:16] != pixels(i)[:16]
        assert not difference.any()


def test_pictures_are_written_as_soon_as_their_faces_fill_a_batch(tmp_path, tiny_net, detector):
    for i in range(10):
        save(tmp_path / "in" / f"{i}.png", pixels(i))
    restorer = FaceRestorer(tiny_net, detector, RestoreConfig(batch_size=2))
    jobs, _ = find_jobs([tmp_path / "in"], tmp_path / "out")
    outcomes = restore_files(jobs, restorer, BatchConfig(out=tmp_path / "out"))
    for _ in range(2):
        next(outcomes)
    assert detector.pictures <= 2 + AT_ONCE + AT_ONCE + 2  # the batches of those that wait to be written, and the next
    assert {"0.png", "1.png"} <= files_below(tmp_path / "out")
    del outcomes


def test_nothing_more_is_read_after_an_error(tmp_path, run, monkeypatch):
    held, chunks = [], batch._chunks

    def hold(*args):
        held.append(chunks(*args))
        return held[0]

    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "_chunks", hold)
    monkeypatch.setattr(FaceRestorer, "restore", stop)
    for i in range(3):
        save(tmp_path / "in" / f"{i}.png", pixels(i))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "in")
    assert held[0].gi_frame is None  # closed, and its threads with it


@pytest.mark.parametrize("upscale", [1, 2])
def test_large_results_are_written_one_at_a_time(tmp_path, run, monkeypatch, upscale):
    meeting, write, met = threading.Barrier(2), batch._write, []

    def slowly(*args):
        with suppress(threading.BrokenBarrierError):
            meeting.wait(0.3 if upscale > 1 else 10)
            met.append(args)
        return write(*args)

    monkeypatch.setattr(batch, "CHUNK_PIXELS", SIZE**2)
    monkeypatch.setattr(batch, "_write", slowly)
    for i in range(2):
        save(tmp_path / "in" / f"{i}.png", pixels(i))
    outcomes = run(tmp_path / "in", upscale=upscale)
    assert [o.restored for o in outcomes.values()] == [1, 1]
    assert len(met) == (2 if upscale == 1 else 0)


def test_results_of_one_name_are_refused_in_this_run_and_the_next(tmp_path, run):
    save(tmp_path / "in" / "a.gif")
    save(tmp_path / "in" / "a.png", pixels(1))
    save(tmp_path / "in" / "a.jpg")
    outcomes = run(tmp_path / "in", save_crops=True)
    assert {name for name, o in outcomes.items() if o.failed} == {"a.png"}
    assert "a.gif" in outcomes["a.png"].message
    assert (tmp_path / "out" / "a.jpg").is_file()
    assert {p.name for p in (tmp_path / "out").glob("*_faces")} == {"a.gif_faces", "a.jpg_faces"}
    before = (tmp_path / "out" / "a.png").read_bytes()
    again = run(tmp_path / "in", save_crops=True)
    assert set(again) == {"a.png"}
    assert again["a.png"].failed
    assert (tmp_path / "out" / "a.png").read_bytes() == before


def test_no_original_and_no_other_file_is_overwritten(tmp_path, run, detector):
    for name in ("a.png", "sub/a.png", "b.gif", "b.png"):
        save(tmp_path / "out" / name)  # the inputs lie in the output folder
    files = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    for overwrite in (False, True):
        outcomes = run(tmp_path / "out", overwrite=overwrite)
        assert [o.failed for o in outcomes.values()] == [True] * 4
        assert "would overwrite the input" in outcomes["b.gif"].message
    (outcome,) = run(tmp_path / "out" / "sub").values()  # its result would be out/a.png
    assert outcome.failed
    assert "--overwrite" in outcome.message
    assert detector.pictures == 0  # found out before any work was put into them
    assert {p: p.read_bytes() for p in files} == files
    assert run(tmp_path / "out" / "sub", overwrite=True)["a.png"].restored == 1
    assert run(tmp_path / "out" / "sub") == {}  # from now on it is ours


def test_an_earlier_result_of_another_format_may_be_replaced(tmp_path, run):
    source = save(tmp_path / "a.png")
    for suffix, name in (("jpg", "a.jpg"), (None, "a.png"), (".JPG", "a.JPG"), ("jpg", "a.jpg")):
        assert run(source, suffix=suffix)["a.png"].restored == 1
        assert report_of(tmp_path / "out" / "a.png.json")["output"] == name


@pytest.mark.parametrize("suffix", ["", "gif", "doc", ".x/y", "PNG.exe"])
def test_a_format_that_is_not_written_is_refused_at_once(tmp_path, suffix):
    with pytest.raises(ValueError, match=r"use one of \.png"):
        BatchConfig(out=tmp_path, suffix=suffix)


@pytest.mark.parametrize("step", ["write_picture", "_write_crops", "face_report", "write_report"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device", "out")])
def test_an_interrupted_run_leaves_whole_files_and_is_gone_on_with(tmp_path, run, monkeypatch, step, stop):
    monkeypatch.setattr(batch, "CHUNK_PIXELS", 1)
    for i in range(4):
        save(tmp_path / "in" / f"{i}.png", pixels(i))
    run(tmp_path / "in" / "2.png", w=0.1, save_crops=True)  # an older result, half replaced when it stops
    original, write, here = getattr(batch, step), batch._write, threading.local()

    def writing(opened, *args):  # by two threads at once
        here.name, here.calls = opened.job.source.name, 0
        return write(opened, *args)

    def stopping(*args):
        here.calls += 1
        if here.name == "2.png" and here.calls == {"write_report": 2}.get(step, 1):
            raise stop
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "_write", writing)
        patch.setattr(batch, step, stopping)
        with pytest.raises(type(stop)):
            run(tmp_path / "in", save_crops=True)
    assert not list((tmp_path / "out").rglob("*.part"))
    for path in (tmp_path / "out").rglob("*.png"):
        read_picture(path)
    again = set(run(tmp_path / "in", save_crops=True))
    assert {"2.png"} <= again <= {"2.png", "3.png"}  # the next may have been on its way already
    assert {f"{i}.png" for i in range(4)} <= files_below(tmp_path / "out")
    assert run(tmp_path / "in", save_crops=True) == {}


def test_a_half_replaced_result_is_not_taken_for_the_old_one(tmp_path, run, monkeypatch):
    source = save(tmp_path / "a.png")
    run(source, w=0.0)
    old = (tmp_path / "out" / "a.png").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(batch, "face_report", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(source, w=1.0)
    assert (tmp_path / "out" / "a.png").read_bytes() != old
    assert len(run(source, w=0.0)) == 1
    assert (tmp_path / "out" / "a.png").read_bytes() == old


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path, run, monkeypatch):
    source = save(tmp_path / "a.png")

    def full(path, data):
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(files.Path, "write_bytes", full)
    with pytest.raises(OSError, match="make room") as info:
        run(source)
    assert info.value.filename == str(tmp_path / "out" / "a.png")
    assert files_below(tmp_path / "out") == {"a.png.json"}
    monkeypatch.undo()
    assert run(source)["a.png"].restored == 1


def test_upscale_and_format(tmp_path, run):
    source = save(tmp_path / "a.png")
    run(source, upscale=2, suffix="jpg")
    with Image.open(tmp_path / "out" / "a.jpg") as image:
        assert (image.size, image.format) == ((2 * SIZE, 2 * SIZE), "JPEG")
    report = report_of(tmp_path / "out" / "a.png.json")
    assert (report["output"], report["size"]) == ("a.jpg", [2 * SIZE, 2 * SIZE])
    run(save(tmp_path / "dark.png", DARK), upscale=2)
    assert read_picture(tmp_path / "out" / "dark.png").rgb.shape == (2 * SIZE, 2 * SIZE, 3)


def oriented(path: Path):
    exif = Image.Exif()
    exif[files.ORIENTATION] = 6
    wide = np.ascontiguousarray(pixels()[:80])
    save(path, wide, exif=exif, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


MODES = {
    "L.png": lambda path: save(path, pixels()[..., 0]),
    "RGBA.png": lambda path: save(path, np.dstack([pixels(), pixels(1)[..., 0]])),
    "deep.png": lambda path: cv2.imwrite(str(path), pixels().astype(np.uint16) * 257),
    "deep.tif": lambda path: cv2.imwrite(str(path), pixels().astype(np.uint16) * 257),
    "cmyk.jpg": lambda path: Image.fromarray(pixels()).convert("CMYK").save(path),
    "turned.jpg": oriented,
}


@pytest.mark.parametrize("name", MODES)
def test_pictures_of_any_mode_keep_it(tmp_path, run, name):
    MODES[name](tmp_path / name)
    before = read_picture(tmp_path / name)
    assert run(tmp_path / name)[name].restored == 1
    after = read_picture(tmp_path / "out" / name)
    assert (after.rgb.shape, after.rgb.dtype) == (before.rgb.shape, before.rgb.dtype)
    assert (after.single_channel, after.icc_profile) == (before.single_channel, before.icc_profile)
    assert (after.alpha is None) == (before.alpha is None)
    if after.alpha is not None and before.alpha is not None:
        assert np.array_equal(after.alpha, before.alpha)
    if name == "turned.jpg":
        assert after.rgb.shape == (SIZE, 80, 3)
        assert report_of(tmp_path / "out" / f"{name}.json")["size"] == [80, SIZE]


@pytest.mark.parametrize("size", [40, 64, 100])
def test_aligned_faces_of_any_size_are_replaced_whole(tmp_path, run, detector, size):
    source = save(tmp_path / "face.png", pixels(size=size))
    assert run(source, aligned=True)["face.png"].restored == 1
    result = read_picture(tmp_path / "out" / "face.png").rgb
    assert result.shape == (size, size, 3)
    assert (result != pixels(size=size)).any(-1).mean() > 0.9
    assert report_of(tmp_path / "out" / "face.png.json")["faces"][0]["box"] == [0, 0, size, size]
    assert detector.pictures == 0


def test_aligned_faces_are_square(tmp_path, run):
    save(tmp_path / "in" / "wide.png", np.ascontiguousarray(pixels()[:50]))
    save(tmp_path / "in" / "x.png")
    outcomes = run(tmp_path / "in", aligned=True)
    assert outcomes["x.png"].restored == 1
    assert outcomes["wide.png"].message == f"{tmp_path / 'in' / 'wide.png'}: aligned faces are square; " + (
        "restore it without --aligned"
    )


def test_crops_are_those_of_this_run(tmp_path, run):
    source = save(tmp_path / "a.png")
    folder = tmp_path / "out" / "a.png_faces"
    run(source, save_crops=True)
    assert files_below(folder) == {"00_before.png", "00_after.png"}
    before = read_picture(folder / "00_before.png").rgb
    assert np.abs(before.astype(int) - pixels()[16:80, 16:80]).max() <= 2
    assert (read_picture(folder / "00_after.png").rgb != before).mean() > 0.5
    save(folder / "05_after.png")  # the user's own
    (folder / "my notes.txt").touch()
    run(source)
    assert files_below(folder) == {"00_before.png", "00_after.png", "05_after.png", "my notes.txt"}
    save(source, DARK)
    run(source, save_crops=True)
    assert files_below(folder) == {"05_after.png", "my notes.txt"}


def test_mask_and_background_as_file_and_as_folder(tmp_path, run):
    source = save(tmp_path / "in" / "sub" / "a.png")
    left = np.zeros((SIZE, SIZE), np.uint8)
    left[:, : SIZE // 2] = 255
    background = np.full((2 * SIZE, 2 * SIZE, 3), 77, np.uint8)
    run(
        source,
        upscale=2,
        mask=save(tmp_path / "mask.png", left),
        background=save(tmp_path / "large.png", background),
    )
    from_files = read_picture(tmp_path / "out" / "a.png").rgb
    assert (from_files[:, SIZE + 2 :] == 77).all()
    assert (from_files[40:150, 50 : SIZE - 2] != 77).any(-1).mean() > 0.9
    save(tmp_path / "masks" / "sub" / "a.bmp", left)
    (tmp_path / "masks" / "sub" / "a.aaa").write_text("a caption")
    save(tmp_path / "large" / "sub" / "a.png", background)
    outcomes = run(tmp_path / "in", upscale=2, mask=tmp_path / "masks", background=tmp_path / "large")
    assert not outcomes["sub/a.png"].failed
    assert np.array_equal(read_picture(tmp_path / "out" / "sub" / "a.png").rgb, from_files)


@pytest.mark.parametrize("kind", ["mask", "background"])
def test_a_mask_or_background_that_does_not_fit_names_both_files(tmp_path, run, kind):
    source = save(tmp_path / "a.png")
    small = save(tmp_path / "small.png", pixels(size=50))
    message = run(source, **{kind: small})["a.png"].message
    assert str(small) in message
    assert str(source) in message
    assert f"50 x 50, must be {SIZE} x {SIZE}" in message
    (tmp_path / "empty").mkdir()
    outcome = run(source, **{kind: tmp_path / "empty"})["a.png"]
    assert outcome.failed
    assert str(tmp_path / "empty" / "a.png") in outcome.message
    assert not (tmp_path / "out").exists()


class CrowdDetector:
    """Twenty faces in every picture."""

    def detect(self, images, config=None) -> list[list[Face]]:
        face = Face(box=np.array([16, 16, 80, 80]), landmarks=template(64) + 16, score=0.9)
        crowd = [replace(face, landmarks=face.landmarks + i % 5, score=0.9 - i / 100) for i in range(20)]
        return [crowd for _ in as_pictures(images)]


def test_a_crowd_comes_out_as_few_faces_do(tmp_path, tiny_net, monkeypatch):
    source = save(tmp_path / "in" / "a.png").parent
    save(source / "b.png", pixels(1))
    restorer = FaceRestorer(tiny_net, CrowdDetector())

    def results(out: Path) -> dict[str, bytes]:
        config = BatchConfig(out=out, save_crops=True)
        outcomes = list(restore_files(find_jobs([source], out)[0], restorer, config))
        assert [outcome.message for outcome in outcomes] == ["20 faces restored"] * 2
        return {name: (out / name).read_bytes() for name in files_below(out) if name.endswith((".png", ".json"))}

    crowd = results(tmp_path / "crowd")
    monkeypatch.setattr(batch, "CROWD", 100)
    assert len(crowd) == 2 * (1 + 1 + 2 * 20)
    assert crowd == results(tmp_path / "few")
