"""The command line: `codeformer restore | degrade | info | convert`."""

import argparse
import logging
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

EXIT_ERROR = 2
# Options that a result depends on besides those of the restorer's config; a change of them does a picture again.
SETTINGS = ("detector", "min_score", "parser", "mask", "background", "aligned", "dtype", "format", "save_crops")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, or 2 after a one-line error on standard error."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING if args.quiet else logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return args.run(args)
    except (ValueError, OSError, ImportError) as error:
        named = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        sys.stderr.write(f"codeformer: {' '.join(named.split())}\n")
        return EXIT_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("codeformer: stopped; run the same command again to go on where it stopped\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="codeformer", description="CodeFormer face restoration.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-q", "--quiet", action="store_true", help="say only what went wrong")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_restore(commands, common)
    _add_degrade(commands, common)

    info = commands.add_parser("info", parents=[common], help="show what a checkpoint holds")
    info.add_argument("checkpoint", type=Path)
    info.set_defaults(run=_info)

    convert = commands.add_parser("convert", parents=[common], help="rewrite a checkpoint as safetensors")
    convert.add_argument("source", type=Path, metavar="IN")
    convert.add_argument("target", type=Path, metavar="OUT.safetensors")
    convert.set_defaults(run=_convert)
    return parser


def _add_restore(commands: Any, common: argparse.ArgumentParser) -> None:
    restore = commands.add_parser(
        "restore",
        parents=[common],
        help="restore the faces of pictures",
        description="Restore the faces of pictures. What is done already is not done again.",
    )
    restore.set_defaults(run=_restore)
    add = restore.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="a picture, a folder of pictures, or a pattern such as 'in/*.png'")
    add("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results")
    add("-w", "--fidelity", type=float, metavar="W", help="0 quality to 1 fidelity (default 0.5, or the model's own)")
    add("--model", metavar="M", help="mini, official, inpainting, colorization, or a checkpoint file "
        "(default: official where it is installed, else mini)")  # fmt: skip
    add("--upscale", type=int, default=1, choices=(1, 2, 3, 4), help="enlarge the whole picture (default 1)")
    add("--background", type=Path, metavar="PATH", help="the enlarged picture to paste into, or a folder of such")
    add("--aligned", action="store_true", help="the inputs are aligned faces: no detection, no paste-back")
    add("--format", metavar="F", help="png, jpg, webp, tiff (default: each input's own)")
    add("--save-crops", action="store_true", help="also save each aligned face before and after")
    add("--overwrite", action="store_true", help="do again what is done")

    faces = restore.add_argument_group("which faces")
    add = faces.add_argument
    add("--detector", default="retinaface_mobile0.25", metavar="D",
        help="retinaface_mobile0.25 (bundled), retinaface_resnet50, or a RetinaFace or YuNet file")  # fmt: skip
    add("--min-score", type=float, metavar="S", help="least score of a face, 0 to 1 (default 0.8)")
    add("--faces", default="all", choices=("all", "largest", "centre"), help="default all")
    add("--min-size", type=float, default=0, metavar="PX", help="least short side of a face's box")
    add("--max-size", type=float, metavar="PX", help="greatest short side of a face's box")
    add("--max-faces", type=int, metavar="N", help="at most so many, the first in --order")
    add("--order", default="size", choices=("size", "left_to_right", "top_to_bottom", "score", "centre"))
    add("--large-faces", default="keep_detail", choices=("keep_detail", "skip"),
        help="faces larger than the network's crop: keep the picture's own fine detail (default), or skip")  # fmt: skip

    look = restore.add_argument_group("how they are put back")
    add = look.add_argument
    add("--parser", metavar="P", help="masks that follow the face: parsenet, bisenet, or a file of such weights")
    add("--mask", type=Path, metavar="PATH", help="change only where this picture is white; or a folder of such")
    add("--feather", type=float, default=0.05, metavar="F", help="softness of the edge, 0 to 0.25 (default 0.05)")
    add("--colour-match", "--color-match", default="none", choices=("none", "lab", "wavelet"))
    add("--adain", action=argparse.BooleanOptionalAction, help="match the codes' statistics to the input's")
    add("--keep-grey", action=argparse.BooleanOptionalAction, help="grey faces stay grey")

    machine = restore.add_argument_group("machine and downloads")
    add = machine.add_argument
    add("--device", metavar="DEV", help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")
    add("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    add("--batch-size", type=int, default=4, metavar="N", help="faces at once through the network (default 4)")
    add("--accept-license", action="store_true", help="accept the licence of the weights that are downloaded")
    add("--offline", action="store_true", help="never download")


def _add_degrade(commands: Any, common: argparse.ArgumentParser) -> None:
    degrade = commands.add_parser(
        "degrade",
        parents=[common],
        help="make low-quality test pictures by the paper's Eq. 9 (blur, shrink, noise, JPEG)",
    )
    degrade.set_defaults(run=_degrade)
    add = degrade.add_argument
    add("inputs", nargs="+", metavar="INPUT")
    add("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results, saved as PNG")
    add("--level", default="paper", metavar="LEVEL", choices=_levels(), help=", ".join(_levels()))
    add("--seed", type=int, default=0, help="same seed and file name, same result")
    for name, unit in (
        ("blur-sigma", "standard deviation of the blur, px"),
        ("downscale", "times smaller"),
        ("noise", "standard deviation in 8-bit units"),
        ("jpeg-quality", "1 to 100"),
    ):
        kind = int if name == "jpeg-quality" else float
        add(f"--{name}", nargs=2, type=kind, metavar=("LOW", "HIGH"), help=f"range of {unit} (default: the level's)")


def _levels() -> tuple[str, ...]:
    return ("paper", "published_large", "published_small", "mild", "medium", "heavy")


def _restore(args: argparse.Namespace) -> int:
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from .batch import BatchConfig, find_jobs, is_done, restore_files
    from .faces import FaceSelection
    from .models import USAGE, Usage, default_model, model_path
    from .restorer import RestoreConfig

    model = args.model or default_model()
    path = model_path(model, accept_licence=args.accept_license, offline=args.offline)
    usage = USAGE.get(model, Usage())
    selection = FaceSelection(
        min_size=args.min_size, max_size=args.max_size, max_faces=args.max_faces, order=args.order, only=args.faces
    )
    config = RestoreConfig(
        w=usage.w if args.fidelity is None else args.fidelity,
        adain=usage.adain if args.adain is None else args.adain,
        keep_grey=usage.keep_grey if args.keep_grey is None else args.keep_grey,
        selection=selection,
        upscale=args.upscale,
        large_faces=args.large_faces,
        colour_match=args.colour_match,
        feather=args.feather,
        batch_size=args.batch_size,
    )
    batch = BatchConfig(
        out=args.output,
        suffix=args.format,
        aligned=args.aligned,
        save_crops=args.save_crops,
        background=_existing(args.background),
        mask=_existing(args.mask),
    )
    settings = {
        **asdict(config),
        "model": {"name": model, "bytes": path.stat().st_size, "modified_ns": path.stat().st_mtime_ns},
        **{k: str(v) for k, v in vars(args).items() if k in SETTINGS},
    }
    jobs = find_jobs(args.inputs, args.output)
    todo = [job for job in jobs if args.overwrite or not is_done(job, settings)]
    if len(todo) < len(jobs):
        logger.info("%d of %d done before; --overwrite does them again", len(jobs) - len(todo), len(jobs))
    if not todo:
        return 0
    restorer = _load_restorer(args, path, config)
    failures = []
    outcomes = restore_files(todo, restorer, batch, settings)
    with logging_redirect_tqdm(), tqdm(total=len(todo), unit="picture", disable=args.quiet) as bar:
        for outcome in outcomes:
            bar.update()
            if outcome.failed:
                failures.append(outcome.message)
            else:
                logger.info("%s: %s", outcome.job.relative, outcome.message)
    for message in failures:
        sys.stderr.write(f"codeformer: {message}\n")
    return EXIT_ERROR if failures else 0


def _load_restorer(args: argparse.Namespace, path: Path, config: Any) -> Any:
    import torch

    from .checkpoint import load_codeformer
    from .detection import DetectorConfig, load_detector
    from .parsing import load_parser
    from .restorer import FaceRestorer

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    download = {"accept_licence": args.accept_license, "offline": args.offline}
    search = DetectorConfig() if args.min_score is None else DetectorConfig(score_threshold=args.min_score)
    net = load_codeformer(path, device=device, dtype=getattr(torch, args.dtype))
    detector = None if args.aligned else load_detector(args.detector, device=device, config=search, **download)
    parser = load_parser(args.parser, device=device, **download) if args.parser else None
    return FaceRestorer(net, detector, config, parser=parser)


def _existing(path: Path | None) -> Path | None:
    if path is not None and not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    return path


def _degrade(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from . import degradation
    from .find_pictures import find_pictures
    from .image_files import PictureError, read_picture, write_picture

    config = getattr(degradation, args.level.upper())
    ranges = {name: getattr(args, name) for name in ("blur_sigma", "downscale", "noise", "jpeg_quality")}
    config = replace(config, **{name: tuple(pair) for name, pair in ranges.items() if pair is not None})
    failures = []
    for path, relative in tqdm(find_pictures(args.inputs, exclude=args.output), unit="picture", disable=args.quiet):
        target = args.output / relative.with_suffix(".png")
        rng = degradation.degradation_rng(args.seed, zlib.crc32(relative.as_posix().encode()))
        drawn = degradation.sample_degradation(config, rng)
        try:
            picture = read_picture(path)
            if target.resolve() == path.resolve():
                raise PictureError(f"{path}: would be overwritten by its result; choose another folder with --output")
            write_picture(target, degradation.degrade(picture.rgb, drawn), picture)
        except PictureError as error:
            failures.append(str(error))
    for message in failures:
        sys.stderr.write(f"codeformer: {message}\n")
    return EXIT_ERROR if failures else 0


def _info(args: argparse.Namespace) -> int:
    from .checkpoint import checkpoint_info

    sys.stdout.write(describe(checkpoint_info(args.checkpoint)))
    return 0


def _convert(args: argparse.Namespace) -> int:
    from .checkpoint import convert

    sys.stdout.write(describe(convert(args.source, args.target)))
    return 0


def describe(info: Any) -> str:
    """What a checkpoint holds, some lines of text."""
    from .config import CodeFormerConfig

    lines = [f"{info.path}: {info.kind}"]
    lines.append(f"  {info.tensors} tensors, {info.parameters / 1e6:.1f} M parameters, {', '.join(info.dtypes)}")
    if info.config is not None:
        vq = info.config.vq if isinstance(info.config, CodeFormerConfig) else info.config
        lines.append(f"  faces of {vq.image_size} px, {vq.latent_size} x {vq.latent_size} codes")
        lines.append(f"  codebook of {vq.codebook_size} items, {vq.codebook_dim} wide")
        lines.append(
            f"  width {vq.width} x {vq.ch_mult}, {vq.n_res_blocks} residual blocks, attention at {vq.attn_sizes}"
        )
    if isinstance(info.config, CodeFormerConfig):
        lines.append(
            f"  transformer of {info.config.n_layers} layers, {info.config.dim} wide, {info.config.n_heads} heads"
        )
        cft = ", ".join(map(str, info.config.cft_sizes))
        lines.append(f"  CFT at {cft}" if cft else "  no CFT: w has no effect")
    lines += [f"  {key}: {value}" for key, value in sorted(info.metadata.items()) if key != "codeformer_config"]
    return "\n".join(lines) + "\n"
