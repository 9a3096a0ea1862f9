"""Faces on their way between nodes."""

from dataclasses import dataclass

import numpy as np

from ...codeformer_core.detection.faces import Face


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundFaces:
    """The faces of each picture of a batch, all of one size."""

    faces: list[list[Face]]
    height: int  # of the pictures, px
    width: int
    signatures: list[np.ndarray]  # of each picture; see signatures.py

    @property
    def count(self) -> int:
        """How many faces there are in all pictures."""
        return sum(len(some) for some in self.faces)
