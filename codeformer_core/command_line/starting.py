"""What commands check and load before any work is put into pictures."""

import argparse
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)
ON_CARDS = 4  # faces at once through the network, unless told otherwise


def load_restorer(args: argparse.Namespace, path: Path, config: Any) -> Any:
    """A FaceRestorer with the network of `path`, and detector and parser as the arguments say."""
    import torch

    from ..detection.detector import DetectorConfig
    from ..detection.load import load_detector
    from ..pasting.parsing import load_parser
    from ..restorer import FaceRestorer
    from ..weights.checkpoint import load_codeformer
    from ..weights.precision import numbers_for
    from .memory import keep_freed_memory

    keep_freed_memory()
    device = args.device
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    check_device(device)
    download = {"accept_license": args.accept_license, "offline": args.offline}
    search = DetectorConfig(score_threshold=args.min_score, short_side=args.detect_size or None)
    net = load_codeformer(path, device=device, dtype=numbers_for(args.dtype, device))
    if args.compile:
        from ..weights.compiling import compile_network

        compile_network(net, say=logger.info)
    detector = None if args.aligned else load_detector(args.detector, device=device, config=search, **download)
    parser = load_parser(args.parser, device=device, **download) if args.parser else None
    if args.batch_size is None and device != "cpu":
        config = replace(config, batch_size=ON_CARDS)
    return FaceRestorer(net, detector, config, parser=parser)


def check_device(device: str) -> None:
    """ValueError unless the network can compute on what `--device` names."""
    import torch

    try:
        torch.zeros(1, device=device).add(1).cpu()  # some names have no memory (meta), others no device behind them
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise ValueError(f"--device {device} cannot be used: {reason}; leave it out, or give cpu") from error


def chosen(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """The values of options on which a result depends; of a detector or parser that is a file, its stamp."""
    from ..film.fingerprint import file_stamp

    values = {name: value for name, value in vars(args).items() if name in names}
    files = {name: Path(values[name] or "") for name in ("detector", "parser") if name in values}
    return values | {name: file_stamp(file) for name, file in files.items() if file.is_file()}


def existing(path: Path | None) -> Path | None:
    """A path that was given, if there is such a file or folder."""
    if path is not None and not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    return path


def folder(path: Path) -> Path:
    """The path, if it can be a folder."""
    if any(place.is_file() for place in (path, *path.parents)):
        raise NotADirectoryError(f"{path}: cannot be a folder, a file has that name; choose another --output")
    return path


def probe(out: Path) -> None:
    """OSError if nothing can be written there, before any work is put into what is to be written."""
    there = next(place for place in (out.absolute(), *out.absolute().parents) if place.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise OSError(
            error.errno, f"cannot be written to ({error.strerror}); choose another --output", str(out)
        ) from error
