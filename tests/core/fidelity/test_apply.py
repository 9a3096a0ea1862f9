"""What a plan means for a face and for the network: the properties that users count on."""

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from codeformer_core import load_codeformer, load_detector
from codeformer_core.detection.faces import Face
from codeformer_core.fidelity.apply import FaceToWeigh, FaceWeights, cft_weights, weigh_face
from codeformer_core.fidelity.automatic import ASSUMED, FaceQuality
from codeformer_core.fidelity.mask import FidelityMask
from codeformer_core.fidelity.plan import REGIONS, AutoFidelity, FidelityPlan
from codeformer_core.models import BUNDLED
from codeformer_core.networks.cft import CFTWeights
from codeformer_core.pasting.alignment import estimate_affine
from codeformer_core.restoration import AlignedFace, RestoreConfig
from codeformer_core.restorer import FaceRestorer

SIZES = (32, 64)


@pytest.fixture
def restorer(tiny_net) -> FaceRestorer:
    return FaceRestorer(tiny_net)


@pytest.fixture
def picture(rng) -> np.ndarray:
    coarse = rng.random((20, 30, 3), np.float32)
    return cv2.resize(coarse, (300, 200), interpolation=cv2.INTER_CUBIC).clip(0, 1)


@pytest.fixture
def faces(restorer, picture, face_at) -> list[AlignedFace]:
    """Two faces of the picture, 80 and 60 px wide, the second one turned."""
    return restorer.align(picture, [face_at(80, 100, 80), face_at(210, 90, 60, 0.4)])


@pytest.fixture
def restore(restorer, faces):
    """The faces restored at a weight: (2, s, s, 3)."""
    return lambda w: np.stack([face.restored for face in restorer.restore_at([w], faces)[0]])


def asked(face: Face, size: int = 64, **changes: Any) -> FaceToWeigh:
    known = {
        "landmarks": face.landmarks,
        "affine": estimate_affine(face.landmarks, size),
        "crop_size": size,
        "image_size": (200, 300),
        "size": face.size,
        "number": 0,
        "frame": 0,
        "quality": lambda: FaceQuality(small=0, blur=0, noise=0, blocking=0, doubt=0),
        "calibration": ASSUMED,
    }
    return FaceToWeigh(**(known | changes))


@pytest.mark.parametrize(
    "plan",
    [
        FidelityPlan(base=0.7),
        FidelityPlan(base=0.7, scales={32: 1.0, 64: 1.0}),
        FidelityPlan(base=0.1, frames={0: 0.7, 9: 0.7}),
        FidelityPlan(base=0.1, sizes={10: 0.7, 100: 0.7}),
        FidelityPlan(base=0.1, faces=(0.7, 0.7)),
        FidelityPlan(base=0.7, regions={"eyes": 0.7, "skin": 0.7}),
        FidelityPlan(base=0.2, regions=dict.fromkeys(REGIONS, 0.7)),
        FidelityPlan(base=0.7, mask=FidelityMask(values=np.ones((7, 9))), outside=0.1),
        FidelityPlan(base=0.1, mask=FidelityMask(values=np.zeros((7, 9))), outside=0.7),
        FidelityPlan(base=0.7, mask=FidelityMask(values=np.linspace(0, 1, 60).reshape(6, 10)), outside=0.7),
        FidelityPlan(base=0.7, mask=FidelityMask(values=np.ones((9, 9)), space="crop")),
        FidelityPlan(base=AutoFidelity(low=0.7, high=0.7)),
    ],
)
def test_a_plan_that_is_constant_is_the_number(restore, plan):
    np.testing.assert_allclose(restore(plan), restore(0.7), atol=1e-6)


def test_factors_of_scales_are_those_of_the_network(restore, restorer, faces):
    weights = CFTWeights(w={32: 0.2, 64: 0.8})
    np.testing.assert_allclose(restore(FidelityPlan(base=0.8, scales={32: 0.25})), restore(weights), atol=1e-6)
    np.testing.assert_array_equal(restore(FidelityPlan(base=0.8, scales={32: 0, 64: 0})), restore(0.0))


def test_a_face_wholly_outside_the_mask_is_the_codebooks_result(restore):
    values = np.zeros((200, 300), np.float32)
    values[:, :80] = 1  # the first face's left half
    restored, codebook = restore(FidelityPlan(base=1.0, mask=FidelityMask(values=values))), restore(0.0)
    assert np.abs(restored[0] - codebook[0]).max() > 1e-3
    np.testing.assert_allclose(restored[1], codebook[1], atol=1e-6)


def test_w_0_at_a_place_and_its_surroundings_is_nearly_the_codebooks_result_there():
    """Norms, whose statistics the whole face shares, carry a little of the change to every place."""
    restorer = FaceRestorer(load_codeformer(BUNDLED), load_detector())
    photo = skimage.data.astronaut()
    aligned = restorer.align(photo, restorer.detect(photo)[0])
    side = restorer.face_size
    half = np.zeros((side, side), np.float32)
    half[:, : side // 2] = 1
    weights = [FidelityPlan(base=1.0, mask=FidelityMask(values=half, space="crop")), 0.0, 1.0]
    restored: list[Any] = [faces[0].restored for faces in restorer.restore_at(weights, aligned)]
    masked, codebook, whole = restored
    inside, outside = np.s_[:, : side * 7 // 16], np.s_[:, side * 9 // 16 :]
    change, all_of_it = np.abs(masked - codebook), np.abs(whole - codebook)
    assert change[outside].mean() < 0.25 * all_of_it[outside].mean()
    assert np.abs(masked - whole)[inside].mean() < 0.25 * all_of_it[inside].mean()


def test_a_mask_lies_where_the_picture_has_it(face_at):
    """Its value at the crop's middle is the picture's there, for masks larger and smaller than the picture."""
    y, x = np.mgrid[:200, :300].astype(np.float32)
    ramp = (x / 300 + y / 400) / 2
    for scale in (0.25, 0.5, 1, 2):
        mask = cv2.resize(ramp, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for face in (face_at(80, 100, 70), face_at(210, 120, 90, 0.6)):
            known = asked(face)
            place = weigh_face(FidelityPlan(base=1.0, mask=FidelityMask(values=mask)), known, SIZES).place
            assert place is not None
            wanted = cv2.warpAffine(ramp, known.affine, (64, 64), flags=cv2.INTER_LINEAR)
            np.testing.assert_allclose(place[8:-8, 8:-8], wanted[8:-8, 8:-8], atol=0.01)


def test_a_mask_of_another_shape_is_stretched_to_the_picture(face_at):
    ramp = np.tile(np.linspace(0, 1, 100, dtype=np.float32), (30, 1))  # three times as wide as high; the picture 1.5
    place = weigh_face(
        FidelityPlan(base=1.0, mask=FidelityMask(values=ramp)), asked(face_at(150, 100, 64)), SIZES
    ).place
    assert place is not None
    np.testing.assert_allclose(place[:, 32], 0.5, atol=0.01)
    assert np.diff(place[32]).min() >= -1e-6


def test_each_picture_and_each_face_has_its_own_mask_and_the_last_serves_the_rest(face_at):
    values = np.stack([np.full((4, 4), w, np.float32) for w in (0.1, 0.2, 0.3)])
    for space, which in (("picture", "frame"), ("crop", "number")):
        plan = FidelityPlan(base=1.0, mask=FidelityMask(values=values, space=space))  # pyright: ignore
        weights = [weigh_face(plan, asked(face_at(80, 90, 60), **{which: n}), SIZES).w for n in (0, 2, 7)]
        np.testing.assert_allclose(weights, [0.1, 0.3, 0.3])


def test_weights_by_face_size_and_frame_apply_in_the_documented_order(face_at):
    plan = FidelityPlan(base=0.1, frames={0: 0.2, 10: 0.4}, sizes={50: 0.5, 100: 0.6}, faces=(0.9,))
    face = face_at(80, 90, 60)

    def w(plan: FidelityPlan, **changes: Any) -> float:
        return weigh_face(plan, asked(face, **changes), SIZES).w

    assert w(plan) == 0.9
    assert 0.5 < w(plan, number=1) < 0.6
    by_frame = dataclasses.replace(plan, sizes={})
    assert w(by_frame, number=1, frame=5) == pytest.approx(0.3)
    assert w(dataclasses.replace(by_frame, frames={}), number=1) == 0.1
    inside = FidelityPlan(base=0.2, regions={"rest": 1.0}, mask=FidelityMask(values=np.zeros((2, 2))), outside=0.5)
    assert w(inside) == 0.5  # the mask's outside is the last word on places
    assert weigh_face(inside.then(FidelityPlan(scales={32: 0.5})), asked(face), SIZES).at_scales() == {
        32: 0.25,
        64: 0.5,
    }


def test_batches_equal_singles(restorer, faces):
    plan = FidelityPlan(
        base=0.3,
        faces=(0.9,),
        regions={"mouth": 1.0},
        mask=FidelityMask(values=np.eye(5)),
        outside=0.2,
        scales={64: 0.5},
    )
    together = restorer.restore_at([plan], faces)[0]
    for face, alone in zip(together, [restorer.restore_at([plan], [face])[0][0] for face in faces], strict=True):
        np.testing.assert_allclose(face.restored, alone.restored, atol=1e-5)


def test_one_faces_plan_never_touches_another(restorer, faces):
    own = [dataclasses.replace(faces[0], w=FidelityPlan(base=0.0, regions={"eyes": 1.0})), faces[1]]
    mixed, plain = restorer.restore(own), restorer.restore(faces)
    np.testing.assert_allclose(mixed[1].restored, plain[1].restored, atol=1e-6)
    assert np.abs(mixed[0].restored - plain[0].restored).max() > 1e-3


NUMBERS = {
    "base": lambda x: FidelityPlan(base=x, regions={"eyes": 0.1}),
    "region": lambda x: FidelityPlan(base=0.5, regions={"skin": x}),
    "outside": lambda x: FidelityPlan(base=0.5, mask=FidelityMask(values=np.eye(6)), outside=x),
    "factor": lambda x: FidelityPlan(base=0.8, regions={"mouth": 0.3}, scales={32: x}),
    "size's weight": lambda x: FidelityPlan(base=0.8, sizes={30: x, 200: 1}),
    "size": lambda x: FidelityPlan(base=0.8, sizes={40 + 40 * x: 0.2, 90: 1}),
    "frame": lambda x: FidelityPlan(base=0.8, frames={0: x, 5: 1}),
    "face": lambda x: FidelityPlan(base=0.8, faces=(x, 1 - x)),
    "limits": lambda x: FidelityPlan(base=AutoFidelity(low=x / 2, high=x)),
    "mask": lambda x: FidelityPlan(base=0.8, mask=FidelityMask(values=np.array([[x, 1], [0, 0.5]]))),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_result_is_continuous_in_every_number(restore, name):
    for x in (0.0, 0.3, 0.999):
        step = np.abs(restore(NUMBERS[name](x + 1e-3)) - restore(NUMBERS[name](x))).max()
        assert step < 0.02


def test_a_scale_that_the_network_lacks_is_named_with_those_it_has(restore):
    with pytest.raises(ValueError, match="no CFT at the scale 128, 256: it has 32, 64"):
        restore(FidelityPlan(base=0.5, scales={32: 1, 128: 0.5, 256: 0.1}))


def test_a_plan_without_a_base_takes_the_restorers_usual_number(restorer, faces):
    by_default = restorer.restore_at([FidelityPlan(regions={"eyes": 1.0})], faces)[0]
    assert [face.weights.w for face in by_default] == [0.5, 0.5]


def test_faces_say_which_weights_were_in_force_and_why(restorer, faces):
    plan = FidelityPlan(base=0.3, faces=(0.9,), regions={"eyes": 1.0}, scales={32: 0.5})
    first, second = restorer.restore_at([plan], faces)[0]
    assert (first.weights.at_scales(), first.weights.reasons) == ({32: 0.45, 64: 0.9}, ("face 0", "eyes 1"))
    assert (second.weights.at_scales(), second.weights.reasons) == ({32: 0.15, 64: 0.3}, ("eyes 1",))
    assert restorer.restore_at([0.4], faces)[0][0].weights.at_scales() == 0.4
    heat = first.weights.map(48)
    assert heat.shape == (48, 48)
    assert heat.max() == pytest.approx(0.75, abs=1e-3)  # the eyes' 1, by the mean of the factors 0.5 and 1
    assert heat.min() == pytest.approx(0.9 * 0.75)


def test_equal_faces_reach_the_network_as_one_number():
    face = FaceWeights(w=0.5, scales={32: 1.0, 64: 1.0})
    assert cft_weights([face, face]) == 0.5
    weights = cft_weights([face, dataclasses.replace(face, w=0.7)])
    assert isinstance(weights, CFTWeights)
    assert isinstance(weights.w, dict)
    torch.testing.assert_close(weights.w[32], torch.tensor([0.5, 0.7]))


def test_a_config_takes_a_number_a_plan_or_the_networks_own_weights(tiny_net, faces):
    for w in (0.3, FidelityPlan(base=0.3), CFTWeights(w=0.3)):
        FaceRestorer(tiny_net, config=RestoreConfig(w=w)).restore(faces)
    with pytest.raises(ValueError, match=r"between 0 .quality. and 1 .fidelity., got 1.3"):
        RestoreConfig(w=1.3)
