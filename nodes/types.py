"""What travels along the pack's own links."""

from dataclasses import dataclass

from comfy_api.v0_0_2 import io

from ..codeformer_core.faces import Face

Model = io.Custom("CODEFORMER_MODEL")
Detector = io.Custom("CODEFORMER_DETECTOR")
Faces = io.Custom("CODEFORMER_FACES")


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
