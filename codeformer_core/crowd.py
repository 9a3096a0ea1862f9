"""A picture of any number of faces in flat memory: each is restored when its rows of the picture come up."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from .detection.faces import Face
from .pasting.paste import Patch, Place, paste_in_turn
from .restoration import AlignedFace, Weighting
from .restorer import FaceRestorer

CROWD = 16  # faces; a picture of more is restored so


def restore_crowd(
    restorer: FaceRestorer,
    image: np.ndarray,
    faces: Sequence[Face],
    *,
    w: Weighting | None = None,
    background: np.ndarray | None = None,
    limit: np.ndarray | None = None,
    progress: Callable[[int, int], None] | None = None,
    look: Callable[[int, AlignedFace], None] | None = None,
    changed: np.ndarray | None = None,
) -> tuple[np.ndarray, list[AlignedFace]]:
    """The picture and the faces that `FaceRestorer` makes of a picture (h, w, 3); the faces are `without_pixels`.

    `w` stands for the config's. `look(i, face)` sees the i-th face of the result while it is whole, in any order.
    `changed`, zeros (h * upscale, w * upscale) float32, takes up what `FaceRestorer.changed` gives. The other arguments
    are as in `FaceRestorer`.
    """
    placed = restorer.alignable(faces)
    results: dict[int, AlignedFace] = {}
    kept: dict[str, np.ndarray] = {}  # (faces, n) each, since small arrays strewn among large ones fragment the heap

    def keep(i: int, face: AlignedFace) -> AlignedFace:
        """The face without pixels, with its codes and confidence in `kept`."""
        arrays = {}
        for name in ("codes", "confidence"):
            if (array := getattr(face, name)) is not None:
                if name not in kept:
                    kept[name] = np.empty((len(placed), len(array)), array.dtype)
                kept[name][i] = array
                arrays[name] = kept[name][i]
        return replace(face.without_pixels(), **arrays)

    def bring(wanted: list[int]) -> Iterator[Patch | None]:
        size = restorer.config.batch_size
        for start in range(0, len(wanted), size):
            batch = wanted[start : start + size]
            cut = [replace(restorer.cut(image, *placed[i], i), w=w) for i in batch]
            for i, face in zip(batch, restorer.restore(cut), strict=True):
                if look is not None:
                    look(i, face)
                results[i] = keep(i, face)
                pasted = face if background is not None else restorer.with_own_detail([face])[0]
                yield restorer.patch(pasted)
            if progress is not None:
                progress(len(results), len(placed))

    places = [Place(affine, restorer.face_size) for _, affine in placed]
    upscale = restorer.config.upscale
    restored = paste_in_turn(image, places, bring, upscale=upscale, background=background, limit=limit, changed=changed)
    for _ in bring([i for i in range(len(placed)) if i not in results]):  # those outside the picture
        pass
    return restored, [results[i] for i in range(len(placed))]
