"""Batches that shrink until they fit into a graphics card's memory."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_batches(
    run: Callable[[Sequence[Item]], Result], items: Sequence[Item], size: int
) -> Iterator[tuple[Sequence[Item], Result]]:
    """Each batch of at most `size` items and what `run` makes of it.

    One that does not fit is halved, and those after it are no larger; a single item that does not fit is an error.
    """
    done = 0
    while done < len(items):
        batch = items[done : done + size]
        try:
            result = run(batch)
        except torch.cuda.OutOfMemoryError:
            if len(batch) == 1:
                raise
        else:
            yield batch, result
            done += len(batch)
            continue
        # Outside the handler, whose traceback would hold on to the memory.
        size = len(batch) // 2
        torch.cuda.empty_cache()
        logger.warning("out of GPU memory: going on with %d face(s) at a time", size)
