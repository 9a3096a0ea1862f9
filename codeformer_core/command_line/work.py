"""The pictures and films of one command, one after another, with a bar for each kind."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ..restorer import FaceRestorer
from .batch import restore_files
from .films import FilmBar, FilmOptions, film_batch, restore_films
from .jobs import BatchConfig, Job, Outcome, is_film


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be done with pictures and films."""

    batch: BatchConfig
    options: FilmOptions
    inputs: frozenset[Path] = frozenset()  # all of the command's, of which another process may work on some
    quiet: bool = False

    def config(self, job: Job) -> BatchConfig:
        """The settings that the job's result depends on."""
        return film_batch(self.batch, self.options) if is_film(job.source) else self.batch


def restore_all(jobs: Sequence[Job], restorer: FaceRestorer, work: Work) -> Iterator[Outcome]:
    """Restore pictures, then films, an outcome each; see `restore_files` and `restore_films`."""
    pictures, films = ([job for job in jobs if is_film(job.source) == kind] for kind in (False, True))
    with tqdm(total=len(pictures), unit="picture", disable=work.quiet or not pictures or None) as bar:

        def show_faces(done: int, total: int) -> None:
            bar.set_postfix_str(f"face {done} of {total}")

        for outcome in restore_files(pictures, restorer, work.batch, show_faces, work.inputs):
            bar.update()
            yield outcome
    with closing(FilmBar(work.quiet)) as film_bar:
        config = film_batch(work.batch, work.options)
        for outcome in restore_films(films, restorer, config, work.options, film_bar.begin, work.inputs):
            film_bar.close()
            yield outcome
