"""Faces at any angle: a second look at each found face, turned, for landmarks that a detector draws only upright.

A detector finds an inverted face, and draws an upright one into it: its landmarks turn with the picture's frame and not
with the face. Those of a face seen upright, or nearly, stay on the face when the frame is turned a little. So a face
whose landmarks stay is believed; another is looked at in turns of 30 degrees, and the turn whose landmarks agree best
with its neighbours' is where the face stands upright.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from .faces import Face

# Finds the faces of small pictures (h, w, 3), in their pixels.
Search = Callable[[list[np.ndarray]], list[list[Face]]]

COARSE, FINE = 96, 192  # px: sides of the crops that are looked at, in search of the turn and of the landmarks
AROUND = 1.9  # of the box's long side: how wide a crop is
SLIGHT = (-25.0, 25.0)  # degrees: turns under which the landmarks of an upright face stay
UPRIGHT = 20.0  # degrees: a face turned by more is looked at once more, upright
STAYS = 0.25  # of a face's own measure (`_measure`): landmarks this near to each other are the same
CLEARLY = 0.25  # by so much another turn must agree better than that in which a face was found
TURNS = np.arange(0.0, 360.0, 30.0)


def at_any_angle(picture: np.ndarray, faces: Sequence[Face], search: Search) -> list[Face]:
    """The faces of one picture with landmarks that are right at any angle; a face that stays unclear is as it was."""
    if not faces:
        return []
    checks = [[_roll(face.landmarks) + turn for turn in SLIGHT] for face in faces]
    seen = _looks(
        picture, [(face.landmarks, _side(face), turns) for face, turns in zip(faces, checks, strict=True)], search
    )
    return [
        face if _stays(face, found) else _turned(picture, face, search) for face, found in zip(faces, seen, strict=True)
    ]


def _stays(face: Face, seen: Sequence[np.ndarray | None]) -> bool:
    alike = all(found is not None and _apart(found, face.landmarks) < STAYS for found in seen)
    return alike and abs(_roll(face.landmarks)) < UPRIGHT


def _turned(picture: np.ndarray, face: Face, search: Search) -> Face:
    """The face with landmarks found at the turn whose neighbours agree with it best, then upright and larger."""
    (seen,) = _looks(picture, [(face.landmarks, _side(face), TURNS)], search, COARSE)
    agreement = [_agreement(i, seen) for i in range(len(seen))]
    best = int(np.argmax(agreement))
    own = int(np.argmin([abs((turn - _roll(face.landmarks) + 180) % 360 - 180) for turn in TURNS]))
    if agreement[best] < agreement[own] + CLEARLY:  # there is no reason to doubt the turn in which it was found
        if abs(_roll(face.landmarks)) < UPRIGHT:
            return face
        best = own
    landmarks = seen[best]
    if landmarks is None or agreement[best] < 1:
        return face
    for _ in range(2):
        place = [(landmarks, 5 * _measure(landmarks), [_roll(landmarks)])]
        ((found,),) = _looks(picture, place, search, FINE)
        if found is None or _apart(found, landmarks) > 2 * STAYS:
            break
        landmarks = found
    return replace(face, landmarks=landmarks)


def _agreement(i: int, seen: Sequence[np.ndarray | None]) -> float:
    """How well the landmarks of a turn agree with those of the two turns on either side, 0 to 4, and stand upright."""
    here = seen[i]
    if here is None:
        return 0.0
    others = [seen[(i + step) % len(seen)] for step in (-2, -1, 1, 2)]
    near = [max(0.0, 1 - _apart(other, here) / (1.4 * STAYS)) for other in others if other is not None]
    off = abs((_roll(here) - TURNS[i] + 180) % 360 - 180)
    return sum(near) + max(0.0, 1 - off / 60)


def _looks(
    picture: np.ndarray,
    places: Sequence[tuple[np.ndarray, float, Sequence[float] | np.ndarray]],
    search: Search,
    size: int = COARSE,
) -> list[list[np.ndarray | None]]:
    """Around each place (landmarks, side in px, turns in degrees) the landmarks (5, 2) found at each turn, or None."""
    affines = [_affine(landmarks, side, turn, size) for landmarks, side, turns in places for turn in turns]
    found = search([_crop(picture, affine, size) for affine in affines])
    landmarks = iter([_middle(faces, affine, size) for faces, affine in zip(found, affines, strict=True)])
    return [[next(landmarks) for _ in turns] for _, _, turns in places]


def _middle(faces: Sequence[Face], affine: np.ndarray, size: int) -> np.ndarray | None:
    """The landmarks, in the picture, of the face nearest to the middle of a crop."""
    if not faces:
        return None
    face = min(faces, key=lambda face: np.hypot(*np.subtract(face.centre, size / 2)) - face.score * size / 4)
    return cv2.transform(face.landmarks[None], cv2.invertAffineTransform(affine))[0]


def _affine(landmarks: np.ndarray, side: float, turn: float, size: int) -> np.ndarray:
    """(2, 3), from the picture to a crop around the landmarks, turned counter-clockwise by so many degrees."""
    x, y = (float(v) for v in landmarks.mean(0))
    affine = cv2.getRotationMatrix2D((x, y), float(turn), size / side)
    affine[:, 2] += (size / 2 - 0.5 - x, size / 2 - 0.5 - y)
    return affine


def _crop(picture: np.ndarray, affine: np.ndarray, size: int) -> np.ndarray:
    scale = float(np.hypot(affine[0, 0], affine[1, 0]))
    if scale < 0.5:  # what would alias is averaged first, around the crop alone
        corners = cv2.transform(
            np.array([[[0, 0], [size, 0], [0, size], [size, size]]], float), cv2.invertAffineTransform(affine)
        )[0]
        (x0, y0), (x1, y1) = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int) + 1
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, picture.shape[1]), min(y1, picture.shape[0])
        if x0 < x1 and y0 < y1:
            part = picture[y0:y1, x0:x1]
            w, h = (max(round(n * scale), 1) for n in (x1 - x0, y1 - y0))
            picture = cv2.resize(part, (w, h), interpolation=cv2.INTER_AREA)
            fx, fy = part.shape[1] / w, part.shape[0] / h
            to_part = np.array([[fx, 0, x0 + (fx - 1) / 2], [0, fy, y0 + (fy - 1) / 2], [0, 0, 1]])
            affine = affine @ to_part
    return cv2.warpAffine(picture, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _side(face: Face) -> float:
    return AROUND * max(face.width, face.height, 1.0)


def _measure(landmarks: np.ndarray) -> float:
    """About the distance of the eyes, also of a face seen from the side."""
    eyes = np.linalg.norm(landmarks[1] - landmarks[0])
    return float(max(eyes, 0.9 * np.linalg.norm(_down(landmarks)), 1.0))


def _apart(landmarks: np.ndarray, others: np.ndarray) -> float:
    return float(np.linalg.norm(landmarks - others, axis=1).mean() / _measure(others))


def _down(landmarks: np.ndarray) -> np.ndarray:
    return (landmarks[3] + landmarks[4] - landmarks[0] - landmarks[1]) / 2


def _roll(landmarks: np.ndarray) -> float:
    """How far a face is turned clockwise in the picture, degrees."""
    eyes, down = landmarks[1] - landmarks[0], _down(landmarks)
    x, y = down / (np.linalg.norm(down) + 1e-6) + np.array([-eyes[1], eyes[0]]) / (np.linalg.norm(eyes) + 1e-6)
    return float(np.degrees(np.arctan2(-x, y)))
