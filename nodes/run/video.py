"""A VIDEO as a film: from file to file, in memory that does not grow with its length."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import folder_paths
from comfy_api.v0_0_2 import Input, InputImpl

from ...codeformer_core.detection.faces import FaceSelection
from ...codeformer_core.fidelity.plan import FidelityPlan
from ...codeformer_core.film.encoding import output_codec, output_suffix
from ...codeformer_core.film.fingerprint import file_stamp, fingerprint, weights_of
from ...codeformer_core.film.job import FilmConfig, restore_film
from ...codeformer_core.film.reading import Film
from ...codeformer_core.film.report import FilmReport
from ...codeformer_core.film.steady import OFF, SteadyConfig
from ...codeformer_core.film.tracks import TrackConfig
from ...codeformer_core.restorer import FaceRestorer
from .film import film_restorer
from .loaded import LoadedDetector, LoadedModel, begin_run
from .progress import watch_film
from .report import Report, counted
from .weights import fitted


def restore_video(
    video: Input.Video,
    model: LoadedModel | None,
    detector: LoadedDetector | None,
    weights: FidelityPlan | None,
    report: Report,
    *,
    fidelity: float,
    upscale: int,
    faces: str,
    steady: bool,
    crf: int,
) -> Path:
    """The restored film, a file in ComfyUI's temp folder, which it empties at its start.

    A run that was interrupted goes on where it was stopped, if the VIDEO is a whole file and nothing has changed.
    """
    model, detector = begin_run(model, detector, report)
    restorer = film_restorer(
        model,
        detector,
        colour_match="auto",
        w=fitted(weights, fidelity, model, report),
        selection=FaceSelection(only=faces),  # pyright: ignore[reportArgumentType]
        upscale=upscale,
    )
    config = FilmConfig(
        crf=None if crf < 0 else crf,
        tracks=TrackConfig() if steady else TrackConfig(max_gap=0, smoothing=0),
        steady=SteadyConfig() if steady else OFF,
    )
    with file_of(video) as source:
        target = _target(source, restorer, detector, config)
        done = restore_film(source, target, restorer, config, progress=watch_film())
    _say(done, report)
    return target


@contextmanager
def file_of(video: Input.Video) -> Iterator[Path]:
    """The file of a VIDEO: its own, or, of one that has none or is a part of its own, a copy for as long as is worked.

    ComfyUI gives frames that lie in memory, and parts, as h264.
    """
    source = video.get_stream_source() if isinstance(video, InputImpl.VideoFromFile) else None
    if isinstance(source, str) and not _is_part(video, source):
        yield Path(source)
        return
    temp = Path(folder_paths.get_temp_directory())
    temp.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="codeformer_", dir=temp) as folder:
        path = Path(folder) / "video.mp4"
        if source is None or _is_part(video, source):
            video.save_to(str(path))
        else:
            path.write_bytes(source.getbuffer())  # pyright: ignore[reportAttributeAccessIssue]
        yield path


def _is_part(video: Any, source: Any) -> bool:
    """Whether a VIDEO is to be shorter than its file: new versions of ComfyUI tell, old ones cannot cut videos."""
    if hasattr(video, "get_active_trim_window"):
        return any(video.get_active_trim_window())
    return hasattr(video, "as_trimmed") and video.get_duration() != InputImpl.VideoFromFile(source).get_duration()


def _target(source: Path, restorer: FaceRestorer, detector: LoadedDetector, config: FilmConfig) -> Path:
    """Of a name that other films, networks and settings don't have, so that no result of theirs is replaced."""
    networks = (restorer.net, weights_of(detector), weights_of(detector.parser))
    settings = (replace(restorer.config, batch_size=1), detector.config, config)
    said = json.dumps(fingerprint([source.resolve(), file_stamp(source), networks, settings]))
    film, temp = Film(source), Path(folder_paths.get_temp_directory())
    temp.mkdir(parents=True, exist_ok=True)
    suffix = output_suffix(film, output_codec(film, config.codec))
    return temp / f"codeformer_{hashlib.sha256(said.encode()).hexdigest()[:16]}{suffix}"


def _say(done: FilmReport, report: Report) -> None:
    height, width = done.size
    report.say(
        f"{counted(done.restored, 'face')} restored in {counted(done.frames, 'frame')} of {width} x {height} px, "
        f"{done.codec}; {counted(len(done.tracks), 'track')}"
    )
    for what in done.damage:
        report.warn(f"the film is damaged: {what}")
    for what in done.lost:
        report.say(what)
    for track in done.tracks:
        notes = "".join(f"; {counted(count, 'face')} left: {note}" for note, count in track.notes.items())
        report.say(f"track {track.number}: frames {track.first} to {track.last}, {track.restored} restored{notes}")
