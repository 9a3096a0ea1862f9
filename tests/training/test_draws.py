"""What a step draws at random."""

import torch

from training.draws import draws


def drawn(seed: int, step: int, what: str) -> list[float]:
    return torch.rand(4, generator=draws(seed, step, what)).tolist()


def test_draws_depend_on_seed_step_and_what_is_drawn_and_on_nothing_else():
    torch.manual_seed(5)
    first = drawn(0, 7, "crops")
    torch.rand(3)
    assert drawn(0, 7, "crops") == first
    others = [drawn(1, 7, "crops"), drawn(0, 8, "crops"), drawn(0, 7, "views")]
    assert len({tuple(values) for values in [first, *others]}) == 4
