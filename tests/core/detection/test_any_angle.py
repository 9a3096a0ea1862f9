from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data

from codeformer_core.detection.any_angle import also_turned, at_any_angle
from codeformer_core.detection.detector import Candidate, DetectorConfig
from codeformer_core.detection.faces import Face
from codeformer_core.detection.landmarks import roll
from codeformer_core.detection.load import load_detector

DETECTOR = load_detector()
SIDE = 640


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A photograph with one face, its middle at the picture's."""
    return cv2.resize(skimage.data.astronaut()[:300, 70:370], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def upright(photo) -> np.ndarray:
    (face,) = DETECTOR.detect(photo, DetectorConfig(any_angle=False))[0]
    return face.landmarks


@pytest.mark.parametrize("angle", range(0, 360, 30))
def test_landmarks_are_right_at_any_angle(photo, upright, angle):
    turn = cv2.getRotationMatrix2D((SIDE / 2 - 0.5, SIDE / 2 - 0.5), angle, 0.8)
    turned = cv2.warpAffine(photo, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    wanted = cv2.transform(upright[None], turn)[0]
    faces = DETECTOR.detect(turned)[0]
    off = [np.linalg.norm(face.landmarks - wanted, axis=1).mean() for face in faces]
    assert min(off) < 0.15 * np.linalg.norm(wanted[1] - wanted[0])


def test_an_upright_face_is_left_as_it_was_found(photo, upright):
    for picture in (photo, photo.astype(np.float32) / 255, photo.astype(np.uint16) * 257):
        (face,) = DETECTOR.detect(picture)[0]
        np.testing.assert_allclose(face.landmarks, upright, atol=0.5)
        assert (face.score, face.image_index) == (pytest.approx(0.999, abs=0.01), 0)


def candidate(face, **values) -> Candidate:
    return Candidate(box=face.box, landmarks=face.landmarks, score=values.pop("score", 0.9), **values)


def test_a_face_that_no_turn_finds_again_stays_as_it_was(photo, face_at):
    found = candidate(face_at(300, 300, 100, 2.0))
    (face,) = at_any_angle(photo, [found], lambda crops: [[] for _ in crops], 0.8)
    assert type(face) is Face
    np.testing.assert_array_equal(face.landmarks, found.landmarks)
    assert at_any_angle(photo, [], lambda crops: pytest.fail("there is nothing to look at"), 0.8) == []


def test_a_candidate_that_no_turn_confirms_is_dropped(photo, face_at):
    weak = candidate(face_at(300, 300, 100), score=0.5)
    assert at_any_angle(photo, [weak], lambda crops: [[] for _ in crops], 0.8) == []


def test_faces_of_all_sizes_and_at_the_edge_are_looked_at_in_crops_of_few_sizes(photo, face_at):
    seen = []

    def search(crops):
        seen.extend(crop.shape for crop in crops)
        return [[] for _ in crops]

    places = [face_at(0, 639, 8), face_at(320, 320, 3000), face_at(-50, 320, 200)]
    at_any_angle(photo, [candidate(face) for face in places], search, 0.8)
    assert set(seen) == {(96, 96, 3)}


@pytest.mark.parametrize(("certainty", "found"), [(0.9, True), (0.7, False)])
def test_a_weak_candidate_is_a_face_if_the_search_is_sure_of_it_upright(face_at, certainty, found):
    rising = np.tile(np.linspace(255, 0, SIDE).astype(np.uint8)[:, None, None], (1, SIDE, 3))

    def search(crops):
        """A face in the middle of each crop, upside down in the picture; the surer, the less it is turned."""
        result = []
        for crop in crops:
            dy, dx = (gradient.mean() for gradient in np.gradient(crop[..., 0].astype(float)))
            turn = np.arctan2(-dx, dy)
            middle = (len(crop) - 1) / 2
            face = face_at(middle, middle, len(crop) / 2, turn)
            result.append([candidate(face, score=certainty * np.cos(turn))] if np.cos(turn) > 0.4 else [])
        return result

    faces = at_any_angle(rising, [candidate(face_at(320, 320, 200), score=0.2)], search, 0.8)
    assert len(faces) == found
    for face in faces:
        assert face.score == pytest.approx(certainty, abs=0.01)
        assert abs(roll(face.landmarks)) == pytest.approx(180, abs=5)


@pytest.mark.parametrize("quarters", range(4))
def test_a_small_face_in_a_turned_picture_is_found_where_it_is(photo, upright, quarters):
    small = np.full((480, 640, 3), 128, np.uint8)
    small[100:160, 400:460] = cv2.resize(photo, (60, 60), interpolation=cv2.INTER_AREA)
    (face,) = DETECTOR.detect(small)[0]
    x, y = np.moveaxis(face.landmarks, -1, 0)
    width, height = 639, 479
    wanted = [(x, y), (y, width - x), (width - x, height - y), (height - y, x)][quarters]
    blank, found = DETECTOR.detect([np.zeros_like(small), np.ascontiguousarray(np.rot90(small, quarters))])
    assert (blank, [face.image_index for face in found]) == ([], [1])
    off = np.linalg.norm(found[0].landmarks - np.stack(wanted, axis=-1), axis=1).mean()
    assert off < 0.15 * face.eye_distance
    left, top, right, bottom = found[0].box
    assert left < found[0].landmarks[2, 0] < right
    assert top < found[0].landmarks[2, 1] < bottom


def test_faces_far_out_in_a_long_picture_are_looked_at(face_at):
    """Beyond what OpenCV 4 warps."""
    picture = np.zeros((80, 40_000, 3), np.uint8)
    picture[30:50, 39_890:39_910] = 255
    seen = []
    at_any_angle(
        picture,
        [candidate(face_at(39_900, 40, 30), score=0.5)],
        lambda crops: seen.extend(crops) or [[]] * len(crops),
        0.8,
    )
    assert seen
    assert all(crop[36:60, 36:60].mean() > 128 and not crop[0].any() for crop in seen)


def test_a_picture_with_upright_faces_alone_is_not_searched_again(photo, face_at):
    faces = [face_at(300, 300, 100), face_at(100, 300, 100, 0.5)]
    assert also_turned(photo, 0, faces, lambda picture: pytest.fail("searched again")) == faces


def test_one_face_that_two_searches_draw_at_two_angles_is_found_once(face_at):
    right = replace(face_at(200, 200, 100), score=0.99)
    middle = right.landmarks.mean(0)
    turned = (right.landmarks - middle) @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + middle
    wrong = replace(right, box=right.box + 10, landmarks=turned, score=0.98)
    beside = face_at(290, 200, 100)
    picture = np.zeros((400, 500, 3), np.uint8)

    def as_if_turned(face):
        """Where `also_turned` will put the face back from the picture on its head."""
        return replace(
            face, box=np.array([499, 399, 499, 399]) - face.box[[2, 3, 0, 1]], landmarks=[499, 399] - face.landmarks
        )

    lying = replace(wrong, landmarks=[2 * middle] - right.landmarks, score=0.5)  # turned by 180 degrees: searched again
    found = also_turned(picture, 0, [lying], lambda _: [as_if_turned(face) for face in (right, wrong, beside)])
    assert [face.score for face in found] == [0.99, 0.9]
    np.testing.assert_allclose(found[0].landmarks, right.landmarks, atol=1e-3)
