"""Faces at any angle: a second, turned look at each doubtful face, for landmarks that a detector draws only upright.

A detector finds an inverted face, with less certainty, and draws an upright one into it: its landmarks turn with the
picture's frame and not with the face. It also wavers then: each anchor that sees the face draws another one. So a face
that all anchors agree on is believed. Another is looked at in turns of 60 degrees; where it is surest shows how it
stands. If that is not as it was found, it is looked at in turns of 30 degrees, and at last upright and larger.

Turned faces that the search is not sure of are seen in the same way, and kept if it is sure of them upright. Small ones
it may not see at all: a picture with a turned face is searched once more as that one stands, one without faces on
its head and on its sides.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from .detector import COARSE as USUAL
from .detector import Candidate, DetectorConfig
from .faces import Face, without_doubles
from .landmarks import apart, measure, misfit, roll

# Finds the faces of small pictures (h, w, 3), in their pixels.
Search = Callable[[list[np.ndarray]], list[list[Candidate]]]

WEAK, WEAKEST = 0.3, 0.1  # scores from which a face is a candidate: beside surer ones, and in a picture without any
FEW, SOME = 1, 4  # so many candidates are looked at, the surest: beside surer ones (more if those are turned), without
COARSE, FINE = 96, 192  # px: sides of the crops: for how a face stands, for its landmarks unless it is smaller
AROUND = 1.9  # of the box's long side: how wide a crop is
SIXTHS, TWELFTHS = np.arange(0.0, 360.0, 60.0), np.arange(0.0, 360.0, 30.0)
UPRIGHT = 20.0  # degrees: a face turned by more is looked at once more, upright
HALFWAY = 45.0  # degrees: a picture with a face turned by more is searched once more, turned
SURE, AGREED, LIKE_A_FACE = 0.95, 0.1, 0.1  # least score, most spread and most misfit of a face that is believed
UNASKED = 0.9  # least score of a face that a picture without faces shows when it is turned
NUDGES = np.array([-10.0, 0.0, 10.0])  # degrees: a turned face's landmarks are the mean of looks at these angles
PROMISING = 0.6  # least score of a weak candidate at a glance for further looks, beside surer faces
STAYS = 0.35  # eye distances: landmarks nearer to each other than this agree
SAME_PLACE = 0.3  # of the smaller face: found faces whose middles are nearer to each other are one
FOLLOWS = 0.5  # eye distances: landmarks found upright that are further off are of something else


class Seen(NamedTuple):
    """What a look found: landmarks (5, 2) in the picture, score, and spread (see `Candidate`)."""

    landmarks: np.ndarray
    score: float
    spread: float


def search_config(config: DetectorConfig) -> DetectorConfig:
    """How a picture is searched so that the candidates among the faces are found too."""
    return replace(config, score_threshold=min(config.score_threshold, WEAKEST))


def at_any_angle(picture: np.ndarray, found: Sequence[Candidate], search: Search, score_threshold: float) -> list[Face]:
    """The faces of one picture, those of `score_threshold` or more, and candidates that reach it when seen upright.

    Landmarks are right at any angle; a face that stays unclear is as it was found.
    """
    sure = [face for face in found if face.score >= score_threshold]
    doubted = [face for face in sure if not _is_believed(face)]
    stands = dict(zip(doubted, _glance(picture, doubted, search), strict=True))
    turned = {face: _turned(picture, face, search) for face in doubted if not _is_upright(face, stands[face])}
    faces = [_with(face, turned.get(face)) for face in sure]
    least, most = (WEAK, FEW + len(turned)) if sure else (WEAKEST, SOME)
    weak = [face for face in found if least <= face.score < score_threshold and not _is_inside(face, sure)][:most]
    for face, (turn, score) in zip(weak, _glance(picture, weak, search), strict=True):
        if (turn != 0 and score > PROMISING) if sure else (turn != 0 or score == 0):
            seen = _turned(picture, face, search)
            if seen is not None and seen.score >= score_threshold and abs(roll(seen.landmarks)) > UPRIGHT:
                faces.append(replace(_with(face, seen), score=seen.score))
    return without_doubles(faces)


def with_turned(
    pictures: Sequence[np.ndarray],
    found: Sequence[list[Face]],
    detect: Callable[[list[np.ndarray], DetectorConfig], list[list[Face]]],
    config: DetectorConfig,
) -> list[list[Face]]:
    """The faces of each picture, with those that a search of the picture, turned, finds (see `also_turned`)."""
    coarse = replace(config, short_side=USUAL) if config.short_side == "auto" else config  # no tiles again
    return [
        also_turned(picture, i, faces, lambda turned: detect([turned], coarse)[0])
        for i, (picture, faces) in enumerate(zip(pictures, found, strict=True))
    ]


def also_turned(
    picture: np.ndarray, index: int, faces: list[Face], detect: Callable[[np.ndarray], list[Face]]
) -> list[Face]:
    """The faces of picture `index`, with those found in it turned as its surest turned face stands.

    One without faces is searched on its head and on its sides until some are found: four times the search at most.
    """
    rolls = [roll(face.landmarks) for face in faces]
    turned = [round(angle / 90) % 4 for angle in rolls if abs(angle) > HALFWAY]
    for quarters in turned[:1] if faces else (2, 1, 3):
        found = detect(np.ascontiguousarray(np.rot90(picture, quarters)))
        found = [face for face in found if faces or face.score > UNASKED]
        if found:
            back = _from_quarter_turns(quarters, *picture.shape[:2])
            return _each_once([*faces, *(_moved(face, back, index) for face in found)])
    return faces


def _each_once(faces: list[Face]) -> list[Face]:
    """The surest at each place: two searches may draw one face at angles that disagree, which landmarks cannot tell."""
    kept: list[Face] = []
    for face in without_doubles(faces):
        reach = [SAME_PLACE * min(face.size, other.size) for other in kept]
        if all(math.dist(face.centre, other.centre) > far for other, far in zip(kept, reach, strict=True)):
            kept.append(face)
    return kept


def _from_quarter_turns(quarters: int, height: int, width: int) -> np.ndarray:
    """(2, 3), to the picture from itself turned counter-clockwise by so many quarters (`np.rot90`)."""
    return {
        1: np.array([[0.0, -1, width - 1], [1, 0, 0]]),
        2: np.array([[-1.0, 0, width - 1], [0, -1, height - 1]]),
        3: np.array([[0.0, 1, 0], [-1, 0, height - 1]]),
    }[quarters]


def _moved(face: Face, affine: np.ndarray, index: int) -> Face:
    corners = cv2.transform(face.box.reshape(1, 2, 2), affine)[0]
    box = np.concatenate((np.minimum(*corners), np.maximum(*corners)))
    return replace(face, box=box, landmarks=cv2.transform(face.landmarks[None], affine)[0], image_index=index)


def _is_believed(face: Candidate) -> bool:
    """Whether all that the search says of a face speaks for an upright one."""
    agreed = face.score > SURE and face.spread < AGREED and misfit(face.landmarks) < LIKE_A_FACE
    return agreed and abs(roll(face.landmarks)) < UPRIGHT


def _is_upright(face: Candidate, stands: tuple[float, float]) -> bool:
    turn, score = stands
    return turn == 0 and score > 0 and abs(roll(face.landmarks)) < UPRIGHT


def _is_inside(face: Face, others: Sequence[Face]) -> bool:
    (x, y) = face.centre
    return any(o.box[0] < x < o.box[2] and o.box[1] < y < o.box[3] for o in others)


def _with(face: Candidate, seen: Seen | None) -> Face:
    return face.face if seen is None else replace(face.face, landmarks=seen.landmarks)


def _glance(picture: np.ndarray, faces: Sequence[Candidate], search: Search) -> list[tuple[float, float]]:
    """For each face the turn, of `SIXTHS`, at which it is surest, and its score there: 0 if it is never seen."""
    result = []
    for face in faces:
        seen = _looks(picture, face.landmarks, _side(face), SIXTHS, search, COARSE)
        scores = [look.score if look else 0.0 for look in seen]
        best = int(np.argmax(scores))
        result.append((float(SIXTHS[best]), scores[best]))
    return result


def _turned(picture: np.ndarray, face: Candidate, search: Search) -> Seen | None:
    """The face as it is seen upright and larger, from the turn at which it looks best; None if it stays unclear."""
    seen = _looks(picture, face.landmarks, _side(face), TWELFTHS, search, COARSE)
    worth = [_worth(i, seen) for i in range(len(seen))]
    best = seen[int(np.argmax(worth))]
    if best is None or max(worth) < 1:
        return None
    for _ in range(2):
        side = 5 * measure(best.landmarks)
        size = FINE if side > (COARSE + FINE) / 2 else COARSE  # enlarged, its landmarks would lie elsewhere
        looks = _looks(picture, best.landmarks, side, roll(best.landmarks) + NUDGES, search, size)
        near = [look for look in looks if look and apart(look.landmarks, best.landmarks) <= FOLLOWS]
        if not near:
            break
        landmarks = np.mean([look.landmarks for look in near], axis=0)
        best = Seen(landmarks, max(look.score for look in near), min(look.spread for look in near))
    return best


def _worth(i: int, seen: Sequence[Seen | None]) -> float:
    """How much speaks for a turn: its neighbours agree, the face stands upright, and the search is sure of it."""
    here = seen[i]
    if here is None:
        return -1.0
    others = [seen[(i + step) % len(seen)] for step in (-2, -1, 1, 2)]
    agree = [max(0.0, 1 - apart(other.landmarks, here.landmarks) / STAYS) for other in others if other is not None]
    off = abs((roll(here.landmarks) - TWELFTHS[i] + 180) % 360 - 180)
    return sum(agree) + max(0.0, 1 - off / 60) + 2 * here.score - 2 * min(here.spread, 1.0)


def _looks(
    picture: np.ndarray,
    landmarks: np.ndarray,
    side: float,
    turns: Sequence[float] | np.ndarray,
    search: Search,
    size: int,
) -> list[Seen | None]:
    """What is found around landmarks, in a square of `side` px, at each turn in degrees; None for nothing."""
    affines = [_affine(landmarks, side, turn, size) for turn in turns]
    found = search([_crop(picture, affine, size) for affine in affines])
    return [_middle(faces, affine, size) for faces, affine in zip(found, affines, strict=True)]


def _middle(faces: Sequence[Candidate], affine: np.ndarray, size: int) -> Seen | None:
    """The face nearest to the middle of a crop, in the picture."""
    if not faces:
        return None
    face = min(faces, key=lambda face: np.hypot(*np.subtract(face.centre, size / 2)) - face.score * size / 4)
    landmarks = cv2.transform(face.landmarks[None], cv2.invertAffineTransform(affine))[0]
    return Seen(landmarks, face.score, face.spread)


def _affine(landmarks: np.ndarray, side: float, turn: float, size: int) -> np.ndarray:
    """(2, 3), from the picture to a crop around the landmarks, turned counter-clockwise by so many degrees."""
    x, y = (float(v) for v in landmarks.mean(0))
    affine = cv2.getRotationMatrix2D((x, y), float(turn), size / side)
    affine[:, 2] += (size / 2 - 0.5 - x, size / 2 - 0.5 - y)
    return affine


def _crop(picture: np.ndarray, affine: np.ndarray, size: int) -> np.ndarray:
    """The crop, warped out of the part that lies under it; beyond the picture its edge goes on."""
    scale = float(np.hypot(affine[0, 0], affine[1, 0]))
    margin = 0 if scale < 0.5 else 2  # px, which linear interpolation reads
    square = np.array([[[0, 0], [size, 0], [0, size], [size, size]]], float)
    corners = cv2.transform(square, cv2.invertAffineTransform(affine))[0]
    x0, y0 = np.maximum(np.floor(corners.min(0)).astype(int) - margin, 0)
    x1, y1 = np.minimum(np.ceil(corners.max(0)).astype(int) + 1 + margin, picture.shape[1::-1])
    if x0 < x1 and y0 < y1:
        picture = picture[y0:y1, x0:x1]  # OpenCV 4 warps no picture of more than 32,767 px
        affine = affine @ np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1]])
        if scale < 0.5:  # what would alias is averaged first
            h, w = (max(round(n * scale), 1) for n in picture.shape[:2])
            fx, fy = picture.shape[1] / w, picture.shape[0] / h
            picture = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA)
            affine = affine @ np.array([[fx, 0, (fx - 1) / 2], [0, fy, (fy - 1) / 2], [0, 0, 1]])
    return cv2.warpAffine(picture, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _side(face: Face) -> float:
    return AROUND * max(face.width, face.height, 1.0)
