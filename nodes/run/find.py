"""How faces are found in a batch, tracked through it, and chosen."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from ...codeformer_core.detection.faces import Face, FaceSelection, select_faces
from ...codeformer_core.film.scenes import SceneCuts
from ...codeformer_core.film.tracks import TrackConfig, track_faces, typical_faces
from ...codeformer_core.pasting.alignment import estimate_affine
from ...codeformer_core.pictures.arrays import from_float
from .found import FoundFaces
from .loaded import LoadedDetector, default_detector
from .pictures import is_no_mask, resize_mask, to_pictures
from .progress import watched
from .report import Report, counted, named
from .signatures import check_faces, signature

MOST = 10_000  # faces of a picture, for index lists


def detect_faces(image: Tensor, detector: LoadedDetector | None, report: Report) -> FoundFaces:
    """The faces of an IMAGE (b, h, w, c) that can be aligned, the largest first."""
    detector = detector or default_detector()
    detector.begin_run()
    return found_in(image, detector, report)


def found_in(image: Tensor, detector: LoadedDetector, report: Report, first: int = 0) -> FoundFaces:
    """The same of one IMAGE of several, whose pictures are numbered from `first` on."""
    report.look_at(image)
    height, width = image.shape[1:3]
    faces, signatures, left = [], [], []
    for i in watched(range(len(image))):
        (picture,) = to_pictures(image[i : i + 1])
        signatures.append(signature(picture))
        (found,) = detector.detect([picture])
        kept = select_faces(found, (height, width), FaceSelection(order="size"))
        faults = [_why_not_aligned(face) for face in kept]
        faces.append([replace(face, image_index=i) for face, fault in zip(kept, faults, strict=True) if not fault])
        left += [f"picture {first + i}: {fault}" for fault in faults if fault]
    result = FoundFaces(faces=faces, height=height, width=width, signatures=signatures)
    report.say(f"{counted(result.count, 'face')} found in {counted(len(image), 'picture')}")
    if without := [first + i for i, its_faces in enumerate(faces) if not its_faces]:
        report.say(f"no face was found in {named('picture', without)}")
    for line in left:
        report.warn(line)
    return result


def _why_not_aligned(face: Face) -> str:
    """Empty if a face can be aligned."""
    try:
        estimate_affine(face.landmarks, 512)
    except ValueError as error:
        return f"a face at {face.box.round().tolist()} is left out: {error}"
    return ""


def track_batch(image: Tensor, faces: FoundFaces, report: Report, **config: float) -> tuple[FoundFaces, int]:
    """The faces with tracks, in the order of these, and how many there are; `config` is `TrackConfig`'s."""
    check_faces(faces, image)
    begins = SceneCuts()
    cuts = [
        i
        for i in watched(range(len(image)))
        if begins(from_float(to_pictures(image[i : i + 1])[0], np.dtype(np.uint8)))
    ]
    tracked = track_faces(faces.faces, TrackConfig(**config), cuts=cuts)  # pyright: ignore[reportArgumentType]
    result = replace(faces, faces=tracked)
    seen = Counter(face.track for its_faces in tracked for face in its_faces)
    filled = Counter(face.track for its_faces in tracked for face in its_faces if not face.score)
    report.say(f"{counted(len(seen), 'track')} in {counted(len(image), 'picture')}, {counted(len(cuts), 'scene')}")
    for track, count in seen.most_common():
        report.say(f"track {track}: {counted(count, 'picture')}" + f", {filled[track]} filled in" * (track in filled))
    return result, len(seen)


def choose_faces(
    faces: FoundFaces,
    mask: Tensor | None,
    report: Report,
    *,
    order: str,
    reverse: bool,
    first: int,
    count: int,
    indices: str,
    min_size: int,
    max_size: int,
    min_score: float,
    tracks: str = "",
    max_turn: float = 180.0,
    min_turn: float = 0.0,
) -> FoundFaces:
    """Some faces of each picture: those that fit, sorted, then by indices, then `count` from `first` on.

    A face with a track is judged by all of its track, so that a person is kept in every frame or in none.
    """
    if max_turn < min_turn:
        raise ValueError(f"max_turn is {max_turn:g}, less than min_turn, {min_turn:g}")
    if max_size and max_size < min_size:
        raise ValueError(f"max_size is {max_size}, less than min_size, {min_size}; 0 is no limit")
    selection = FaceSelection(
        order=order,  # pyright: ignore[reportArgumentType]
        min_size=min_size,
        max_size=max_size or None,
        min_score=min_score,
        min_eye_distance=0,
    )
    wanted, size = parse_numbers("indices", indices), (faces.height, faces.width)
    people = parse_numbers("tracks", tracks)
    if people and all(face.track is None for its_faces in faces.faces for face in its_faces):
        raise ValueError(f"tracks is {tracks!r}, and these faces have none: put CodeFormer Track Faces before")
    masks = None if mask is None or is_no_mask(mask, size) else resize_mask(mask, len(faces.faces), size)
    everywhere = (
        [_inside(face, masks[i]) for i, its in enumerate(faces.faces) for face in its] if masks is not None else []
    )
    judged = _judged([face for its_faces in faces.faces for face in its_faces], everywhere)
    chosen = []
    for its_faces in faces.faces:
        by_typical = {}
        for face in its_faces:
            typical, inside = next(judged)
            if inside and (not people or face.track in people) and min_turn <= typical.pose.turn <= max_turn:
                by_typical[id(typical)] = typical, face
        kept = select_faces([typical for typical, _ in by_typical.values()], size, selection)
        kept = [by_typical[id(typical)][1] for typical in (kept[::-1] if reverse else kept)]
        kept = [face for n, face in enumerate(kept) if n in wanted] if indices.strip() else kept
        chosen.append(kept[first : first + count if count else None])
    result = replace(faces, faces=chosen)
    report.say(f"{result.count} of {counted(faces.count, 'face')} kept")
    if masks is not None and not masks.any():
        report.warn("the mask is black, which keeps no face")
    return result


def _judged(faces: Sequence[Face], inside: Sequence[bool]) -> Iterator[tuple[Face, bool]]:
    """What each face is judged by, and whether it counts as inside the mask (empty: all do).

    That is itself or what is typical of its track, and at least half of the track's faces.
    """
    covered: dict[int, list[bool]] = {}
    for face, within in zip(faces, inside, strict=False):
        if face.track is not None:
            covered.setdefault(face.track, []).append(within)
    for i, (face, typical) in enumerate(zip(faces, typical_faces(faces), strict=True)):
        its = covered.get(face.track, []) if face.track is not None else inside[i : i + 1]
        yield typical, 2 * sum(its) >= len(its)


def _inside(face: Face, mask: np.ndarray) -> bool:
    x, y = (round(v) for v in face.centre)
    height, width = mask.shape
    return 0 <= x < width and 0 <= y < height and bool(mask[y, x] > 0.5)


def parse_numbers(name: str, text: str) -> set[int]:
    """The numbers of a list like "0, 2, 4-6", all below `MOST`; ValueError for anything else."""
    numbers: set[int] = set()
    for part in text.replace(",", " ").split():
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < MOST):
            raise ValueError(f"{name} is {text!r}: give numbers from 0 and rising ranges, as in 0, 2, 4-6")
        numbers.update(range(int(first), int(last) + 1))
    return numbers
