"""Files in, files out: many pictures for `codeformer restore`, whose finished work is never redone or lost."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .find_pictures import find_pictures
from .image_files import Picture, PictureError, output_suffix, read_picture, write_picture
from .pictures import from_float, to_float
from .restorer import AlignedFace, FaceRestorer
from .whole_files import whole_file

CHUNK_PICTURES, CHUNK_PIXELS = 8, 16_000_000  # held in memory together, so that their faces share network batches


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """What is read and written around the restoration."""

    out: Path
    suffix: str | None = None  # of the results, such as ".png"; None keeps each input's own
    aligned: bool = False  # the inputs are aligned faces
    save_crops: bool = False
    background: Path | None = None  # an upscaled picture, or a folder of such with the inputs' names
    mask: Path | None = None  # white where pictures may change: a picture, or a folder of such


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture to do, and where its results go."""

    source: Path
    relative: Path  # below the input folder, with the source's suffix
    report: Path  # a JSON, written last: it tells that the picture is done


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How it went with one picture, in one line."""

    job: Job
    message: str
    failed: bool = False


def find_jobs(inputs: Sequence[str | Path], out: Path) -> list[Job]:
    """The pictures that the inputs name, with their reports' places below `out`. ValueError if there are none."""
    found = find_pictures(inputs, exclude=out)
    stems = Counter(relative.with_suffix("") for _, relative in found)
    jobs = []
    for source, relative in found:
        name = relative.stem if stems[relative.with_suffix("")] == 1 else relative.name  # a.jpg beside a.png
        jobs.append(Job(source=source, relative=relative, report=out / relative.with_name(f"{name}.json")))
    return jobs


def is_done(job: Job, settings: dict[str, Any]) -> bool:
    """Whether the report says that this very file was restored with these settings, and the result is still there."""
    try:
        report = json.loads(job.report.read_text(encoding="utf-8"))
        unchanged = report["source"] == _stamp(job.source) and report["settings"] == settings
        return unchanged and (job.report.parent / report["output"]).is_file()
    except (OSError, ValueError, KeyError, TypeError):  # no report, or not one of ours
        return False


def restore_files(
    jobs: Sequence[Job], restorer: FaceRestorer, config: BatchConfig, settings: dict[str, Any]
) -> Iterator[Outcome]:
    """Restore pictures, one outcome each, as they are finished; a file that cannot be read does not stop the rest.

    `settings` (JSON values) go into the reports, for `is_done`. OSError if the disk takes no more.
    """
    waiting = list(reversed(jobs))
    sources: dict[Path, Path] = {}  # result to source, to find out results of one name
    while waiting:
        chunk: list[tuple[Job, Picture]] = []
        pixels = 0
        while waiting and len(chunk) < CHUNK_PICTURES and pixels < CHUNK_PIXELS:
            job = waiting.pop()
            try:
                picture = read_picture(job.source)
                if config.aligned and picture.rgb.shape[0] != picture.rgb.shape[1]:
                    raise PictureError(f"{job.source}: aligned faces are square; restore it without --aligned")
            except PictureError as error:
                yield Outcome(job=job, message=str(error), failed=True)
                continue
            chunk.append((job, picture))
            pixels += picture.rgb.shape[0] * picture.rgb.shape[1]
        for (job, picture), faces in zip(chunk, _restore_chunk(restorer, chunk, config), strict=True):
            try:
                target = _target(job, picture, config)
                if sources.setdefault(target, job.source) != job.source:
                    raise ValueError(f"{job.source}: its result would replace that of {sources[target]}; rename one")
                message = _write(job, picture, faces, restorer, config, target, settings)
                yield Outcome(job=job, message=message)
            except ValueError as error:
                yield Outcome(job=job, message=str(error), failed=True)


def _restore_chunk(
    restorer: FaceRestorer, chunk: list[tuple[Job, Picture]], config: BatchConfig
) -> list[list[AlignedFace]]:
    images = [picture.rgb for _, picture in chunk]
    if config.aligned:
        aligned = [[restorer.as_aligned(image)] for image in images]
    else:
        aligned = [restorer.align(image, faces) for image, faces in zip(images, restorer.detect(images), strict=True)]
    restored = iter(restorer.restore([face for faces in aligned for face in faces]))
    return [[next(restored) for _ in faces] for faces in aligned]


def _target(job: Job, picture: Picture, config: BatchConfig) -> Path:
    target = config.out / job.relative.with_suffix(output_suffix(picture, config.suffix))
    if target.resolve() == job.source.resolve():
        raise ValueError(f"{job.source}: would be overwritten by its result; choose another folder with --output")
    return target


def _write(
    job: Job,
    picture: Picture,
    faces: list[AlignedFace],
    restorer: FaceRestorer,
    config: BatchConfig,
    target: Path,
    settings: dict[str, Any],
) -> str:
    """Write the result, the crops if wanted, and last the report; returns what there is to say."""
    upscale = restorer.config.upscale
    background = _companion(config.background, job, picture, upscale)
    mask = _companion(config.mask, job, picture, 1)
    restored = sum(face.restored is not None for face in faces)
    target.parent.mkdir(parents=True, exist_ok=True)
    if restored == 0 and upscale == 1 and background is None and target.suffix == job.source.suffix:
        with whole_file(target) as unfinished:
            shutil.copyfile(job.source, unfinished)
    else:
        image = restorer.paste(picture.rgb, faces, background, None if mask is None else mask[..., 0])
        write_picture(target, image, picture)
    if config.save_crops:
        _write_crops(target, faces)
    height, width = (n * upscale for n in picture.rgb.shape[:2])
    report = {
        "source": _stamp(job.source),
        "output": target.name,
        "size": [width, height],
        "settings": settings,
        "faces": [_face_report(face, settings) for face in faces],
    }
    with whole_file(job.report) as unfinished:
        unfinished.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    notes = "".join(f"; {face.note}" for face in faces if face.note)
    if not faces:
        return "no face found, left unchanged"
    return f"{restored} {'face' if restored == 1 else 'faces'} restored{notes}"


def _face_report(face: AlignedFace, settings: dict[str, Any]) -> dict[str, Any]:
    confidence = None if face.confidence is None else round(float(face.confidence.mean()), 4)
    return {
        "box": face.face.box.round(2).tolist(),
        "landmarks": face.face.landmarks.round(2).tolist(),
        "score": round(face.face.score, 4),
        "affine": face.affine.round(6).tolist(),
        "restored": face.restored is not None,
        "w": settings.get("w"),
        "codes_confidence": confidence,
        "note": face.note,
    }


def _companion(place: Path | None, job: Job, picture: Picture, scale: int) -> np.ndarray | None:
    """The picture that goes with a job: `place` itself, or in the folder `place` the one with the job's name."""
    if place is None:
        return None
    path = place
    if place.is_dir():
        wanted = place / job.relative
        named = sorted(p for p in wanted.parent.glob("*") if p.stem == wanted.stem)
        if not named:
            raise PictureError(f"{wanted}: no such file; the folder needs one picture named as each input")
        path = named[0]
    rgb = read_picture(path).rgb
    height, width = (n * scale for n in picture.rgb.shape[:2])
    if rgb.shape[:2] != (height, width):
        raise PictureError(f"{path}: is {rgb.shape[1]} x {rgb.shape[0]}, must be {width} x {height} pixels")
    return rgb if rgb.dtype == picture.rgb.dtype else from_float(to_float(rgb), picture.rgb.dtype)


def _write_crops(target: Path, faces: Sequence[AlignedFace]) -> None:
    folder = target.with_name(f"{target.stem}_faces")
    folder.mkdir(exist_ok=True)
    for i, face in enumerate(faces):
        write_picture(folder / f"{i:02}_before.png", from_float(face.crop, np.dtype(np.uint8)))
        if face.restored is not None:
            write_picture(folder / f"{i:02}_after.png", from_float(face.restored, np.dtype(np.uint8)))


def _stamp(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"name": path.name, "bytes": status.st_size, "modified_ns": status.st_mtime_ns}
