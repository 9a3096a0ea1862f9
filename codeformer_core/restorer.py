"""The pipeline: detect, align, restore in batches, paste back; each step can be called alone and its result changed."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from .batches import in_batches
from .detection.detector import Detector, Images, as_pictures
from .detection.faces import Face, select_faces
from .detection.pose import side_strength
from .detection.second_look import found_again
from .fidelity.apply import FaceToWeigh, FaceWeights, cft_weights, weigh_face
from .fidelity.automatic import face_quality
from .fidelity.plan import FidelityPlan, Region, as_plan
from .fidelity.regions import regions_of_classes
from .networks.cft import CFTWeights
from .networks.codeformer import CodeFormer, CodePrediction
from .pasting.alignment import affine_scale, crop_face, estimate_affine, inside_picture, resized_affine, template
from .pasting.colour import is_grey, match_colour, to_grey
from .pasting.fine_detail import fine_share, give_back_detail
from .pasting.masks import border_mask, square_mask
from .pasting.occlusion import unhidden
from .pasting.parsing import FaceParser
from .pasting.paste import Patch, own_detail, paste_faces, pasted_mask
from .pictures.arrays import check_picture, check_values, from_network, to_network
from .restoration import AlignedFace, Restoration, RestoreConfig, Weighting

logger = logging.getLogger(__name__)


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
        return [self.cut(image, face, affine, n) for n, (face, affine) in enumerate(self.alignable(faces))]

    def alignable(self, faces: Sequence[Face]) -> list[tuple[Face, np.ndarray]]:
        """Those faces of a picture that can be aligned, each with its affine (2, 3); the others are warned of."""
        kept = []
        for face in faces:
            try:
                kept.append((face, estimate_affine(face.landmarks, self.face_size, robust=face.track is None)))
            except ValueError as error:
                logger.warning("a face at %s is left as it is: %s", face.box.round().tolist(), error)
        return kept

    def cut(self, image: np.ndarray, face: Face, affine: np.ndarray, number: int = 0) -> AlignedFace:
        """One face of a picture as an aligned crop; `number` is its place among the picture's faces."""
        size = self.face_size
        inside = inside_picture(affine, size, image.shape[:2])
        return AlignedFace(
            face=face,
            affine=affine,
            crop=crop_face(image, affine, size),
            inside=inside,
            note=self._skip_note(affine) if inside.any() else "skipped: lies outside the picture",
            number=number if face.track is None else face.track,
            strength=side_strength(face.pose, self.config.side_strength),
            image_size=image.shape[:2],
        )

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
            image_size=(height, width),
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
        return self.restore_at([None], faces, progress=progress)[0]

    @torch.inference_mode()
    def restore_at(
        self,
        weights: Sequence[Weighting | None],
        faces: Sequence[AlignedFace],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[list[AlignedFace]]:
        """For each of several fidelity weights what `restore` gives; codes are predicted once.

        None stands for what `restore` takes: each face's own `w`, or else the config's.
        """
        results = [list(faces) for _ in weights]
        todo = [i for i, face in enumerate(faces) if not face.note]

        def run(batch: Sequence[int]) -> list[list[AlignedFace]]:
            chosen = [faces[i] for i in batch]
            prediction = self.predict(chosen)
            return [self.decode(chosen, prediction, w) for w in weights]

        done = 0
        for batch, decoded in in_batches(run, todo, self.config.batch_size):
            for result, restored in zip(results, decoded, strict=True):
                for i, face in zip(batch, restored, strict=True):
                    result[i] = face
            done += len(batch)
            if progress is not None:
                progress(done, len(todo))
        for i, note in self.doubts(results[0]).items() if results else ():
            for result in results:
                result[i] = replace(result[i], restored=None, note=note)
        return results

    @torch.inference_mode()
    def predict(self, faces: Sequence[AlignedFace]) -> CodePrediction:
        """What the network says of the faces, in one batch; one prediction serves any number of `decode`."""
        if self.net is None:
            raise ValueError("this FaceRestorer has no network: give it one, or set the faces' `restored` yourself")
        crops = np.stack([face.crop for face in faces])
        check_values(crops, "crop of a face")
        weight = next(self.net.parameters())
        return self.net.predict_codes(to_network(crops, weight.device, weight.dtype))

    @torch.inference_mode()
    def decode(
        self, faces: Sequence[AlignedFace], prediction: CodePrediction, w: Weighting | None = None
    ) -> list[AlignedFace]:
        """The faces of a prediction restored at a weight; None: at each face's own, or else the config's."""
        assert self.net is not None  # it made the prediction
        faces = self.weigh(faces, prediction, w)
        restored = from_network(self.net.decode(prediction, self._batched(faces, w), self.config.adain))
        if not np.isfinite(restored).all():
            dtype = next(self.net.parameters()).dtype
            raise ValueError(f"the network gave values that are not finite in {dtype}; use float32, or check the model")
        if self.config.occlusion:
            drawn = from_network(self.net.decode(prediction, 0.0, self.config.adain))
            faces = [replace(face, unhidden=unhidden(face.crop, drawn[n], face.inside)) for n, face in enumerate(faces)]
        return [replace(face, restored=self._match_colours(face, restored[n])) for n, face in enumerate(faces)]

    def weigh(
        self, faces: Sequence[AlignedFace], prediction: CodePrediction, w: Weighting | None = None
    ) -> list[AlignedFace]:
        """The faces of a prediction with their codes, confidence and the `weights` in force for `decode`."""
        codes, confidence = prediction.codes.cpu().numpy(), prediction.confidence.cpu().numpy()
        weighed = []
        for n, face in enumerate(faces):
            chosen = self._chosen(face, w)
            fixed = isinstance(chosen, CFTWeights)
            weights = None if fixed else self._weigh(face, as_plan(chosen), float(confidence[n].mean()))
            weighed.append(replace(face, codes=codes[n], confidence=confidence[n], weights=weights))
        return weighed

    def _chosen(self, face: AlignedFace, w: Weighting | None) -> Weighting:
        if w is not None:
            return w
        return self.config.w if face.w is None else face.w

    def _weigh(self, face: AlignedFace, plan: FidelityPlan, confidence: float) -> FaceWeights:
        assert self.net is not None

        def parsed() -> dict[Region, np.ndarray]:
            assert self.parser is not None
            return regions_of_classes(self.parser.classes(face.crop[None])[0], self.parser.kind, self.face_size)

        asked = FaceToWeigh(
            landmarks=face.face.landmarks,
            affine=face.affine,
            crop_size=self.face_size,
            image_size=face.image_size,
            size=face.face.size,
            number=face.number,
            frame=face.face.image_index,
            calibration=self.config.calibration,
            quality=lambda: face_quality(face.crop, face.inside, face.face.size, confidence),
            parsed=None if self.parser is None else parsed,
        )
        return weigh_face(plan, asked, self.net.config.cft_sizes)

    def _batched(self, faces: Sequence[AlignedFace], w: Weighting | None) -> float | CFTWeights:
        """The weights of a batch as the network takes them: those of plans, or one `CFTWeights` that all share."""
        weighed = [face.weights for face in faces if face.weights is not None]
        if len(weighed) == len(faces):
            return cft_weights(weighed)
        shared, *others = (self._chosen(face, w) for face in faces)
        if not isinstance(shared, CFTWeights) or any(other is not shared for other in others):
            raise ValueError("faces of one batch have either plans or all the same CFTWeights; give them plans")
        return shared

    def doubts(self, faces: Sequence[AlignedFace]) -> dict[int, str]:
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
        return self._keep_grey(face, match_colour(restored, face.crop, self.config.colour_match, face.inside))

    def _keep_grey(self, face: AlignedFace, restored: np.ndarray) -> np.ndarray:
        return to_grey(restored) if self.config.keep_grey and is_grey(face.crop, face.inside) else restored

    def paste(
        self,
        image: np.ndarray,
        faces: Sequence[AlignedFace],
        background: np.ndarray | None = None,
        limit: np.ndarray | None = None,
        tick: Callable[[], None] | None = None,
    ) -> np.ndarray:
        """The picture, times `upscale`, with those faces that are restored (see `paste_faces`).

        Large clean faces get their own pores and grain back (`with_own_detail`), but not on another `background`, which
        has its own grain or none.
        """
        if background is None:
            faces = self.with_own_detail(faces)
        upscale, patches = self.config.upscale, self._patches(faces)
        return paste_faces(image, patches, upscale=upscale, background=background, limit=limit, tick=tick)

    def with_own_detail(self, faces: Sequence[AlignedFace]) -> list[AlignedFace]:
        """The faces with their crops' finest octave in `restored`, as far as they are clean and w asks for the input.

        Small faces, bad ones, those of `as_aligned`, which have no surroundings to match, and those that were restored
        elsewhere or with `CFTWeights`, whose w is not known, stay as they are.
        """
        if self.config.large_faces != "keep_detail":
            return list(faces)
        return [self._with_own_detail(face) for face in faces]

    def _with_own_detail(self, face: AlignedFace) -> AlignedFace:
        if face.restored is None or face.weights is None or face.given:
            return face
        share = fine_share(face.affine) * face.weights.map(self.face_size)
        if not share.any():
            return face
        quality = face.weights.quality or face_quality(face.crop, face.inside, face.face.size, face.mean_confidence)
        share *= self.config.calibration.cleanness(quality)
        if not share.any():
            return face
        restored = give_back_detail(face.restored, face.crop, face.affine, face.inside, share)
        return replace(face, restored=self._keep_grey(face, restored))

    def changed(
        self, image_size: tuple[int, int], faces: Sequence[AlignedFace], limit: np.ndarray | None = None
    ) -> np.ndarray:
        """How far `paste` replaces each pixel of a picture (height, width): (h * upscale, w * upscale) in [0, 1]."""
        return pasted_mask(image_size, self._patches(faces), upscale=self.config.upscale, limit=limit)

    def _patches(self, faces: Sequence[AlignedFace]) -> list[Patch]:
        return [patch for face in faces if (patch := self.patch(face)) is not None]

    def patch(self, face: AlignedFace) -> Patch | None:
        """A face as `paste_faces` takes it; None if it is not restored."""
        if face.restored is None:
            return None
        (face,) = self.masked([face])
        return Patch(
            restored=face.restored,  # pyright: ignore[reportArgumentType]
            crop=face.crop,
            affine=face.affine,
            mask=face.mask,  # pyright: ignore[reportArgumentType]
            detail=own_detail(face.affine) if self.config.large_faces == "keep_detail" else 0.0,
        )

    def masked(self, faces: Sequence[AlignedFace]) -> list[AlignedFace]:
        """The faces, those that are restored with a `mask`: their own, or else the feathered square or parsed face.

        It is less where something hides a face, and all over a face that is turned aside, by its `strength`.
        """
        return [face if face.restored is None or face.mask is not None else self._with_mask(face) for face in faces]

    def _with_mask(self, face: AlignedFace) -> AlignedFace:
        upscale = self.config.upscale
        mask = square_mask(self.face_size, upscale / affine_scale(face.affine), upscale, self.config.feather)
        if self.parser is not None:  # one by one: parsing is light, and needs no more memory for a crowd
            restored = face.restored[None]  # pyright: ignore[reportOptionalSubscript]
            parsed = self.parser.masks(restored, self.config.mask_parts)
            mask = np.minimum(mask, parsed[0])
        if face.unhidden is not None:
            mask = mask * face.unhidden
        return replace(face, mask=np.float32(face.strength) * mask * border_mask(face.inside))
