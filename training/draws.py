"""Random draws that depend on seed and step, and not on what ran before: a resumed run is the same run."""

import zlib

import numpy as np
import torch


def draws(seed: int, step: int, what: str) -> torch.Generator:
    """A generator on the CPU for one thing that a step draws; other things of the step draw independently."""
    words = np.random.SeedSequence((seed, step, zlib.crc32(what.encode()))).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))
