"""Found faces: drawn so that their numbers can be read on every picture, and to and from SEGS."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

FULL = {"order": "size", "reverse": False, "first": 0, "count": 0, "indices": "", "min_size": 0, "max_size": 0}


class FixedFaces:
    """Stands in for a loaded detector that finds the same faces in every picture."""

    def __init__(self, *faces):
        self.faces = list(faces)

    def begin_run(self): ...

    def detect(self, images):
        return [list(self.faces) for _ in images]


@pytest.fixture
def find(run):
    """`find(image, *faces)`: FACES."""
    return lambda image, *faces: run("find").detect_faces(image, FixedFaces(*faces), run("report").Report())


@pytest.mark.parametrize("shade", [0, 128, 255])
@pytest.mark.parametrize("middle", [(100, 100), (100, 20), (195, 100), (5, 5), (100, 190)])
def test_a_number_is_dark_on_a_bright_plate_inside_every_picture(shade, middle, run, face_at):
    canvas = np.full((200, 200, 3), shade, np.uint8)
    left, top, right, bottom = run("draw")._draw_label(canvas, "8: 0.88", face_at(*middle, 60), 1, [])
    assert min(left, top) >= 0
    assert max(right, bottom) <= 200
    plate = canvas[top + 1 : bottom, left + 1 : right]
    assert plate[[0, -1]].max(-1).min() > 150  # a margin without strokes: nothing is cut off
    dark = (plate.max(-1) < 80).sum()
    assert 30 < dark < plate[..., 0].size / 2


def test_numbers_do_not_cover_each_other(run, face_at):
    placed = []
    for i in range(4):
        face = face_at(60 + 10 * i, 12, 40)  # all over the upper edge
        places = run("draw")._places(face, (50, 15), 200, 200)
        placed.append(next(place for place in places if not any(run("draw")._meet(place, p) for p in placed)))
    assert len(set(placed)) == 4
    assert all(top >= 0 and bottom <= 200 for _, top, _, bottom in placed)


def test_one_list_of_segs_for_each_picture_and_back(run, find, face_at, rng):
    image = torch.from_numpy(rng.random((2, 120, 160, 3), np.float32))
    faces = [face_at(40, 60, 50), face_at(110, 60, 40)]
    found = find(image, *faces)
    segs = run("regions").faces_to_segs(image, found, 2.0)
    assert [(size, len(listed)) for size, listed in segs] == [((120, 160), 2)] * 2
    (back,) = run("regions").segs_to_faces([image], segs, FixedFaces(*faces), "all", run("report").Report())
    assert [len(some) for some in back.faces] == [2, 2]
    apart = run("regions").segs_to_faces(
        [image[:1], image[1:]], segs[:1], FixedFaces(*faces), "all", run("report").Report()
    )
    assert [part.count for part in apart] == [2, 2]
    with pytest.raises(ValueError, match=r"3 SEGS for 2 picture\(s\): give one for each picture"):
        run("regions").segs_to_faces([image], [*segs, segs[0]], FixedFaces(), "all", run("report").Report())


def test_restored_and_enlarged_faces_go_into_segs(run, find, face_at, rng):
    image = torch.from_numpy(rng.random((1, 120, 160, 3), np.float32))
    found = find(image, face_at(80, 60, 40))
    large = image.repeat_interleave(2, 1).repeat_interleave(2, 2)
    ((size, (seg,)),) = run("regions").faces_to_segs(large, found, 1.0)
    assert size == (240, 320)
    assert tuple(seg.bbox) == (120, 80, 200, 160)
    left, top, right, bottom = seg.crop_region
    torch.testing.assert_close(seg.cropped_image, large[:, top:bottom, left:right])


@pytest.mark.parametrize(("each", "count"), [("all", 2), ("largest", 1)])
def test_a_seg_over_several_faces(each, count, run, face_at):
    seg = SimpleNamespace(bbox=(0, 0, 160, 120), label="people")
    detector = FixedFaces(face_at(40, 60, 40), face_at(110, 60, 50))
    said = run("report").Report()
    (found,) = run("regions").segs_to_faces([torch.rand(1, 120, 160, 3)], [((120, 160), [seg])], detector, each, said)
    assert found.count == count
    assert found.faces[0][0].width == 50


def test_a_seg_without_a_face_is_said_with_its_picture(run, face_at):
    seg = SimpleNamespace(bbox=(100, 0, 160, 40), label="person")
    images, said = [torch.rand(1, 120, 160, 3), torch.rand(1, 120, 160, 3)], run("report").Report()
    segs = [((120, 160), []), ((120, 160), [seg])]
    run("regions").segs_to_faces(images, segs, FixedFaces(face_at(40, 60, 40)), "all", said)
    assert "picture 1: no face was found in the SEG person" in said.text


@pytest.mark.parametrize("shape", ["box", "ellipse"])
def test_a_face_beyond_the_edge_paints_no_mask(shape, run, find, face_at):
    found = find(torch.rand(1, 120, 160, 3), face_at(-60, 60, 50))
    assert not run("regions").faces_to_mask(found, shape, 0.5).any()


def test_empty_segs_hold_no_face(run, face_at):
    said = run("report").Report()
    (found,) = run("regions").segs_to_faces(
        [torch.rand(1, 120, 160, 3)], [((0, 0), [])], FixedFaces(face_at(40, 60, 40)), "all", said
    )
    assert found.count == 0
    assert "0 of them lie in the SEGS" in said.text


def test_a_black_mask_keeps_no_face_and_says_so(run, find, face_at):
    image, said = torch.rand(2, 120, 160, 3), run("report").Report()
    found = find(image, face_at(40, 60, 40))
    chosen = run("find").choose_faces(found, torch.zeros(3, 120, 160), said, **FULL, min_score=0.0)
    assert chosen.count == 0
    assert said.text == "0 of 2 faces kept\nthe mask is black, which keeps no face"


def choose(run, found, **changed):
    find, report = run("find"), run("report").Report()
    return find.choose_faces(found, changed.pop("mask", None), report, **FULL | {"min_score": 0.0} | changed)


@pytest.fixture
def person(run, find, face_at):
    """FACES of four frames: track 0 grows and was filled in once, track 1 is small and stays."""
    found = find(torch.zeros(4, 120, 160, 3) + 0.5, face_at(40, 60, 50), face_at(120, 60, 30))
    sizes, scores = (38, 44, 46, 48), (0.9, 0.0, 0.9, 0.9)
    grown = [replace(face_at(40, 60, size), score=score, track=0) for size, score in zip(sizes, scores, strict=True)]
    small = replace(face_at(120, 60, 30), track=1)
    return replace(found, faces=[[face, small] for face in grown])


def test_a_person_is_kept_in_every_frame_or_in_none(run, person):
    def tracks(**changed):
        return [[face.track for face in faces] for faces in choose(run, person, **changed).faces]

    assert tracks(min_score=0.5) == [[0, 1]] * 4  # filled in frames stay
    assert tracks(min_size=42) == [[0]] * 4  # also where it is a little smaller
    assert tracks(max_size=42) == [[1]] * 4
    assert tracks(tracks="1") == [[1]] * 4
    assert tracks(count=1) == [[0]] * 4
    mask = torch.zeros(4, 120, 160)
    mask[:3, :, :80] = 1
    assert tracks(mask=mask) == [[0]] * 4  # in three of its four frames
    mask[1:] = 0
    assert tracks(mask=mask) == [[]] * 4


def test_side_faces_and_frontal_ones_are_told_apart(run, find, face_at):
    front, side = face_at(40, 60, 50), face_at(110, 60, 50)
    aside = side.landmarks.copy()
    aside[2, 0] += 2 * side.eye_distance
    found = find(torch.zeros(1, 120, 160, 3) + 0.5, front)
    found = replace(found, faces=[[front, replace(side, landmarks=aside)]])
    (frontal,), (turned,) = choose(run, found, max_turn=40.0).faces, choose(run, found, min_turn=40.0).faces
    assert [face.centre for face in frontal] == [front.centre]
    assert [face.centre for face in turned] == [side.centre]
    with pytest.raises(ValueError, match="less than min_turn"):
        choose(run, found, min_turn=50.0, max_turn=40.0)


def tracked(run, find, face_at, gone=()):
    """Three frames of two people, of whom the second stays away in some: FACES with tracks, and what was said."""
    image = torch.rand(1, 120, 160, 3).repeat(3, 1, 1, 1)
    found = find(image, face_at(40, 60, 50), face_at(110, 60, 40))
    for i in gone:
        del found.faces[i][1]
    said = run("report").Report()
    return *run("find").track_batch(image, found, said, max_gap=2, min_length=1, smoothing=0), said.text


def test_tracks_fill_gaps_and_select_people(run, find, face_at):
    found, count, said = tracked(run, find, face_at, gone=[1])
    assert count == 2
    assert [[face.track for face in its_faces] for its_faces in found.faces] == [[0, 1]] * 3
    assert said == "2 tracks in 3 pictures, 1 scene\ntrack 0: 3 pictures\ntrack 1: 3 pictures, 1 filled in"

    def chosen(**choice):
        kept = run("find").choose_faces(found, None, run("report").Report(), **FULL, **{"min_score": 0.0} | choice)
        return [[face.track for face in its_faces] for its_faces in kept.faces]

    assert chosen() == [[0, 1]] * 3
    assert chosen(tracks="1") == [[1]] * 3
    assert chosen(tracks="1", min_score=0.5) == [[1]] * 3
    with pytest.raises(ValueError, match=r"tracks is 'x': give numbers"):
        chosen(tracks="x")


def test_tracks_end_at_cuts_and_faces_of_other_pictures_are_refused(run, find, face_at, rng):
    one, two = (np.kron(rng.random((6, 8, 3)), np.ones((20, 20, 1))).astype(np.float32) for _ in range(2))
    image = torch.from_numpy(np.stack([one, one, two, two]))
    found, count = run("find").track_batch(image, find(image, face_at(80, 60, 50)), run("report").Report())
    assert [face.track for (face,) in found.faces] == [0, 0, 1, 1]
    assert count == 2
    with pytest.raises(ValueError, match="connect"):
        run("find").track_batch(image[:2], found, run("report").Report())


def test_tracks_want_tracked_faces(run, find, face_at):
    found = find(torch.rand(1, 120, 160, 3), face_at(40, 60, 40))
    with pytest.raises(ValueError, match="these faces have none: put CodeFormer Track Faces before"):
        run("find").choose_faces(found, None, run("report").Report(), **FULL, min_score=0.0, tracks="0")


def test_max_turn_leaves_out_who_looks_away(run, find, face_at):
    front, aside = face_at(40, 60, 50), face_at(110, 60, 60)
    narrow = aside.landmarks.copy()
    narrow[:, 0] = (narrow[:, 0] - 110) * 0.4 + 110
    narrow[2, 0] += 18
    aside = replace(aside, landmarks=narrow)
    assert aside.pose.turn > 40 > front.pose.turn
    found = find(torch.rand(1, 120, 160, 3), front, aside)
    for max_turn, count in ((40.0, 1), (180.0, 2)):
        said = run("report").Report()
        assert run("find").choose_faces(found, None, said, **FULL, min_score=0.0, max_turn=max_turn).count == count


def test_each_track_has_a_colour_and_faces_that_were_filled_in_no_score(run, face_at):
    draw, face = run("draw"), face_at(50, 50, 40)
    tracks = [replace(face, track=track) for track in range(8)]
    colours = [draw._colour(face) for face in tracks]
    apart = [max(abs(a - b) for a, b in zip(one, two, strict=True)) for one in colours for two in colours if one != two]
    assert len(set(colours)) == 8
    assert min(apart) > 20
    assert draw._label(3, face) == "3: 0.90"
    assert draw._label(3, tracks[5]) == "#5: 0.90"
    assert draw._label(3, replace(tracks[5], score=0.0)) == "#5"


@pytest.mark.parametrize("mirrored", [False, True])
def test_an_arrow_points_to_where_a_face_looks(mirrored, run, face_at):
    face = face_at(100, 100, 80)
    landmarks = face.landmarks.copy()
    landmarks[2, 0] += 16  # the tip of the nose is nearer to the camera than eyes and mouth: it looks to the right
    if mirrored:
        landmarks = (landmarks * (-1, 1) + (200, 0))[[1, 0, 2, 4, 3]]
    face = replace(face, landmarks=landmarks)
    canvas = np.zeros((200, 200, 3), np.uint8)
    run("draw")._draw_arrow(canvas, face, 1)
    drawn = np.flatnonzero(canvas.any((0, 2)))
    nose = face.landmarks[2, 0]
    assert (nose - drawn.min() > drawn.max() - nose) == mirrored
    still = np.zeros_like(canvas)
    run("draw")._draw_arrow(still, face_at(100, 100, 20), 1)
    assert not still.any()
