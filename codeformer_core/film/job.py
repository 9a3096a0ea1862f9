"""A film's job: find and track its faces, restore them in segments, write the film; it goes on where it was stopped."""

import json
import math
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock, Timeout

from ..detection.faces import Face, FaceSelection, select_faces
from ..overlap import AT_ONCE, Behind
from ..restoration import AlignedFace
from ..restorer import FaceRestorer
from ..whole_files import whole_file
from .encoding import open_encoder, plan_encoding
from .fingerprint import file_stamp, fingerprint, weights_of
from .frames import with_changes
from .pyav import FilmError, pyav
from .reading import Damage, Film, FilmFrame
from .report import FilmReport, TrackSums, joined
from .scenes import SceneCuts
from .segments import Packets, Segments, encode_segment, faces_from_json, faces_to_json, packets_of
from .steady import SteadyConfig, SteadyFaces
from .tracks import TrackConfig, select_tracked, track_faces
from .writing import check_target, write_film

Stage = Literal["find", "restore", "write"]
Progress = Callable[[Stage, int, int], None]
FRAMES_AT_ONCE, PIXELS_AT_ONCE = 16, 16_000_000  # that are held in memory together
LONGEST_SCENE = 5000  # frames; a longer one is tracked in parts, which bounds the memory


@dataclass(frozen=True, kw_only=True)
class FilmConfig:
    """How a film is read and written around the restoration of its faces."""

    codec: str | None = None  # of the result (`encoding.CODECS`); None: the film's own, or h264
    crf: int | None = None  # quality, 0 is the best; None: the codec's usual one here
    tracks: TrackConfig = field(default_factory=TrackConfig)
    steady: SteadyConfig = field(default_factory=SteadyConfig)
    limit: np.ndarray | None = None  # (h, w): where frames may change (see `pasting.paste.paste_faces`)
    strip_metadata: bool = False  # the result has no tags, chapters, covers, data or attachments; languages stay
    segment_frames: int = 100  # that a job which is killed does again at most

    def __post_init__(self):
        if self.segment_frames < 1:
            raise ValueError(f"segment_frames is at least 1, got {self.segment_frames}")


def restore_film(
    source: str | Path,
    target: str | Path,
    restorer: FaceRestorer,
    config: FilmConfig | None = None,
    *,
    progress: Progress | None = None,
    work_dir: str | Path | None = None,
) -> FilmReport:
    """Restore the faces of a film, whole or not at all; memory does not grow with its length.

    `progress(stage, done, total)` counts the frames of each of the stages find, restore, write (total 0: not known),
    and may raise to stop. What is done by then is kept in a folder beside the target (or in `work_dir`), and the same
    call goes on from there; with another source, model or config it begins anew. FilmError for what is no film.
    """
    job = FilmJob(source, target, restorer, config, work_dir=work_dir)
    report = job.run(progress)
    job.forget()
    return report


class FilmJob:
    """The work on one film, kept in a folder; `run` as often as need be, then `forget`."""

    def __init__(
        self,
        source: str | Path,
        target: str | Path,
        restorer: FaceRestorer,
        config: FilmConfig | None = None,
        *,
        work_dir: str | Path | None = None,
    ):
        self.target, self.restorer, self.config = Path(target), restorer, config or FilmConfig()
        self.film = Film(source)
        self.encoding = plan_encoding(
            self.film, codec=self.config.codec, crf=self.config.crf, upscale=restorer.config.upscale
        )
        check_target(self.target, self.encoding.codec)
        open_encoder(self.encoding)  # before the search, so that what it does not take is found out at once
        limit = self.config.limit
        if limit is not None and limit.shape != self.film.size:
            height, width = self.film.size
            raise FilmError(f"{source}: its mask must be {width} x {height} pixels, got {limit.shape[::-1]}")
        self.folder = Path(work_dir or self.target.parent) / f".{self.target.name}.job"
        self.found, self.coded = Segments(self.folder / "found"), Segments(self.folder / "coded")

    def run(self, progress: Progress | None = None) -> FilmReport:
        """Do what is not done yet, and write the film; see `restore_film`."""
        progress = progress or (lambda *_: None)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / "lock", timeout=0):
                self._begin()
                frames, damage = self._find(progress)
                self._restore(frames, progress)
                return self._write(frames, damage, progress)
        except Timeout as error:
            raise FilmError(f"{self.target}: is being written by another run; wait for it, or end it") from error

    def forget(self) -> None:
        """Remove the folder of the job."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _begin(self) -> None:
        """Make the folder this job's: what another source, model or config left in it is removed."""
        detector, parser = self.restorer.detector, self.restorer.parser
        depends = {
            "source": file_stamp(self.film.path),
            "film": self.config,
            "encoding": self.encoding,
            "restoration": replace(self.restorer.config, batch_size=1),  # the result does not depend on it
            "detection": [type(detector).__name__, getattr(detector, "config", None)],
            "networks": {
                "codeformer": self.restorer.net,
                "detector": weights_of(detector),
                "parser": weights_of(parser),
            },
            "pyav": pyav().__version__,
        }
        wanted = json.loads(json.dumps(fingerprint(depends)))
        said = self.folder / "job.json"
        if not said.is_file() or json.loads(said.read_text(encoding="utf-8")) != wanted:
            for old in (self.found.folder, self.coded.folder):
                shutil.rmtree(old, ignore_errors=True)
            (self.folder / "whole.json").unlink(missing_ok=True)
            _save(said, wanted)

    def _find(self, progress: Progress) -> tuple[int, Damage]:
        """The first pass: the faces of all frames, segment by segment; how many frames there are, what was wrong."""
        whole = self.folder / "whole.json"
        if whole.is_file():
            said = json.loads(whole.read_text(encoding="utf-8"))
            return said["frames"], Damage(**said["damage"])
        damage, cuts = Damage(), SceneCuts()
        expected, done = self.film.expected_frames, 0
        frames = self.film.frames(damage)
        for number in range(len(self.found)):  # the cuts depend on the frames before
            for frame in islice(frames, self.found.read(number)["frames"]):
                cuts(_in_bytes(frame.picture))
                done += 1
                progress("find", done, expected)
        while True:
            faces: list[list[Face]] = []
            begins: list[int] = []
            for batch in _batches(islice(frames, self.config.segment_frames)):
                begins += [frame.index for frame in batch if cuts(_in_bytes(frame.picture))]
                faces += self._detect([frame.picture for frame in batch])
                done += len(batch)
                progress("find", done, max(expected, done))
            if not faces:
                break
            said = {"frames": len(faces), "scenes": begins, "faces": [faces_to_json(found) for found in faces]}
            self.found.write(len(self.found), said)
        _save(whole, {"frames": done, "damage": asdict(damage)})
        return done, damage

    def _detect(self, pictures: list[np.ndarray]) -> list[list[Face]]:
        """All faces that can be aligned; which of them are restored is chosen by their tracks."""
        if self.restorer.detector is None:
            raise ValueError("the faces of a film are found by a detector: give the restorer one")
        usable = FaceSelection(min_eye_distance=self.restorer.config.selection.min_eye_distance)
        found = self.restorer.detector.detect(pictures)
        return [select_faces(faces, self.film.size, usable) for faces in found]

    def _tracked(self) -> Iterator[list[Face]]:
        """The chosen faces of each frame with their tracks, found scene by scene."""
        scene: list[list[Face]] = []
        start = first_track = 0

        def chosen_of_scene() -> Iterator[list[Face]]:
            nonlocal start, first_track
            tracked = track_faces(scene, self.config.tracks, first_frame=start)
            chosen = select_tracked(tracked, self.film.size, self.restorer.config.selection)
            numbers: dict[int | None, int] = {}  # of the chosen tracks alone, in order of appearance
            for faces in chosen:
                for face in faces:
                    numbers.setdefault(face.track, first_track + len(numbers))
            first_track += len(numbers)
            yield from [[replace(face, track=numbers[face.track]) for face in faces] for faces in chosen]
            start += len(scene)
            scene.clear()

        for said in self.found:
            begins, first = set(said["scenes"]), start + len(scene)
            for i, faces in enumerate(said["faces"], first):
                if i in begins or len(scene) == LONGEST_SCENE:
                    yield from chosen_of_scene()
                scene.append(faces_from_json(faces))
        yield from chosen_of_scene()

    def _restore(self, total: int, progress: Progress) -> None:
        """The second pass: faces restored, put back and coded, segment by segment."""
        steady = SteadyFaces(self.restorer, self.config.steady)
        done = len(self.coded)
        at = min(done * self.config.segment_frames, total)
        progress("restore", at, total)
        if at == total:
            return
        if done:
            with np.load(self._path(done - 1, ".npz")) as state:
                steady.load_state(dict(state))
        both = islice(zip(self.film.frames(), self._tracked(), strict=False), at, None)
        for number in range(done, -(-total // self.config.segment_frames)):
            encoder, sums = open_encoder(self.encoding), TrackSums()

            def counted(frames: Iterable[Any]) -> Iterator[Any]:
                nonlocal at
                for frame in frames:
                    at += 1
                    progress("restore", at, total)
                    yield frame

            with closing(self._restored(islice(both, self.config.segment_frames), steady, sums)) as frames:
                said = encode_segment(self._path(number, ".packets"), encoder, counted(frames))
            with whole_file(self._path(number, ".npz")) as unfinished, unfinished.open("wb") as file:
                np.savez(file, **steady.state())  # pyright: ignore[reportArgumentType]
            self.coded.write(number, {**said, "tracks": sums.to_json()})

    def _restored(
        self, frames: Iterator[tuple[FilmFrame, list[Face]]], steady: SteadyFaces, sums: TrackSums
    ) -> Generator[Any, None, None]:
        """The frames of a segment as the encoder takes them, pasted in threads of their own while the network works."""
        pixels = math.prod(self.film.size) * self.restorer.config.upscale**2
        with Behind[Any](min(AT_ONCE, PIXELS_AT_ONCE // pixels)) as pasting:
            while batch := self._batch(frames):
                restored = iter(steady.restore([face for _, aligned in batch for face in aligned]))
                for frame, aligned in batch:
                    faces = list(islice(restored, len(aligned)))
                    for face in faces:
                        sums.add(face)
                    yield from pasting.finish(self._pasted, frame, faces)
            yield from pasting.rest()

    def _batch(self, frames: Iterator[tuple[FilmFrame, list[Face]]]) -> list[tuple[FilmFrame, list[AlignedFace]]]:
        """The next frames, with their faces aligned, until these fill a network batch; none at the end."""
        batch: list[tuple[FilmFrame, list[AlignedFace]]] = []
        for frame, faces in frames:
            batch.append((frame, self.restorer.align(frame.picture, faces)))
            faces_at_hand = sum(len(aligned) for _, aligned in batch)
            if faces_at_hand >= self.restorer.config.batch_size or _is_full([frame for frame, _ in batch]):
                break
        return batch

    def _pasted(self, frame: FilmFrame, faces: list[AlignedFace]) -> Any:
        """A frame with its restored faces, as the encoder takes it."""
        film, encoding, before = self.film, self.encoding, frame.picture
        changes = self.restorer.config.upscale > 1 or any(face.restored is not None for face in faces)
        after = self.restorer.paste(before, faces, limit=self.config.limit) if changes else before
        if not encoding.upright:
            before, after = film.turn.undo(before), film.turn.undo(after)
        after = np.pad(after, ((0, encoding.padding[0]), (0, encoding.padding[1]), (0, 0)), "edge")
        decoded = None if encoding.upright and film.turn else frame.decoded
        coded = with_changes(decoded, before, after, encoding.format, encoding.colours)
        coded.pts, coded.time_base, coded.duration = frame.pts, film.time_base, frame.duration
        coded.pict_type = 0  # the encoder's own choice
        return coded

    def _write(self, frames: int, damage: Damage, progress: Progress) -> FilmReport:
        written = 0

        def tick() -> None:
            nonlocal written
            written += 1
            progress("write", written, frames)

        lost = write_film(
            self.target, self.film, self.encoding, self._packets, strip_metadata=self.config.strip_metadata, tick=tick
        )
        return FilmReport(
            frames=frames,
            size=tuple(n * self.restorer.config.upscale for n in self.film.size),  # pyright: ignore[reportArgumentType]
            codec=self.encoding.codec,
            crf=self.encoding.crf,
            tracks=joined(said["tracks"] for said in self.coded),
            lost=[*self.encoding.losses(self.film), *lost],
            damage=damage.in_words(),
        )

    def _packets(self) -> Iterator[Packets]:
        for number, said in enumerate(self.coded):
            yield packets_of(self._path(number, ".packets"), said)

    def _path(self, number: int, suffix: str) -> Path:
        return self.coded.path(number).with_suffix(suffix)


def _save(path: Path, values: Any) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(values), encoding="utf-8")


def _in_bytes(picture: np.ndarray) -> np.ndarray:
    return (picture >> 8).astype(np.uint8) if picture.dtype == np.uint16 else picture


def _batches(frames: Iterator[FilmFrame]) -> Iterator[list[FilmFrame]]:
    """The frames, as many together as are held in memory."""
    batch: list[FilmFrame] = []
    for frame in frames:
        batch.append(frame)
        if _is_full(batch):
            yield batch
            batch = []
    if batch:
        yield batch


def _is_full(frames: list[FilmFrame]) -> bool:
    height, width = frames[0].film.size
    return len(frames) >= FRAMES_AT_ONCE or len(frames) * height * width >= PIXELS_AT_ONCE
