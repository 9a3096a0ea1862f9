from dataclasses import replace

import numpy as np
import pytest

from codeformer_core.detection.faces import FaceSelection, select_faces
from codeformer_core.film.tracks import TrackConfig, select_tracked, track_faces
from codeformer_core.restorer import FaceRestorer

RAW = TrackConfig(smoothing=0)


def tracks_of(frames) -> list[list[int | None]]:
    return [[face.track for face in faces] for faces in frames]


def test_two_people_who_cross_keep_their_numbers(face_at, rng):
    frames, who = [], []
    for t in range(40):
        shaken = rng.normal(0, 1, 2)
        left, right = face_at(40 + 8 * t + shaken[0], 100, 60), face_at(360 - 8 * t + shaken[1], 110, 66)
        faces = [left, right] if t % 3 else [right, left]  # detectors give no order
        frames.append([right] if 17 <= t <= 22 else faces)  # one is hidden by the other
        who.append((left, right))
    joined = track_faces(frames, RAW)
    first = joined[0][0].track if joined[0][0].centre[0] < 200 else joined[0][1].track
    for t, faces in enumerate(joined):
        for face in faces:
            meant = who[t][0 if face.track == first else 1]
            assert abs(face.centre[0] - meant.centre[0]) < 6
    assert {track for tracks in tracks_of(joined) for track in tracks} == {0, 1}


def test_a_gap_is_filled_and_marked_and_a_longer_one_ends_the_track(face_at):
    frames = [[face_at(100 + 3 * t, 80, 50)] for t in range(20)]
    for t in (5, 6, 7):
        frames[t] = []
    joined = track_faces(frames, TrackConfig(max_gap=3))
    assert tracks_of(joined) == [[0]] * 20
    assert [faces[0].score for faces in joined[4:9]] == [0.9, 0, 0, 0, 0.9]
    for t, (face,) in enumerate(joined):
        np.testing.assert_allclose(face.landmarks, face_at(100 + 3 * t, 80, 50).landmarks, atol=1e-3)
        assert face.image_index == t
    assert tracks_of(track_faces(frames, TrackConfig(max_gap=2))) == [[0]] * 5 + [[]] * 3 + [[1]] * 12


def test_faces_appear_and_leave_and_are_numbered_in_that_order(face_at):
    here, there = face_at(100, 100, 60), face_at(300, 100, 60)
    joined = track_faces([[], [there], [here, there], [here, there], [here], [here]], RAW)
    assert tracks_of(joined) == [[], [0], [0, 1], [0, 1], [1], [1]]


def test_a_cut_ends_all_tracks(face_at):
    frames = [[face_at(100, 100, 60)]] * 6
    joined = track_faces(frames, RAW, cuts={3}, first_frame=10)
    assert tracks_of(joined) == [[0], [0], [0], [1], [1], [1]]
    assert [face.image_index for (face,) in joined] == [10, 11, 12, 13, 14, 15]


def test_another_face_elsewhere_is_another_track(face_at):
    assert tracks_of(track_faces([[face_at(100, 100, 60)], [face_at(300, 100, 60)]])) == [[0], [1]]


def test_short_tracks_are_dropped_when_wanted(face_at):
    frames = [[face_at(100, 100, 60)] for _ in range(5)]
    frames[2].append(face_at(300, 200, 40))
    assert tracks_of(track_faces(frames, TrackConfig(min_length=2))) == [[0]] * 5


def test_shaking_landmarks_are_calmed_and_stills_left_alone(face_at, rng):
    still = face_at(100, 100, 60)
    frames = [[replace(still, landmarks=still.landmarks + rng.normal(0, 1, (5, 2)))] for _ in range(30)]
    before = np.diff([face.landmarks for (face,) in frames], axis=0)
    after = np.diff([face.landmarks for (face,) in track_faces(frames)], axis=0)
    assert np.abs(after).mean() < 0.5 * np.abs(before).mean()
    (one,) = track_faces(frames[:1])[0]
    np.testing.assert_array_equal(one.landmarks, frames[0][0].landmarks)


def test_the_result_depends_on_the_input_alone(face_at, rng):
    frames = [[face_at(*rng.uniform(50, 300, 2), 60) for _ in range(3)] for _ in range(12)]
    one, two = track_faces(frames), track_faces(frames)
    assert tracks_of(one) == tracks_of(two)
    assert all(np.array_equal(a.box, b.box) for x, y in zip(one, two, strict=True) for a, b in zip(x, y, strict=True))
    assert sum(len(faces) for faces in one) >= sum(len(faces) for faces in frames)
    assert track_faces([]) == []


@pytest.mark.parametrize("wrong", [{"max_gap": -1}, {"min_length": 0}, {"smoothing": -1}, {"smoothing": float("nan")}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrackConfig(**wrong)


def test_cuts_beyond_the_frames_are_named(face_at):
    with pytest.raises(ValueError, match=r"cuts are frames from 0 to 1, got \[5\]"):
        track_faces([[face_at(100, 100, 60)]] * 2, cuts=[5])


def test_a_tracked_face_is_known_to_plans_by_its_track(identity_net, face_at):
    faces = [replace(face_at(60, 60, 50), track=4), face_at(120, 60, 50)]
    aligned = FaceRestorer(identity_net).align(np.zeros((120, 200, 3), np.uint8), faces)
    assert [face.number for face in aligned] == [4, 1]


def test_of_two_people_of_like_size_one_is_chosen_in_every_frame(face_at, rng):
    sizes = 100 + rng.normal(0, 5, (20, 2))
    frames = [[face_at(100, 150, a), face_at(400, 150, b + 2)] for a, b in sizes]
    alone = [select_faces(faces, (300, 500), FaceSelection(only="largest"))[0].centre[0] > 250 for faces in frames]
    assert len(set(alone)) == 2  # frame by frame it is now one, now the other
    chosen = select_tracked(track_faces(frames), (300, 500), FaceSelection(only="largest"))
    assert {tuple(face.track for face in faces) for faces in chosen} == {(1,)}


def test_a_passing_flicker_of_score_or_size_does_not_drop_a_tracked_face(face_at):
    frames = [[replace(face_at(100, 150, 100), score=0.5 if i == 3 else 0.95)] for i in range(7)]
    tracked = track_faces(frames, TrackConfig(smoothing=0))
    assert all(select_tracked(tracked, (300, 300), FaceSelection(min_score=0.9)))
    assert not any(select_tracked(tracked, (300, 300), FaceSelection(min_score=0.96)))


def test_faces_without_a_track_are_chosen_by_themselves(face_at):
    frames = [[face_at(100, 150, 100)], [face_at(100, 150, 60)]]
    assert [len(faces) for faces in select_tracked(frames, (300, 300), FaceSelection(min_size=80))] == [1, 0]
