"""Faces on their way between nodes."""

from dataclasses import dataclass

from ...codeformer_core.detection.faces import Face


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundFaces:
    """The faces of each picture of a batch, all of one size."""

    faces: list[list[Face]]
    height: int  # of the pictures, px
    width: int

    @property
    def count(self) -> int:
        """How many faces there are in all pictures."""
        return sum(len(some) for some in self.faces)
