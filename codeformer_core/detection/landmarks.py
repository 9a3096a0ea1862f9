"""What five landmarks (5, 2) say of a face: its size, its turn, how like a face they are, how far two lie apart.

Their order is that of `Face`: eyes, nose tip, mouth corners.
"""

import numpy as np

# Where they lie in a face seen from the front (`pasting.alignment.TEMPLATE_512`), as numbers of the complex plane.
FRONTAL = np.array([193 + 240j, 319 + 240j, 257 + 314j, 201 + 371j, 313 + 371j])
FRONTAL = (FRONTAL - FRONTAL.mean()) / 126  # eye distances


def measure(landmarks: np.ndarray) -> float:
    """About the distance of the eyes in pixels, also of a face seen from the side; 1 or more."""
    eyes = np.linalg.norm(landmarks[1] - landmarks[0])
    return float(max(eyes, 0.9 * np.linalg.norm(_down(landmarks)), 1.0))


def apart(landmarks: np.ndarray, others: np.ndarray) -> float:
    """How far landmarks (..., 5, 2) are from others (5, 2), in the mean, in `measure` of the others."""
    return float(np.linalg.norm(landmarks - others, axis=-1).mean() / measure(others))


def roll(landmarks: np.ndarray) -> float:
    """How far a face is turned clockwise in the picture, degrees from -180 to 180."""
    eyes, down = landmarks[1] - landmarks[0], _down(landmarks)
    x, y = down / (np.linalg.norm(down) + 1e-6) + np.array([-eyes[1], eyes[0]]) / (np.linalg.norm(eyes) + 1e-6)
    return float(np.degrees(np.arctan2(-x, y)))


def misfit(landmarks: np.ndarray) -> float:
    """How far they are in the mean from a frontal face put where they are, in its eye distances; inf: a dot."""
    points = landmarks[:, 0] + 1j * landmarks[:, 1].astype(float)
    points -= points.mean()
    similar = np.vdot(FRONTAL, points) / np.vdot(FRONTAL, FRONTAL)
    return float(abs(points - similar * FRONTAL).mean() / abs(similar)) if abs(similar) > 1e-6 else np.inf


def _down(landmarks: np.ndarray) -> np.ndarray:
    return (landmarks[3] + landmarks[4] - landmarks[0] - landmarks[1]) / 2
