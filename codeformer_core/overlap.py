"""Work in threads of its own, before and behind what the caller does: in order, and a bounded number at a time."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from typing import Any, Generic, TypeVar

AT_ONCE = 3  # items that are prepared before they are asked for, and so many that wait to be finished

T = TypeVar("T")
R = TypeVar("R")


def available_cores() -> int:
    """How many of this machine's cores the process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ahead(items: Iterable[T], *stages: Callable[[Any], Any]) -> Generator[tuple[T, Future[Any]], None, None]:
    """Each item with the last stage's result, in order, while the next ones are on their way through the stages.

    A stage takes what the one before gave, in a thread of its own. What one raises comes with the result. On closing,
    what has not begun is dropped, whatever its stage.
    """
    waiting: deque[tuple[T, list[Future[Any]]]] = deque()  # with the result of each stage
    left = iter(items)
    with ExitStack() as threads:
        first, *others = [(threads.enter_context(ThreadPoolExecutor(1)), stage) for stage in stages]
        try:
            while True:
                for item in islice(left, AT_ONCE - len(waiting)):
                    results = [first[0].submit(first[1], item)]
                    for thread, stage in others:
                        results.append(thread.submit(_after, results[-1], stage))
                    waiting.append((item, results))
                if not waiting:
                    return
                item, results = waiting[0]
                yield item, results[-1]
                waiting.popleft()
        finally:
            for _, results in waiting:
                for result in results:
                    result.cancel()


def _after(before: Future[Any], stage: Callable[[Any], Any]) -> Any:
    return stage(before.result())


class Behind(Generic[R]):
    """Threads that finish things behind the caller, who gets the results in order: half of the cores, two to four.

    On leaving the `with`, what has not begun is dropped. At most `waiting` (0 or more) are behind: with one more the
    caller waits for the oldest.
    """

    def __init__(self, waiting: int = AT_ONCE) -> None:
        self._most = waiting
        self._threads, self._waiting = ThreadPoolExecutor(min(4, max(2, available_cores() // 2))), deque[Future[R]]()

    def __enter__(self) -> "Behind[R]":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def finish(self, work: Callable[..., R], *args: Any) -> list[R]:
        """Have something done; the results that are there, with waiting for the oldest where too many are not.

        What one raises, behind results that are there, is raised the next time, so that these are not lost.
        """
        self._waiting.append(self._threads.submit(work, *args))
        results: list[R] = []
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > self._most):
            if results and self._waiting[0].exception() is not None:
                break
            results.append(self._waiting.popleft().result())
        return results

    def rest(self) -> Iterator[R]:
        """All other results, as they come."""
        while self._waiting:
            yield self._waiting.popleft().result()
