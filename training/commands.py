"""How a command that trains ends: with an exit code, and one line of what went wrong."""

import logging
from collections.abc import Callable

from codeformer_core.command_line.stopping import stopped_as_by_ctrl_c

logger = logging.getLogger(__name__)


def run_command(work: Callable[[], None]) -> int:
    """0; 2 with one line that says what is wrong and what to do; or 130 after Ctrl-C or `kill`."""
    try:
        with stopped_as_by_ctrl_c():
            work()
    except (ValueError, OSError, FloatingPointError) as error:
        logger.error("%s", error)
        return 2
    except KeyboardInterrupt:
        logger.error("stopped; the same command goes on from where it last saved")
        return 130
    return 0
