"""Detection against facexlib's own `RetinaFace.detect_faces`, the reference for boxes, landmarks and scores."""

import copy
import subprocess
import sys
from importlib import import_module
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from skimage.data import astronaut

from codeformer_core.detection.detector import Candidate, DetectorConfig, search_size
from codeformer_core.detection.load import BUNDLED, load_detector
from codeformer_core.detection.retinaface import RetinaFaceDetector, anchors, decode, fuse_batch_norms, spread
from codeformer_core.facexlib_nets import build_retinaface

UNSCALED = DetectorConfig(score_threshold=0.5, short_side=None)


def head(size: int = 160, angle: float = 0.0) -> np.ndarray:
    """The astronaut's head and shoulders, (size, size, 3) uint8 RGB, turned by `angle` degrees."""
    crop = np.ascontiguousarray(astronaut()[:320, 64:384])
    turned = cv2.warpAffine(
        crop, cv2.getRotationMatrix2D((160, 140), angle, 1), (320, 320), borderMode=cv2.BORDER_REFLECT
    )
    return cv2.resize(turned, (size, size), interpolation=cv2.INTER_AREA)


def mosaic() -> np.ndarray:
    """(405, 595, 3) uint8 RGB with five heads of different sizes and tilts; one is cut by the border."""
    picture = np.full((405, 595, 3), 132, np.uint8)
    for y, x, size, angle in (
        (10, 10, 160, 0),
        (20, 200, 90, 15),
        (130, 210, 240, -20),
        (10, 360, 60, 0),
        (190, 10, 200, 30),
    ):
        picture[y : y + size, x : x + size] = head(size, angle)
    picture[250:405, 475:595] = head(200, 10)[:155, :120]
    return picture


@pytest.fixture(scope="module")
def detector() -> RetinaFaceDetector:
    loaded = load_detector(config=UNSCALED)
    assert isinstance(loaded, RetinaFaceDetector)
    return loaded


@pytest.fixture(scope="module")
def reference():
    net = import_module("facexlib.detection.retinaface").RetinaFace(network_name="mobile0.25", device="cpu").eval()
    net.load_state_dict(load_file(BUNDLED))
    return net


def as_rows(faces) -> np.ndarray:
    """Faces as facexlib gives them: (n, 15) of box, score and landmarks."""
    return np.array([[*f.box, f.score, *f.landmarks.ravel()] for f in faces])


def searched(detector: RetinaFaceDetector, picture: np.ndarray, config: DetectorConfig = UNSCALED) -> list[Candidate]:
    """What one search finds, with the doubles that non-maximum suppression leaves."""
    return detector._find([picture], [search_size(picture.shape[:2], config.short_side)], config)[0]


def check_against_facexlib(net, faces, picture: np.ndarray, config: DetectorConfig) -> int:
    with torch.no_grad():
        expected = net.detect_faces(picture[..., ::-1], config.score_threshold, config.nms_threshold)
    rows = as_rows(faces)
    assert rows.shape == expected.shape
    for box in expected:  # equal scores may come in another order
        nearest = rows[np.abs(rows - box).sum(axis=1).argmin()]
        np.testing.assert_allclose(nearest[[0, 1, 2, 3, *range(5, 15)]], box[[0, 1, 2, 3, *range(5, 15)]], atol=0.05)
        assert nearest[4] == pytest.approx(box[4], abs=1e-4)
    return len(rows)


@pytest.mark.parametrize(
    ("score_threshold", "nms_threshold", "at_least"), [(0.8, 0.4, 5), (0.02, 0.4, 6), (0.5, 0.9, 7)]
)
def test_same_as_facexlib(detector, reference, score_threshold, nms_threshold, at_least):
    config = DetectorConfig(score_threshold=score_threshold, nms_threshold=nms_threshold, short_side=None)
    picture = mosaic()
    faces = searched(detector, picture, config)
    assert check_against_facexlib(reference, faces, picture, config) >= at_least
    assert [f.score for f in faces] == sorted((f.score for f in faces), reverse=True)


@pytest.mark.parametrize("size", [(97, 161), (224, 224), (333, 250)])
def test_same_as_facexlib_at_odd_sizes(detector, reference, size):
    picture = cv2.resize(head(), size[::-1])
    assert check_against_facexlib(reference, searched(detector, picture), picture, UNSCALED) >= 1


def test_resnet50_same_as_facexlib():
    """Random weights find 'faces' everywhere: many boxes to decode, and a ResNet's batch norms fused."""
    torch.manual_seed(0)
    net: Any = build_retinaface()
    picture = head(96)
    for module in net.modules():  # one pass sets their statistics, so that offsets stay of a sane size
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        net.train()(torch.from_numpy(picture[None]).permute(0, 3, 1, 2).float() - 115)
        net.eval()
    fused = RetinaFaceDetector(fuse_batch_norms(copy.deepcopy(net)), config=UNSCALED)
    assert check_against_facexlib(net, searched(fused, picture), picture, UNSCALED) >= 10


def test_a_face_is_found_where_it_is(detector):
    """Landmarks of a known face, in the order of the contract, scaled back to the picture's own pixels."""
    (face,) = detector.detect(head(300), DetectorConfig())[0]
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    assert (face.landmarks > face.box[:2]).all()
    assert (face.landmarks < face.box[2:]).all()


@pytest.mark.parametrize(("side", "short_side"), [(640, 900), (900, 640)])
def test_a_face_that_fills_the_picture_is_found_once_and_where_it_is(detector, side, short_side):
    """Larger than the largest anchor, it was found at wrong places, and at more of them the larger the search."""
    close = cv2.resize(astronaut()[60:180, 165:285], (side, side), interpolation=cv2.INTER_CUBIC)
    (known,) = detector.detect(astronaut(), DetectorConfig())[0]
    wanted = (known.landmarks - (165, 60)) * (side / 120)
    for picture in (close, [np.zeros_like(close), close]):
        (face,) = detector.detect(picture, DetectorConfig(short_side=short_side))[-1]
        apart = np.linalg.norm(face.landmarks - wanted, axis=1).mean()
        assert apart < 0.15 * np.linalg.norm(wanted[1] - wanted[0])
        assert face.image_index == (1 if isinstance(picture, list) else 0)


def test_two_faces_cheek_to_cheek_are_both_found(detector):
    face = astronaut()[40:200, 175:272]  # from ear to ear
    pair = np.full((320, 400, 3), 132, np.uint8)
    pair[80:240, 100:197], pair[80:240, 197:294] = face, face[:, ::-1]
    for size in (320, 640):
        scaled = cv2.resize(pair, None, fx=size / 320, fy=size / 320)
        assert len(detector.detect(scaled, DetectorConfig())[0]) == 2


def test_prescaling_scales_coordinates_back(detector):
    """A picture of 1000 x 1500 is searched at 640 x 960; the result is in its own pixels."""
    small = mosaic()
    large = cv2.resize(small, (small.shape[1] * 3, small.shape[0] * 3), interpolation=cv2.INTER_CUBIC)
    a = detector.detect(small, DetectorConfig(any_angle=False))[0]
    b = detector.detect(large, DetectorConfig(any_angle=False))[0]
    assert len(a) == len(b) >= 5
    by_place = [sorted(faces, key=lambda f: tuple(f.box)) for faces in (a, b)]
    for f, g in zip(*by_place, strict=True):
        np.testing.assert_allclose(f.box * 3, g.box, atol=0.04 * g.size)
        np.testing.assert_allclose(f.landmarks * 3, g.landmarks, atol=0.04 * g.size)
        assert f.score == pytest.approx(g.score, abs=0.05)


def test_batch_equals_singles(detector):
    small, wide = head(160), mosaic()
    pictures = [small, wide, small[:, ::-1], np.zeros_like(small), wide[::-1, ::-1]]
    batched = detector.detect(pictures, DetectorConfig(score_threshold=0.5, short_side=None, batch_size=2))
    assert [len(faces) > 0 for faces in batched][:4] == [True, True, True, False]
    for i, picture in enumerate(pictures):
        assert all(face.image_index == i for face in batched[i])
        np.testing.assert_allclose(as_rows(batched[i]), as_rows(detector.detect(picture)[0]), atol=0.02)


def test_every_form_of_a_picture_gives_the_same_faces(detector):
    picture = head()
    expected = as_rows(detector.detect(picture)[0])
    unit = picture.astype(np.float32) / 255
    forms = [
        picture.astype(np.uint16) * 257,
        unit,
        torch.from_numpy(unit),
        torch.from_numpy(unit)[None],
        torch.from_numpy(picture),
        unit[None],
        [torch.from_numpy(unit).double()],
    ]
    for form in forms:
        np.testing.assert_allclose(as_rows(detector.detect(form)[0]), expected, atol=0.05)


def test_the_picture_is_left_as_it_was(detector):
    picture = head().astype(np.float32) / 255
    before = picture.copy()
    detector.detect(picture)
    np.testing.assert_array_equal(picture, before)


def test_no_pictures_and_no_faces(detector):
    assert detector.detect([]) == []
    assert detector.detect(np.zeros((2, 64, 64, 3), np.uint8)) == [[], []]


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 4), (64, 64, 1), (1, 64, 64, 4), (0, 64, 3)])
def test_other_shapes_are_refused(detector, shape):
    with pytest.raises(ValueError, match=r"\(h, w, 3\) RGB"):
        detector.detect(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((640, 900), (640, 900)), ((1080, 1920), (640, 1138)), ((1500, 1000), (960, 640)), ((225, 400), (640, 1138))],
)
def test_search_size_has_a_short_side_of_640(shape, expected):
    assert search_size(shape, 640) == expected
    assert search_size(shape, None) == shape


@pytest.mark.parametrize("shape", [(300, 8000), (20000, 200), (1, 1)])
def test_search_size_is_bounded(shape):
    height, width = search_size(shape, 640)
    assert height * width <= 1.1 * 8 * 640**2


def test_anchors_and_decode_by_hand():
    grid = anchors(40, 60)  # strides 8, 16, 32: 5 x 8, 3 x 4, 2 x 2 places with two sizes each
    assert grid.shape == ((40 + 12 + 4) * 2, 3)
    assert grid[:3].tolist() == [[4, 4, 16], [4, 4, 32], [12, 4, 16]]
    assert grid[-1].tolist() == [48, 48, 512]
    boxes, points = decode(grid[:1], torch.tensor([[1.0, 0, 0, 5 * np.log(2)]]), torch.ones(1, 10))
    np.testing.assert_allclose(boxes, [[-2.4, -12, 13.6, 20]], atol=1e-5)
    np.testing.assert_allclose(points, np.full((1, 5, 2), 5.6), atol=1e-5)


def test_pth_with_a_module_prefix_loads(tmp_path, detector):
    path = tmp_path / "detection_mobilenet0.25_Final.pth"
    torch.save({f"module.{name}": tensor for name, tensor in load_file(BUNDLED).items()}, path)
    (face,) = load_detector(path).detect(head())[0]
    (expected,) = detector.detect(head(), DetectorConfig())[0]
    np.testing.assert_array_equal(face.box, expected.box)


def test_a_wrong_file_is_named(tmp_path):
    other, part = tmp_path / "other.safetensors", tmp_path / "part.safetensors"
    save_file({"conv.weight": torch.zeros(3)}, other)
    state = load_file(BUNDLED)
    state.pop("BboxHead.0.conv1x1.weight")
    save_file(state, part)
    with pytest.raises(ValueError, match=r"other\.safetensors: holds .*, expected RetinaFace"):
        load_detector(other)
    with pytest.raises(ValueError, match=r"part\.safetensors: not a whole RetinaFace .*BboxHead\.0"):
        load_detector(part)
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        load_detector(tmp_path / "none.pth")
    with pytest.raises(ValueError, match=r"'retinaface': give retinaface_mobile0\.25 or .*\.onnx"):
        load_detector("retinaface")


@pytest.mark.parametrize(
    "wrong", [{"score_threshold": 1.0}, {"nms_threshold": 0}, {"short_side": 8}, {"batch_size": 0}]
)
def test_wrong_config_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .* expected"):
        DetectorConfig(**wrong)


def test_importing_detection_imports_neither_facexlib_nor_torchvision():
    code = (
        "import sys, codeformer_core.detection.load, codeformer_core.detection.retinaface\n"
        "sys.exit(any(m in sys.modules for m in ('facexlib', 'torchvision')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_the_spread_is_how_far_the_landmarks_of_anchors_that_found_the_same_face_lie_apart(face_at):
    face = face_at(200, 200, 100)
    shifts = np.array([0, 2, -2, 4, 50, 50, 50], np.float32)  # of landmarks, to the right
    which, scores = np.array([0, 0, 0, 0, 0, 0, 1]), np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.8, 0.9])
    boxes = np.tile(face.box, (7, 1))
    boxes[5] += 90  # another face; before it one that is too weak, after it one of another picture
    landmarks = face.landmarks + shifts[:, None, None] * np.array((1, 0))
    found = which, boxes, landmarks, scores
    eyes = np.linalg.norm(face.landmarks[1] - face.landmarks[0])
    assert spread(0, *found) == pytest.approx((0 + 2 + 2 + 4) / 4 / eyes, rel=0.1)
    assert spread(5, *found) == spread(6, *found) == np.inf  # too few found them
    assert spread(4, *found) == np.inf  # too weak itself
