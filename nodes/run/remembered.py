"""What was found and predicted in the last runs, so that a run with only other weights repeats neither."""

from collections import OrderedDict
from collections.abc import Hashable
from hashlib import sha256
from typing import Generic, TypeVar

import numpy as np

MOST_BYTES = 512 * 2**20  # of predictions in memory for each loaded model; the official one takes 47 MiB a face

V = TypeVar("V")


class Remembered(Generic[V]):
    """The last values by key, within a number of bytes; the least recently used are forgotten first.

    What the run at hand uses is never forgotten for what it adds: of more than there is room for, the first are kept,
    and the next run finds them. Otherwise it would find none, as each would have been forgotten shortly before.
    """

    def __init__(self, most_bytes: int):
        self.most_bytes, self.bytes = most_bytes, 0
        self._values: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._used: set[Hashable] = set()

    def begin_run(self) -> None:
        """Let what was used so far be forgotten again."""
        self._used.clear()

    def get(self, key: Hashable) -> V | None:
        """The value of a key, or None."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        self._used.add(key)
        return self._values[key][0]

    def room_for(self, size: int) -> bool:
        """Whether there is room for so many bytes; what is needed for it is forgotten."""
        while size <= self.most_bytes < self.bytes + size:
            oldest = next(iter(self._values))
            if oldest in self._used:
                return False
            self.bytes -= self._values.pop(oldest)[1]
        return size <= self.most_bytes

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Keep a value of so many bytes if there is room for it."""
        if key not in self._values and self.room_for(size):
            self._values[key], self.bytes = (value, size), self.bytes + size
            self._used.add(key)


def content_key(array: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    """What two arrays of one content share."""
    return array.shape, sha256(np.ascontiguousarray(array).data).digest()
