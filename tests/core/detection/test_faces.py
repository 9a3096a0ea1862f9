import numpy as np
import pytest

from codeformer_core.detection.faces import Face, FaceSelection, select_faces, shared_area, without_doubles

PICTURE = (100, 200)  # height, width


def face(x=0.0, y=0.0, size=20.0, score=0.9, eyes=10.0) -> Face:
    landmarks = np.zeros((5, 2))
    landmarks[1, 0] = eyes
    return Face(box=np.array([x, y, x + size, y + size]), landmarks=landmarks, score=score)


LEFT_LARGE = face(x=0, y=60, size=40, score=0.7)
CENTRAL = face(x=90, y=40, size=20, score=0.8)
RIGHT_TOP = face(x=160, y=0, size=30, score=0.99)
FACES = [CENTRAL, RIGHT_TOP, LEFT_LARGE]


def test_face_holds_float32_and_measures_itself():
    f = Face(box=[10, 20, 40, 80], landmarks=[(0, 0), (3, 4), (0, 0), (0, 0), (0, 0)], score=1)  # pyright: ignore
    assert f.box.dtype == f.landmarks.dtype == np.float32
    assert (f.width, f.height, f.size, f.centre, f.eye_distance) == (30, 60, 30, (25, 50), 5)


def test_face_owns_its_arrays():
    box = np.zeros(4, np.float32)
    f = Face(box=box, landmarks=np.zeros((5, 2)), score=1)
    box += 7
    assert (f.box == 0).all()


@pytest.mark.parametrize(
    ("box", "landmarks"),
    [(np.zeros(5), np.zeros((5, 2))), (np.zeros(4), np.zeros(10)), (np.full(4, np.nan), np.zeros((5, 2)))],
)
def test_face_of_another_shape_is_refused(box, landmarks):
    with pytest.raises(ValueError, match="finite floats"):
        Face(box=box, landmarks=landmarks, score=1)


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_refused(score):
    with pytest.raises(ValueError, match="score"):
        Face(box=np.zeros(4), landmarks=np.zeros((5, 2)), score=score)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("size", [LEFT_LARGE, RIGHT_TOP, CENTRAL]),
        ("left_to_right", [LEFT_LARGE, CENTRAL, RIGHT_TOP]),
        ("top_to_bottom", [RIGHT_TOP, CENTRAL, LEFT_LARGE]),
        ("score", [RIGHT_TOP, CENTRAL, LEFT_LARGE]),
        ("centre", [CENTRAL, RIGHT_TOP, LEFT_LARGE]),
    ],
)
def test_order_does_not_depend_on_the_input_order(order, expected):
    for given in (FACES, FACES[::-1], FACES[1:] + FACES[:1]):
        assert select_faces(given, PICTURE, FaceSelection(order=order)) == expected
        assert select_faces(given, PICTURE, FaceSelection(order=order, max_faces=2)) == expected[:2]


def test_equal_faces_have_a_fixed_order():
    twins = [face(x=x, score=score) for x, score in ((50, 0.9), (10, 0.9), (30, 0.95))]
    expected = [twins[2], twins[1], twins[0]]
    assert select_faces(twins, PICTURE, FaceSelection()) == expected
    assert select_faces(twins[::-1], PICTURE, FaceSelection()) == expected


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (FaceSelection(min_score=0.75), [RIGHT_TOP, CENTRAL]),
        (FaceSelection(min_size=25), [LEFT_LARGE, RIGHT_TOP]),
        (FaceSelection(max_size=30), [RIGHT_TOP, CENTRAL]),
        (FaceSelection(min_eye_distance=11), []),
        (FaceSelection(only="largest"), [LEFT_LARGE]),
        (FaceSelection(only="largest", order="score"), [LEFT_LARGE]),
        (FaceSelection(only="largest", max_size=35), [RIGHT_TOP]),
        (FaceSelection(only="centre"), [CENTRAL]),
    ],
)
def test_limits_and_only(selection, expected):
    assert select_faces(FACES, PICTURE, selection) == expected


def test_eyes_closer_than_5_pixels_are_dropped_by_default():
    assert select_faces([face(eyes=4.9), face(eyes=5)], PICTURE, FaceSelection())[0].eye_distance == 5


def moved(by: float, size: float = 100, score: float = 0.9) -> Face:
    """An upright face with eyes `size` apart, moved by eye distances."""
    landmarks = np.array([(by, 0), (by + 1, 0), (by + 0.5, 0.6), (by + 0.1, 1), (by + 0.9, 1)])
    return Face(box=np.array([by - 0.6, -0.8, by + 1.6, 1.8]) * size, landmarks=landmarks * size, score=score)


def test_a_face_found_twice_is_one_and_the_surer_stays():
    for other in (moved(0.5, score=0.99), moved(0.3, size=120, score=0.99), moved(-0.6, size=95, score=0.99)):
        for faces in ([moved(0), other], [other, moved(0)]):
            assert without_doubles(faces) == [other]
    assert without_doubles([]) == []


def test_faces_cheek_to_cheek_or_one_before_another_are_two():
    for other in (moved(1.5), moved(-1.2), moved(0.6, size=40), moved(0.3, size=300)):
        assert len(without_doubles([moved(0), other])) == 2


def test_no_faces():
    assert select_faces([], PICTURE, FaceSelection(only="centre")) == []


@pytest.mark.parametrize(
    "wrong",
    [{"order": "random"}, {"only": "smallest"}, {"max_faces": 0}, {"min_size": -1}, {"min_size": 9, "max_size": 8}],
)
def test_wrong_selection_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        FaceSelection(**wrong)


def test_shared_area_is_of_the_union():
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [1, 1, 1, 1]], np.float32)
    np.testing.assert_allclose(shared_area(boxes, boxes[0]), [1, 1 / 7, 0, 0])
    assert shared_area(boxes[3], boxes[3]) == 0
