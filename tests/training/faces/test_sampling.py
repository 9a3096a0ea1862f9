"""Which face stands in which place of which step."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
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


TRAINS = """
import sys
from pathlib import Path
from training.faces.data import FaceFolder
from training.faces.sampling import face_loader

if __name__ == "__main__":
    batches = iter(face_loader(FaceFolder([Path(sys.argv[1])], 32, seed=0), batch_size=1, workers=1))
    next(batches)
    print("began", flush=True)
    sys.stdin.read()
"""


def test_workers_end_with_a_run_that_is_killed(tmp_path):
    cv2.imwrite(str(tmp_path / "face.png"), np.zeros((32, 32, 3), np.uint8))
    script = tmp_path / "trains.py"
    script.write_text(TRAINS)
    environment = {**os.environ, "PYTHONPATH": str(Path(sampling.__file__).parents[2])}
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "began\n"
        run.kill()
        run.communicate(timeout=30)  # its output is open as long as a worker is there
