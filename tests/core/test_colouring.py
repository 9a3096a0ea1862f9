"""Colouring faces, with networks that stand in for trained ones."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from codeformer_core import colouring
from codeformer_core.colouring import ColourConfig, FaceColourer, colouring_settings
from codeformer_core.models import USAGE
from codeformer_core.pasting.chroma import to_lab
from codeformer_core.restoration import RestoreConfig
from codeformer_core.restorer import FaceRestorer

FACE = (222, 118, 160)


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    photo = skimage.data.astronaut()
    return cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def colours(faces: torch.Tensor) -> torch.Tensor:
    return faces * 0.8 + torch.tensor([0.3, 0.0, -0.2]).view(1, 3, 1, 1)


@pytest.fixture
def restorer(identity_net) -> FaceRestorer:
    identity_net.change = colours
    return FaceRestorer(identity_net, config=RestoreConfig(keep_grey=False))


def lightness(image: np.ndarray) -> np.ndarray:
    white = 1 if image.dtype == np.float32 else np.iinfo(image.dtype).max
    return to_lab((image / white).astype(np.float32))[..., 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_face_gets_colours_and_keeps_its_luminance(restorer, grey, face_at, dtype):
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    image = (grey / 255 * white).astype(dtype)
    result = FaceColourer(restorer)(image, faces=[face_at(*FACE)])
    assert result.image.dtype == dtype
    chroma = np.hypot(*to_lab((result.image / white).astype(np.float32))[118, 222, 1:])
    assert chroma > 10
    assert np.abs(lightness(result.image) - lightness(image)).max() <= 100 / 255 + 0.05
    np.testing.assert_array_equal(result.image[result.changed == 0], image[result.changed == 0])


def test_floats_of_other_widths_are_taken_as_by_the_restorer(restorer, grey, face_at):
    result = FaceColourer(restorer)(grey / 255, faces=[face_at(*FACE)])
    assert result.image.dtype == np.float32
    assert result.changed.any()


def test_no_coloured_square_stands_in_the_picture(restorer, grey, face_at):
    result = FaceColourer(restorer)(grey, faces=[face_at(*FACE)])
    chroma = np.hypot(*to_lab(result.image.astype(np.float32) / 255)[..., 1:].transpose(2, 0, 1))
    left, top = FACE[0] - FACE[2] // 2, FACE[1] - FACE[2] // 2
    crop = chroma[top : top + FACE[2], left : left + FACE[2]]
    assert max(crop[0].max(), crop[:, 0].max(), crop[:, -1].max()) < 1
    assert (np.diff(crop[80]) < 8).all()


def test_strength_0_is_the_identity_and_half_is_between(restorer, grey, face_at):
    def chroma(strength: float) -> float:
        result = FaceColourer(restorer, ColourConfig(strength=strength))(grey, faces=[face_at(*FACE)]).image
        return float(np.hypot(*to_lab(result.astype(np.float32) / 255)[118, 222, 1:]))

    off = FaceColourer(restorer, ColourConfig(strength=0.0))(grey, faces=[face_at(*FACE)])
    np.testing.assert_array_equal(off.image, grey)
    assert off.changed.max() == 0
    assert chroma(0.5) == pytest.approx(chroma(1.0) / 2, rel=0.2)


def test_a_profile_is_coloured_wholly(identity_net, grey, face_at):
    identity_net.change = colours
    face = face_at(*FACE)
    aside = face.landmarks.copy()
    aside[2, 0] += 2 * face.eye_distance  # the tip of the nose
    config = RestoreConfig(**colouring_settings(replace(USAGE["mini-colour"], min_confidence=0.0)))
    colourer = FaceColourer(FaceRestorer(identity_net, config=config))
    result = colourer(grey, faces=[replace(face, landmarks=aside)])
    assert result.faces[0].face.pose.turn > 60
    assert result.changed.max() > 0.99


def test_luminance_can_be_that_of_the_restored_face(restorer, grey, face_at):
    kept = FaceColourer(restorer)(grey, faces=[face_at(*FACE)]).image
    restored = FaceColourer(restorer, ColourConfig(luminance="restored"))(grey, faces=[face_at(*FACE)]).image
    change = np.abs(lightness(restored) - lightness(kept))
    assert change[118, 222] > 2
    assert change[400:].max() == 0


def test_a_coloured_background_is_kept_around_faces(restorer, grey, face_at):
    background = np.clip(grey * np.array([0.7, 0.8, 1.1], np.float32), 0, 255).astype(np.uint8)
    result = FaceColourer(restorer)(grey, faces=[face_at(*FACE)], background=background)
    np.testing.assert_array_equal(result.image[result.changed == 0], background[result.changed == 0])
    inner = result.changed > 0.999
    assert np.abs(lightness(result.image) - lightness(grey))[inner].max() <= 100 / 255 + 0.05
    with pytest.raises(ValueError, match="512 x 512 pixels, got 512 x 400"):
        FaceColourer(restorer)(grey, faces=[], background=background[:400])


def test_sepia_is_shown_to_the_network_as_grey(restorer, grey, face_at):
    sepia = np.clip(grey * np.array([1.0, 0.85, 0.65], np.float32), 0, 255).astype(np.uint8)
    (face,) = FaceColourer(restorer).align(sepia, [face_at(*FACE)])
    assert np.ptp(face.crop, axis=-1).max() < 1e-5
    photo = skimage.data.astronaut()
    (face,) = FaceColourer(restorer).align(photo, [face_at(*FACE)])
    assert np.ptp(face.crop, axis=-1).max() > 0.1


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_faces_apart_are_coloured_apart_as_together(restorer, grey, face_at, dtype, monkeypatch):
    image = cv2.copyMakeBorder(grey, 0, 500, 0, 900, cv2.BORDER_REFLECT).astype(dtype)
    image = image / np.float32(255) if dtype == np.float32 else image
    faces = [face_at(*FACE), face_at(FACE[0] + 90, FACE[1] + 30, 150), face_at(1300, 900, 170)]  # two overlap
    seen, to_lab = [], colouring.to_lab
    monkeypatch.setattr(colouring, "to_lab", lambda part: seen.append(part.size // 3) or to_lab(part))
    apart = FaceColourer(restorer)(image, faces=faces)
    assert sum(seen) < image.size / 3 / 4
    whole = slice(0, image.shape[0]), slice(0, image.shape[1])
    monkeypatch.setattr(colouring, "_parts", lambda changed: [(whole, changed > 0)])
    together = FaceColourer(restorer)(image, faces=faces)
    np.testing.assert_array_equal(apart.changed, together.changed)
    change = np.abs(apart.image.astype(np.float32) - together.image)
    assert change.max() <= (1 if dtype == np.uint8 else 1e-5)  # rounded elsewhere
    assert (change > 1e-5).mean() < 1e-4


def test_a_picture_without_faces_is_as_it_was(restorer, grey):
    result = FaceColourer(restorer)(grey, faces=[])
    np.testing.assert_array_equal(result.image, grey)


@pytest.mark.parametrize("settings", [{"strength": 1.1}, {"strength": -0.1}, {"luminance": "other"}])
def test_settings_are_checked(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        ColourConfig(**settings)
