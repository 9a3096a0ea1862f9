"""Which way a face looks: yaw, pitch and roll of five landmarks, by a weak-perspective fit of a generic face."""

from dataclasses import dataclass

import numpy as np

# Eyes, nose tip and mouth corners of a face that looks into the camera, in eye distances: x to the image's right, y
# down, z away from the camera. Across and down they are FFHQ's mean face, deep as in anthropometric means.
GENERIC = np.array(
    [[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.587, -0.48], [-0.444, 1.042, -0.05], [0.444, 1.042, -0.05]]
)
STEPS = 30  # of the fit; each brings it closer
FULL = 45.0  # degrees: up to here a face is restored like a frontal one
PROFILE = 90.0


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How a head is turned, in degrees; all 0 looks straight into the camera. From five points, it is an estimate."""

    yaw: float  # -90 to 90; above 0 it looks towards the image's right
    pitch: float  # -180 to 180; above 0 it looks up
    roll: float  # -180 to 180; above 0 it leans clockwise in the image

    @property
    def turn(self) -> float:
        """Degrees, 0 to 180, between where the face looks and the camera; roll does not count."""
        away = np.cos(np.radians(self.yaw)) * np.cos(np.radians(self.pitch))
        return float(np.degrees(np.arccos(np.clip(away, -1, 1))))

    @property
    def direction(self) -> tuple[float, float]:
        """Where the face looks, as (x, y) in the image: (0, 0) into the camera, of length 1 at a profile."""
        yaw, pitch, roll = np.radians([self.yaw, self.pitch, self.roll])
        x, y = np.sin(yaw) * np.cos(pitch), -np.sin(pitch)
        return float(x * np.cos(roll) - y * np.sin(roll)), float(x * np.sin(roll) + y * np.cos(roll))


def estimate_pose(landmarks: np.ndarray) -> Pose:
    """The pose of landmarks (5, 2) in pixels, of whatever size; those all on one spot tell nothing, and give 0, 0, 0.

    An affine camera begins. Then, in turn, each point takes the depth that the pose gives it, and the pose is that of
    the nearest similarity transform in space (Kabsch), which is weak perspective once they agree.
    """
    points = np.asarray(landmarks, np.float64)
    points = points - points.mean(0)
    size = np.sqrt((points**2).sum())
    if size < 1e-6:
        return Pose(yaw=0.0, pitch=0.0, roll=0.0)
    points, model = points / size, GENERIC - GENERIC.mean(0)
    camera = np.linalg.lstsq(model, points, rcond=None)[0].T  # (2, 3)
    rotation, scale = _nearest_rotation(np.vstack([camera, np.cross(*camera) / max(np.linalg.norm(camera), 1e-9)]))
    scale /= 3
    for _ in range(STEPS):
        depth = scale * model @ rotation[2]
        solid = np.column_stack([points, depth])
        rotation, spread = _nearest_rotation(solid.T @ model)
        scale = spread / (model**2).sum()
    return _angles(rotation)


def side_strength(pose: Pose, least: float) -> float:
    """How far a restored face covers the picture's own: 1 up to `FULL` degrees of turn, `least` at a profile.

    In between it falls smoothly (3 t^2 - 2 t^3), so that a head that turns in a video does not jump.
    """
    t = min(max((pose.turn - FULL) / (PROFILE - FULL), 0.0), 1.0)
    return 1 - (1 - least) * t * t * (3 - 2 * t)


def _nearest_rotation(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """The rotation (3, 3) closest to a matrix, and how much of the matrix it is: the trace of its stretch."""
    u, stretch, v = np.linalg.svd(matrix)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ v)) or 1])
    return (u * sign) @ v, float((stretch * sign).sum())


def _angles(rotation: np.ndarray) -> Pose:
    """Of a head that first nods, then turns aside, then leans in the image."""
    yaw = np.arcsin(np.clip(rotation[2, 0], -1, 1))
    pitch, roll = -np.arctan2(rotation[2, 1], rotation[2, 2]), np.arctan2(rotation[1, 0], rotation[0, 0])
    yaw, pitch, roll = (float(np.degrees(angle)) for angle in (yaw, pitch, roll))
    return Pose(yaw=yaw, pitch=pitch, roll=roll)
