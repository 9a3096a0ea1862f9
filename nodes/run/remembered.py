"""What was found and predicted in the last runs, so that a run with only other weights repeats neither."""

from collections import OrderedDict
from collections.abc import Hashable
from hashlib import sha256
from typing import Generic, TypeVar

import numpy as np

MOST_BYTES = 512 * 2**20  # of predictions in memory for each loaded model; the official one takes 47 MiB a face

V = TypeVar("V")


class Remembered(Generic[V]):
    """The last values by key, within a number of bytes; the least recently used are forgotten first."""

    def __init__(self, most_bytes: int):
        self.most_bytes, self.bytes = most_bytes, 0
        self._values: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        """The value of a key, or None."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Keep a value of so many bytes, unless it alone is too large."""
        if key in self._values or size > self.most_bytes:
            return
        self._values[key], self.bytes = (value, size), self.bytes + size
        while self.bytes > self.most_bytes:
            _, (_, forgotten) = self._values.popitem(last=False)
            self.bytes -= forgotten


def content_key(array: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    """What two arrays of one content share."""
    return array.shape, sha256(np.ascontiguousarray(array).data).digest()
