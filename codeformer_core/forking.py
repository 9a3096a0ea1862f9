"""Forked processes: PyTorch's threads do not exist in them, and waiting for them would never end."""

import os
from functools import cache

import torch


@cache
def survive_fork() -> None:
    """From now on let a process that is forked off this one (multiprocessing's "fork") use one thread of PyTorch's.

    With more, OpenMP waits in the child for threads that only the parent has. Processes that are spawned use all.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
        os.register_at_fork(after_in_child=_use_one_thread)


def _use_one_thread() -> None:
    torch.set_num_threads(1)
