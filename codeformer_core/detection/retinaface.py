"""RetinaFace: anchors, decoding and non-maximum suppression over a batch (Deng et al., arXiv 1905.00641)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..networks.state_dicts import CheckpointError, identify, load_strictly
from ..pictures.arrays import WHITE
from ..weights.checkpoint import for_inference, naming, read_state_dict
from .any_angle import at_any_angle, search_config, with_turned
from .detector import Candidate, DetectorConfig, Images, as_pictures, found_face, scale_picture, search_size
from .faces import Face, shared_area, without_doubles
from .landmarks import apart
from .mobile_retinaface import MobileRetinaFace
from .tiles import with_small_faces

MEAN_BGR = np.array((104, 117, 123), np.float32)
LEVELS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))  # stride and the two anchor sizes of each, in pixels
LARGEST = LEVELS[-1][1][-1]
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
HEAD = "ClassHead.0.conv1x1.weight"
SEES, SAME_BOX, ENOUGH = 0.3, 0.4, 4  # anchors that find one face: least score, least overlap, and so many of them
LOOKS = DetectorConfig(score_threshold=0.3, batch_size=32)  # at the crops of `any_angle`
BACKBONES = {64: "MobileNet-0.25", 256: "ResNet-50"}  # told by the width of the heads


class RetinaFaceDetector:
    """Finds faces with a RetinaFace network on the device and in the dtype that the network is in."""

    def __init__(self, net: nn.Module, *, config: DetectorConfig | None = None):
        self.net = net
        self.config = config or DetectorConfig()

    def detect(self, images: Images, config: DetectorConfig | None = None) -> list[list[Face]]:
        """The faces of each picture, surest first; see `detection.Detector`.

        A face larger than the largest anchor is found at wrong places, or several times. Such a picture is searched
        again at half the size, for a quarter of the time, and its large faces are taken from there.
        """
        config = config or self.config
        pictures = as_pictures(images)
        found = self._detect(pictures, config)
        return with_turned(pictures, found, self._detect, config) if config.any_angle else found

    def _detect(self, pictures: list[np.ndarray], config: DetectorConfig) -> list[list[Face]]:
        sizes = [search_size(picture.shape[:2], config.short_side) for picture in pictures]
        wanted = search_config(config) if config.any_angle else config
        found = self._find_large_too(pictures, sizes, wanted, config.score_threshold)
        if config.short_side == "auto":
            found = [self._with_small(picture, i, found[i], config) for i, picture in enumerate(pictures)]
        if not config.any_angle:
            return [without_doubles([face.face for face in faces]) for faces in found]
        return [
            at_any_angle(picture, without_doubles(faces), self._look, config.score_threshold)
            for picture, faces in zip(pictures, found, strict=True)
        ]

    def _with_small(
        self, picture: np.ndarray, i: int, found: list[Candidate], config: DetectorConfig
    ) -> list[Candidate]:
        def search(
            parts: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]], score: float
        ) -> list[list[Candidate]]:
            return self._find(parts, sizes, replace(config, score_threshold=score))

        return with_small_faces(picture, i, found, search, config.score_threshold, config.nms_threshold)

    def _look(self, crops: list[np.ndarray]) -> list[list[Candidate]]:
        return self._find(crops, [(len(crop), len(crop)) for crop in crops], LOOKS)

    def _find_large_too(
        self, pictures: list[np.ndarray], sizes: list[tuple[int, int]], config: DetectorConfig, sure: float
    ) -> list[list[Candidate]]:
        found = self._find(pictures, sizes, config)
        surest = [[face for face in faces if face.score >= sure] for faces in found]
        large = [i for i, faces in enumerate(surest) if any(_is_large(f, pictures[i], sizes[i]) for f in faces)]
        if not large:
            return found
        halves = [(max(1, sizes[i][0] // 2), max(1, sizes[i][1] // 2)) for i in large]
        again = self._find_large_too([pictures[i] for i in large], halves, config, sure)
        for i, half, faces in zip(large, halves, again, strict=True):
            # What is half as large as the anchor in the smaller search was too large, or nearly so, in this one.
            better = [replace(face, image_index=i) for face in faces if _is_large(face, pictures[i], half, LARGEST / 2)]
            if better:
                found[i] = better + [face for face in found[i] if not _is_large(face, pictures[i], sizes[i])]
        return found

    def _find(
        self, pictures: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]], config: DetectorConfig
    ) -> list[list[Candidate]]:
        """The faces of each picture searched at its size, surest first."""
        faces: list[list[Candidate]] = [[] for _ in pictures]
        for size in dict.fromkeys(sizes):  # pictures of one size go through the network together
            same_size = [i for i, other in enumerate(sizes) if other == size]
            for start in range(0, len(same_size), config.batch_size):
                batch = same_size[start : start + config.batch_size]
                x = np.stack([_to_network(scale_picture(pictures[i], size)) for i in batch])
                for which, *face in zip(*self._search(x, config), strict=True):
                    i = batch[which]
                    faces[i].append(found_face(pictures[i], size, i, *face))
        return faces

    @torch.inference_mode()
    def _search(self, x: np.ndarray, config: DetectorConfig) -> tuple[np.ndarray, ...]:
        """Of (b, h, w, 3) BGR: numbers in the batch, boxes (n, 4), landmarks (n, 5, 2), scores and spreads."""
        weight = next(self.net.parameters())
        bgr = rearrange(torch.from_numpy(x).to(weight.device, weight.dtype), "b h w c -> b c h w")
        box_offsets, probabilities, landmark_offsets = self.net(bgr)
        scores = probabilities[..., 1]  # (b, anchors)
        found = (scores > config.score_threshold).nonzero(as_tuple=True)
        # The few anchors that found something are enough: from here on the work is small and in float32 on the CPU.
        which, anchor = (indices.cpu() for indices in found)
        offsets, points, scores = (t[found].float().cpu() for t in (box_offsets, landmark_offsets, scores))
        boxes, landmarks = decode(anchors(*x.shape[1:3])[anchor], offsets, points)
        kept = _without_overlaps(boxes, scores, which, config.nms_threshold)
        found = tuple(t.numpy() for t in (which, boxes, landmarks, scores))
        return *(array[kept] for array in found), np.array([spread(i, *found) for i in kept])


def spread(i: int, which: np.ndarray, boxes: np.ndarray, landmarks: np.ndarray, scores: np.ndarray) -> float:
    """How far the landmarks of other anchors that found face i lie from its own, in eye distances; inf if too few did.

    Of n anchors: numbers in the batch, boxes (n, 4), landmarks (n, 5, 2) and scores.
    """
    if scores[i] < SEES:
        return np.inf
    same = (shared_area(boxes, boxes[i]) > SAME_BOX) & (scores > SEES) & (which == which[i])
    return apart(landmarks[same], landmarks[i]) if same.sum() >= ENOUGH else np.inf


def _without_overlaps(boxes: Tensor, scores: Tensor, which: Tensor, threshold: float) -> np.ndarray:
    """Indices of the boxes (n, 4) left by non-maximum suppression in each picture, highest score first."""
    corners, sides = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    xywh = torch.cat((corners, sides), dim=1).double().numpy()
    kept = cv2.dnn.NMSBoxesBatched(xywh, scores.numpy(), which.int().numpy(), 0.0, threshold)  # pyright: ignore
    return np.asarray(kept, np.int64).reshape(-1)


def _is_large(face: Face, picture: np.ndarray, size: tuple[int, int], limit: float = LARGEST) -> bool:
    """Whether a face has a side of more than `limit` pixels in the picture scaled to `size` (height, width)."""
    return max(face.width, face.height) * size[0] / picture.shape[0] > limit


def load_retinaface(
    path: str | Path, *, device: torch.device | str = "cpu", config: DetectorConfig | None = None
) -> RetinaFaceDetector:
    """The detector of a RetinaFace checkpoint with either backbone; CheckpointError if it is another network's."""
    state, _ = read_state_dict(path)
    backbone = BACKBONES.get(state[HEAD].shape[1]) if HEAD in state else None
    if backbone is None:
        raise CheckpointError(
            f"{path}: holds a {identify(state)}, expected RetinaFace with a MobileNet-0.25 or ResNet-50 backbone"
        )
    if backbone == "ResNet-50":
        from ..facexlib_nets import build_retinaface

        net = build_retinaface()
    else:
        with torch.device("meta"):
            net = MobileRetinaFace().eval()
    with naming(path):
        load_strictly(net, state, f"RetinaFace ({backbone})", assign=True)
    return RetinaFaceDetector(for_inference(fuse_batch_norms(net), device=device), config=config)


@lru_cache(maxsize=8)
def anchors(height: int, width: int) -> Tensor:
    """(n, 3) anchors of a picture in the network's order: level, row, column, size; x, y of the centre and size."""
    levels = []
    for stride, sizes in LEVELS:
        y = (torch.arange(-(-height // stride)) + 0.5) * stride
        x = (torch.arange(-(-width // stride)) + 0.5) * stride
        y, x, size = torch.meshgrid(y, x, torch.tensor(sizes, dtype=torch.float32), indexing="ij")
        levels.append(torch.stack((x, y, size), dim=-1).reshape(-1, 3))
    return torch.cat(levels)


def decode(anchors: Tensor, box_offsets: Tensor, landmark_offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Anchors (..., 3), offsets (..., 4) and (..., 10) -> boxes (..., 4) xyxy, landmarks (..., 5, 2), in pixels."""
    centre, size = anchors[..., :2], anchors[..., 2:]
    middle = centre + box_offsets[..., :2] * CENTRE_VARIANCE * size
    half = size * torch.exp(box_offsets[..., 2:] * SIZE_VARIANCE) / 2
    points = rearrange(landmark_offsets, "... (points xy) -> ... points xy", xy=2)
    landmarks = centre[..., None, :] + points * CENTRE_VARIANCE * size[..., None, :]
    return torch.cat((middle - half, middle + half), dim=-1), landmarks


def fuse_batch_norms(net: nn.Module) -> nn.Module:
    """The network in eval mode with each batch norm folded, in place, into the convolution right before it."""
    for module in net.modules():
        previous, name_before = None, ""
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d) and isinstance(previous, nn.Conv2d):
                setattr(module, name_before, fuse_conv_bn_eval(previous, child))
                setattr(module, name, nn.Identity())
            previous, name_before = child, name
    return net


def _to_network(picture: np.ndarray) -> np.ndarray:
    """RGB of any picture dtype as float32 BGR, 0 to 255 minus the mean."""
    bgr = picture[..., ::-1].astype(np.float32)
    bgr *= np.float32(255 / WHITE[picture.dtype])
    bgr -= MEAN_BGR
    return bgr
