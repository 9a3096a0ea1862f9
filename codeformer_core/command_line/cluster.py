"""`codeformer restore --ray`: the pictures and films of one command, shared out among the workers of a Ray cluster.

Each worker does with its part what the command does alone, by the same code, and writes the results itself; only names
and outcomes travel. So all machines need to see the files under the same names.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..restorer import FaceRestorer
from .jobs import Job, Outcome, is_film
from .work import Work, restore_all

PART = 16  # pictures that a worker takes at a time
RETRIES = 3  # of a worker that dies, as when its machine is taken away

Load = Callable[[], FaceRestorer]


class Worker:
    """A process on some machine with networks of its own, on a graphics card of its own if the cluster has any."""

    def __init__(self, folder: Path, load: Load, work: Work):
        os.chdir(folder)  # relative names mean what they mean to the command
        self.restorer, self.work = load(), work

    def restore(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcomes of a part of the jobs; done twice, as after a worker's death, it comes out the same."""
        return list(restore_all(jobs, self.restorer, self.work))


def restore_on_ray(jobs: Sequence[Job], address: str, load: Load, work: Work) -> Iterator[Outcome]:
    """The outcomes of all jobs, as their parts are finished, by a worker for each graphics card, or else each core.

    `address` is that of a cluster, such as ray://head:10001; empty for the one in RAY_ADDRESS, or else for this machine
    alone. ImportError without Ray; ValueError where no cluster answers, or workers keep dying.
    """
    ray = _ray()
    from ray.util import ActorPool  # pyright: ignore[reportMissingImports]

    begun = not ray.is_initialized()
    if begun:
        try:
            ray.init(address or None, log_to_driver=not work.quiet, logging_level="error")
        except (ConnectionError, RuntimeError) as error:
            raise ValueError(f"--ray {address}: no cluster answers there ({_first_line(error)})") from error
    try:
        parts = share_out(jobs)
        resources = ray.cluster_resources()
        cards, cores = int(resources.get("GPU", 0)), max(1, int(resources.get("CPU", 1)))
        each: dict[str, Any] = {"num_gpus": 1} if cards else {"num_cpus": 1}
        actor = ray.remote(**each, max_restarts=RETRIES, max_task_retries=RETRIES)(Worker)
        theirs = replace(work, quiet=True, inputs=_in_the_way(jobs, work.batch.out.resolve()))
        workers = [actor.remote(Path.cwd(), load, theirs) for _ in range(min(cards or cores, len(parts)))]
        done = ActorPool(workers).map_unordered(lambda worker, part: worker.restore.remote(part), parts)
        with tqdm(total=len(jobs), unit="file", disable=work.quiet or None) as bar:
            bar.set_postfix_str(f"{len(workers)} workers")
            for outcomes in done:
                bar.update(len(outcomes))
                yield from outcomes
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayActorError as error:
        why = getattr(error, "cause", None) or f"died {RETRIES + 1} times; look whether its machine has enough memory"
        raise ValueError(f"--ray: a worker {_first_line(why)}; run the same again to go on") from error
    finally:
        if begun:
            ray.shutdown()


def share_out(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs in parts of about `PART`, films alone; those whose results might have one name are in one part."""
    parts: list[list[Job]] = []
    last: tuple[bool, Path] | None = None
    for job in sorted(jobs, key=lambda job: (is_film(job.source), job.relative.with_suffix(""))):
        this = is_film(job.source), job.relative.with_suffix("")
        if not parts or (this != last and (is_film(job.source) or len(parts[-1]) >= PART)):
            parts.append([])
        parts[-1].append(job)
        last = this
    return parts


def _in_the_way(jobs: Sequence[Job], out: Path) -> frozenset[Path]:
    """The inputs below the folder for the results, which alone could be replaced by the result of another."""
    return frozenset(path for job in jobs if (path := job.source.resolve()).is_relative_to(out))


def _ray() -> Any:
    try:
        import ray  # pyright: ignore[reportMissingImports]
        import ray.exceptions  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError('--ray needs Ray: pip install "comfyui-codeformer[ray]"') from error
    return ray


def _first_line(said: object) -> str:
    return (str(said).strip().splitlines() or [type(said).__name__])[0][:200]
