"""What a node says of its run: on the node, in its `report` output, and in ComfyUI's log."""

import logging
from collections.abc import Sequence

from comfy_execution.utils import get_executing_context
from server import PromptServer
from torch import Tensor

MOST_LINES = 12  # shown on a node and given by `report`; the log has all

logger = logging.getLogger(__name__)


class Report:
    """Lines for the user, in the order in which they were said; what has gone wrong is also a warning in the log."""

    def __init__(self):
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Something to know."""
        logger.info(line)
        self.lines.append(line)

    def warn(self, line: str) -> None:
        """Something to mend."""
        logger.warning(line)
        self.lines.append(line)

    def look_at(self, image: Tensor, what: str = "picture") -> None:
        """Warn of pictures of an IMAGE that hold values that are not finite, which are read as black."""
        if not image.is_floating_point() or image.sum().isfinite():
            return
        if bad := [i for i in range(len(image)) if not image[i].isfinite().all()]:
            self.warn(
                f"{named(what, bad)} held values that are not finite (NaN), taken as 0: a VAE in half precision makes "
                "them, start ComfyUI with --fp32-vae"
            )

    @property
    def text(self) -> str:
        """The lines as one text, the last ones left out if there are too many."""
        shown, more = self.lines[:MOST_LINES], len(self.lines) - MOST_LINES
        return "\n".join([*shown, f"and {more} more, see ComfyUI's log"] if more > 0 else shown)

    def show(self) -> str:
        """The text, which is then also shown on the node that runs."""
        if context := get_executing_context():
            PromptServer.instance.send_progress_text(self.text, context.node_id)
        return self.text


def named(what: str, numbers: Sequence[int]) -> str:
    """Which of a batch: "picture 3", or "5 pictures (the first is 3)"."""
    return f"{what} {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} {what}s (the first is {numbers[0]})"


def counted(number: int, what: str) -> str:
    """A number of things, such as "1 face" or "2 faces"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
