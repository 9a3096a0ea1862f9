from itertools import product

import numpy as np
import pytest

from codeformer_core.detection.faces import Face
from codeformer_core.detection.pose import GENERIC, Pose, estimate_pose, side_strength
from codeformer_core.pasting.alignment import template


def turned(yaw: float, pitch: float, roll: float, distance: float | None = None) -> np.ndarray:
    """The generic face's landmarks (5, 2) px seen by a camera, at a `distance` in eye distances or from afar."""
    y, p, r = np.radians([-yaw, -pitch, roll])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    aside = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    lean = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    points = (GENERIC - GENERIC.mean(0)) @ (lean @ aside @ nod).T
    seen = points[:, :2] if distance is None else points[:, :2] / (1 + points[:, 2:] / distance)
    return 60 * seen + [300, 200]


@pytest.mark.parametrize(("yaw", "pitch", "roll"), product((-80, -40, 0, 20, 65), (-35, 0, 30), (-170, -45, 0, 90)))
def test_the_pose_of_a_projected_face_is_found(yaw, pitch, roll):
    pose = estimate_pose(turned(yaw, pitch, roll))
    np.testing.assert_allclose([pose.yaw, pose.pitch, pose.roll], [yaw, pitch, roll], atol=0.5)


@pytest.mark.parametrize("yaw", [0, 30, 60])
def test_a_near_camera_shifts_it_by_few_degrees(yaw):
    pose = estimate_pose(turned(yaw, 0, 0, distance=12))  # about 75 cm
    np.testing.assert_allclose([pose.yaw, pose.pitch, pose.roll], [yaw, 0, 0], atol=4)


def test_signs_are_those_of_the_image():
    face = template(512)
    to_the_right, up = face.copy(), face.copy()
    to_the_right[2, 0] += 30  # the nose's tip
    up[2, 1] -= 30
    assert estimate_pose(to_the_right).yaw > 10
    assert estimate_pose(up).pitch > 10
    assert estimate_pose(turned(0, 0, 20)).roll == pytest.approx(20, abs=0.1)


def test_the_template_looks_into_the_camera():
    pose = estimate_pose(template(512))
    assert max(abs(pose.yaw), abs(pose.pitch), abs(pose.roll)) < 2


def test_what_is_no_face_has_some_pose():
    line = np.column_stack([np.arange(5.0), np.arange(5.0)])
    for points in (np.zeros((5, 2)), np.full((5, 2), 1e6), line, template(64)[::-1], template(64)[[1, 0, 2, 4, 3]]):
        pose = Face(box=np.zeros(4), landmarks=points, score=1).pose
        assert np.isfinite([pose.yaw, pose.pitch, pose.roll, pose.turn]).all()
    assert estimate_pose(np.zeros((5, 2))) == Pose(yaw=0, pitch=0, roll=0)


def test_strength_falls_smoothly_with_the_turn_and_not_with_the_roll():
    strengths = [side_strength(Pose(yaw=yaw, pitch=0, roll=120), 0.4) for yaw in range(91)]
    assert strengths[:46] == [1] * 46
    assert strengths[90] == pytest.approx(0.4)
    assert (np.diff(strengths) <= 0).all()
    assert np.abs(np.diff(strengths)).max() < 0.03
    assert side_strength(Pose(yaw=90, pitch=0, roll=0), 1) == 1
    assert side_strength(Pose(yaw=0, pitch=-80, roll=0), 0.4) < 0.6


@pytest.mark.parametrize(("yaw", "pitch", "roll"), product((-80, -40, 0, 65), (-35, 0, 30), (-170, 0, 90)))
def test_the_direction_is_that_of_the_faces_own_forward(yaw, pitch, roll):
    generic = GENERIC - GENERIC.mean(0)
    camera = np.linalg.lstsq(np.column_stack([generic, np.ones(5)]), turned(yaw, pitch, roll), rcond=None)[0]
    pose = Pose(yaw=yaw, pitch=pitch, roll=roll)
    np.testing.assert_allclose(pose.direction, -camera[2] / 60, atol=1e-6)
    assert np.hypot(*pose.direction) == pytest.approx(np.sin(np.radians(pose.turn)), abs=1e-6)
