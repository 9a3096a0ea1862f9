"""A crowd comes out as `FaceRestorer` makes it, with only some of its faces in memory at a time."""

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from codeformer_core.command_line.reports import face_report
from codeformer_core.crowd import restore_crowd
from codeformer_core.detection.faces import Face
from codeformer_core.fidelity.plan import FidelityPlan
from codeformer_core.pasting import paste
from codeformer_core.restoration import RestoreConfig
from codeformer_core.restorer import FaceRestorer

HEIGHT, WIDTH = 500, 300


@pytest.fixture(autouse=True)
def small_strips(monkeypatch):
    monkeypatch.setattr(paste, "STRIP_PIXELS", 2**14)


@pytest.fixture
def picture(rng) -> np.ndarray:
    return rng.integers(40, 200, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def crowd(face_at, rng) -> list[Face]:
    """Faces of all sizes that overlap each other and the picture's edge."""
    places = rng.uniform((0, 0, 30), (WIDTH, HEIGHT, 200), (40, 3))
    return [face_at(x, y, side, angle) for (x, y, side), angle in zip(places, rng.uniform(-1, 1, 40), strict=True)]


@pytest.mark.parametrize("settings", [{}, {"upscale": 2}, {"w": 0.3, "occlusion": True, "batch_size": 3}])
def test_it_gives_what_the_restorer_gives(picture, crowd, tiny_net, settings):
    restorer: Any = FaceRestorer(tiny_net, config=RestoreConfig(**settings))
    (whole,) = restorer([picture], faces=[crowd])
    image, faces = restore_crowd(restorer, picture, crowd)
    assert np.abs(image.astype(int) - whole.image).max() <= 1  # batches of other faces round differently
    assert [face_report(face) for face in faces] == [face_report(face) for face in whole.faces]
    assert all(face.crop.size == 0 for face in faces)


def test_background_limit_and_weights_hold(picture, crowd, tiny_net, rng):
    restorer: Any = FaceRestorer(tiny_net, config=RestoreConfig(w=1.0))
    background, limit = 255 - picture, rng.integers(0, 2, (HEIGHT, WIDTH), dtype=np.uint8) * 255
    (whole,) = restorer([picture], faces=[crowd], backgrounds=[background], limits=[limit])
    changed = np.zeros((HEIGHT, WIDTH), np.float32)
    image, _ = restore_crowd(restorer, picture, crowd, background=background, limit=limit, changed=changed)
    np.testing.assert_allclose(changed, restorer.changed((HEIGHT, WIDTH), whole.faces, limit), atol=1e-4)
    assert np.abs(image.astype(int) - whole.image).max() <= 1
    np.testing.assert_array_equal(image[limit == 0], background[limit == 0])
    other, _ = restore_crowd(restorer, picture, crowd, w=FidelityPlan(base=0.0), background=background, limit=limit)
    assert np.abs(other.astype(int) - image).max() > 1


def test_each_face_is_seen_once_and_whole(picture, crowd, face_at, identity_net):
    faces = [*crowd, face_at(-900, -900, 100)]
    seen, counts = {}, []
    _, results = restore_crowd(
        FaceRestorer(identity_net),
        picture,
        faces,
        look=lambda i, face: seen.setdefault(i, []).append(face.crop.shape),
        progress=lambda done, total: counts.append((done, total)),
    )
    assert seen == {i: [(128, 128, 3)] for i in range(41)}
    assert counts[-1] == (41, 41)
    assert [face.number for face in results] == list(range(41))
    assert [face.face for face in results] == faces
    assert results[40].note == "skipped: lies outside the picture"


def test_what_the_detector_does_not_find_again_is_left(picture, crowd, identity_net):
    class Blind:
        def detect(self, images, config=None):
            return [[] for _ in images]

    restorer = FaceRestorer(identity_net, Blind(), RestoreConfig(min_confidence=1))
    image, faces = restore_crowd(restorer, picture, crowd)
    assert all(face.restored is None and face.note.startswith("skipped: not recognised") for face in faces)
    np.testing.assert_array_equal(image, picture)


def test_faces_that_cannot_be_aligned_are_left_out(picture, crowd, identity_net, caplog):
    flat = replace(crowd[0], landmarks=np.full((5, 2), 50.0))
    _, faces = restore_crowd(FaceRestorer(identity_net), picture, [flat, *crowd])
    assert [face.number for face in faces] == list(range(40))
    assert "is left as it is" in caplog.text


def test_memory_does_not_grow_with_the_faces(rng, face_at, identity_net):
    picture = rng.integers(0, 255, (1600, 200, 3), dtype=np.uint8)
    restorer = FaceRestorer(identity_net)

    def peak(count: int) -> int:
        faces = [face_at(100, 1500 * (i + 1) / count, 60) for i in range(count)]
        tracemalloc.start()
        try:
            restore_crowd(restorer, picture, faces)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(40), peak(80)
    assert many - few < 40 * 100_000  # 60 x 60 pixels of the picture; its crop and result alone take 400,000 bytes
