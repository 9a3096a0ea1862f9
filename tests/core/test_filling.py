"""Filling holes of faces, with networks that stand in for trained ones."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from codeformer_core.detection.load import load_detector
from codeformer_core.filling import UNTOUCHED, FaceFiller, FillConfig, filling_settings
from codeformer_core.models import USAGE
from codeformer_core.restoration import RestoreConfig
from codeformer_core.restorer import FaceRestorer

FACE = (222, 118, 160)  # x, y, side of the crop in the photograph


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return skimage.data.astronaut()


@pytest.fixture
def mask(photo) -> np.ndarray:
    """A stroke over the face that begins beyond its crop."""
    mask = np.zeros(photo.shape[:2], np.uint8)
    return cv2.line(mask, (100, 60), (240, 150), 255, 9)


def painter(faces: torch.Tensor) -> torch.Tensor:
    """Fills what is white in a face with grey."""
    return torch.where((faces.amin(1, keepdim=True) > 0.999), torch.zeros_like(faces), faces)


@pytest.fixture
def filler(identity_net) -> FaceFiller:
    identity_net.change = painter
    return FaceFiller(FaceRestorer(identity_net, config=RestoreConfig(w=1.0, adain=False)), FillConfig(strokes=True))


def test_the_hole_is_filled_and_nothing_else_changes(filler, photo, mask, face_at):
    torn = np.where(mask[..., None] > 127, np.uint8(255), photo)
    result = filler(torn, mask, faces=[face_at(*FACE)])
    grown = cv2.distanceTransform((mask == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= 3
    np.testing.assert_array_equal(result.image[~grown], torn[~grown])
    np.testing.assert_array_equal(result.image[result.changed == 0], torn[result.changed == 0])
    filled = (mask > 127) & (result.changed == 1)
    assert filled.sum() > 500
    assert np.abs(result.image[filled].astype(int) - 127.5).max() <= 6
    assert 0 < result.missed < 0.6
    outside = np.zeros_like(filled)
    outside[:, : FACE[0] - FACE[2] // 2] = True
    np.testing.assert_array_equal(result.image[outside], torn[outside])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_an_empty_mask_is_the_identity(filler, photo, mask, face_at, dtype, identity_net):
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    image = (photo / 255 * white).astype(dtype)
    result = filler(image, mask * 0, faces=[face_at(*FACE)])
    assert result.image.dtype == dtype
    np.testing.assert_array_equal(result.image, image)
    assert result.missed == 0
    assert result.faces[0].note == UNTOUCHED
    assert identity_net.batches == []
    assert filler.detect(image, filler.hole(image, mask * 0)) == []


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_floats_of_other_widths_are_taken_as_by_the_restorer(filler, photo, mask, face_at, dtype):
    image = (photo / 255).astype(dtype)
    result = filler(image, mask, faces=[face_at(*FACE)]).image
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, filler(image.astype(np.float32), mask, faces=[face_at(*FACE)]).image)
    assert filler(image, mask, faces=[]).image.dtype == np.float32
    finder = FaceFiller(FaceRestorer(None, load_detector()))
    assert len(finder.detect(image, finder.hole(image, mask))) == 1


def test_softness_and_scale_of_the_mask_do_not_matter_beyond_the_threshold(filler, photo, mask, face_at):
    wanted = filler(photo, mask, faces=[face_at(*FACE)]).image
    assert (wanted != photo).any()
    for other in (mask > 0, (mask / 255 * 0.7).astype(np.float32), mask.repeat(2, 0).repeat(2, 1)):
        np.testing.assert_array_equal(filler(photo, other, faces=[face_at(*FACE)]).image, wanted)


def test_the_network_sees_pure_white_strokes_without_anything_of_what_they_hide(filler, photo, mask, face_at):
    one, other = photo.copy(), photo.copy()
    one[mask > 127], other[mask > 127] = 0, (200, 30, 10)
    crops = []
    for image in (one, other):
        (face,) = filler.align(image, [face_at(*FACE)], filler.hole(image, mask))
        crops.append(face.crop)
    painted = (crops[0] == 1).all(-1)
    assert 0.02 < painted.mean() < 0.5
    assert np.abs(crops[0] - crops[1]).max() < 0.04


def test_faces_that_the_mask_does_not_touch_stay_and_are_named(filler, photo, mask, face_at):
    result = filler(photo, mask, faces=[face_at(*FACE), face_at(420, 400, 100)])
    assert [face.note for face in result.faces] == ["", UNTOUCHED]
    assert result.faces[1].restored is None


def test_a_mask_on_no_face_changes_nothing_and_is_missed_whole(filler, photo, mask):
    result = filler(photo, mask, faces=[])
    np.testing.assert_array_equal(result.image, photo)
    assert result.missed == 1


def test_white_strokes_of_the_picture_are_a_mask_too(identity_net, filler, photo, mask, face_at):
    torn = np.where(mask[..., None] > 127, np.uint8(255), np.minimum(photo, 240))
    white = FaceFiller(filler.restorer, FillConfig(white=True, strokes=True))
    result = white(torn, faces=[face_at(*FACE)])
    by_mask = filler(torn, mask, faces=[face_at(*FACE)])
    assert np.abs(result.image.astype(int) - by_mask.image).mean() < 0.5
    only_right = np.zeros_like(mask)
    only_right[:, 220:] = 255
    part = white(torn, only_right, faces=[face_at(*FACE)])
    np.testing.assert_array_equal(part.image[:, :210], torn[:, :210])


def test_a_model_for_restoration_sees_holes_that_are_filled_smoothly(identity_net, photo, mask, face_at):
    torn = np.where(mask[..., None] > 127, np.uint8(255), photo)
    filler = FaceFiller(FaceRestorer(identity_net))
    result = filler(torn, mask, faces=[face_at(*FACE)])
    filled = (mask > 127) & (result.changed == 1)
    before, after = (np.abs(x[filled].astype(int) - photo[filled]).mean() for x in (torn, result.image))
    assert after < before / 2


def test_grey_pictures_stay_grey(filler, photo, mask, face_at):
    grey = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    result = filler(grey, mask, faces=[face_at(*FACE)]).image
    assert (result != grey).any()
    assert (result == result[..., :1]).all()


def test_holes_at_the_edge_of_the_picture_are_filled_to_the_edge(filler, photo, face_at):
    image = photo[60:, 160:]
    mask = np.zeros(image.shape[:2], bool)
    mask[:40, :60] = True
    result = filler(image, mask, faces=[face_at(FACE[0] - 160, FACE[1] - 60, FACE[2])])
    assert result.missed == 0
    assert (result.changed[:40, :60] > 0.99).all()


def test_a_profile_is_filled_wholly_and_said_to_be(identity_net, photo, mask, face_at):
    face = face_at(*FACE)
    aside = face.landmarks.copy()
    aside[2, 0] += 2 * face.eye_distance  # the tip of the nose
    restorer = FaceRestorer(identity_net, config=RestoreConfig(**filling_settings(USAGE["mini-fill"])))
    result = FaceFiller(restorer)(photo, mask, faces=[replace(face, landmarks=aside)])
    assert result.faces[0].strength == 1  # which reports hold
    assert result.changed.max() == 1


def test_without_a_mask_it_says_what_is_wanted(filler, photo):
    with pytest.raises(ValueError, match="wants a mask"):
        filler(photo)


@pytest.mark.parametrize("settings", [{"threshold": 0}, {"threshold": 1.1}, {"grow": -1}, {"grow": 101}])
def test_settings_are_checked(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        FillConfig(**settings)


def test_a_threshold_of_0_is_refused_in_words_that_fit_it():
    with pytest.raises(ValueError, match=r"more than 0, at most 1, got 0$"):
        FillConfig(threshold=0)


def test_a_face_is_found_behind_white_strokes(photo):
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.line(mask, (170, 90), (270, 110), 255, 16)  # over both eyes
    torn = np.where(mask[..., None] > 127, np.uint8(255), photo)
    filler = FaceFiller(FaceRestorer(None, load_detector()))
    (face,) = filler.detect(torn, filler.hole(torn, mask))
    assert np.abs(np.subtract(face.centre, (222, 118))).max() < 30
