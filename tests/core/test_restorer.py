import dataclasses
import logging
import tracemalloc
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from codeformer_core.detection.faces import Face, FaceSelection
from codeformer_core.networks.cft import CFTWeights
from codeformer_core.pictures.degradation import Degradation, degrade
from codeformer_core.restoration import RestoreConfig
from codeformer_core.restorer import FaceRestorer


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return skimage.data.astronaut()


def build(*args, **settings) -> Any:
    """A FaceRestorer; of any type, since it gives one result for one picture and a list for several."""
    return FaceRestorer(*args, **settings)


class FixedFaces:
    """A detector that finds the same faces everywhere."""

    def __init__(self, *faces: Face):
        self.faces = faces

    def detect(self, images, config=None) -> list[list[Face]]:
        return [[dataclasses.replace(face, image_index=i) for face in self.faces] for i in range(len(images))]


def brighter(faces: torch.Tensor) -> torch.Tensor:
    return faces + 0.2


def test_a_photograph_comes_back_with_all_that_was_done(photo, identity_net, face_at):
    result = build(identity_net, FixedFaces(face_at(222, 118, 100, 0.1)))(photo)
    (face,) = result.faces
    assert result.image.shape == photo.shape
    assert result.image.dtype == photo.dtype
    assert np.abs(result.image.astype(int) - photo).max() <= 12
    assert face.crop.shape == face.restored.shape == (128, 128, 3)
    np.testing.assert_allclose(face.restored, face.crop, atol=1e-6)
    assert face.codes.tolist() == [0] * 4
    np.testing.assert_allclose(face.confidence, 1 / 8)
    assert face.inside.all()
    assert face.note == ""
    landmarks = cv2.transform(face.face.landmarks[None].astype(np.float64), face.affine)[0]
    np.testing.assert_allclose(landmarks[0], (192.98138 / 4 - 0.375, 239.94708 / 4 - 0.375), atol=0.01)


def test_the_real_network_restores_a_face_of_its_own_size(photo, tiny_net, face_at):
    restorer = build(tiny_net, FixedFaces(face_at(222, 118, 100)), RestoreConfig(w=0.7))
    (face,) = restorer(photo).faces
    assert face.restored.shape == (64, 64, 3)
    assert face.restored.min() >= 0
    assert face.restored.max() <= 1
    x = torch.from_numpy(face.crop).permute(2, 0, 1)[None] * 2 - 1
    np.testing.assert_allclose(
        face.restored, ((tiny_net.restore(x, 0.7)[0] + 1) / 2).clamp(0, 1).permute(1, 2, 0), atol=1e-5
    )
    assert face.codes.tolist() == tiny_net.predict_codes(x).codes[0].tolist()
    assert ((face.confidence > 0) & (face.confidence <= 1)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_without_faces_the_picture_is_equal(dtype, identity_net, rng):
    image = (rng.random((50, 60, 3)) * (1 if dtype == np.float32 else np.iinfo(dtype).max)).astype(dtype)
    result = build(identity_net, FixedFaces())(image)
    assert result.faces == []
    assert result.image.dtype == dtype
    np.testing.assert_array_equal(result.image, image)
    assert identity_net.batches == []


def test_each_step_can_be_done_alone_and_its_result_changed(photo, identity_net, face_at):
    restorer = build(identity_net, FixedFaces(face_at(222, 118, 100)))
    (found,) = restorer.detect(photo)
    (aligned,) = restorer.align(photo, found)
    assert aligned.restored is None
    np.testing.assert_array_equal(restorer.paste(photo, [aligned]), photo)
    (restored,) = restorer.restore([aligned])
    np.testing.assert_array_equal(restorer.paste(photo, [restored]), restorer(photo).image)
    white = dataclasses.replace(restored, restored=np.ones_like(restored.restored))
    assert restorer.paste(photo, [white])[118, 222].tolist() == [255] * 3
    nowhere = dataclasses.replace(white, mask=np.zeros((128, 128), np.float32))
    np.testing.assert_array_equal(restorer.paste(photo, [nowhere]), photo)


def test_a_batch_gives_the_same_as_one_by_one(photo, identity_net, face_at):
    identity_net.change = brighter
    restorer = build(identity_net, FixedFaces(face_at(100, 80, 70), face_at(160, 150, 90, 0.4)))
    images = [photo, photo[100:400, 50:300], photo[::2, ::3].astype(np.float32) / 255]
    together = restorer(images)
    assert identity_net.batches == [4, 2]
    assert [face.face.image_index for result in together for face in result.faces] == [0, 0, 1, 1, 2, 2]
    for image, result in zip(images, together, strict=True):
        alone = restorer(image)
        assert result.image.dtype == image.dtype
        np.testing.assert_array_equal(result.image, alone.image)
        assert (result.image != image).any()


def test_arrays_and_tensors_in_batches_give_lists(photo, identity_net, face_at):
    restorer = build(identity_net, FixedFaces(face_at(60, 60, 50)))
    batch = np.stack([photo[:120, :120], photo[100:220, 150:270]])
    arrays, tensors, single = restorer(batch), restorer(torch.from_numpy(batch)), restorer(torch.from_numpy(batch[0]))
    assert isinstance(arrays, list)
    for a, b in zip(arrays, tensors, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(single.image, arrays[0].image)


def test_given_faces_need_no_detector(photo, identity_net, face_at):
    identity_net.change = brighter
    restorer = build(identity_net)
    result = restorer(photo, faces=[[face_at(222, 118, 100)]])
    assert len(result.faces) == 1
    with pytest.raises(ValueError, match="no detector"):
        restorer(photo)


def test_faces_are_selected(photo, identity_net, face_at):
    detector = FixedFaces(face_at(80, 80, 60), face_at(222, 118, 100), face_at(300, 300, 8))
    config = RestoreConfig(selection=FaceSelection(only="largest"))
    (face,) = build(identity_net, detector, config)(photo).faces
    assert face.face.width == 100
    assert len(build(identity_net, detector)(photo).faces) == 2  # eyes of the third are under 5 px apart


def test_a_face_that_cannot_be_aligned_is_left_out_with_a_warning(photo, identity_net, face_at, caplog):
    spot = Face(box=np.array([10, 20, 50, 60]), landmarks=np.full((5, 2), 30.0), score=0.9)
    with caplog.at_level(logging.WARNING):
        result = build(identity_net)(photo, faces=[[spot, face_at(222, 118, 100)]])
    assert [face.face.score for face in result.faces] == [0.9]
    assert result.faces[0].face.width == 100
    assert "[10.0, 20.0, 50.0, 60.0]" in caplog.text
    assert "do not span a face" in caplog.text


def test_large_faces_are_skipped_with_a_note_if_wanted(photo, identity_net, face_at):
    identity_net.change = brighter
    config = RestoreConfig(large_faces="skip")
    detector = FixedFaces(face_at(240, 240, 300), face_at(60, 440, 90))
    result = build(identity_net, detector, config)(photo)
    large, small = result.faces
    assert large.restored is None
    assert "300 px" in large.note
    assert "128 px" in large.note
    assert small.restored is not None
    assert identity_net.batches == [1]
    np.testing.assert_array_equal(result.image[:350], photo[:350])
    assert (result.image[420:460, 40:80] > photo[420:460, 40:80]).mean() > 0.5


@pytest.mark.parametrize(("side", "skipped"), [(100, False), (127, False), (129, True), (150, True)])
def test_large_means_more_pixels_than_the_networks_crop(side, skipped, photo, identity_net, face_at):
    restorer = build(identity_net, config=RestoreConfig(large_faces="skip"))
    (face,) = restorer.align(photo, [face_at(222, 222, side)])
    assert bool(face.note) is skipped
    assert bool(restorer.as_aligned(photo[:side, :side]).note) is skipped


@pytest.mark.parametrize("value", [np.nan, np.inf, 255.0])
def test_float_pictures_out_of_range_are_named_at_each_step(value, photo, identity_net, face_at):
    face = face_at(222, 118, 100)
    good = photo.astype(np.float32) / 255
    spoilt = good.copy()
    spoilt[118, 222] = value
    restorer = build(identity_net)
    for step in (lambda: restorer.align(spoilt, [face]), lambda: restorer.as_aligned(spoilt)):
        with pytest.raises(ValueError, match=rf"\[0, 1\].*{value:g}"):
            step()
    (aligned,) = restorer.align(good, [face])
    with pytest.raises(ValueError, match=rf"crop.*{value:g}"):
        restorer.restore([dataclasses.replace(aligned, crop=np.full_like(aligned.crop, value))])
    with pytest.raises(ValueError, match=rf"restored.*{value:g}"):
        restorer.paste(good, [dataclasses.replace(aligned, restored=np.full_like(aligned.crop, value))])
    with pytest.raises(ValueError, match=rf"picture.*{value:g}"):
        build(identity_net)(spoilt, faces=[[]])


@pytest.mark.parametrize("upscale", [1, 2])
def test_large_faces_keep_their_detail(upscale, identity_net, face_at, rng):
    image = rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    restorer = build(identity_net, FixedFaces(face_at(150, 150, 250, 0.2)), RestoreConfig(upscale=upscale))
    plain = build(identity_net, FixedFaces(), RestoreConfig(upscale=upscale))(image).image
    difference = np.abs(restorer(image).image.astype(int) - plain)
    assert difference.max() <= (0 if upscale == 1 else 1)


def test_a_24_megapixel_picture_is_never_made_float(identity_net, face_at):
    image = np.zeros((4000, 6000, 3), np.uint8)
    identity_net.change = brighter
    for side, bytes_each in ((150, 0.3), (2000, 2)):
        restorer = build(identity_net, FixedFaces(face_at(3000, 2000, side, 0.2)), RestoreConfig(keep_grey=False))
        tracemalloc.start()
        result = restorer(image)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert result.image.max() > 20
        assert peak - image.nbytes < bytes_each * image.size  # beyond the result; the picture was there before


def test_upscaling_enlarges_the_whole_picture(photo, identity_net, face_at):
    small = photo[60:180, 160:280]
    config = RestoreConfig(upscale=3)
    background = np.full((360, 360, 3), 9, np.uint8)
    restorer = build(identity_net, FixedFaces(face_at(62, 58, 40)), config)
    (plain,) = restorer([small])
    (over,) = restorer([small], backgrounds=[background])
    assert plain.image.shape == (360, 360, 3)
    lanczos = cv2.resize(small, (360, 360), interpolation=cv2.INTER_LANCZOS4)
    np.testing.assert_array_equal(plain.image[:100], lanczos[:100])
    assert (over.image[:100] == 9).all()
    np.testing.assert_allclose(over.image[160:190, 170:200], plain.image[160:190, 170:200], atol=1)


def test_limits_hold_back_the_change(photo, identity_net, face_at):
    identity_net.change = brighter
    limit = np.zeros(photo.shape[:2], np.uint8)
    limit[:, 222:] = 255
    restorer = build(identity_net, FixedFaces(face_at(222, 118, 100)))
    (result,) = restorer([photo], limits=[limit])
    np.testing.assert_array_equal(result.image[:, :222], photo[:, :222])
    np.testing.assert_array_equal(result.image[:, 223:], restorer(photo).image[:, 223:])


def test_a_parsed_mask_lies_within_the_square(photo, identity_net, face_at):
    class UpperHalf:
        def masks(self, faces: np.ndarray, parts: Sequence[str]) -> np.ndarray:
            masks = np.zeros(faces.shape[:3], np.float32)
            masks[:, :64] = 1
            return masks

    identity_net.change = brighter
    faces = [[face_at(222, 118, 100)]]
    plain = build(identity_net)(photo, faces=faces).image
    parsed = build(identity_net, parser=UpperHalf())(photo, faces=faces).image  # pyright: ignore
    np.testing.assert_array_equal(parsed[:116], plain[:116])
    np.testing.assert_array_equal(parsed[121:], photo[121:])
    assert (plain[121:160, 200:240] != photo[121:160, 200:240]).any()


def test_a_face_turned_aside_is_softened_and_one_from_the_front_is_not(photo, identity_net, face_at):
    identity_net.change = brighter
    front = face_at(222, 118, 100)
    aside = front.landmarks.copy()
    aside[2, 0] += 2.0 * front.eye_distance  # the nose's tip
    faces = [[front, dataclasses.replace(front, box=front.box + 200, landmarks=aside + 200)]]
    assert faces[0][1].pose.turn > 50
    whole, soft = (
        build(identity_net, config=RestoreConfig(side_strength=least))(photo, faces=faces) for least in (1, 0.2)
    )
    assert [face.strength for face in whole.faces] == [1, 1]
    strength = soft.faces[1].strength
    assert soft.faces[0].strength == 1
    assert 0.2 < strength < 1
    np.testing.assert_allclose(soft.faces[1].mask, strength * whole.faces[1].mask, rtol=1e-5)
    np.testing.assert_array_equal(soft.faces[0].mask, whole.faces[0].mask)


def test_what_hides_a_face_is_kept_if_that_is_wanted(photo, identity_net, face_at):
    def draw(faces):
        drawn = faces.clone()
        drawn[:, :, 70:90, 50:80] = 1 - drawn[:, :, 70:90, 50:80].clamp(max=0)
        return drawn

    identity_net.change = draw
    faces = [[face_at(222, 118, 100)]]
    plain = build(identity_net)(photo, faces=faces).faces[0]
    kept = build(identity_net, config=RestoreConfig(occlusion=True))(photo, faces=faces).faces[0]
    assert plain.unhidden is None
    assert plain.mask[75:85, 55:75].min() == 1
    assert kept.mask[75:85, 55:75].max() < 0.1
    assert kept.mask[30:50, 30:100].min() > 0.99


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"side_strength": 1.5}, "side_strength is how far"),
        ({"mask_parts": ("hair", "beard")}, "no part 'beard': choose of hair, hat"),
        ({"mask_parts": ("hair", "hair")}, "name one twice"),
    ],
)
def test_a_wrong_way_to_put_faces_back_is_named(settings, said):
    with pytest.raises(ValueError, match=said):
        RestoreConfig(**settings)


def test_grey_faces_stay_grey_unless_colour_is_wanted(photo, identity_net, face_at):
    identity_net.change = lambda faces: faces + torch.tensor([0.3, 0.0, -0.3]).reshape(1, 3, 1, 1)
    grey = np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    faces = [[face_at(222, 118, 100), face_at(-5, 300, 90)]]  # one over the border, where the crop is not quite grey
    kept = build(identity_net)(grey, faces=faces).image
    assert (kept == kept[..., :1]).all()
    assert (kept != grey).any()
    coloured = build(identity_net, config=RestoreConfig(keep_grey=False))(grey, faces=faces).image
    assert (coloured[..., 0] > coloured[..., 2]).any()


@pytest.mark.parametrize("mode", ["lab", "wavelet"])
def test_colours_are_matched_to_the_original(mode, photo, identity_net, face_at):
    identity_net.change = lambda faces: 0.8 * faces + torch.tensor([0.1, 0.0, -0.2]).reshape(1, 3, 1, 1)
    faces = [[face_at(222, 118, 100)]]

    def shift(config: RestoreConfig) -> float:
        (face,) = build(identity_net, config=config)(photo, faces=faces).faces
        return np.abs(face.restored.mean((0, 1)) - face.crop.mean((0, 1))).max()

    assert shift(RestoreConfig(colour_match=mode)) < 0.25 * shift(RestoreConfig())


def test_progress_counts_faces_and_may_stop_the_work(photo, identity_net, face_at):
    detector = FixedFaces(*(face_at(60 + 40 * i, 100, 60) for i in range(5)))
    restorer = build(identity_net, detector, RestoreConfig(batch_size=2))
    seen = []
    restorer(photo, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    identity_net.batches.clear()
    with pytest.raises(KeyboardInterrupt):
        restorer(photo, progress=stop)
    assert identity_net.batches == [2]


def test_out_of_memory_halves_the_batch_and_loses_nothing(photo, identity_net, face_at, caplog):
    def fits(faces: torch.Tensor) -> torch.Tensor:
        if len(faces) > 1:
            raise torch.cuda.OutOfMemoryError
        return brighter(faces)

    detector = FixedFaces(*(face_at(60 + 60 * i, 100 + 20 * i, 60) for i in range(5)))
    restorer = build(identity_net, detector)
    identity_net.change = brighter
    expected = restorer(photo)
    identity_net.batches.clear()
    identity_net.change = fits
    result = restorer(photo)
    assert identity_net.batches == [4, 2, 1, 1, 1, 1, 1]
    assert "going on with 2" in caplog.text
    np.testing.assert_array_equal(result.image, expected.image)


def test_a_single_face_that_does_not_fit_is_an_error(photo, identity_net, face_at):
    def full(faces: torch.Tensor) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError

    identity_net.change = full
    with pytest.raises(torch.cuda.OutOfMemoryError):
        build(identity_net)(photo, faces=[[face_at(60, 100, 60), face_at(222, 118, 60)]])
    assert identity_net.batches == [2, 1]


@pytest.mark.parametrize("side", [128, 128 * 2, 301])
def test_an_aligned_face_is_replaced_as_a_whole(side, photo, identity_net):
    image = cv2.resize(photo[40:200, 140:300], (side, side), interpolation=cv2.INTER_AREA)
    restorer = build(identity_net)
    aligned = restorer.as_aligned(image)
    assert aligned.inside.all()
    np.testing.assert_allclose(aligned.crop.mean((0, 1)) * 255, image.mean((0, 1)), atol=1)
    np.testing.assert_array_equal(restorer.paste(image, restorer.restore([aligned])), image)
    identity_net.change = lambda faces: 0 * faces + 1
    if side == 128:
        assert (restorer.paste(image, restorer.restore([aligned])) == 255).all()


@pytest.mark.parametrize("side", [40, 90])
def test_a_small_aligned_face_comes_back_too(side, photo, identity_net):
    image = cv2.resize(photo[40:200, 140:300], (side, side), interpolation=cv2.INTER_AREA)
    restorer = build(identity_net)
    (restored,) = restorer.restore([restorer.as_aligned(image)])
    error = restorer.paste(image, [restored]).astype(float) - image
    assert (error**2).mean() < 255**2 / 10**3.8
    identity_net.change = lambda faces: 0 * faces + 1
    (restored,) = restorer.restore([restorer.as_aligned(image // 4)])
    assert restorer.paste(image // 4, [restored]).min() > 200


def test_pictures_and_lists_that_do_not_fit_are_named(photo, identity_net, face_at):
    restorer = build(identity_net, FixedFaces())
    with pytest.raises(ValueError, match=r"\(512, 512\) uint8"):
        restorer([photo[..., 0]])
    with pytest.raises(ValueError, match="int32"):
        restorer([photo.astype(np.int32)])
    with pytest.raises(ValueError, match="faces needs one entry a picture: got 1 for 2"):
        restorer([photo, photo], faces=[[]])
    with pytest.raises(ValueError, match="limits needs one entry a picture: got 2 for 1"):
        restorer([photo], limits=[photo[..., 0]] * 2)
    with pytest.raises(ValueError, match="512 x 300"):
        restorer.as_aligned(photo[:300])


class Twice(FixedFaces):
    """Finds fixed faces, and at a second look a face in the middle of the crop or none."""

    def __init__(self, *faces: Face, again: Face | None):
        super().__init__(*faces)
        self.again, self.looks = again, 0

    def detect(self, images, config=None) -> list[list[Face]]:
        if images[0].shape[:2] != (320, 320):
            return super().detect(images, config)
        self.looks += len(images)
        return [[self.again] if self.again else [] for _ in images]


def test_a_doubtful_face_that_is_not_found_again_is_left_with_a_note(photo, identity_net, face_at):
    identity_net.change = brighter  # its codes have a probability of 1/8
    faces = face_at(222, 118, 100), face_at(60, 440, 90)
    for again, least, looks in ((None, 0.2, 2), (None, 0.12, 0), (None, 0, 0), (face_at(160, 160, 160), 0.2, 2)):
        detector = Twice(*faces, again=again)
        result = build(identity_net, detector, RestoreConfig(min_confidence=least))(photo)
        assert detector.looks == looks
        left = [face.note for face in result.faces if face.restored is None]
        assert left == ["skipped: not recognised as a face (confidence 0.12, below 0.2, and not found again)"] * (
            2 if again is None and least == 0.2 else 0
        )
        assert np.array_equal(result.image, photo) is bool(left)
        assert all(face.mean_confidence == pytest.approx(1 / 8) for face in result.faces)
        assert all(face.codes is not None for face in result.faces)


def test_a_face_found_again_elsewhere_is_another_one(photo, identity_net, face_at):
    detector = Twice(face_at(222, 118, 100), again=face_at(120, 200, 160))
    (face,) = build(identity_net, detector, RestoreConfig(min_confidence=0.2))(photo).faces
    assert face.restored is None


def test_the_users_own_faces_are_not_doubted(photo, identity_net, face_at):
    config = RestoreConfig(min_confidence=0.9)
    restorer = build(identity_net, Twice(again=None), config)
    (aligned,) = restorer.restore([restorer.as_aligned(photo[40:200, 140:300])])
    assert aligned.restored is not None
    (alone,) = build(identity_net, config=config)(photo, faces=[[face_at(222, 118, 100)]]).faces
    assert alone.restored is not None


def test_every_weight_leaves_the_same_faces(photo, identity_net, face_at):
    restorer = build(identity_net, Twice(again=None), RestoreConfig(min_confidence=0.2, batch_size=1))
    aligned = restorer.align(photo, [face_at(222, 118, 100), face_at(60, 440, 90)])
    for faces in restorer.restore_at([0.0, 1.0], aligned):
        assert [bool(face.note) for face in faces] == [True, True]
    assert restorer.restore_at([], aligned) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("w", 1.5),
        ("w", float("nan")),
        ("upscale", 5),
        ("upscale", 0),
        ("large_faces", "shrink"),
        ("colour_match", "rgb"),
        ("feather", 0.5),
        ("batch_size", 0),
        ("min_confidence", 1.5),
        ("min_confidence", float("nan")),
    ],
)
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=str(value)):
        RestoreConfig(**{name: value})


def test_what_the_network_draws_next_to_the_outside_is_not_pasted(photo, identity_net, face_at):
    identity_net.change = lambda faces: faces * 0 + 1
    face = face_at(20, 110, 100)  # its crop reaches over the left edge
    restorer = build(identity_net, FixedFaces(face))
    black = np.zeros_like(photo)
    (aligned,) = restorer.restore(restorer.align(black, [face]))
    pasted = restorer.paste(black, [aligned])
    assert pasted[:, 0].max() == 0
    assert pasted[110, 20].min() == 255


def test_pasting_can_be_stopped_on_the_way(photo, identity_net, face_at):
    class Stop(Exception):
        pass

    def stop():
        raise Stop

    restorer = build(identity_net, FixedFaces())
    faces = restorer.restore(restorer.align(photo, [face_at(224, 110, 100)]))
    with pytest.raises(Stop):
        restorer.paste(photo, faces, tick=stop)


def test_values_that_are_not_finite_are_an_error_and_no_face(photo, identity_net, face_at):
    identity_net.change = lambda faces: faces * float("nan")
    restorer = build(identity_net, FixedFaces())
    aligned = restorer.align(photo, [face_at(224, 110, 100)])
    with pytest.raises(ValueError, match="not finite"):
        restorer.restore(aligned)


def test_a_large_face_can_be_replaced_without_its_own_detail(identity_net, face_at, rng):
    noise = rng.random((600, 600, 3)).astype(np.float32)
    identity_net.change = lambda faces: faces * 0 + 1
    face = face_at(300, 300, 400)
    kept, replaced = (
        build(identity_net, FixedFaces(face), RestoreConfig(large_faces=how))(noise).image[290:310, 290:310]
        for how in ("keep_detail", "replace")
    )
    assert replaced.std() < 1e-3 < 0.05 < kept.std()


class Smoothing:
    """What a network does that takes the grain out: put between for `IdentityNet.change`."""

    def __call__(self, faces: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(faces, 5, 1, 2, count_include_pad=False)


def grain(picture: np.ndarray) -> float:
    """The energy of what is finest in the middle of the portrait."""
    face = picture[80:160, 180:260].astype(np.float32)
    face /= 1 if picture.dtype.kind == "f" else np.iinfo(picture.dtype).max
    return float(np.square(face - cv2.GaussianBlur(face, (0, 0), 1)).mean())


def pasted_smooth(identity_net, face, picture, *, level=None, **config) -> tuple[float, np.ndarray]:
    """The grain that a smoothed face keeps, out/in, and its picture."""
    identity_net.change = Smoothing()
    if level is not None:
        picture = degrade(picture, level)
    result = build(identity_net, FixedFaces(face), RestoreConfig(**config))(picture).image
    return grain(result) / grain(picture), result


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_clean_large_face_keeps_its_grain(photo, identity_net, face_at, rng, dtype):
    grainy = np.clip(photo + rng.normal(0, 4, photo.shape), 0, 255)
    picture = (grainy / 255).astype(np.float32)
    picture = picture if dtype == np.float32 else (picture * np.iinfo(dtype).max).round().astype(dtype)
    kept, result = pasted_smooth(identity_net, face_at(222, 118, 140), picture, w=1.0)
    pure, _ = pasted_smooth(identity_net, face_at(222, 118, 140), picture, w=0.0)
    assert result.dtype == dtype
    assert kept > 0.45 > 0.3 > pure


def test_a_bad_face_gets_no_noise_and_no_blocks_back(photo, identity_net, face_at):
    face = face_at(222, 118, 128)
    bad = Degradation(sigma_x=3, sigma_y=3, downscale=4, noise=15, jpeg_quality=30)
    pure, faithful = (pasted_smooth(identity_net, face, photo, level=bad, w=w)[1] for w in (0.0, 1.0))
    np.testing.assert_array_equal(faithful, pure)


def test_w_0_is_the_codebooks_alone_and_more_of_w_gives_more_back(photo, identity_net, face_at):
    face = face_at(222, 118, 128)
    kept = [pasted_smooth(identity_net, face, photo, w=w)[0] for w in (0.0, 0.25, 0.5, 1.0)]
    assert kept == sorted(kept)
    assert kept[-1] > 2 * kept[0]
    identity_net.change = Smoothing()
    restorer = build(identity_net, FixedFaces(face), RestoreConfig(w=0.0))
    (pure,) = restorer.restore(restorer.align(photo, [face]))
    assert restorer.with_own_detail([pure])[0] is pure


def test_what_a_face_keeps_has_no_step_where_it_is_as_large_as_its_crop(photo, identity_net, face_at):
    sides = np.arange(56, 150, 4)
    given = []
    identity_net.change = Smoothing()
    for side in sides:
        restorer = build(identity_net, FixedFaces(), RestoreConfig(w=1.0))
        (face,) = restorer.restore(restorer.align(photo, [face_at(222, 118, side)]))
        (own,) = restorer.with_own_detail([face])
        given.append(float(np.abs(own.restored - face.restored).mean()))
    assert given[0] == 0 < given[-1]
    assert np.abs(np.diff(given)).max() < 0.3 * max(given)


def test_nothing_is_given_back_where_nobody_knows_of_it(photo, identity_net, face_at):
    """Not on aligned faces, not on other backgrounds, not on crops that came from elsewhere, not when replaced."""
    identity_net.change = Smoothing()
    restorer = build(identity_net, FixedFaces(), RestoreConfig(w=1.0))
    (face,) = restorer.restore(restorer.align(photo, [face_at(222, 118, 128)]))
    assert restorer.with_own_detail([face])[0] is not face
    (aligned,) = restorer.restore([restorer.as_aligned(photo[54:182, 158:286])])
    edited = dataclasses.replace(face, weights=None)
    assert all(a is b for a, b in zip(restorer.with_own_detail([aligned, edited]), [aligned, edited], strict=True))
    behind = restorer.paste(photo, [face], photo)
    np.testing.assert_array_equal(behind, restorer.paste(photo, [edited]))
    replacing = build(identity_net, FixedFaces(), RestoreConfig(w=1.0, large_faces="replace"))
    assert replacing.with_own_detail([face])[0] is face


def test_what_changed_is_where_and_how_far_a_face_was_pasted(photo, identity_net, face_at):
    identity_net.change = lambda faces: faces * 0 + 1
    restorer = build(identity_net, FixedFaces(face_at(224, 110, 100)), RestoreConfig(upscale=2))
    black = np.zeros_like(photo)
    (face,) = restorer.restore(restorer.align(black, [face_at(224, 110, 100)]))
    changed = restorer.changed(photo.shape[:2], [face])
    assert changed.shape == (1024, 1024)
    np.testing.assert_allclose(restorer.paste(black, [face])[..., 0], changed * 255, atol=1)
    limit = np.zeros(photo.shape[:2], np.float32)
    assert restorer.changed(photo.shape[:2], [face], limit).max() == 0
    assert restorer.changed(photo.shape[:2], []).max() == 0


def test_without_a_network_faces_are_aligned_and_pasted_at_any_size(photo, face_at):
    restorer = build(None, face_size=192)
    (aligned,) = restorer.align(photo, [face_at(224, 110, 100)])
    assert aligned.crop.shape == (192, 192, 3)
    with pytest.raises(ValueError, match="no network"):
        restorer.restore([aligned])
    back = restorer.paste(photo, [dataclasses.replace(aligned, restored=aligned.crop)])
    assert np.square(back.astype(float) - photo).mean() < 1


def test_a_face_beside_the_picture_is_left_out_with_a_note(photo, identity_net, face_at):
    (outside,) = build(identity_net, FixedFaces()).align(photo, [face_at(-900, -900, 100)])
    assert "outside" in outside.note


def test_weights_for_single_faces_are_refused_where_they_hold_for_all():
    with pytest.raises(ValueError, match="every face"):
        RestoreConfig(w=CFTWeights(w=torch.tensor([0.2, 0.8])))
