"""YuNet through OpenCV, with an ONNX file of the user's (Wu et al., Machine Intelligence Research 2023)."""

import threading
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..pictures.arrays import from_float, to_float
from .any_angle import WEAK, at_any_angle, search_config, with_turned
from .detector import Candidate, DetectorConfig, Images, as_pictures, found_face, scale_picture, search_size
from .faces import Face, without_doubles
from .tiles import with_small_faces


class YuNetDetector:
    """Finds faces with OpenCV's FaceDetectorYN, one picture at a time on the CPU; made for faces of 10 to 300 pixels.

    Threads may share one: they wait for each other, since FaceDetectorYN keeps sizes and thresholds between calls.
    Raises FileNotFoundError, or ValueError if the file is not a YuNet that this OpenCV can run.
    """

    def __init__(self, path: str | Path, *, config: DetectorConfig | None = None):
        self.path, self.config = Path(path), config or DetectorConfig()
        self._one_at_a_time = threading.Lock()
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such file; give OpenCV Zoo's face_detection_yunet_*.onnx")
        try:
            self.net = cv2.FaceDetectorYN.create(str(path), "", (64, 64))
            self.net.detect(np.zeros((64, 64, 3), np.uint8))  # another network's file fails only here
        except cv2.error as error:
            raise ValueError(
                f"{path}: not a YuNet that OpenCV {cv2.__version__} can run; give OpenCV Zoo's "
                "face_detection_yunet_2023mar.onnx (OpenCV 4) or face_detection_yunet_2026may.onnx (OpenCV 5)"
            ) from error

    def detect(self, images: Images, config: DetectorConfig | None = None) -> list[list[Face]]:
        """The faces of each picture, surest first; see `detection.Detector`. `batch_size` means nothing here."""
        config = config or self.config
        pictures = as_pictures(images)
        with self._one_at_a_time:
            found = self._detect(pictures, config)
            return with_turned(pictures, found, self._detect, config) if config.any_angle else found

    def _detect(self, pictures: list[np.ndarray], config: DetectorConfig) -> list[list[Face]]:
        self.net.setNMSThreshold(config.nms_threshold)
        wanted = search_config(config) if config.any_angle else config
        self.net.setScoreThreshold(wanted.score_threshold)
        sizes = [search_size(picture.shape[:2], config.short_side) for picture in pictures]
        found = [self._search(*its, i) for i, its in enumerate(zip(pictures, sizes, strict=True))]
        if config.short_side == "auto":
            limits = config.score_threshold, config.nms_threshold
            found = [
                without_doubles(with_small_faces(picture, i, found[i], self._search_all, *limits))
                for i, picture in enumerate(pictures)
            ]
        if not config.any_angle:
            return [[face.face for face in faces] for faces in found]
        self.net.setScoreThreshold(WEAK)
        pairs = zip(pictures, found, strict=True)
        return [at_any_angle(picture, faces, self._look, config.score_threshold) for picture, faces in pairs]

    def _look(self, crops: list[np.ndarray]) -> list[list[Candidate]]:
        return [self._search(crop, crop.shape[:2]) for crop in crops]

    def _search_all(
        self, pictures: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]], score: float
    ) -> list[list[Candidate]]:
        self.net.setScoreThreshold(score)
        return [self._search(picture, size) for picture, size in zip(pictures, sizes, strict=True)]

    def _search(self, picture: np.ndarray, size: tuple[int, int], index: int = 0) -> list[Candidate]:
        scaled = from_float(to_float(scale_picture(picture, size)), np.dtype(np.uint8))
        self.net.setInputSize((size[1], size[0]))
        _, rows = self.net.detect(np.ascontiguousarray(scaled[..., ::-1]))  # BGR
        if rows is None:
            return []
        # x, y, width, height, five points, score. OpenCV's "right eye" is the person's, on the left of the image.
        boxes = np.hstack((rows[:, :2], rows[:, :2] + rows[:, 2:4]))
        found = zip(boxes, rows[:, 4:14].reshape(-1, 5, 2), rows[:, 14], strict=True)
        faces = [found_face(picture, size, index, box, landmarks, score) for box, landmarks, score in found]
        return without_doubles(faces)
