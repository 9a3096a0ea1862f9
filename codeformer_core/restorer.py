"""The pipeline: detect, align, restore in batches, paste back; each step can be called alone and its result changed."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import torch

from .detection.detector import Detector, Images, as_pictures
from .detection.faces import Face, FaceSelection, select_faces
from .detection.second_look import found_again
from .networks.cft import CFTWeights
from .networks.codeformer import CodeFormer
from .pasting.alignment import affine_scale, crop_face, estimate_affine, inside_picture, resized_affine, template
from .pasting.colour import ColourMatch, is_grey, match_colour, to_grey
from .pasting.masks import border_mask, square_mask
from .pasting.parsing import FaceParser
from .pasting.paste import Patch, own_detail, paste_faces, pasted_mask
from .pictures.arrays import check_picture, check_values, from_network, to_network

logger = logging.getLogger(__name__)
# Faces with more pixels than the crop keep the picture's finer detail, are pasted without it, or are left alone.
LargeFaces = Literal["keep_detail", "replace", "skip"]


@dataclass(frozen=True, kw_only=True)
class RestoreConfig:
    """How faces are restored and put back."""

    w: float | CFTWeights = 0.5  # fidelity weight: 0 is the codebook's quality, 1 is fidelity to the input
    adain: bool = True  # colours of the input's features (off for inpainting checkpoints)
    selection: FaceSelection = field(default_factory=FaceSelection)
    upscale: int = 1  # of the whole picture, 1 to 4
    large_faces: LargeFaces = "keep_detail"  # what is done with faces of more pixels than the network's crop
    colour_match: ColourMatch = "none"
    keep_grey: bool = True  # faces of grey pictures come out grey (off for colorization checkpoints)
    feather: float = 0.05  # softness of the mask's edge, as a fraction of the face's side
    min_confidence: float = (
        0.1  # mean of the codes' probabilities below which a face is doubted (see `restore`); 0: never
    )
    batch_size: int = 4  # faces that go through the network together

    def __post_init__(self):
        weights = self.w if isinstance(self.w, CFTWeights) else CFTWeights(w=self.w)  # checks its range
        if any(weight.shape[0] != 1 for weight in weights.tensors()):
            raise ValueError("w in a RestoreConfig is for every face: a float, or CFTWeights without a batch of values")
        if self.upscale not in (1, 2, 3, 4):
            raise ValueError(f"upscale is 1, 2, 3 or 4, got {self.upscale}")
        if self.large_faces not in get_args(LargeFaces):
            raise ValueError(f"large_faces is one of {', '.join(get_args(LargeFaces))}, got {self.large_faces!r}")
        if self.colour_match not in ("none", "lab", "wavelet"):
            raise ValueError(f"colour_match is none, lab or wavelet, got {self.colour_match!r}")
        if not 0 <= self.feather <= 0.25:
            raise ValueError(f"feather is a fraction of the face's side, 0 to 0.25, got {self.feather}")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence is a probability, 0 to 1, got {self.min_confidence}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is at least 1, got {self.batch_size}")


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedFace:
    """A face on its way through the pipeline."""

    face: Face
    affine: np.ndarray  # (2, 3), from the picture to the crop
    crop: np.ndarray  # (s, s, 3) float32 in [0, 1]
    inside: np.ndarray  # (s, s) bool: which of its pixels lie on the picture
    mask: np.ndarray | None = None  # (s, s) float32 in [0, 1], its own; None: the feathered square, or the parsed face
    restored: np.ndarray | None = None  # (s, s, 3) float32 in [0, 1]
    codes: np.ndarray | None = None  # (n,) int64, the predicted code items, row by row
    confidence: np.ndarray | None = None  # (n,) float32, the probability of each
    note: str = ""  # why a face was left as it is
    given: bool = False  # the user says that this is a face, so it is never doubted

    @property
    def mean_confidence(self) -> float:
        """The mean probability of the codes, 0 to 1; NaN before they are predicted."""
        return float("nan") if self.confidence is None else float(self.confidence.mean())


@dataclass(frozen=True, kw_only=True, eq=False)
class Restoration:
    """A restored picture (h * upscale, w * upscale, 3), in the dtype of what it was pasted into, and its faces."""

    image: np.ndarray
    faces: list[AlignedFace]


class FaceRestorer:
    """Restores the faces of pictures: `restorer(image)`, or step by step with `detect`, `align`, `restore`, `paste`.

    A picture is (h, w, 3) RGB, uint8, uint16 or float32 in [0, 1]; floats may ring a little beyond, others are refused
    (`pictures.arrays.check_values`). Without a detector, faces must be given; without a
    network there is no `restore`, and crops are of `face_size`, which is otherwise the network's.
    """

    def __init__(
        self,
        net: CodeFormer | None,
        detector: Detector | None = None,
        config: RestoreConfig | None = None,
        *,
        parser: FaceParser | None = None,
        face_size: int = 512,
    ):
        self.net = net
        self.face_size = net.config.vq.image_size if net else face_size
        self.detector = detector
        self.config = config or RestoreConfig()
        self.parser = parser

    def __call__(
        self,
        images: Images,
        *,
        faces: Sequence[Sequence[Face]] | None = None,
        backgrounds: Sequence[np.ndarray] | None = None,
        limits: Sequence[np.ndarray] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Restoration | list[Restoration]:
        """One picture gives one `Restoration`; a batch (b, h, w, 3) or pictures of any sizes give a list.

        They may be tensors; results are arrays. All faces share network batches. `faces`, which are then not selected
        from, `backgrounds` and `limits` (see `paste_faces`) have one entry a picture. `progress(done, total)` is called
        as faces are restored, and may raise to stop.
        """
        single = isinstance(images, np.ndarray | torch.Tensor) and images.ndim == 3
        images = as_pictures(images)
        found = self.detect(images) if faces is None else faces
        for name, given in (("faces", found), ("backgrounds", backgrounds), ("limits", limits)):
            if given is not None and len(given) != len(images):
                raise ValueError(f"{name} needs one entry a picture: got {len(given)} for {len(images)} pictures")
        aligned = [self.align(image, its_faces) for image, its_faces in zip(images, found, strict=True)]
        restored = iter(self.restore([face for its_faces in aligned for face in its_faces], progress=progress))
        results = []
        for i, image in enumerate(images):
            its_faces = self.masked([next(restored) for _ in aligned[i]])
            background = None if backgrounds is None else backgrounds[i]
            limit = None if limits is None else limits[i]
            results.append(Restoration(image=self.paste(image, its_faces, background, limit), faces=its_faces))
        return results[0] if single else results

    def detect(self, images: Images) -> list[list[Face]]:
        """The selected faces of each picture."""
        if self.detector is None:
            raise ValueError("this FaceRestorer has no detector: give it one, or pass the faces")
        images = as_pictures(images)
        found = self.detector.detect(images)
        return [
            select_faces(faces, image.shape[:2], self.config.selection)
            for image, faces in zip(images, found, strict=True)
        ]

    def align(self, image: np.ndarray, faces: Sequence[Face]) -> list[AlignedFace]:
        """The faces of a picture as aligned crops; one whose landmarks cannot be aligned is left out, and warned of."""
        size = self.face_size
        aligned = []
        for face in faces:
            try:
                affine = estimate_affine(face.landmarks, size)
            except ValueError as error:
                logger.warning("a face at %s is left as it is: %s", face.box.round().tolist(), error)
                continue
            crop = crop_face(image, affine, size)
            inside = inside_picture(affine, size, image.shape[:2])
            note = self._skip_note(affine) if inside.any() else "skipped: lies outside the picture"
            aligned.append(AlignedFace(face=face, affine=affine, crop=crop, inside=inside, note=note))
        return aligned

    def as_aligned(self, image: np.ndarray) -> AlignedFace:
        """A picture (s, s, 3) of any size s that is itself an aligned face, to be replaced as a whole."""
        height, width = check_picture(image).shape[:2]
        if height != width:
            raise ValueError(f"aligned faces are square, got {width} x {height} pixels")
        size = self.face_size
        affine = resized_affine(np.eye(2, 3), width / size)
        face = Face(box=np.array([0, 0, width, height]), landmarks=template(width), score=1.0)
        return AlignedFace(
            face=face,
            affine=affine,
            crop=crop_face(image, affine, size),
            inside=np.ones((size, size), bool),
            mask=np.ones((size, size), np.float32),
            note=self._skip_note(affine),
            given=True,
        )

    def _skip_note(self, affine: np.ndarray) -> str:
        if self.config.large_faces == "skip" and affine_scale(affine) < 1:
            width = self.face_size / affine_scale(affine)
            return f"skipped: {width:.0f} px wide, more than the network's {self.face_size} px"
        return ""

    def restore(
        self, faces: Sequence[AlignedFace], *, progress: Callable[[int, int], None] | None = None
    ) -> list[AlignedFace]:
        """The faces with `restored`, `codes` and `confidence` filled in; faces with a note are passed through.

        A face of less than `min_confidence` is doubted: it may be blurred, or no face. If the detector does not find it
        again in its crop, it is not restored and its note says so. Without a detector there is no doubt, nor of faces
        that are `given`, such as those of `as_aligned`.

        On a GPU that runs out of memory the batch is halved until it fits; a single face that does not fit is an error.
        """
        return self.restore_at([self.config.w], faces, progress=progress)[0]

    @torch.inference_mode()
    def restore_at(
        self,
        weights: Sequence[float | CFTWeights],
        faces: Sequence[AlignedFace],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[list[AlignedFace]]:
        """For each of several fidelity weights what `restore` gives; codes are predicted once."""
        results = [list(faces) for _ in weights]
        todo = [i for i, face in enumerate(faces) if not face.note]
        done, batch = 0, self.config.batch_size
        while done < len(todo):
            chosen = todo[done : done + batch]
            try:
                outputs = self._run(np.stack([faces[i].crop for i in chosen]), weights)
            except torch.cuda.OutOfMemoryError:
                if len(chosen) == 1:
                    raise
                outputs = None
            if outputs is None:  # outside the handler, whose traceback would hold on to the memory
                batch = len(chosen) // 2
                torch.cuda.empty_cache()
                logger.warning("out of GPU memory: going on with %d face(s) at a time", batch)
                continue
            by_weight, codes, confidence = outputs
            for result, restored in zip(results, by_weight, strict=True):
                for n, i in enumerate(chosen):
                    matched = self._match_colours(faces[i], restored[n])
                    result[i] = replace(faces[i], restored=matched, codes=codes[n], confidence=confidence[n])
            done += len(chosen)
            if progress is not None:
                progress(done, len(todo))
        for i, note in self._doubts(results[0]).items() if results else ():
            for result in results:
                result[i] = replace(result[i], restored=None, note=note)
        return results

    def _run(
        self, crops: np.ndarray, weights: Sequence[float | CFTWeights]
    ) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Of crops (b, s, s, 3): faces (b, s, s, 3) at each weight, codes (b, n) and the confidence of these (b, n)."""
        if self.net is None:
            raise ValueError("this FaceRestorer has no network: give it one, or set the faces' `restored` yourself")
        check_values(crops, "crop of a face")
        weight = next(self.net.parameters())
        prediction = self.net.predict_codes(to_network(crops, weight.device, weight.dtype))
        restored = [from_network(self.net.decode(prediction, w, self.config.adain)) for w in weights]
        if not all(np.isfinite(faces).all() for faces in restored):
            raise ValueError(
                f"the network gave values that are not finite in {weight.dtype}; use float32, or check the model"
            )
        return restored, prediction.codes.cpu().numpy(), prediction.confidence.cpu().numpy()

    def _doubts(self, faces: Sequence[AlignedFace]) -> dict[int, str]:
        """The notes of those faces, by index, that neither the network nor a second look of the detector recognises."""
        if self.detector is None:
            return {}
        least = self.config.min_confidence
        doubted = [i for i, face in enumerate(faces) if not face.given and face.mean_confidence < least]
        again = found_again(self.detector, [faces[i].crop for i in doubted], template(self.face_size))
        reason = "skipped: not recognised as a face (confidence {:.2f}, below {:g}, and not found again)"
        return {
            i: reason.format(faces[i].mean_confidence, least)
            for i, found in zip(doubted, again, strict=True)
            if not found
        }

    def _match_colours(self, face: AlignedFace, restored: np.ndarray) -> np.ndarray:
        restored = match_colour(restored, face.crop, self.config.colour_match, face.inside)
        return to_grey(restored) if self.config.keep_grey and is_grey(face.crop, face.inside) else restored

    def paste(
        self,
        image: np.ndarray,
        faces: Sequence[AlignedFace],
        background: np.ndarray | None = None,
        limit: np.ndarray | None = None,
        tick: Callable[[], None] | None = None,
    ) -> np.ndarray:
        """The picture, times `upscale`, with those faces that are restored (see `paste_faces`)."""
        upscale, patches = self.config.upscale, self._patches(faces)
        return paste_faces(image, patches, upscale=upscale, background=background, limit=limit, tick=tick)

    def changed(
        self, image_size: tuple[int, int], faces: Sequence[AlignedFace], limit: np.ndarray | None = None
    ) -> np.ndarray:
        """How far `paste` replaces each pixel of a picture (height, width): (h * upscale, w * upscale) in [0, 1]."""
        return pasted_mask(image_size, self._patches(faces), upscale=self.config.upscale, limit=limit)

    def _patches(self, faces: Sequence[AlignedFace]) -> list[Patch]:
        return [
            Patch(
                restored=face.restored,  # pyright: ignore[reportArgumentType]
                crop=face.crop,
                affine=face.affine,
                mask=face.mask,  # pyright: ignore[reportArgumentType]
                detail=own_detail(face.affine) if self.config.large_faces == "keep_detail" else 0.0,
            )
            for face in self.masked(faces)
            if face.restored is not None
        ]

    def masked(self, faces: Sequence[AlignedFace]) -> list[AlignedFace]:
        """The faces, those that are restored with a `mask`: their own, or else the feathered square or parsed face."""
        return [face if face.restored is None or face.mask is not None else self._with_mask(face) for face in faces]

    def _with_mask(self, face: AlignedFace) -> AlignedFace:
        upscale = self.config.upscale
        mask = square_mask(self.face_size, upscale / affine_scale(face.affine), upscale, self.config.feather)
        if self.parser is not None:  # one by one: parsing is light, and needs no more memory for a crowd
            parsed = self.parser.masks(face.restored[None])  # pyright: ignore[reportOptionalSubscript]
            mask = np.minimum(mask, parsed[0])
        return replace(face, mask=mask * border_mask(face.inside))
