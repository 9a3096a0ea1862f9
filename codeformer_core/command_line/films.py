"""Films for `codeformer restore`: what is done, replaced, reported and gone on with follows the rules of pictures."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..fidelity.mask import FidelityMask
from ..fidelity.plan import as_plan
from ..film.encoding import check_quality, output_codec, output_suffix
from ..film.job import FilmConfig, FilmJob, Progress
from ..film.pyav import FilmError
from ..film.reading import Film
from ..film.report import FilmReport
from ..networks.cft import CFTWeights
from ..pictures.arrays import to_float
from ..pictures.files import read_picture
from ..pictures.formats import PictureError
from ..restorer import FaceRestorer
from .batch import ELSEWHERE, check_free
from .companions import companion_path, stamps_of
from .jobs import BatchConfig, Job, Outcome
from .reports import own_results, read_report, write_report

FOR_PICTURES = ("format", "save_crops")  # settings that films do not depend on


@dataclass(frozen=True, kw_only=True)
class FilmOptions:
    """What is asked of films alone."""

    codec: str | None = None
    crf: int | None = None

    def __post_init__(self):
        check_quality(self.codec, self.crf)


def film_batch(config: BatchConfig, options: FilmOptions) -> BatchConfig:
    """The settings of a batch as films depend on them."""
    kept = {name: value for name, value in config.settings.items() if name not in FOR_PICTURES}
    return replace(config, save_crops=False, by_frame=False, settings={**kept, **asdict(options)})


def restore_films(
    jobs: Sequence[Job],
    restorer: FaceRestorer,
    config: BatchConfig,
    options: FilmOptions,
    progress: Callable[[Job], Progress | None],
    inputs: frozenset[Path] = frozenset(),
) -> Iterator[Outcome]:
    """Restore films one after another, an outcome each; one that cannot be read does not stop the rest.

    `config` is that of `film_batch`. No result may replace one of `inputs`. OSError if the disk takes no more.
    """
    originals = inputs | {job.source.resolve() for job in jobs}
    sources: dict[Path, Path] = {}  # result to source
    for job in jobs:
        try:
            yield _restore(job, restorer, config, options, originals, sources, progress(job))
        except (FilmError, PictureError) as error:
            yield Outcome(job=job, message=str(error), failed=True)


def _restore(
    job: Job,
    restorer: FaceRestorer,
    config: BatchConfig,
    options: FilmOptions,
    originals: frozenset[Path],
    sources: dict[Path, Path],
    progress: Progress | None,
) -> Outcome:
    for flag, given in (("--aligned", config.aligned), ("--background", config.background is not None)):
        if given:
            raise FilmError(f"{job.source}: is a film, and {flag} is for pictures; restore it without")
    stamps = stamps_of(job, config)
    film = Film(job.source)
    target = config.out / job.relative.with_suffix(output_suffix(film, output_codec(film, options.codec)))
    if target.resolve() in originals:
        raise FilmError(f"{job.source}: its result would overwrite the input {target}; {ELSEWHERE}")
    if sources.setdefault(target, job.source) != job.source:
        raise FilmError(f"{job.source}: its result would replace that of {sources[target]}; rename one")
    before = read_report(job.report)
    check_free(job.report, bool(before), job, config)
    earlier = [name for name in own_results(before) if target.with_name(name).is_file()]
    check_free(target, target.name in earlier, job, config)
    asked = FilmConfig(
        codec=options.codec,
        crf=options.crf,
        limit=_limit(companion_path(config.mask, job), film),
        strip_metadata=config.strip_metadata,
    )
    work = FilmJob(job.source, target, _with_fidelity_mask(restorer, job, config), asked)
    earlier = [name for name in earlier if name != target.name]
    write_report(job.report, {"output": target.name, "earlier": earlier})  # until the whole one follows
    done = work.run(progress)
    said = {"inputs": stamps, "output": target.name, "earlier": earlier, "settings": config.settings}
    write_report(job.report, {**said, **_in_json(done)})
    work.forget()
    notes = "".join(f"; {what}" for what in done.lost)
    found = f"{_count(done.restored, 'face')} of {_count(len(done.tracks), 'track')} restored in {done.frames} frames"
    damage = f"{job.source}: is damaged: {'; '.join(done.damage)}; the rest is in {target}" if done.damage else ""
    message = f"{found if done.tracks else f'no face found in {done.frames} frames'}{notes}"
    return Outcome(job=job, message=message, restored=done.restored, problem=damage)


class FilmBar:
    """A bar for each pass over a film, with the time that is left."""

    def __init__(self, quiet: bool):
        self.disable, self.stage, self.name = quiet or None, "", ""
        self.bar: tqdm | None = None

    def begin(self, job: Job) -> Progress:
        """Name the film; `progress` for it."""
        self.name, self.stage = job.relative.name, ""
        return self.show

    def show(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is."""
        if stage != self.stage:
            self.close()
            self.stage = stage
            self.bar = tqdm(
                total=total or None, initial=done - 1, desc=f"{self.name}: {stage}", unit="frame", disable=self.disable
            )
        assert self.bar is not None
        self.bar.total = total or None
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        """End the bar at hand."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _in_json(report: FilmReport) -> dict[str, Any]:
    values = asdict(report)
    return {**values, "size": list(report.size[::-1])}  # width, height, as in the reports of pictures


def _limit(path: Path | None, film: Film) -> np.ndarray | None:
    if path is None:
        return None
    mask = read_picture(path).rgb[..., 0]
    if mask.shape != film.size:
        height, width = film.size
        size = f"{mask.shape[1]} x {mask.shape[0]}"
        raise FilmError(f"{path}: is {size}, must be {width} x {height} pixels to go with {film.path}")
    return mask


def _with_fidelity_mask(restorer: FaceRestorer, job: Job, config: BatchConfig) -> FaceRestorer:
    path = companion_path(config.fidelity_mask, job)
    if path is None or isinstance(restorer.config.w, CFTWeights):
        return restorer
    mask = FidelityMask(values=to_float(read_picture(path).rgb)[..., 0])
    plan = replace(as_plan(restorer.config.w), mask=mask)
    own = replace(restorer.config, w=plan)
    return FaceRestorer(restorer.net, restorer.detector, own, parser=restorer.parser)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
