"""Commands that are stopped from outside leave nothing half-written either."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stopped_as_by_ctrl_c() -> Iterator[None]:
    """In it SIGTERM and SIGHUP, as of `kill`, a scheduler or a closed terminal, raise KeyboardInterrupt.

    What is ignored, as SIGHUP under nohup, or handled by whoever called, stays so.
    """
    taken = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) and _is_free(number)]
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _is_free(number: int) -> bool:
    in_main = threading.current_thread() is threading.main_thread()  # no other thread may say what a signal does
    return in_main and signal.getsignal(number) is signal.SIG_DFL
