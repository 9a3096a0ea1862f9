"""Which face stands in which place of which step."""

import numpy as np
import pytest

from training.faces import sampling
from training.faces.data import SampleKey
from training.faces.sampling import StepSampler, default_workers


def take(sampler: StepSampler, n: int) -> list[list[SampleKey]]:
    return [batch for batch, _ in zip(sampler, range(n), strict=False)]


def test_epochs_are_permutations():
    keys = [key for batch in take(StepSampler(10, batch_size=4, seed=3), 10) for key in batch]
    epochs = [[key.face for key in keys[start : start + 10]] for start in (0, 10, 20, 30)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_resumed_is_uninterrupted_and_processes_share_one_batch():
    whole = take(StepSampler(10, batch_size=8, seed=3), 6)
    assert take(StepSampler(10, batch_size=8, seed=3, first_step=4), 2) == whole[4:]
    parts = [take(StepSampler(10, batch_size=8, seed=3, rank=r, world=2, accumulate=2), 12) for r in (0, 1)]
    for step in range(6):
        union = [key for i in (0, 1) for r in (0, 1) for key in parts[r][2 * step + i]]
        assert union == whole[step]


def test_weights_are_how_often_a_face_comes():
    weights = np.array([0.5, 0.3, 0.1, 0.1])
    keys = [key for batch in take(StepSampler(4, batch_size=8, seed=0, weights=weights), 100) for key in batch]
    counts = np.bincount([key.face for key in keys], minlength=4) / len(keys)
    np.testing.assert_allclose(counts, weights, atol=0.03)


def test_processes_share_the_cores(monkeypatch):
    monkeypatch.setattr(sampling, "available_cores", lambda: 12)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert default_workers() == 4
    for processes, workers in ((4, 3), (8, 1), (16, 0)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert default_workers() == workers


def test_wrong_batch_size_is_named():
    with pytest.raises(ValueError, match="batch_size is 9"):
        StepSampler(10, batch_size=9, seed=0, world=2)
