"""Work in threads of its own, before and behind what the caller does: in order, and a bounded number at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from typing import Any, Generic, TypeVar

AT_ONCE = 3  # items that are prepared before they are asked for, and so many that wait to be finished

T = TypeVar("T")
R = TypeVar("R")


def ahead(items: Iterable[T], *stages: Callable[[Any], Any]) -> Iterator[tuple[T, Future[Any]]]:
    """Each item with the last stage's result, in order, while the next ones are on their way through the stages.

    A stage takes what the one before gave, in a thread of its own. What one raises comes with the result.
    """
    waiting: deque[tuple[T, Future[Any]]] = deque()
    left = iter(items)
    with ExitStack() as threads:
        first, *others = [(threads.enter_context(ThreadPoolExecutor(1)), stage) for stage in stages]
        try:
            while True:
                for item in islice(left, AT_ONCE - len(waiting)):
                    result = first[0].submit(first[1], item)
                    for thread, stage in others:
                        result = thread.submit(_after, result, stage)
                    waiting.append((item, result))
                if not waiting:
                    return
                yield waiting.popleft()
        finally:
            for _, result in waiting:
                result.cancel()


def _after(before: Future[Any], stage: Callable[[Any], Any]) -> Any:
    return stage(before.result())


class Behind(Generic[R]):
    """Threads that finish things behind the caller, two at a time, who gets the results in order.

    On leaving the `with`, what has not begun is dropped.
    """

    def __init__(self) -> None:
        self._threads, self._waiting = ThreadPoolExecutor(2), deque[Future[R]]()

    def __enter__(self) -> "Behind[R]":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def finish(self, work: Callable[..., R], *args: Any) -> Iterator[R]:
        """Have something done; the results that are there, with waiting for the oldest where too many are not."""
        self._waiting.append(self._threads.submit(work, *args))
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > AT_ONCE):
            yield self._waiting.popleft().result()

    def rest(self) -> Iterator[R]:
        """All other results, as they come."""
        while self._waiting:
            yield self._waiting.popleft().result()
