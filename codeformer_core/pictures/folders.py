"""The search for picture files: named ones, folders and patterns."""

import logging
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .formats import OTHER_SUFFIXES, PICTURE_SUFFIXES, REMEDY

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """Pictures with their relative paths, and one line for each input, or picture, that had to be left out."""

    pictures: list[tuple[Path, Path]]  # (path, relative path)
    problems: list[str]


def find_pictures(inputs: Sequence[str | Path], exclude: Path | None = None, *, also: Collection[str] = ()) -> Found:
    """The pictures that files, folders (with all below them) and glob patterns name, each with its relative path.

    The relative path starts below the input folder, or where a pattern's wildcards start; a file has its name. In
    folders and patterns hidden files and other suffixes are passed over, those of pictures with a warning; a file that
    is named is taken whatever its suffix. The order is that of the inputs, then 2.png before 10.png; no file comes
    twice. `exclude` is a folder to pass over where it lies below an input (the output folder, on a second run).
    Problems are an input that yields nothing, and a second picture of one relative path, whose result would replace
    the first's; ValueError if there are no pictures at all. `also` are suffixes of other files that count as pictures.
    """
    found: dict[Path, Path] = {}  # relative path to path
    problems: list[str] = []
    seen: set[Path] = set()
    for name in inputs:
        try:
            hits = _hits(Path(name), exclude, {*PICTURE_SUFFIXES, *also})
        except (ValueError, NotImplementedError) as error:
            raise ValueError(f"{name}: is no file, folder or pattern ({error}); see pathlib's patterns") from error
        if not hits:
            suffixes = " ".join(sorted(PICTURE_SUFFIXES))
            problems.append(f"{name}: no picture there; give a file, a folder or a pattern with pictures ({suffixes})")
        for path, relative in hits:
            resolved = path.resolve()
            if resolved not in seen and relative in found:
                problems.append(
                    f"{path}: its result would replace that of {found[relative]}; give a folder above both instead"
                )
            elif resolved not in seen:
                found[relative] = path
                seen.add(resolved)
    if not found:
        raise ValueError("; ".join(problems) or "no pictures were named")
    return Found([(path, relative) for relative, path in found.items()], problems)


def _hits(path: Path, exclude: Path | None, suffixes: set[str]) -> list[tuple[Path, Path]]:
    """What one input names, as (path, relative path)."""
    if path.is_dir():
        return _below(path, path.rglob("*"), exclude, suffixes)
    if path.exists():
        return [(path, Path(path.name))]
    if not any(wildcard in str(path) for wildcard in "*?["):
        return []
    root = next(parent for parent in path.parents if parent.is_dir())  # a folder's own name may hold brackets
    matches = root.glob(str(path.relative_to(root)))
    hits = (hit for match in matches for hit in ([match] if match.is_file() else match.rglob("*")))
    return _below(root, hits, exclude, suffixes)


def _below(root: Path, paths: Iterable[Path], exclude: Path | None, suffixes: set[str]) -> list[tuple[Path, Path]]:
    """The visible pictures among `paths`, each once and in natural order, with their paths relative to `root`."""
    excluded = exclude.resolve() if exclude and root.resolve() in exclude.resolve().parents else None
    paths = {path.relative_to(root): path for path in paths}
    visible = [relative for relative in paths if not any(part.startswith(".") for part in relative.parts)]
    pictures, others = (
        [relative for relative in visible if relative.suffix.lower() in kinds and paths[relative].is_file()]
        for kinds in (suffixes, OTHER_SUFFIXES)
    )
    if others:
        kinds = " ".join(sorted({relative.suffix.lower() for relative in others}))
        logger.warning("%s: %d pictures of other formats are passed over (%s); %s", root, len(others), kinds, REMEDY)
    wanted = [relative for relative in pictures if excluded not in paths[relative].resolve().parents]
    return [(paths[relative], relative) for relative in sorted(wanted, key=_natural)]


def _natural(path: Path) -> list[tuple[list[tuple[int, str]], str]]:
    """A sort key that puts 2.png before 10.png, folder by folder."""
    key = []
    for part in path.parts:
        pieces = re.split("([0-9]+)", part.casefold())
        key.append(([(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces], part))
    return key
