"""Steady faces: along a track, what only noise changes is held, and what moves is followed."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from ..batches import in_batches
from ..networks.codeformer import CodePrediction
from ..pictures.arrays import channel_max
from ..restoration import AlignedFace
from ..restorer import FaceRestorer

SURE = 5  # frames in a row that must doubt a restored track, or believe one that is left
LOST = 10  # frames without the face after which it begins anew
NOISE = 2.5  # times the face's median change: what noise alone may change at a place
NOISE_LIMIT = 0.03  # of white = 1: more than this is never taken for noise
BLUR = 1 / 40  # of the crop's side: standard deviation of the Gaussian under which change is seen


@dataclass(frozen=True, kw_only=True)
class SteadyConfig:
    """How far faces are held steady; the memories are what a still face keeps of the past in each frame."""

    face_memory: float = 0.3  # of the restored face, and so of its colours; 0: none
    code_memory: float = 0.3  # of the codes' log probabilities; 0: none
    margin: float = 0.5  # by how much (log probability) another code must be likelier than the one in force; 0: none
    motion: float = 0.03  # of white = 1: change of a place, beyond noise, at which it is mostly followed at once

    def __post_init__(self):
        for name in ("face_memory", "code_memory"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is a share, 0 to less than 1, got {getattr(self, name)}")
        if not self.margin >= 0:
            raise ValueError(f"margin is a difference of log probabilities, 0 or more, got {self.margin}")
        if not self.motion > 0:
            raise ValueError(f"motion is a difference of tones, more than 0, got {self.motion}")


OFF = SteadyConfig(face_memory=0.0, code_memory=0.0, margin=0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Past:
    """What is remembered of a track."""

    frame: int
    crop: np.ndarray  # (s, s, 3) float32
    logits: np.ndarray  # (n, K) float32: log probabilities of the codes, averaged
    codes: np.ndarray  # (n,) int64
    restored: np.ndarray  # (s, s, 3) float32, as it was given


class SteadyFaces:
    """Restores the faces of a film in order of frames, each track held steady.

    Where the aligned face stands still, codes and what is drawn of them are averaged over time; where it changes beyond
    its noise (an expression, a turn of the head, other light), it is followed at once. A code gives way only to one
    that is likelier by a margin. Faces without a track are restored as they are.
    """

    def __init__(self, restorer: FaceRestorer, config: SteadyConfig | None = None):
        self.restorer = restorer
        self.config = config or SteadyConfig()
        self._tracks: dict[int, _Past] = {}
        self._doubts: dict[int, tuple[str, int]] = {}  # of each track: why it is left, how many frames say otherwise

    def restore(
        self, faces: Sequence[AlignedFace], *, progress: Callable[[int, int], None] | None = None
    ) -> list[AlignedFace]:
        """What `FaceRestorer.restore` gives, for the faces of the next frames; those with a note are passed through.

        Frames are told by `face.image_index`, tracks by `face.track`; the frames of one track must rise from call to
        call. How faces are spread over calls and batches changes nothing but rounding.
        """
        result = list(faces)
        todo = [i for i, face in enumerate(faces) if not face.note]
        done = 0
        for batch, (restored, tracks) in in_batches(
            lambda batch: self._restored([faces[i] for i in batch]), todo, self.restorer.config.batch_size
        ):
            self._tracks = tracks
            for i, face in zip(batch, restored, strict=True):
                result[i] = face
            done += len(batch)
            if progress is not None:
                progress(done, len(todo))
        notes = self.restorer.doubts(result)
        for i in todo:
            if note := self._left(result[i], notes.get(i, "")):
                result[i] = replace(result[i], restored=None, note=note)
        self._doubts = {track: doubt for track, doubt in self._doubts.items() if track in self._tracks}
        return result

    def _left(self, face: AlignedFace, doubt: str) -> str:
        """Why a face is left as it is, if it is: by its own `doubt`, or with a track by what its last frames said.

        A tracked face is restored, or left, until `SURE` frames in a row say otherwise.
        """
        track = face.face.track
        if track is None or self.config == OFF:
            return doubt
        left, contrary = self._doubts.get(track, (doubt, 0))
        contrary = contrary + 1 if bool(doubt) != bool(left) else 0
        if contrary >= SURE:
            left, contrary = doubt, 0
        self._doubts[track] = (left, contrary)
        return left

    @torch.inference_mode()
    def _restored(self, faces: Sequence[AlignedFace]) -> tuple[list[AlignedFace], dict[int, _Past]]:
        """A batch restored, and the tracks after it."""
        if self.config == OFF:
            return self.restorer.decode(faces, self.restorer.predict(faces)), self._tracks
        crops = {track: (past.frame, past.crop) for track, past in self._tracks.items()}
        kept = [self._still(face, crops) for face in faces]
        prediction, logits = self._steady_codes(faces, self.restorer.predict(faces), kept)
        restored = self.restorer.decode(faces, prediction)
        tracks = dict(self._tracks)
        result = []
        for n, (face, still) in enumerate(zip(restored, kept, strict=True)):
            track = face.face.track
            if track is not None:
                assert face.restored is not None
                image = face.restored
                if still is not None:
                    image = image + self.config.face_memory * still[..., None] * (tracks[track].restored - image)
                face = replace(face, restored=image)
                tracks[track] = _Past(
                    frame=face.face.image_index,
                    crop=face.crop,
                    logits=logits[n].numpy().copy(),
                    codes=prediction.codes[n].cpu().numpy(),
                    restored=image,
                )
            result.append(face)
        newest = max((past.frame for past in tracks.values()), default=0)
        return result, {track: past for track, past in tracks.items() if newest - past.frame <= LOST}

    def _still(self, face: AlignedFace, crops: dict[int, tuple[int, np.ndarray]]) -> np.ndarray | None:
        """(s, s) how far each place stands still since the track's last frame, of `crops`; None at a beginning."""
        track, frame = face.face.track, face.face.image_index
        if track is None:
            return None
        last, past = crops.get(track, (frame, None))
        if past is not None and frame <= last:
            raise ValueError(f"track {track} was restored up to frame {last} already, got frame {frame}")
        crops[track] = frame, face.crop
        if past is None or frame - last > LOST or past.shape != face.crop.shape:
            return None
        return stillness(past, face.crop, self.config.motion)

    def _steady_codes(
        self, faces: Sequence[AlignedFace], prediction: CodePrediction, kept: Sequence[np.ndarray | None]
    ) -> tuple[CodePrediction, Tensor]:
        """The prediction with codes that only change for likelier ones, and the averaged log probabilities."""
        tracks = {track: (past.logits, past.codes) for track, past in self._tracks.items()}
        logits: Tensor = prediction.logits.float().log_softmax(-1).cpu()
        codes = prediction.codes.cpu().clone()
        side = math.isqrt(logits.shape[1])
        for n, (face, still) in enumerate(zip(faces, kept, strict=True)):
            track = face.face.track
            if track is None:
                continue
            past = tracks.get(track)
            if past is not None and still is not None:
                share = torch.from_numpy(cv2.resize(still, (side, side), interpolation=cv2.INTER_AREA).reshape(-1))
                before = torch.from_numpy(past[0])
                logits[n] += self.config.code_memory * share[:, None] * (before - logits[n])
                codes[n] = logits[n].argmax(-1)
                held = torch.from_numpy(past[1])[:, None]
                gain = logits[n].amax(-1) - logits[n].gather(-1, held)[:, 0]
                codes[n] = torch.where(gain > self.config.margin * share, codes[n], held[:, 0])
            tracks[track] = logits[n].numpy(), codes[n].numpy()
        device = prediction.codes.device
        return replace(prediction, logits=logits.to(device), codes=codes.to(device)), logits

    def state(self) -> dict[str, np.ndarray]:
        """What is remembered, for `load_state`: names and arrays, as `numpy.savez` takes them."""
        arrays = {}
        for track, past in self._tracks.items():
            arrays[f"{track}/frame"] = np.array(past.frame)
            for name in ("crop", "logits", "codes", "restored"):
                arrays[f"{track}/{name}"] = getattr(past, name)
            left, contrary = self._doubts.get(track, ("", 0))
            arrays |= {f"{track}/left": np.array(left), f"{track}/contrary": np.array(contrary)}
        return arrays

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a `state`; ValueError if it is none."""
        try:
            tracks = sorted({int(name.split("/")[0]) for name in state})
            self._tracks = {
                track: _Past(
                    frame=int(state[f"{track}/frame"]),
                    crop=np.asarray(state[f"{track}/crop"], np.float32),
                    logits=np.asarray(state[f"{track}/logits"], np.float32),
                    codes=np.asarray(state[f"{track}/codes"], np.int64),
                    restored=np.asarray(state[f"{track}/restored"], np.float32),
                )
                for track in tracks
            }
            self._doubts = {track: (str(state[f"{track}/left"]), int(state[f"{track}/contrary"])) for track in tracks}
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"this is no state of steady faces ({error}): begin the film anew") from error


def stillness(before: np.ndarray, after: np.ndarray, motion: float) -> np.ndarray:
    """(s, s) float32: how far each place of two crops (s, s, 3) differs by noise alone: 1 still, towards 0 changed."""
    blur = len(after) * BLUR
    change = channel_max(np.abs(cv2.GaussianBlur(after - before, (0, 0), blur)))
    noise = min(NOISE * float(np.median(change)), NOISE_LIMIT)
    return np.exp(-((np.clip(change - noise, 0, None) / motion) ** 2)).astype(np.float32)
