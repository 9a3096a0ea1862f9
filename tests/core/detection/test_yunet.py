"""YuNet's adapter with a stand-in for OpenCV's detector: no ONNX file of it is in the repository."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import cv2
import numpy as np
import pytest

from codeformer_core.detection.detector import DetectorConfig
from codeformer_core.detection.load import load_detector
from codeformer_core.detection.yunet import YuNetDetector


class FakeFaceDetectorYN:
    """Finds two faces at fixed fractions of the picture, the surer one last, and remembers what it was given."""

    @classmethod
    def create(cls, model: str, config: str, input_size: tuple[int, int]):
        return cls()

    def setInputSize(self, size):
        self.size = size

    def setScoreThreshold(self, threshold):
        self.score_threshold = threshold

    def setNMSThreshold(self, threshold):
        self.nms_threshold = threshold

    def detect(self, image):
        self.image = image
        if not image.any():
            return 1, None
        assert image.dtype == np.uint8
        assert image.shape[:2] == self.size[::-1]
        x, y, w, h = 0.25, 0.5, 0.125, 0.25
        points = [0.28, 0.55, 0.34, 0.55, 0.31, 0.6, 0.29, 0.7, 0.33, 0.7]
        row = np.array([x, y, w, h, *points], np.float32) * np.tile(self.size, 7)
        return 1, np.array([[*row, 0.7], [*(row + 100), 0.9], [*(row + 1), 0.6]], np.float32)


@pytest.fixture
def detector(tmp_path, monkeypatch) -> YuNetDetector:
    monkeypatch.setattr(cv2, "FaceDetectorYN", FakeFaceDetectorYN)
    path = tmp_path / "face_detection_yunet_2023mar.onnx"
    path.write_bytes(b"onnx")
    loaded = load_detector(path)
    assert isinstance(loaded, YuNetDetector)
    return loaded


def test_coordinates_are_scaled_back_surest_first_and_each_face_once(detector):
    picture = np.full((800, 1600, 3), 200, np.uint8)  # searched at 640 x 1280
    surer, face = detector.detect(picture, DetectorConfig(score_threshold=0.5, any_angle=False))[0]
    assert detector.net.size == (1280, 640)
    np.testing.assert_allclose(face.box, [400, 400, 600, 600], atol=1e-3)
    np.testing.assert_allclose(face.landmarks, [[448, 440], [544, 440], [496, 480], [464, 560], [528, 560]], atol=1e-3)
    np.testing.assert_allclose(surer.landmarks - face.landmarks, 125, atol=1e-3)
    assert (surer.score, face.score) == pytest.approx((0.9, 0.7))


def test_the_network_sees_bgr_uint8(detector):
    picture = np.zeros((64, 64, 3), np.uint16)
    picture[..., 0] = 65535  # red
    detector.detect(picture, DetectorConfig(short_side=None))
    assert detector.net.image[0, 0].tolist() == [0, 0, 255]


def test_thresholds_are_passed_on(detector):
    detector.detect(np.ones((64, 64, 3), np.uint8), DetectorConfig(score_threshold=0.3, nms_threshold=0.2))
    assert (detector.net.score_threshold, detector.net.nms_threshold) == (0.3, 0.2)


def test_batch_has_image_indices_and_empty_lists(detector):
    batch = np.zeros((3, 64, 64, 3), np.float32)
    batch[[0, 2]] = 0.5
    faces = detector.detect(batch, DetectorConfig(any_angle=False))
    assert [len(found) for found in faces] == [2, 0, 2]
    assert {f.image_index for f in faces[2]} == {2}


def test_searches_of_two_threads_do_not_mix(detector, monkeypatch):
    meeting, set_size = threading.Barrier(2), FakeFaceDetectorYN.setInputSize

    def slowly(self, size):
        set_size(self, size)
        with suppress(threading.BrokenBarrierError):
            meeting.wait(0.2)  # until the other thread has set its size too, if it may

    monkeypatch.setattr(FakeFaceDetectorYN, "setInputSize", slowly)
    config = DetectorConfig(short_side=None, any_angle=False)
    pictures = [np.full((64, width, 3), 200, np.uint8) for width in (64, 128)]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda picture: detector.detect(picture, config)[0], pictures))
    assert [faces[-1].box[0] for faces in found] == pytest.approx([16, 32])


def test_a_file_that_is_no_yunet_is_named(tmp_path):
    path = tmp_path / "garbage.onnx"
    path.write_bytes(b"this is not ONNX" * 10)
    with pytest.raises(ValueError, match=r"garbage\.onnx: not a YuNet .*face_detection_yunet"):
        load_detector(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.onnx: no such file"):
        load_detector(tmp_path / "none.onnx")
