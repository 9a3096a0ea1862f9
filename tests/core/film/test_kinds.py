"""Films of every kind that FFmpeg writes, through a whole job of a few frames."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codeformer_core import Face, FaceRestorer, RestoreConfig
from codeformer_core.detection.detector import as_pictures
from codeformer_core.film.encoding import output_codec, output_suffix
from codeformer_core.film.frames import Colours, to_frame
from codeformer_core.film.job import FilmConfig, restore_film
from codeformer_core.film.reading import Film
from codeformer_core.film.report import FilmReport
from codeformer_core.pasting.alignment import template

av = pytest.importorskip("av")
SIZE = (96, 128)
SAID = Colours(matrix=1, range=1, primaries=1, transfer=1)


class Seen:
    """Gives, frame by frame, faces at the given corners."""

    def __init__(self, corners: list[list[tuple[int, int]]]):
        self.corners = iter(corners)

    def detect(self, images, config=None) -> list[list[Face]]:
        return [[face_at(*corner) for corner in next(self.corners, [])] for _ in as_pictures(images)]


def face_at(x: int, y: int) -> Face:
    return Face(box=np.array([x, y, x + 48, y + 48]), landmarks=template(48) + np.array([x, y]), score=0.98)


def picture(i: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    blocks = np.random.default_rng(0).integers(60, 200, (-(-size[0] // 8), -(-size[1] // 8), 3), dtype=np.uint8)
    return np.roll(np.kron(blocks, np.ones((8, 8, 1), np.uint8))[: size[0], : size[1]], i, 1)


def add_video(film: Any, codec: str, format: str = "yuv420p", size: tuple[int, int] = SIZE, **options: Any) -> Any:
    video = film.add_stream(codec, rate=25, width=size[1], height=size[0], pix_fmt=format, options=options)
    context = video.codec_context
    context.colorspace, context.color_range = SAID.matrix, SAID.range
    return video


def fill(film: Any, video: Any, frames: int = 4, format: str = "yuv420p", size: tuple[int, int] = SIZE) -> None:
    for i in range(frames):
        film.mux(video.encode(to_frame(picture(i, size), format, SAID)))
    film.mux(video.encode(None))


def make(path: Path, codec: str = "libx264", format: str = "yuv420p", frames: int = 4, **options: Any) -> Path:
    with av.open(str(path), "w") as film:
        fill(film, add_video(film, codec, format, **options), frames, format)
    return path


def restore(source: Path, tiny_net: Any, frames: int = 4, corners=None, **config: Any) -> tuple[Path, FilmReport]:
    """Restored as the command line names and codes it."""
    film = Film(source)
    target = source.with_name("out") / source.with_suffix(output_suffix(film, output_codec(film, None))).name
    seen = Seen(corners or [[(40, 24)]] * frames)
    restorer = FaceRestorer(tiny_net, seen, RestoreConfig(min_confidence=0))
    return target, restore_film(source, target, restorer, FilmConfig(**config))


def streams(path: Path) -> list[tuple[str, str]]:
    with av.open(str(path)) as film:
        return [(stream.type, stream.codec_context.name) for stream in film.streams if stream.codec_context]


def packets(path: Path, index: int) -> list[bytes]:
    with av.open(str(path)) as film:
        return [bytes(packet) for packet in film.demux(film.streams[index]) if packet.size]


@pytest.mark.parametrize(
    ("name", "codec", "format", "result", "written"),
    [
        ("a.ts", "libx264", "yuv420p", "a.ts", "h264"),
        ("a.ts", "mpeg2video", "yuv420p", "a.ts", "h264"),
        ("a.avi", "mpeg4", "yuv420p", "a.mkv", "h264"),
        ("a.avi", "libx264", "yuv420p", "a.mkv", "h264"),
        ("a.webm", "libvpx", "yuv420p", "a.webm", "vp8"),
        ("a.webm", "libvpx-vp9", "yuv420p", "a.webm", "vp9"),
        ("a.mkv", "libsvtav1", "yuv420p", "a.mkv", "av1"),
        ("a.mp4", "libx265", "yuv420p", "a.mp4", "hevc"),
        ("a.mov", "prores_ks", "yuv422p10le", "a.mov", "prores"),
    ],
)
def test_containers_and_codecs(tmp_path, tiny_net, name, codec, format, result, written):
    source = make(tmp_path / name, codec, format)
    target, report = restore(source, tiny_net)
    assert (target.name, report.codec, report.frames, report.restored, list(report.damage)) == (
        result,
        written,
        4,
        4,
        [],
    )
    with av.open(str(target)) as new, av.open(str(source)) as old:
        times = [[f.time for f in film.decode(video=0)] for film in (new, old)]
    assert len(times[0]) == 4
    assert (np.diff(times[0]) > 0).all()
    if sorted(times[1]) == times[1]:  # not of AVI with reordered frames
        assert np.allclose(np.diff(times[0]), np.diff(times[1]), atol=0.002)


def test_one_frame(tmp_path, tiny_net):
    target, report = restore(make(tmp_path / "a.mp4", frames=1), tiny_net, 1)
    assert (report.frames, report.restored, len(list(Film(target).frames()))) == (1, 1, 1)


def test_lost_transparency_is_said(tmp_path, tiny_net):
    with av.open(str(tmp_path / "a.webm"), "w") as film:
        video = add_video(film, "libvpx-vp9")
        video.metadata["alpha_mode"] = "1"
        fill(film, video)
    target, report = restore(tmp_path / "a.webm", tiny_net)
    assert any("transparency" in what for what in report.lost)
    with av.open(str(target)) as film:
        assert "alpha_mode" not in {key.lower() for key in film.streams.video[0].metadata}


def test_the_best_of_two_videos_is_restored_and_the_other_copied(tmp_path, tiny_net):
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as film:
        small, large = add_video(film, "libx264", size=(48, 64)), add_video(film, "libx264")
        for i in range(4):
            for video, size in ((small, (48, 64)), (large, SIZE)):
                film.mux(video.encode(to_frame(picture(i, size), "yuv420p", SAID)))
        for video in (small, large):
            film.mux(video.encode(None))
    target, report = restore(source, tiny_net)
    restored, other = (Film(source).stream, 1 - Film(source).stream)
    assert report.restored == 4
    assert len(streams(target)) == 2
    with av.open(str(target)) as film:
        sizes = {(stream.height, stream.width): stream.index for stream in film.streams.video}
    old = {(48, 64): 0, SIZE: 1}
    kept = next(size for size, index in old.items() if index == other)
    assert packets(target, sizes[kept]) == packets(source, other)
    changed = next(size for size, index in old.items() if index == restored)
    assert packets(target, sizes[changed]) != packets(source, restored)


def test_covers_and_chapters_are_kept(tmp_path, tiny_net):
    source = tmp_path / "a.mp4"
    with av.open(str(source), "w") as film:
        video = add_video(film, "libx264")
        cover = film.add_stream("mjpeg", rate=1, width=32, height=32, pix_fmt="yuvj420p")
        cover.disposition = av.stream.Disposition.attached_pic
        film.set_chapters(
            [{"id": 1, "start": 0, "end": 80, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
        )
        jpeg = cover.encode(
            to_frame(picture(0, (32, 32)), "yuvj420p", Colours(matrix=5, range=2, primaries=2, transfer=2))
        )
        film.mux([*jpeg, *cover.encode(None)])
        fill(film, video)
    target, report = restore(source, tiny_net)
    assert (report.frames, report.restored, list(report.lost)) == (4, 4, [])
    with av.open(str(source)) as old, av.open(str(target)) as new:
        (kept,) = (s for s in new.streams.video if s.disposition & av.stream.Disposition.attached_pic)
        (was,) = (s for s in old.streams.video if s.disposition & av.stream.Disposition.attached_pic)
        assert [c["metadata"]["title"] for c in new.chapters()] == ["One"]
        new_index, old_index = kept.index, was.index
    assert packets(target, new_index) == packets(source, old_index) != []


def test_sound_without_length(tmp_path, tiny_net):
    for name in ("a.mp4", "a.mkv"):
        with av.open(str(tmp_path / name), "w") as film:
            video = add_video(film, "libx264")
            film.add_stream("aac", rate=44100)
            fill(film, video)
        target, report = restore(tmp_path / name, tiny_net)
        assert (report.frames, report.restored, list(report.damage)) == (4, 4, [])
        assert len(list(Film(target).frames())) == 4


def test_frames_of_another_size_are_scaled_and_said(tmp_path, tiny_net):
    parts = []
    for name, size in (("a.ts", SIZE), ("b.ts", (48, 64))):
        with av.open(str(tmp_path / name), "w") as film:
            fill(film, add_video(film, "libx264", size=size), size=size)
        parts.append((tmp_path / name).read_bytes())
    (tmp_path / "a.ts").write_bytes(b"".join(parts))
    target, report = restore(tmp_path / "a.ts", tiny_net, 8)
    assert report.frames == 8
    assert any("4 frames were of another size" in what for what in report.damage)
    assert {frame.picture.shape[:2] for frame in Film(target).frames()} == {SIZE}


def test_interlaced_frames_are_said(tmp_path, tiny_net):
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as film:
        video = add_video(film, "libx264", **dict[str, Any]({"x264-params": "interlaced=1"}))
        video.codec_context.flags |= int(av.codec.context.Flags.interlaced_dct)
        fill(film, video)
    assert Film(source).interlaced
    assert any("interlaced" in what for what in restore(source, tiny_net)[1].lost)


def test_hdr_keeps_its_marks_and_bits(tmp_path, tiny_net):
    told = Colours(matrix=9, range=1, primaries=9, transfer=16)  # BT.2020 and PQ
    with av.open(str(tmp_path / "a.mp4"), "w") as film:
        video = add_video(film, "libx265", "yuv420p10le", **dict[str, Any]({"x265-params": "log-level=error"}))
        context = video.codec_context
        context.colorspace, context.color_primaries, context.color_trc = told.matrix, told.primaries, told.transfer
        for i in range(4):
            frame = to_frame(picture(i), "yuv420p10le", told)
            frame.color_primaries, frame.color_trc = told.primaries, told.transfer
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
    assert Film(tmp_path / "a.mp4").colours == told
    target, report = restore(tmp_path / "a.mp4", tiny_net)
    assert (Film(target).colours, Film(target).format.name, list(report.lost)) == (told, "yuv420p10le", [])


def test_what_hdr_says_of_its_screen_is_said_to_be_left_out(tmp_path, tiny_net):
    screen = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
    told: dict[str, Any] = {"x265-params": f"log-level=error:hdr10=1:{screen}"}
    source = make(tmp_path / "a.mkv", "libx265", "yuv420p10le", **told)
    assert [what for what in restore(source, tiny_net)[1].lost if "mastering display" in what]


def test_two_people_who_cross_keep_their_tracks_or_begin_new_ones(tmp_path, tiny_net):
    source = make(tmp_path / "a.mp4", frames=20)
    corners = [[(4 * i, 8), (76 - 4 * i, 40)] for i in range(20)]
    _, report = restore(source, tiny_net, corners=corners)
    assert report.restored == 40
    assert [(track.first, track.last) for track in report.tracks] == [(0, 19), (0, 19)]


def test_a_frame_without_a_face_amid_a_track(tmp_path, tiny_net):
    source = make(tmp_path / "a.mp4", frames=9)
    corners = [[] if i == 4 else [(40, 24)] for i in range(9)]
    _, report = restore(source, tiny_net, corners=corners)
    (track,) = report.tracks
    assert (track.first, track.last, track.faces, track.restored) == (0, 8, 9, 9)
