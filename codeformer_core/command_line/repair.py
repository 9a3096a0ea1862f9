"""`codeformer fill` and `codeformer colour`: the batch of `restore`, with another task for each picture's faces."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..colouring import ColourConfig, FaceColourer, colouring_settings
from ..detection.faces import FaceSelection
from ..filling import FaceFiller, FillConfig, filling_settings
from ..film.fingerprint import file_stamp
from ..models import Job, Usage, check_job, default_model, model_path, model_usage
from ..restoration import AlignedFace, RestoreConfig
from ..restorer import FaceRestorer
from .batch import is_done, restore_files
from .jobs import BatchConfig, Task, find_jobs
from .saying import counted, end
from .starting import chosen, existing, folder, load_restorer, probe

logger = logging.getLogger(__name__)

# Options that a result depends on besides those of the task; a change of them does a picture again.
SETTINGS = ("detector", "min_score", "detect_size", "dtype", "format", "strip_metadata")


@dataclass(frozen=True, kw_only=True)
class FillTask:
    """Holes are filled, those that a mask says or that are white already."""

    config: FillConfig
    done: str = "filled"
    any_mask: bool = True

    def faces(self, rgb: np.ndarray, mask: np.ndarray | None, restorer: FaceRestorer) -> list[AlignedFace]:
        filler = FaceFiller(restorer, self.config)
        hole = filler.hole(rgb, mask)
        return filler.align(rgb, filler.detect(rgb, hole), hole)

    def why_none(self, rgb: np.ndarray, mask: np.ndarray | None, restorer: FaceRestorer) -> str:
        empty = FaceFiller(restorer, self.config).hole(rgb, mask).empty
        return "nothing to fill (the mask is black, or nothing is white)" if empty else "no face found"

    def result(
        self,
        rgb: np.ndarray,
        faces: Sequence[AlignedFace],
        background: np.ndarray | None,
        mask: np.ndarray | None,
        restorer: FaceRestorer,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        filler = FaceFiller(restorer, self.config)
        filling = filler.filled(rgb, faces, filler.hole(rgb, mask))
        return filling.image, {"mask_on_no_face": round(filling.missed, 4)}


@dataclass(frozen=True, kw_only=True)
class ColourTask:
    """Faces get colours, in the picture or in a coloured background."""

    config: ColourConfig
    done: str = "coloured"
    any_mask: bool = False

    def faces(self, rgb: np.ndarray, mask: np.ndarray | None, restorer: FaceRestorer) -> list[AlignedFace]:
        return FaceColourer(restorer, self.config).align(rgb, restorer.detect(rgb)[0])

    def why_none(self, rgb: np.ndarray, mask: np.ndarray | None, restorer: FaceRestorer) -> str:
        return "no face found"

    def result(
        self,
        rgb: np.ndarray,
        faces: Sequence[AlignedFace],
        background: np.ndarray | None,
        mask: np.ndarray | None,
        restorer: FaceRestorer,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        return FaceColourer(restorer, self.config).coloured(rgb, faces, background).image, {}


def fill(args: argparse.Namespace) -> int:
    """Run `codeformer fill`; the exit code."""
    if args.fill_mask is None and not args.white:
        raise ValueError("fill wants --fill-mask, white where a picture is to be filled, or --white strokes in it")
    model, path, usage = _model(args, "filling")
    config = FillConfig(threshold=args.threshold, grow=args.grow, white=args.white, strokes=usage.strokes)
    own = {"command": "fill", **asdict(config)}
    return _run(args, model, path, filling_settings(usage), FillTask(config=config), own)


def colour(args: argparse.Namespace) -> int:
    """Run `codeformer colour`; the exit code."""
    model, path, usage = _model(args, "colouring")
    config = ColourConfig(strength=args.strength, luminance=args.luminance)
    own = {"command": "colour", **asdict(config)}  # by whichever of its names
    return _run(args, model, path, colouring_settings(usage), ColourTask(config=config), own)


def _model(args: argparse.Namespace, job: Job) -> tuple[str, Any, Usage]:
    model = args.model or default_model(job)
    path = model_path(model, accept_license=args.accept_license, offline=args.offline)
    usage = model_usage(model, path)
    check_job(usage, model, job)
    return model, path, usage


def _run(
    args: argparse.Namespace, model: str, path: Any, usual: dict[str, Any], task: Task, own: dict[str, Any]
) -> int:
    selection = FaceSelection(max_faces=args.max_faces, only=args.faces)
    config = RestoreConfig(selection=selection, batch_size=1 if args.batch_size is None else args.batch_size, **usual)
    settings = {
        **usual,
        **own,
        "model": file_stamp(path),
        "selection": asdict(selection),
        **chosen(args, SETTINGS),
    }
    batch = BatchConfig(
        out=folder(args.output),
        suffix=args.format,
        strip_metadata=args.strip_metadata,
        background=existing(args.background),
        mask=existing(args.fill_mask),
        overwrite=args.overwrite,
        settings=settings,
        task=task,
    )
    jobs, failures = find_jobs(args.inputs, args.output, films=False)
    todo = [job for job in jobs if args.overwrite or not is_done(job, batch)]
    if len(todo) < len(jobs):
        logger.info("%d of %d done before; --overwrite does them again", len(jobs) - len(todo), len(jobs))
    if not todo:
        return end(failures)
    probe(args.output)
    restorer = load_restorer(args, path, config)
    logger.info("%s to be %s with %s", counted(len(todo), "picture"), task.done, path.name)
    done = faces = 0
    try:
        with logging_redirect_tqdm(), tqdm(total=len(todo), unit="picture", disable=args.quiet or None) as bar:
            for outcome in restore_files(todo, restorer, batch):
                bar.update()
                if outcome.failed:
                    failures.append(outcome.message)
                    continue
                done, faces = done + 1, faces + outcome.restored
                logger.info("%s: %s", outcome.job.relative, outcome.message)
    except torch.cuda.OutOfMemoryError as error:
        raise ValueError("out of GPU memory; give --dtype bfloat16, or --device cpu") from error
    finally:
        what = counted(len(todo), "picture")
        logger.info("%d of %s done, %s %s, in %s", done, what, counted(faces, "face"), task.done, args.output)
        code = end(failures)
    return code
