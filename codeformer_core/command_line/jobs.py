"""What there is to do: pictures and films with their places in the output, and what is done with each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..film.reading import FILM_SUFFIXES
from ..pictures.folders import find_pictures
from ..pictures.formats import writable
from ..restoration import AlignedFace
from ..restorer import FaceRestorer


class Task(Protocol):
    """What is done with the faces of a picture in place of pasting them: before and after the network restores them."""

    @property
    def done(self) -> str:
        """To a face, in a word."""
        ...

    @property
    def any_mask(self) -> bool:
        """Whether a mask may be of any size, and is float32 in [0, 1]; else it is of the picture's size and dtype."""
        ...

    def faces(self, rgb: np.ndarray, mask: np.ndarray | None, restorer: FaceRestorer) -> list[AlignedFace]:
        """The faces of a picture, as the network is to see them."""
        ...

    def why_none(self, rgb: np.ndarray, mask: np.ndarray | None, restorer: FaceRestorer) -> str:
        """Why a picture has no faces to work on."""
        ...

    def result(
        self,
        rgb: np.ndarray,
        faces: Sequence[AlignedFace],
        background: np.ndarray | None,
        mask: np.ndarray | None,
        restorer: FaceRestorer,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The picture with its restored faces, and what the report says of it besides."""
        ...


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """What is read and written around the restoration."""

    out: Path
    suffix: str | None = None  # of the results, such as ".png"; None keeps each input's own
    aligned: bool = False  # the inputs are aligned faces
    save_crops: bool = False
    strip_metadata: bool = False  # results say nothing that their inputs' files said, but of colours
    background: Path | None = None  # an upscaled picture, or a folder of such with the inputs' names
    mask: Path | None = None  # white where pictures may change: a picture, or a folder of such
    fidelity_mask: Path | None = None  # white where the fidelity plan holds; of any size, or a folder of such
    by_frame: bool = False  # results depend on the pictures' places among all
    overwrite: bool = False  # files in `out` that are no earlier results of the same pictures are replaced
    settings: dict[str, Any] = field(default_factory=dict)  # JSON values; changing them invalidates results
    task: Task | None = None  # in place of restoring faces as they are

    def __post_init__(self):
        if self.suffix is not None and f".{self.suffix.lower().lstrip('.')}" not in writable():
            raise ValueError(f"pictures are not written as {self.suffix!r}; use one of {' '.join(writable())}")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture to do, and where its results go."""

    source: Path
    relative: Path  # below the input folder, with the source's suffix
    report: Path  # a JSON, whole once the picture is done
    frame: int = 0  # its place among all pictures, for plans of the fidelity over frames


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How it went with one picture, in one line."""

    job: Job
    message: str
    restored: int = 0  # faces
    failed: bool = False
    problem: str = ""  # what could not be read of a film that is otherwise restored


def find_jobs(inputs: Sequence[str | Path], out: Path, *, films: bool = True) -> tuple[list[Job], list[str]]:
    """The pictures and films that inputs name, with their reports' places below `out`; what was wrong with inputs."""
    found = find_pictures(inputs, exclude=out, also=FILM_SUFFIXES if films else ())
    # The report's name holds the suffix too, so that a.jpg's is the same whether there is an a.png beside it or not.
    pictures, jobs = 0, []
    for path, relative in found.pictures:
        report = out / relative.with_name(f"{relative.name}.json")
        jobs.append(Job(source=path, relative=relative, report=report, frame=0 if is_film(path) else pictures))
        pictures += not is_film(path)
    return jobs, found.problems


def is_film(path: Path) -> bool:
    """Whether a file is restored as a film, by its name."""
    return path.suffix.lower() in FILM_SUFFIXES
