"""Small faces of large pictures are found once, wherever they lie, at a bounded cost."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from codeformer_core.detection import tiles
from codeformer_core.detection.detector import Candidate, DetectorConfig, search_size
from codeformer_core.detection.load import load_detector
from codeformer_core.detection.tiles import fine_scale, with_small_faces

COARSE = DetectorConfig(short_side=640)


@pytest.fixture(scope="module")
def detector():
    return load_detector()


def planted(shape: tuple[int, int], places: list[tuple[int, int]], size: int) -> np.ndarray:
    """A grey picture with the astronaut's head, its box's short side `size` px, in the middle of each (x, y)."""
    side = round(size * 3.6)
    head = cv2.resize(np.ascontiguousarray(astronaut()[:320, 64:384]), (side, side), interpolation=cv2.INTER_AREA)
    picture = np.full((*shape, 3), 132, np.uint8)
    for x, y in places:
        picture[y - side // 2 : y - side // 2 + side, x - side // 2 : x - side // 2 + side] = head
    return picture


def test_faces_of_16_px_in_4000_are_found_once_each(detector):
    places = [(300, 300), (2000, 1500), (3600, 2700), (746, 900), (1480, 2200)]
    picture = planted((3000, 4000), places, 16)
    assert detector.detect(picture, COARSE) == [[]]
    (faces,) = detector.detect([picture])
    assert len(faces) == len(places)
    for x, y in places:
        assert any(abs(f.centre[0] - x) < 20 and abs(f.centre[1] - y) < 20 for f in faces)
    assert all(12 < face.size < 24 and face.eye_distance > 5 for face in faces)


def test_a_face_that_a_tile_cuts_is_found_once(detector):
    """Every 60 px along a line that crosses the tiles' edges."""
    for x in range(600, 900, 60):
        (faces,) = detector.detect([planted((1400, 1400), [(x, 760)], 40)])
        assert len(faces) == 1
        assert abs(faces[0].centre[0] - x) < 20


def test_faces_keep_the_number_of_their_picture(detector):
    pictures = [np.zeros((64, 64, 3), np.uint8), planted((1500, 1500), [(700, 700)], 20)]
    none, (face,) = detector.detect(pictures)
    assert none == []
    assert face.image_index == 1


@pytest.mark.parametrize("shape", [(640, 640), (1080, 1920), (1280, 1280), (100, 100), (300, 9000)])
def test_small_pictures_are_searched_once(shape):
    def search(*_):
        raise AssertionError("searched again")

    assert fine_scale(shape) is None
    assert with_small_faces(np.zeros((*shape, 3), np.uint8), 0, [], search, 0.8, 0.4) == []


@pytest.mark.parametrize("shape", [(1300, 1300), (3000, 4000), (4000, 6000), (12000, 9000), (2000, 10000)])
def test_the_cost_is_bounded_and_every_place_is_seen(shape):
    """No more than 1.6 times `FINE_PIXELS`, in tiles that each need no more than the coarse search of a film frame."""
    seen = np.zeros(shape, np.uint8)
    sizes = []

    def search(parts, its, score):
        for part, (h, w) in zip(parts, its, strict=True):
            part[:] += 1
            sizes.append(h * w)
        return [[] for _ in parts]

    with_small_faces(seen, 0, [], search, 0.8, 0.4)
    assert seen.min() >= 1
    assert sum(sizes) <= 1.6 * tiles.FINE_PIXELS
    assert max(sizes) <= 1.01 * np.prod(search_size((1080, 1920), 640))


@pytest.mark.parametrize(("closer", "faces"), [([], 0), ([0.9], 1), ([0.9, 0.85], 1)])
def test_a_hint_becomes_a_face_only_if_a_closer_look_says_so(closer, faces):
    def candidate(score: float) -> Candidate:
        landmarks = np.array([[40, 40], [46, 40], [43, 44], [41, 47], [45, 47]])
        return Candidate(box=np.array([35, 32, 51, 52]), landmarks=landmarks, score=score)

    def search(parts, sizes, score):
        if score == tiles.HINT:  # the tile at the top left
            return [[candidate(0.2)] if np.shares_memory(part[:1, :1], picture[:1, :1]) else [] for part in parts]
        assert [part.shape[:2] for part in parts] == [(61, 61)]  # three times the hint's long side, around it
        return [[candidate(score) for score in closer]]

    picture = np.zeros((1400, 1400, 3), np.uint8)
    found = with_small_faces(picture, 0, [], search, 0.8, 0.4)
    assert [face.score for face in found] == closer[:faces]


def test_sure_faces_are_all_kept_however_many(monkeypatch):
    monkeypatch.setattr(tiles, "MOST_HINTS", 0)
    monkeypatch.setattr(tiles, "FINE_PIXELS", 1400**2)

    def search(parts, sizes, score):
        boxes = [np.array([x, 100, x + 16, 120]) for x in range(50, 500, 20)] if parts else []
        return [[Candidate(box=box, landmarks=np.zeros((5, 2)), score=0.9) for box in boxes] for _ in parts]

    assert len(with_small_faces(np.zeros((1400, 1400, 3), np.uint8), 0, [], search, 0.8, 0.4)) >= 23
