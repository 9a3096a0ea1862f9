"""Films in and out, made here with PyAV: small, of every kind that goes wrong elsewhere."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from codeformer_core import Face, FaceRestorer, RestoreConfig
from codeformer_core.detection.detector import as_pictures
from codeformer_core.detection.faces import FaceSelection
from codeformer_core.film.fingerprint import file_stamp, weights_of
from codeformer_core.film.frames import Colours, Turn, to_frame, to_picture, with_changes
from codeformer_core.film.job import FilmConfig, FilmJob, restore_film
from codeformer_core.film.pyav import FilmError
from codeformer_core.film.reading import Damage, Film
from codeformer_core.pasting.alignment import template

av = pytest.importorskip("av")
SIZE = (112, 96)  # height, width
TICK = Fraction(1, 12800)
CONFIG = RestoreConfig(min_confidence=0)


class MiddleDetector:
    """One face at the same place of every picture that is not dark."""

    def detect(self, images, config=None) -> list[list[Face]]:
        face = Face(box=np.array([16, 16, 80, 80]), landmarks=template(64) + 16, score=0.98)
        return [[face] if picture.max() > 20 else [] for picture in as_pictures(images)]


def picture(i: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    blocks = np.random.default_rng(0).integers(60, 200, (-(-size[0] // 8), -(-size[1] // 8), 3), dtype=np.uint8)
    return np.roll(np.kron(blocks, np.ones((8, 8, 1), np.uint8))[: size[0], : size[1]], i, 1)


def make(
    path: Path,
    frames: int = 12,
    *,
    codec: str = "libx264",
    format: str = "yuv420p",
    size: tuple[int, int] = SIZE,
    uneven: bool = False,
    audio: bool = False,
    subtitles: bool = False,
    colours: Colours | None = None,
    dark: bool = False,
    **tags: str,
) -> Path:
    """A film whose frames show blocks that move."""
    with av.open(str(path), "w") as film:
        film.metadata.update(tags)
        video = film.add_stream(codec, rate=25, width=size[1], height=size[0], pix_fmt=format)
        video.codec_context.time_base = video.time_base = TICK
        told = colours or Colours(matrix=1, range=1, primaries=1, transfer=1)
        context = video.codec_context
        context.colorspace, context.color_range = told.matrix, told.range
        context.color_primaries, context.color_trc = told.primaries, told.transfer
        sound = film.add_stream("aac", rate=44100) if audio else None
        text = film.add_mux_stream("mov_text", time_base=Fraction(1, 1000)) if subtitles else None
        pts = 0
        for i in range(frames):
            frame = to_frame(picture(i, size) * (not dark), format, told)
            frame.pts, frame.time_base = pts, TICK
            pts += 1300 if uneven and i % 3 == 0 else 512
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
        noise = np.random.default_rng(1)
        for i in range(20 if sound else 0):
            samples = noise.normal(0, 0.1, (2, 1024)).astype(np.float32)
            part = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            part.rate, part.pts, part.time_base = 44100, i * 1024, Fraction(1, 44100)
            film.mux(sound.encode(part))  # pyright: ignore[reportOptionalMemberAccess]
        if sound:
            film.mux(sound.encode(None))
        if text:
            packet = av.Packet(b"\x00\x05hello")
            packet.stream, packet.time_base, packet.pts, packet.dts = text, Fraction(1, 1000), 40, 40
            packet.duration = 200
            film.mux(packet)
    return path


def turned(path: Path) -> Path:
    """A film that says that it is to be turned a quarter clockwise, as phones write it."""
    data = make(path).read_bytes()
    straight = np.array([65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30], ">i4").tobytes()
    turn = np.array([0, 65536, 0, -65536, 0, 0, SIZE[0] * 65536, 0, 1 << 30], ">i4").tobytes()
    at = data.index(straight, data.index(b"tkhd"))
    path.write_bytes(data[:at] + turn + data[at + 36 :])
    return path


@pytest.fixture
def restorer(tiny_net) -> FaceRestorer:
    return FaceRestorer(tiny_net, MiddleDetector(), CONFIG)


def frames(path: Path) -> list[Any]:
    with av.open(str(path)) as film:
        return list(film.decode(video=0))


def packets(path: Path, kind: str) -> list[tuple[Any, ...]]:
    with av.open(str(path)) as film:
        streams = [stream for stream in film.streams if stream.type == kind]
        there = [(p.pts, p.dts, p.duration, bytes(p)) for p in film.demux(streams) if p.size] if streams else []
    return [packet for packet in there if packet[-1] != b"\0\0"]  # MP4 fills pauses between subtitles with empty ones


def pictures(path: Path) -> list[np.ndarray]:
    return [frame.picture for frame in Film(path).frames()]


def test_times_colours_sound_text_and_tags_are_kept(tmp_path, restorer):
    told = Colours(matrix=5, range=2, primaries=5, transfer=6)
    source = make(tmp_path / "a.mp4", uneven=True, audio=True, subtitles=True, colours=told, title="Holiday")
    target = tmp_path / "out.mp4"
    stages: dict[str, int] = {}
    report = restore_film(
        source,
        target,
        restorer,
        FilmConfig(segment_frames=5),
        progress=lambda stage, n, total: stages.update({stage: n}),
    )
    assert [(f.pts, f.time_base) for f in frames(target)] == [(f.pts, f.time_base) for f in frames(source)]
    assert Colours.of(frames(target)[0]) == told
    for kind in ("audio", "subtitle"):
        assert packets(target, kind) == packets(source, kind) != []
    with av.open(str(target)) as film:
        assert film.metadata["title"] == "Holiday"
    assert stages == {"find": 12, "restore": 12, "write": 12}
    (track,) = report.tracks
    assert (track.first, track.last, track.faces, track.restored) == (0, 11, 12, 12)
    assert (report.frames, report.codec, list(report.lost), list(report.damage)) == (12, "h264", [], [])
    before, after = pictures(source)[3].astype(int), pictures(target)[3].astype(int)
    assert np.abs(before - after)[20:76, 20:76].mean() > 10
    assert np.abs(before - after)[88:].mean() < 3
    assert not list(tmp_path.glob(".*"))


def test_what_did_not_change_is_lossless_where_the_codec_is(tmp_path, restorer):
    for format in ("yuv420p", "yuv420p10le", "yuva420p", "bgr0"):
        source, target = make(tmp_path / f"{format}.mkv", 3, codec="ffv1", format=format), tmp_path / "out.mkv"
        restore_film(source, target, restorer)
        for old, new in zip(frames(source), frames(target), strict=True):
            assert new.format.name == old.format.name == format
            changed = (to_picture(old, Colours.of(old)) != to_picture(new, Colours.of(new))).any(-1)
            assert changed[30:60, 30:60].any()
            assert not changed[84:].any()
            assert not changed[:, 84:].any()


def test_ten_bits_stay_ten(tmp_path, restorer):
    source, target = make(tmp_path / "a.mp4", 5, format="yuv420p10le"), tmp_path / "out.mp4"
    restore_film(source, target, restorer)
    assert frames(target)[0].format.name == "yuv420p10le"
    assert pictures(target)[0].dtype == np.uint16


def test_a_turned_film_is_restored_upright_and_keeps_its_mark(tmp_path, restorer):
    source, target = turned(tmp_path / "a.mp4"), tmp_path / "out.mp4"
    film = Film(source)
    assert (film.size, film.coded_size, frames(source)[0].rotation) == (SIZE[::-1], SIZE, -90)
    with pytest.MonkeyPatch.context() as patch:
        seen = []
        patch.setattr(restorer.detector, "detect", lambda images: seen.extend(images) or [[] for _ in images])
        restore_film(source, target, restorer)
    assert {image.shape[:2] for image in seen} == {SIZE[::-1]}
    assert (
        np.abs(seen[0].astype(int) - np.rot90(pictures(make(tmp_path / "straight.mp4"))[0].astype(int), -1)).mean() < 1
    )
    assert frames(target)[0].rotation == -90
    assert np.abs(pictures(target)[0].astype(int) - seen[0]).mean() < 3
    upright = tmp_path / "upright.mp4"
    report = restore_film(source, upright, restorer, FilmConfig(codec="vp9"))
    assert frames(upright)[0].rotation == 0
    assert np.abs(pictures(upright)[0].astype(int) - seen[0])[84:].mean() < 6
    assert any("upright" in what for what in report.lost)


def test_every_turn_is_undone():
    image = np.arange(24).reshape(4, 6)
    for bits in range(8):
        turn = Turn(swapped=bool(bits & 1), mirrored=bool(bits & 2), flipped=bool(bits & 4))
        assert np.array_equal(turn.undo(turn(image)), image)


def test_odd_sides_grow_by_a_pixel_where_the_codec_wants_it(tmp_path, restorer):
    source = make(tmp_path / "a.mkv", 3, codec="ffv1", size=(97, 99))
    same, grown = tmp_path / "same.mkv", tmp_path / "grown.mp4"
    assert restore_film(source, same, restorer).lost == []
    report = restore_film(source, grown, restorer, FilmConfig(codec="h264"))
    assert any("even sides" in what for what in report.lost)
    assert [(f.height, f.width) for f in (frames(same)[0], frames(grown)[0])] == [(97, 99), (98, 100)]


def test_upscaling_and_another_codec(tmp_path, tiny_net):
    restorer = FaceRestorer(tiny_net, MiddleDetector(), RestoreConfig(upscale=2, min_confidence=0))
    report = restore_film(make(tmp_path / "a.mp4", 3), tmp_path / "out.webm", restorer, FilmConfig(codec="vp9", crf=30))
    assert report.size == (224, 192)
    assert (frames(tmp_path / "out.webm")[0].height, report.crf) == (224, 30)
    with pytest.raises(FilmError, match=r"name it \.mkv"):
        FilmJob(tmp_path / "a.mp4", tmp_path / "b.webm", restorer)
    with pytest.raises(ValueError, match="use one of h264"):
        FilmJob(tmp_path / "a.mp4", tmp_path / "b.mp4", restorer, FilmConfig(codec="divx"))
    with pytest.raises(ValueError, match=r"0 \(best\) to 51"):
        FilmJob(tmp_path / "a.mp4", tmp_path / "b.mp4", restorer, FilmConfig(crf=60))


def test_what_is_no_film_is_one_line(tmp_path, restorer):
    text, sound, empty = tmp_path / "text.mp4", tmp_path / "sound.mp4", tmp_path / "empty.mp4"
    text.write_text("no film")
    empty.touch()
    with av.open(str(sound), "w") as film:
        stream = film.add_stream("aac", rate=44100)
        part = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        part.rate = 44100
        film.mux(stream.encode(part))
        film.mux(stream.encode(None))
    for path, reason in ((text, "no film"), (empty, "no film"), (sound, "no video, but audio")):
        with pytest.raises(FilmError, match=reason) as info:
            restore_film(path, tmp_path / "out.mp4", restorer)
        assert str(path) in str(info.value)
    assert {path.name for path in tmp_path.iterdir()} == {"text.mp4", "sound.mp4", "empty.mp4"}


def test_of_a_damaged_film_the_rest_is_restored(tmp_path, restorer):
    source = make(tmp_path / "a.mkv", 30, audio=True)
    data = bytearray(source.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 600] = bytes(600)
    source.write_bytes(data[: len(data) * 9 // 10])
    damage = Damage()
    left = len(list(Film(source).frames(damage)))
    report = restore_film(source, tmp_path / "out.mkv", restorer)
    assert 0 < left == report.frames == len(frames(tmp_path / "out.mkv"))
    assert list(report.damage) == damage.in_words()


def test_a_film_without_faces_or_sound(tmp_path, restorer):
    report = restore_film(make(tmp_path / "a.mp4", dark=True), tmp_path / "out.mp4", restorer)
    assert (list(report.tracks), report.restored, report.frames) == ([], 0, 12)


# With ffv1, since x264 itself does not code the same frames to the same bytes every time.
def film_of(path: Path) -> list[Any]:
    return packets(path, "video") + packets(path, "audio")


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_film_that_was_cut_off_is_said_to_be(tmp_path, restorer, name):
    source = make(tmp_path / name, 40)
    if name == "a.mp4":  # what it says of itself must come first
        whole = source.rename(tmp_path / "whole.mp4")
        with av.open(str(whole)) as film, av.open(str(source), "w", options={"movflags": "faststart"}) as copy:
            stream = copy.add_stream_from_template(film.streams.video[0])
            for packet in film.demux(film.streams.video[0]):
                if packet.size:
                    packet.stream = stream
                    copy.mux(packet)
    assert restore_film(source, tmp_path / "out.mkv", restorer).damage == []
    content = source.read_bytes()
    source.write_bytes(content[: len(content) * 4 // 5])
    done = restore_film(source, tmp_path / "again.mkv", restorer)
    assert 5 < done.frames < 38
    assert any(re.fullmatch(r"it ends after \d\.\d of the 1\.6 seconds that it says", said) for said in done.damage)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(FilmError, match=r"a\.mp4: is no ordinary file"):
        Film(tmp_path / "a.mp4")


@pytest.mark.parametrize("stage", ["find", "restore", "write"])
def test_a_stopped_job_goes_on_to_the_same_film(tmp_path, restorer, stage):
    source = make(tmp_path / "a.mp4", 20, audio=True)
    config = FilmConfig(segment_frames=6, codec="ffv1")
    restore_film(source, tmp_path / "whole.mkv", restorer, config)
    target = tmp_path / "out.mkv"

    def stop(at: str, done: int, total: int) -> None:
        if at == stage and done >= 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_film(source, target, restorer, config, progress=stop)
    assert not target.exists()
    seen: list[str] = []
    restore_film(source, target, restorer, config, progress=lambda at, done, total: seen.append(at))
    assert film_of(target) == film_of(tmp_path / "whole.mkv")
    if stage == "restore":
        assert seen.count("restore") == 1 + 8  # two of four segments were there
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "whole.mkv", "out.mkv"}


def test_another_setting_begins_anew(tmp_path, tiny_net, restorer):
    source, target = make(tmp_path / "a.mp4"), tmp_path / "out.mkv"

    def run(w: float, stop: bool) -> list[Any]:
        def progress(stage: str, done: int, total: int) -> None:
            if stop and stage == "write":
                raise KeyboardInterrupt

        own = FaceRestorer(tiny_net, MiddleDetector(), RestoreConfig(w=w, min_confidence=0))
        restore_film(source, target, own, FilmConfig(segment_frames=5, codec="ffv1"), progress=progress)
        return film_of(target)

    fresh = run(1.0, False)
    target.unlink()
    with pytest.raises(KeyboardInterrupt):
        run(0.0, True)
    assert run(1.0, False) == fresh


class TwoDetector:
    """Two faces, of which now one, now the other is the larger."""

    def __init__(self):
        self.frames = 0

    def detect(self, images, config=None) -> list[list[Face]]:
        found = []
        for _ in as_pictures(images):
            sides = (40 + 8 * (self.frames % 2), 46)
            self.frames += 1
            places = [(template(64) * side / 64 + (4 + 50 * n, 20), 4 + 50 * n, side) for n, side in enumerate(sides)]
            found.append(
                [
                    Face(box=np.array([x, 20, x + side, 20 + side]), landmarks=points, score=0.98)
                    for points, x, side in places
                ]
            )
        return found


def test_of_two_people_one_is_restored_all_along(tmp_path, tiny_net):
    config = replace(CONFIG, selection=FaceSelection(only="largest"))
    source = make(tmp_path / "a.mp4", 11)
    report = restore_film(source, tmp_path / "out.mp4", FaceRestorer(tiny_net, TwoDetector(), config))
    (track,) = report.tracks
    assert (track.number, track.first, track.last, track.restored) == (0, 0, 10, 11)


KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {here!r})
    from test_films import CONFIG, FilmConfig, MiddleDetector, restore_film
    from codeformer_core import FaceRestorer, load_codeformer

    def progress(stage, done, total):
        if (stage, done) == ("restore", 14):
            os.kill(os.getpid(), signal.SIGKILL)

    restorer = FaceRestorer(load_codeformer({model!r}), MiddleDetector(), CONFIG)
    restore_film({source!r}, {target!r}, restorer, FilmConfig(segment_frames=6, codec="ffv1"), progress=progress)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_killed_job_goes_on_to_the_same_film(tmp_path, tiny_net, tiny_config):
    from codeformer_core import load_codeformer
    from codeformer_core.weights.checkpoint import save_checkpoint

    model, source, target = tmp_path / "m.safetensors", make(tmp_path / "a.mp4", 20), tmp_path / "out.mkv"
    save_checkpoint(model, tiny_net.state_dict(), tiny_config)
    restorer = FaceRestorer(load_codeformer(model), MiddleDetector(), CONFIG)
    config = FilmConfig(segment_frames=6, codec="ffv1")
    restore_film(source, tmp_path / "whole.mkv", restorer, config)
    here = str(Path(__file__).parent)
    program = textwrap.dedent(KILLED).format(here=here, model=str(model), source=str(source), target=str(target))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not target.exists()
    seen: list[str] = []
    restore_film(source, target, restorer, config, progress=lambda at, done, total: seen.append(at))
    assert (seen.count("find"), seen.count("restore")) == (0, 9)
    assert film_of(target) == film_of(tmp_path / "whole.mkv")


def test_samples_that_did_not_change_are_the_decoded_ones():
    colours = Colours(matrix=1, range=1, primaries=1, transfer=1)
    frame = to_frame(picture(0), "yuv420p", colours)
    before = to_picture(frame, colours)
    assert with_changes(frame, before, before, "yuv420p", colours) is frame
    after = before.copy()
    after[40:60, 30:50] = 255 - after[40:60, 30:50]
    made = with_changes(frame, before, after, "yuv420p", colours)
    for old, new in zip(frame.planes, made.planes, strict=True):
        changed = np.frombuffer(bytes(old), np.uint8) != np.frombuffer(bytes(new), np.uint8)
        assert 0 < changed.mean() < 0.1


def test_what_a_detector_of_opencv_computes_with_is_its_file(tmp_path):
    """Its network has no numbers to look at, and another address in each process."""
    (tmp_path / "a.onnx").write_bytes(b"weights")
    detector = SimpleNamespace(net=object(), path=tmp_path / "a.onnx")
    assert weights_of(detector) == file_stamp(tmp_path / "a.onnx")
    assert weights_of(MiddleDetector()) is None
