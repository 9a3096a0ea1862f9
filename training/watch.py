"""Losses and gradients that are not finite end a run, before anything of them is saved."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor


class FiniteWatch:
    """Collects what each step gave and looks at all of it at once, since every look waits for the card."""

    def __init__(self, number: int, paths: Sequence[Path]):
        self.number, self.paths = number, paths
        self.seen: list[tuple[str, int, Tensor, list[int]]] = []  # what it is, its step, its value, the faces

    def add_loss(self, loss: Tensor, step: int, faces: Tensor) -> None:
        """The loss of a batch, and its faces' indices (b,) on the CPU."""
        self.seen.append(("loss", step, loss.detach(), faces.tolist()))

    def add_gradient(self, norm: Tensor, step: int) -> None:
        """The norm of a step's gradients."""
        self.seen.append(("gradient", step, norm.detach(), []))

    def check(self) -> None:
        """FloatingPointError at the first value since the last check that is infinite or no number."""
        seen, self.seen = self.seen, []
        for what, step, value, faces in seen:
            if not value.isfinite():
                names = ", with " + ", ".join(str(self.paths[i]) for i in faces) if faces else ""
                raise FloatingPointError(
                    f"the {what} is {value.item()} at step {step} of stage {self.number}{names}; "
                    f"the last checkpoint is whole: go on from it with a lower lr or --mixed-precision no"
                )
