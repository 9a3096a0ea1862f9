"""What filling and colouring are measured by, with perfect and idle stand-ins for them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from training.evaluate_variant import main
from training.evaluation.jobs import by_tercile, compare_colouring, compare_filling
from training.evaluation.metrics import psnr
from training.faces.augment import polyline_mask
from training.faces.data import read_face


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    rng = np.random.default_rng(0)
    for i in range(3):
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{i}.png"), cv2.resize(small, (64, 64), interpolation=cv2.INTER_CUBIC))
    return sorted(tmp_path.glob("*.png"))


def answering(paths: list[Path], *, truth: bool) -> Any:
    """Gives the clean faces one after the other, or the pictures as they come."""
    faces = iter([read_face(path, 64) for path in paths])
    return lambda image, *_, **__: SimpleNamespace(image=next(faces) if truth else image)


def test_a_perfect_filler_is_better_than_opencv_and_an_idle_one_worse(paths):
    fillers = {"perfect": answering(paths, truth=True), "idle": answering(paths, truth=False)}
    values = compare_filling(fillers, paths, 64, {"whole": psnr})
    means = {row: columns["PSNR"].mean() for row, columns in values.items()}
    assert means["perfect"] == 100 > means["OpenCV"] > means["idle"]
    assert all(len(columns["whole"]) == 3 for columns in values.values())
    assert values["OpenCV"]["whole"].mean() > means["OpenCV"]  # most of a face is no hole


def test_a_perfect_colourer_is_right_and_grey_is_not(paths):
    colourers = {"perfect": answering(paths, truth=True), "idle": answering(paths, truth=False)}
    values = compare_colouring(colourers, paths, 64)
    assert values["perfect"]["chroma"].max() == values["perfect"]["crop"].max() == 0
    np.testing.assert_array_equal(values["idle"]["chroma"], values["grey"]["chroma"])
    assert values["grey"]["chroma"].min() > 1


def test_terciles_go_by_lightness():
    assert by_tercile(np.array([3.0, 1.0, 2.0]), [30, 10, 20]) == [1, 2, 3]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_strokes_cover_the_share_that_is_asked_for(share):
    assert share <= polyline_mask(128, np.random.default_rng(0), share).mean() < share + 0.15


def test_a_model_for_another_job_is_one_line(paths, capsys):
    assert main(["colour", "--model", "mini", "--data", str(paths[0].parent), "--size", "64"]) == 2
    assert "give mini-colour" in capsys.readouterr().err
