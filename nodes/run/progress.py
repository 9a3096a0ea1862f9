"""ComfyUI's progress bar and its cross, in loops over pictures."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import comfy.model_management as mm
from comfy.utils import ProgressBar

T = TypeVar("T")
TICKS = 1000  # of a bar that shows shares of pictures
STAGES = {"find": (0.0, 0.3), "restore": (0.3, 0.98), "write": (0.98, 1.0)}  # of a film: shares of its work, about


def stop_if_interrupted(*_: Any) -> None:
    """Raise ComfyUI's own exception if its user has pressed the cross; also a hook of modules."""
    mm.throw_exception_if_processing_interrupted()


def stop_behind(*_: Any) -> None:
    """The same in a thread that works behind the node: the cross stays pressed, so that the node's own sees it too."""
    if mm.processing_interrupted():
        raise mm.InterruptProcessingException


def watched(items: Sequence[T]) -> Iterator[T]:
    """Each item in turn; the progress bar moves after it, and a pressed cross stops before the next."""
    bar = ProgressBar(len(items))
    for item in items:
        stop_if_interrupted()
        yield item
        bar.update(1)


def count_faces() -> Callable[[int, int], None]:
    """A progress bar in faces that are done, for the core's `restore`; it raises if the cross is pressed."""
    bar = ProgressBar(1)

    def show(done: int, total: int) -> None:
        stop_if_interrupted()
        bar.update_absolute(done, total)

    return show


def watch_film() -> Callable[[str, int, int], None]:
    """A progress bar over the stages of a film, for the core's `restore_film`; it raises if the cross is pressed."""
    bar = ProgressBar(TICKS)

    def show(stage: str, done: int, total: int) -> None:
        stop_if_interrupted()
        first, last = STAGES[stage]
        bar.update_absolute(round(TICKS * (first + (last - first) * done / total)) if total else 0)

    return show


class Portions:
    """A progress bar for a batch that is worked on in portions, each in several steps that take shares of it."""

    def __init__(self, pictures: int):
        self.pictures, self.before, self.portion, self.bar = pictures, 0, 0, ProgressBar(TICKS)

    def begin(self, portion: int) -> None:
        """The last portion is done, and one of so many pictures begins."""
        self.before, self.portion = self.before + self.portion, portion

    def each(self, items: Sequence[T], first: float, last: float) -> Iterator[T]:
        """Each item in turn, while the portion's share rises from `first` to `last`; stops at a pressed cross."""
        for i, item in enumerate(items):
            self._show(first + (last - first) * i / len(items))
            yield item

    def between(self, first: float, last: float) -> Callable[[int, int], None]:
        """The same for the core's `restore`."""
        return lambda done, total: self._show(first + (last - first) * done / total)

    def _show(self, share: float) -> None:
        stop_if_interrupted()
        self.bar.update_absolute(round(TICKS * (self.before + self.portion * share) / self.pictures))
