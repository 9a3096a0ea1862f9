import io
from dataclasses import replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest

from codeformer_core.film.steady import OFF, SteadyConfig, SteadyFaces
from codeformer_core.restoration import AlignedFace, RestoreConfig
from codeformer_core.restorer import FaceRestorer


@pytest.fixture
def restorer(tiny_net) -> FaceRestorer:
    return FaceRestorer(tiny_net, config=RestoreConfig(w=0.5))


def film(restorer: FaceRestorer, rng, pictures, *, track: int | None = 0, noise: float = 0.04) -> list[AlignedFace]:
    faces = []
    for t, picture in enumerate(pictures):
        face = restorer.as_aligned(np.clip(picture + rng.normal(0, noise, picture.shape), 0, 1).astype(np.float32))
        faces.append(replace(face, face=replace(face.face, track=track, image_index=t)))
    return faces


def scene(rng) -> np.ndarray:
    return cv2.resize(rng.random((5, 5, 3), np.float32), (64, 64), interpolation=cv2.INTER_LINEAR)


def stack(faces: list[AlignedFace]) -> Any:
    return np.stack([face.restored for face in faces])  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_a_still_face_flickers_less_and_its_codes_hold(restorer, rng):
    faces = film(restorer, rng, [scene(rng)] * 12)
    alone, steady = restorer.restore(faces), SteadyFaces(restorer).restore(faces)
    assert np.abs(np.diff(stack(steady), axis=0)).mean() < 0.6 * np.abs(np.diff(stack(alone), axis=0)).mean()
    changes = [np.mean([(a.codes != b.codes).mean() for a, b in pairwise(x)]) for x in (steady, alone)]
    assert changes[0] <= changes[1]


def test_a_change_is_followed_at_once(identity_net, rng):
    restorer = FaceRestorer(identity_net)
    before = np.full((128, 128, 3), 0.4, np.float32)
    after = before.copy()
    after[70:110, 30:90] = 0.7  # a mouth opens
    faces = film(restorer, rng, [before] * 6 + [after] * 4, noise=0.02)
    steady = stack(SteadyFaces(restorer, SteadyConfig(face_memory=0.75)).restore(faces))  # a long memory
    mouth = steady[:, 78:102, 40:80].mean((1, 2, 3))
    np.testing.assert_allclose(mouth, [0.4] * 6 + [0.7] * 4, atol=0.02)
    assert steady[9][:50].std() < 0.7 * faces[9].crop[:50].std()  # where nothing moved the past still counts


def test_codes_that_really_change_are_followed(restorer, rng):
    before, after = scene(rng), scene(rng)
    faces = film(restorer, rng, [before] * 6 + [after] * 4, noise=0.01)
    alone, steady = restorer.restore(faces), SteadyFaces(restorer).restore(faces)
    held = steady[5].codes  # just before the change
    changed = held != alone[9].codes
    assert changed.mean() > 0.2
    for t in (7, 8, 9):  # from the second frame on, no more old codes are left than noise alone brings back
        left, by_chance = ((face.codes == held)[changed].mean() for face in (steady[t], alone[t]))
        assert left <= by_chance + 0.05


def test_tracks_do_not_mix_and_untracked_faces_are_as_alone(restorer, rng):
    one, other = film(restorer, rng, [scene(rng)] * 4), film(restorer, rng, [scene(rng)] * 4, track=1)
    mixed = [face for pair in zip(one, other, strict=True) for face in pair]
    together = SteadyFaces(restorer).restore(mixed)
    np.testing.assert_allclose(stack(together[::2]), stack(SteadyFaces(restorer).restore(one)), atol=1e-5)
    untracked = film(restorer, rng, [scene(rng)] * 4, track=None)
    np.testing.assert_array_equal(stack(SteadyFaces(restorer).restore(untracked)), stack(restorer.restore(untracked)))


def test_a_borderline_face_is_not_restored_and_left_in_turns(restorer, rng, monkeypatch):
    faces = film(restorer, rng, [scene(rng)] * 24)
    doubted = {3, 4, 7, *range(9, 24)}  # now and then, and in the end for good

    def doubts(some):
        return {i: "skipped" for i, face in enumerate(some) if face.face.image_index in doubted}

    monkeypatch.setattr(restorer, "doubts", doubts)
    whole = SteadyFaces(restorer).restore(faces)
    assert [face.restored is None for face in whole] == [False] * 13 + [True] * 11
    first, second = SteadyFaces(restorer), SteadyFaces(restorer)
    first.restore(faces[:11])
    second.load_state(first.state())
    assert [face.note for face in second.restore(faces[11:])] == [face.note for face in whole[11:]]
    alone = SteadyFaces(restorer, OFF).restore(faces)
    assert {i for i, face in enumerate(alone) if face.restored is None} == doubted


def test_off_is_frame_by_frame(restorer, rng):
    faces = film(restorer, rng, [scene(rng)] * 5)
    np.testing.assert_array_equal(stack(SteadyFaces(restorer, OFF).restore(faces)), stack(restorer.restore(faces)))


def test_a_film_goes_on_from_a_saved_state_with_the_same_bytes(restorer, rng):
    faces = film(restorer, rng, [scene(rng)] * 8)
    whole = SteadyFaces(restorer).restore(faces)
    first, second = SteadyFaces(restorer), SteadyFaces(restorer)
    first.restore(faces[:4])
    file = io.BytesIO()
    np.savez(file, **first.state())  # pyright: ignore[reportArgumentType]
    file.seek(0)
    second.load_state(np.load(file))
    np.testing.assert_array_equal(stack(second.restore(faces[4:])), stack(whole[4:]))


def test_frames_must_rise_and_states_must_be_whole(restorer, rng):
    faces = film(restorer, rng, [scene(rng)] * 2)
    steady = SteadyFaces(restorer)
    steady.restore(faces)
    with pytest.raises(ValueError, match="track 0 was restored up to frame 1 already, got frame 0"):
        steady.restore(faces[:1])
    with pytest.raises(ValueError, match="no state of steady faces"):
        steady.load_state({"0/frame": np.array(3)})
    with pytest.raises(ValueError, match="no state of steady faces"):
        steady.load_state({"nonsense": np.array(3)})


@pytest.mark.parametrize("wrong", [{"face_memory": 1.0}, {"code_memory": -0.1}, {"margin": -1}, {"motion": 0}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SteadyConfig(**wrong)
