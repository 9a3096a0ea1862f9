"""Which face stands in which place of which step, and the loader that reads them.

It depends on seed, step and slot, and not on what ran before or in how many processes: a resumed run is the same run,
and two processes see what one with twice the batch sees.
"""

import os
import threading
from collections.abc import Iterator
from multiprocessing import get_all_start_methods, parent_process
from typing import Any

import cv2
import numpy as np
from torch.utils.data import DataLoader, Sampler

from codeformer_core.overlap import available_cores
from codeformer_core.pictures.degradation import degradation_rng

from .data import FaceFolder, SampleKey


class StepSampler(Sampler[list[SampleKey]]):
    """The batches of this process from `first_step` on, for ever; give it to a DataLoader as `batch_sampler`.

    `batch_size` counts the faces of one step of all processes. With `accumulate` > 1 a step is that many batches, in
    which each process has batch_size / world / accumulate faces. Each epoch goes through the faces in an order drawn
    from (seed, epoch); with `weights` (n,) a face comes n * weight times an epoch, rounded up or down by chance.
    """

    def __init__(
        self,
        n_faces: int,
        *,
        batch_size: int,
        seed: int,
        first_step: int = 0,
        rank: int = 0,
        world: int = 1,
        accumulate: int = 1,
        weights: np.ndarray | None = None,
    ):
        check_batch(batch_size, world, accumulate)
        if weights is not None and len(weights) != n_faces:
            raise ValueError(f"weights are one for each of the {n_faces} faces, got {len(weights)}")
        self.n_faces, self.batch_size, self.seed, self.first_step = n_faces, batch_size, seed, first_step
        self.rank, self.world, self.accumulate = rank, world, accumulate
        self.cumulative = None if weights is None else np.cumsum(weights) / np.sum(weights)
        self._epoch: tuple[int, np.ndarray] | None = None  # the last one asked for

    def __iter__(self) -> Iterator[list[SampleKey]]:
        per_batch = self.batch_size // self.world // self.accumulate
        step = self.first_step
        while True:
            for part in range(self.accumulate):
                first = (part * self.world + self.rank) * per_batch
                yield [SampleKey(step, slot, self.face_at(step, slot)) for slot in range(first, first + per_batch)]
            step += 1

    def face_at(self, step: int, slot: int) -> int:
        """The index of the face in one place of one step."""
        epoch, place = divmod(step * self.batch_size + slot, self.n_faces)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, self._order(epoch)
        return int(self._epoch[1][place])

    def _order(self, epoch: int) -> np.ndarray:
        rng = degradation_rng(self.seed, epoch)
        if self.cumulative is None:
            return rng.permutation(self.n_faces)
        places = (np.arange(self.n_faces) + rng.random()) / self.n_faces  # systematic sampling
        faces = np.searchsorted(self.cumulative, places, side="right").clip(max=self.n_faces - 1)
        return rng.permutation(faces)


def check_batch(batch_size: int, world: int, accumulate: int) -> None:
    """ValueError unless a step's faces can be dealt out to so many processes and accumulated batches."""
    if accumulate < 1:
        raise ValueError(f"accumulate counts the batches of a step, 1 or more, got {accumulate}")
    if batch_size < 1 or batch_size % (world * accumulate):
        raise ValueError(
            f"batch_size is {batch_size}, expected a multiple of processes x accumulated batches = "
            f"{world} x {accumulate}"
        )


def face_loader(
    faces: FaceFolder,
    *,
    batch_size: int,
    first_step: int = 0,
    rank: int = 0,
    world: int = 1,
    accumulate: int = 1,
    workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader[dict[str, Any]]:
    """Batches (dicts of tensors) of this process from `first_step` on, for ever; arguments as in `StepSampler`.

    It is sharded by itself: do not hand it to `Accelerator.prepare`.
    """
    sampler = StepSampler(
        len(faces),
        batch_size=batch_size,
        seed=faces.seed,
        first_step=first_step,
        rank=rank,
        world=world,
        accumulate=accumulate,
        weights=faces.weights,
    )
    return DataLoader(
        faces,
        batch_sampler=sampler,
        num_workers=workers,
        multiprocessing_context=_start_method() if workers else None,
        worker_init_fn=_begin_worker,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )


def default_workers() -> int:
    """How many loader workers a process has: its share of this machine's cores, at most 4."""
    return min(4, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))  # which torchrun sets


def _start_method() -> str:
    """How loader workers start: a plain fork inherits OpenCV's locked threads and hangs; Windows can only spawn."""
    return "forkserver" if "forkserver" in get_all_start_methods() else "spawn"


def _begin_worker(worker: int) -> None:
    cv2.setNumThreads(1)  # the workers are the parallelism
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when the process that trains is gone, however it went.

    PyTorch's workers watch whom they were forked by; a fork server lives as long as they do, so that both would stay.
    """
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
