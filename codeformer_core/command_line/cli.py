"""The command line: `codeformer restore | fill | colour | degrade | info | convert | export-onnx` and others."""

import argparse
import json
import logging
import os
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from .arguments import EXIT_ERROR, command_line
from .memory import LESS, is_out_of_memory
from .saying import complain, counted, end, say
from .starting import chosen, existing, folder, load_restorer, probe
from .stopping import stopped_as_by_ctrl_c

logger = logging.getLogger(__name__)

# Options that a result depends on besides those of the restorer's config; a change of them does a picture again.
# Not the mask and the background: what counts there is the file that goes with the picture.
SETTINGS = (
    *("detector", "min_score", "detect_size", "parser", "aligned", "dtype", "format", "save_crops"),
    "strip_metadata",
)
ABLATIONS = {  # how codes are found where there is no transformer
    "linear": "codes told by a linear layer",
    "nearest": "codes nearest to the encoder's features",
    "none": "no lookup: the encoder's features are decoded",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, or 2 after a one-line error on standard error."""
    args = command_line().parse_args(argv)
    # Read by GNU OpenMP when torch is loaded: threads that wait for each other sleep soon. By default they spin, which
    # on a busy machine keeps the very thread from running that they wait for: a restoration took three times as long.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger(__name__.partition(".")[0]).setLevel(logging.WARNING if args.quiet else logging.INFO)
    try:
        with stopped_as_by_ctrl_c():
            return COMMANDS[args.command](args)
    except (ValueError, OSError, ImportError) as error:
        named = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        complain(named)
        return EXIT_ERROR
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        complain(f"out of memory; {LESS}")
        return EXIT_ERROR
    except KeyboardInterrupt:
        complain("stopped; run the same command again to go on where it stopped")
        return 130


def _restore(args: argparse.Namespace) -> int:
    import torch
    from tqdm.contrib.logging import logging_redirect_tqdm

    from ..detection.faces import FaceSelection
    from ..fidelity.saved import plan_to_json
    from ..film.fingerprint import file_stamp
    from ..models import default_model, model_path, model_usage
    from ..restoration import RestoreConfig
    from .batch import is_done
    from .cluster import restore_on_ray
    from .fidelity import fidelity_plan, goes_by_frame, in_words, is_automatic
    from .films import FilmOptions
    from .jobs import BatchConfig, find_jobs, is_film
    from .work import Work, restore_all

    options = FilmOptions(codec=args.codec, crf=args.crf)
    model = default_model() if args.model is None else args.model
    path = model_path(model, accept_license=args.accept_license, offline=args.offline)
    usage = model_usage(model, path)
    plan = fidelity_plan(args, usage.w, path)
    selection = FaceSelection(
        min_size=args.min_size, max_size=args.max_size, max_faces=args.max_faces, order=args.order, only=args.faces
    )
    config = RestoreConfig(
        w=plan,
        calibration=usage.calibration,
        adain=usage.adain if args.adain is None else args.adain,
        keep_grey=usage.keep_grey if args.keep_grey is None else args.keep_grey,
        selection=selection,
        upscale=args.upscale,
        large_faces=args.large_faces,
        colour_match=args.colour_match or usage.colour_match,
        feather=args.feather,
        side_strength=args.side_strength,
        occlusion=args.occlusion,
        mask_parts=args.mask_parts,
        min_confidence=usage.min_confidence if args.min_confidence is None else args.min_confidence,
        batch_size=1 if args.batch_size is None else args.batch_size,
    )
    settings = {
        **asdict(replace(config, w=0.0)),
        "w": plan_to_json(plan),
        "calibration": json.loads(json.dumps(asdict(usage.calibration))) if is_automatic(plan) else None,
        "mask_parts": sorted(config.mask_parts),
        "model": file_stamp(path),
        **chosen(args, SETTINGS),
    }
    del settings["batch_size"]  # the result does not depend on it
    batch = BatchConfig(
        out=folder(args.output),
        suffix=args.format,
        aligned=args.aligned,
        save_crops=args.save_crops,
        strip_metadata=args.strip_metadata,
        background=existing(args.background),
        mask=existing(args.mask),
        fidelity_mask=existing(args.w_mask),
        by_frame=goes_by_frame(plan),
        overwrite=args.overwrite,
        settings=settings,
    )
    jobs, failures = find_jobs(args.inputs, args.output)
    work = Work(batch=batch, options=options, quiet=args.quiet)
    todo = [job for job in jobs if args.overwrite or not is_done(job, work.config(job))]
    if len(todo) < len(jobs):
        logger.info("%d of %d done before; --overwrite does them again", len(jobs) - len(todo), len(jobs))
    if not todo:
        return end(failures)
    probe(args.output)
    load = partial(load_restorer, args, path, config)
    outcomes = restore_all(todo, load(), work) if args.ray is None else restore_on_ray(todo, args.ray, load, work)
    films = sum(is_film(job.source) for job in todo)
    what = _what(len(todo) - films, films)
    logger.info("%s to restore with %s, w = %s", what, path.name, in_words(plan))
    done = faces = 0
    try:
        with logging_redirect_tqdm():
            for outcome in outcomes:
                failures += [outcome.message] if outcome.failed else [outcome.problem] if outcome.problem else []
                if not outcome.failed:
                    done, faces = done + 1, faces + outcome.restored
                    logger.info("%s: %s", outcome.job.relative, outcome.message)
    except torch.cuda.OutOfMemoryError as error:
        raise ValueError("out of GPU memory; give --dtype bfloat16, or --device cpu") from error
    finally:
        counts = done, counted(len(todo), "file") if 0 < films < len(todo) else what, counted(faces, "face")
        logger.info("%d of %s done, %s restored, in %s", *counts, args.output)
        code = end(failures)
    return code


def _what(pictures: int, films: int) -> str:
    what = [counted(pictures, "picture")] if pictures or not films else []
    return " and ".join([*what, *([counted(films, "film")] if films else [])])


def _degrade(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..pictures import degradation
    from ..pictures.files import PictureError, read_picture, write_picture
    from ..pictures.folders import find_pictures

    config = degradation.LEVELS[args.level]
    ranges = {name: getattr(args, name) for name in ("blur_sigma", "downscale", "noise", "jpeg_quality")}
    config = replace(config, **{name: tuple(pair) for name, pair in ranges.items() if pair is not None})
    if args.seed < 0:
        raise ValueError(f"--seed is 0 or more, got {args.seed}")
    found = find_pictures(args.inputs, exclude=folder(args.output))
    originals = {path.resolve() for path, _ in found.pictures}
    sources: dict[Path, Path] = {}  # result to source
    failures = found.problems
    done = 0
    try:
        for path, relative in tqdm(found.pictures, unit="picture", disable=args.quiet or None):
            target = args.output / relative.with_suffix(".png")
            rng = degradation.degradation_rng(args.seed, zlib.crc32(os.fsencode(relative.as_posix())))
            drawn = degradation.sample_degradation(config, rng)
            try:
                if target.resolve() in originals:
                    raise PictureError(
                        f"{path}: its result would overwrite the input {target}; choose another --output"
                    )
                if sources.setdefault(target, path) != path:
                    raise PictureError(f"{path}: its result would replace that of {sources[target]}; rename one")
                if os.path.lexists(target) and not args.overwrite:
                    raise PictureError(f"{target}: is there already; choose another --output, or --overwrite")
                picture = read_picture(path)
                write_picture(target, degradation.degrade(picture.rgb, drawn), picture)
                done += 1
            except ValueError as error:
                failures.append(str(error))
    finally:
        logger.info("%d of %s done, in %s", done, counted(len(found.pictures), "picture"), args.output)
        code = end(failures)
    return code


def _fill(args: argparse.Namespace) -> int:
    from .repair import fill

    return fill(args)


def _colour(args: argparse.Namespace) -> int:
    from .repair import colour

    return colour(args)


def _info(args: argparse.Namespace) -> int:
    from ..weights.checkpoint import checkpoint_info

    say(describe(checkpoint_info(args.checkpoint)))
    return 0


def _convert(args: argparse.Namespace) -> int:
    from ..weights.checkpoint import convert

    if os.path.lexists(args.target) and not args.overwrite:
        raise ValueError(f"{args.target}: is there already; choose another name, or --overwrite")
    say(describe(convert(args.source, args.target)))
    return 0


def _export_onnx(args: argparse.Namespace) -> int:
    from ..models import model_path, model_usage
    from ..weights.checkpoint import load_codeformer
    from ..weights.onnx_file import export_onnx

    if os.path.lexists(args.target) and not args.overwrite:
        raise ValueError(f"{args.target}: is there already; choose another name, or --overwrite")
    path = model_path(args.model, accept_license=args.accept_license, offline=args.offline)
    export_onnx(load_codeformer(path), args.target, adain=model_usage(args.model, path).adain)
    if not args.quiet:
        say(f"{args.target}: {args.target.stat().st_size / 2**20:.0f} MiB\n")
    return 0


def _migrate_workflow(args: argparse.Namespace) -> int:
    from ..migration.migrate import migrate_file

    said = migrate_file(args.source, args.target, overwrite=args.overwrite, replace_gfpgan=args.replace_gfpgan)
    if not args.quiet:
        say(said)
    return 0


def describe(info: Any) -> str:
    """What a checkpoint holds, some lines of text."""
    from ..networks.config import CodeFormerConfig

    lines = [f"{info.path}: {info.kind}"]
    lines.append(f"  {info.tensors} tensors, {info.parameters / 1e6:.1f} M parameters, {', '.join(info.dtypes)}")
    if info.config is not None:
        vq = info.config.vq if isinstance(info.config, CodeFormerConfig) else info.config
        folded = f", {vq.patch} x {vq.patch} pixels folded into channels" if vq.patch > 1 else ""
        lines.append(f"  faces of {vq.image_size} px{folded}, {vq.latent_size} x {vq.latent_size} codes")
        lines.append(f"  codebook of {vq.codebook_size} items, {vq.codebook_dim} wide")
        attention = f"attention at {', '.join(map(str, vq.attn_sizes)) or 'none'}"
        lines.append(f"  width {vq.width} x {vq.ch_mult}, {vq.n_res_blocks} residual blocks, {attention}")
    if isinstance(info.config, CodeFormerConfig):
        transformer = (
            f"transformer of {info.config.n_layers} layers, {info.config.dim} wide, {info.config.n_heads} heads"
        )
        lines.append(f"  {ABLATIONS.get(info.config.lookup, transformer)}")
        cft = ", ".join(map(str, info.config.cft_sizes))
        gate = ", and a gate for clean pixels" if info.config.gate else ""
        lines.append(f"  CFT at {cft}{gate}" if cft else "  no CFT: w has no effect")
    lines += [f"  {key}: {value}" for key, value in sorted(info.metadata.items()) if key != "codeformer_config"]
    if info.problem:
        lines.append(f"  it will not load: {info.problem}")
    return "\n".join(lines) + "\n"


COMMANDS = {
    "restore": _restore,
    "fill": _fill,
    "colour": _colour,
    "color": _colour,
    "degrade": _degrade,
    "info": _info,
    "convert": _convert,
    "export-onnx": _export_onnx,
    "migrate-workflow": _migrate_workflow,
}
