"""Files in, files out: many pictures for `codeformer restore`, whose finished work is never redone or lost."""

import os
import shutil
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..crowd import CROWD, restore_crowd
from ..detection.faces import Face
from ..fidelity.plan import FidelityPlan
from ..overlap import Behind, ahead
from ..pictures.arrays import from_float
from ..pictures.files import Picture, output_suffix, read_picture, write_picture
from ..pictures.formats import PictureError
from ..pictures.metadata import Metadata
from ..restoration import AlignedFace
from ..restorer import FaceRestorer
from ..weights.precision import named
from ..whole_files import whole_file
from .companions import companion, companion_paths, fidelity_plan, mask_of, stamps_of
from .jobs import BatchConfig, Job, Outcome
from .memory import LESS, is_out_of_memory
from .reports import face_report, own_crops, own_results, read_report, write_report

ELSEWHERE = "choose another folder with --output"
CHUNK_PIXELS = 16_000_000  # of pictures that are held in memory together, so that their faces share a network batch
_one_large_result = threading.Lock()  # of more than CHUNK_PIXELS, at a time, in memory until it is written


class _Opened(NamedTuple):
    """A picture that was read, on its way to its result."""

    job: Job
    picture: Picture
    stamps: dict[str, Any]
    target: Path
    mask: np.ndarray | None = None  # (h, w)
    faces: Sequence[AlignedFace] = ()
    crowd: Sequence[Face] = ()  # in place of `faces`: too many to be held in memory together
    plan: FidelityPlan | None = None  # of this picture alone


def is_done(job: Job, config: BatchConfig) -> bool:
    """Whether the report says that these very files were used with these settings, and the result is still there."""
    report = read_report(job.report)
    try:
        unchanged = report["inputs"] == stamps_of(job, config) and report["settings"] == config.settings
        crops = not config.save_crops or all((_crops(job) / name).is_file() for name in own_crops(report))
        return unchanged and crops and (job.report.parent / report["output"]).is_file()
    except (OSError, PictureError, KeyError, TypeError):  # an input is missing, or it is no whole report of ours
        return False


def restore_files(
    jobs: Sequence[Job],
    restorer: FaceRestorer,
    config: BatchConfig,
    progress: Callable[[int, int], None] | None = None,
    inputs: frozenset[Path] = frozenset(),
) -> Iterator[Outcome]:
    """Restore pictures, one outcome each, as they are finished; a file that cannot be read does not stop the rest.

    `progress(done, total)` counts the faces of the pictures at hand. No result may replace one of `inputs`. OSError if
    the disk takes no more.
    The next pictures are read and searched, and the last ones written, in threads of their own while the network works.
    """
    with Behind[Outcome]() as writing, closing(_chunks(jobs, restorer, config, inputs)) as chunks:
        for chunk in chunks:
            faces = [face for opened in chunk if isinstance(opened, _Opened) for face in opened.faces]
            restored = iter(restorer.restore(faces, progress=progress))
            for opened in chunk:
                if isinstance(opened, _Opened) and opened.crowd:
                    yield from writing.rest()
                    yield _written(opened, restorer, config, progress)
                    continue
                if isinstance(opened, _Opened):
                    opened = opened._replace(faces=[next(restored) for _ in opened.faces])
                yield from writing.finish(_written, opened, restorer, config)
        yield from writing.rest()


def _chunks(
    jobs: Sequence[Job], restorer: FaceRestorer, config: BatchConfig, inputs: frozenset[Path]
) -> Generator[list["_Opened | Outcome"], None, None]:
    """The pictures with their faces, as many together as fill a network batch; what cannot be read is an outcome."""
    originals = inputs | {job.source.resolve() for job in jobs}
    sources: dict[Path, Path] = {}  # result to source, to detect name collisions
    chunk: list[_Opened | Outcome] = []
    faces = pixels = 0

    def open_(job: Job) -> _Opened:
        with _memory_for(job.source):
            opened = _open(job, restorer, config, originals)
        if sources.setdefault(opened.target, job.source) != job.source:
            raise PictureError(f"{job.source}: its result would replace that of {sources[opened.target]}; rename one")
        return opened

    def find(opened: _Opened) -> _Opened:
        with _memory_for(opened.job.source):
            return _with_faces(opened, restorer, config)

    with closing(ahead(jobs, open_, find)) as results:
        for job, found in results:
            try:
                opened = found.result()
            except PictureError as error:
                chunk.append(Outcome(job=job, message=str(error), failed=True))
                continue
            chunk.append(opened)
            faces += len(opened.faces) + len(opened.crowd)
            pixels += opened.picture.rgb.shape[0] * opened.picture.rgb.shape[1]
            if faces >= restorer.config.batch_size or pixels >= CHUNK_PIXELS:
                yield chunk
                chunk, faces, pixels = [], 0, 0
    yield chunk


@contextmanager
def _memory_for(source: Path) -> Iterator[None]:
    """Too little memory for a picture as a PictureError that names it, so that the others go on."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise PictureError(f"{source}: out of memory; {LESS}") from error


def _with_faces(opened: "_Opened", restorer: FaceRestorer, config: BatchConfig) -> "_Opened":
    """The picture with its faces, and what goes with them."""
    job, rgb = opened.job, opened.picture.rgb
    plan = fidelity_plan(job, restorer, config)
    if config.aligned:
        faces = [_at(job.frame, restorer.as_aligned(rgb))]
    else:
        if config.task is not None:
            return opened._replace(
                faces=[_at(job.frame, face) for face in config.task.faces(rgb, opened.mask, restorer)]
            )
        found = [replace(face, image_index=job.frame) for face in restorer.detect(rgb)[0]]
        if len(found) > CROWD:
            _check_crops(job, len(found), config)
            return opened._replace(crowd=found, plan=plan)
        faces = restorer.align(rgb, found)
    _check_crops(job, len(faces), config)
    return opened._replace(faces=[replace(face, w=plan) for face in faces], plan=plan)


def _at(frame: int, face: AlignedFace) -> AlignedFace:
    return replace(face, face=replace(face.face, image_index=frame))


def _open(job: Job, restorer: FaceRestorer, config: BatchConfig, originals: frozenset[Path]) -> _Opened:
    """Read a picture, and see that all that goes with it is right before any work is put into it."""
    stamps = stamps_of(job, config)  # before anything is read: what changes from now on is another file
    picture = read_picture(job.source)
    if config.aligned and picture.rgb.shape[0] != picture.rgb.shape[1]:
        raise PictureError(f"{job.source}: aligned faces are square; restore it without --aligned")
    target = config.out / job.relative.with_suffix(output_suffix(picture, config.suffix))
    companions = {path.resolve() for path in companion_paths(job, config).values() if path is not None}
    if target.resolve() in originals | companions:
        raise PictureError(f"{job.source}: its result would overwrite the input {target}; {ELSEWHERE}")
    report = read_report(job.report)
    check_free(job.report, bool(report), job, config)
    earlier = [target.with_name(name) for name in own_results(report)]
    ours = target.exists() and any(path.exists() and path.samefile(target) for path in earlier)
    check_free(target, ours, job, config)
    companion(config.background, job, picture, restorer.config.upscale)
    mask = mask_of(job, picture, config)
    if config.strip_metadata:
        picture = replace(picture, metadata=Metadata())
    return _Opened(job=job, picture=picture, stamps=stamps, target=target, mask=mask)


def check_free(path: Path, ours: bool, job: Job, config: BatchConfig) -> None:
    """PictureError unless `path` may be written: nothing is there, or our own file, or --overwrite was given."""
    blocked = path if path.is_dir() else next((p for p in path.parents if p.exists() and not p.is_dir()), None)
    if blocked is not None:
        raise PictureError(f"{blocked}: is in the way of {path}, for {job.source}; {ELSEWHERE}")
    if os.path.lexists(path) and not ours and not config.overwrite:
        raise PictureError(f"{path}: is there already and is no result of {job.source}; {ELSEWHERE}, or --overwrite")


def _check_crops(job: Job, faces: int, config: BatchConfig) -> None:
    ours = own_crops(read_report(job.report))
    for name in _crop_names(faces, config):
        check_free(_crops(job) / name, name in ours, job, config)


def _written(
    opened: "_Opened | Outcome",
    restorer: FaceRestorer,
    config: BatchConfig,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """The outcome of a picture: what it is already, or that of writing it."""
    if isinstance(opened, Outcome):
        return opened
    height, width = opened.picture.rgb.shape[:2]
    large = height * width * restorer.config.upscale**2 > CHUNK_PIXELS
    try:
        with _one_large_result if large else nullcontext(), _memory_for(opened.job.source):
            return _write(opened, restorer, config, progress)
    except PictureError as error:
        return Outcome(job=opened.job, message=str(error), failed=True)


def _write(
    opened: _Opened, restorer: FaceRestorer, config: BatchConfig, progress: Callable[[int, int], None] | None
) -> Outcome:
    """Write the result, the crops if wanted, and last the whole report; a crowd is restored on the way."""
    job, picture, target = opened.job, opened.picture, opened.target
    upscale = restorer.config.upscale
    background = companion(config.background, job, picture, upscale)
    # Until the whole report follows, this one says which files are ours, and that the picture is not done.
    before = read_report(job.report)
    results = [name for name in own_results(before) if name != target.name and target.with_name(name).is_file()]
    crops = [name for name in own_crops(before) if (_crops(job) / name).is_file()]
    planned = sorted({*crops, *_crop_names(len(opened.faces or opened.crowd), config)})
    write_report(job.report, {"output": target.name, "earlier": results, "crops": planned})
    written: list[str] = []

    def look(i: int, face: AlignedFace) -> None:
        written.extend(_write_crops(_crops(job), i, face) if config.save_crops else ())

    pasted, faces = None, opened.faces
    more: dict[str, Any] = {}
    if config.task is not None:  # also where nothing changes: the report has what it says
        pasted, more = config.task.result(picture.rgb, faces, background, opened.mask, restorer)
    elif opened.crowd:
        pasted, faces = restore_crowd(
            restorer,
            picture.rgb,
            opened.crowd,
            w=opened.plan,
            background=background,
            limit=opened.mask,
            progress=progress,
            look=look,
        )
    for i, face in enumerate(opened.faces):
        look(i, face)
    restored = sum(face.restored is not None for face in faces)
    unchanged = restored == 0 and upscale == 1 and background is None and target.suffix == job.source.suffix
    if unchanged and not config.strip_metadata:
        with whole_file(target) as unfinished:
            shutil.copyfile(job.source, unfinished)
    else:
        if pasted is None:
            pasted = restorer.paste(picture.rgb, faces, background, opened.mask)
        write_picture(target, pasted, picture)
    if config.save_crops:  # of an earlier run that may have found more faces
        for name in set(crops) - set(written):
            (_crops(job) / name).unlink()
        crops = sorted(written)
    height, width = (n * upscale for n in picture.rgb.shape[:2])
    report = {
        "inputs": opened.stamps,
        "output": target.name,
        "earlier": results,
        "crops": crops,
        "size": [width, height],
        "frames": picture.frames,
        "settings": config.settings,
        "dtype": named(restorer.net) if restorer.net else None,
        "faces": [face_report(face) for face in faces],
        **more,
    }
    write_report(job.report, report)
    notes = "".join(f"; {face.note}" for face in faces if face.note)
    done = config.task.done if config.task else "restored"
    message = f"{restored} {'face' if restored == 1 else 'faces'} {done}{notes}"
    if not faces:
        why = config.task.why_none(picture.rgb, opened.mask, restorer) if config.task else "no face found"
        message = f"{why}, left unchanged"
    return Outcome(job=job, message=message, restored=restored)


def _crops(job: Job) -> Path:
    return job.report.with_name(f"{job.report.stem}_faces")


def _crop_names(faces: int, config: BatchConfig) -> list[str]:
    """What the crops of so many faces may be called."""
    return [f"{i:02}_{step}.png" for i in range(faces) for step in ("before", "after")] if config.save_crops else []


def _write_crops(folder: Path, i: int, face: AlignedFace) -> list[str]:
    """Write the crops of the i-th face; their names."""
    crops = {f"{i:02}_before.png": face.crop}
    if face.restored is not None:
        crops[f"{i:02}_after.png"] = face.restored
    for name, crop in crops.items():
        write_picture(folder / name, from_float(crop, np.dtype(np.uint8)))
    return list(crops)
