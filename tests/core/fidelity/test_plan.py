"""Plans as values: what they are made of, how they compose, compare and are saved."""

import json

import numpy as np
import pytest

from codeformer_core.fidelity.mask import FidelityMask
from codeformer_core.fidelity.plan import AutoFidelity, FidelityPlan, as_plan, weight_between, weight_between_sizes
from codeformer_core.fidelity.saved import plan_from_json, plan_to_json, read_plan, write_plan

MASK = FidelityMask(values=np.random.default_rng(0).random((3, 5, 4), np.float32))
PLANS = [
    FidelityPlan(),
    FidelityPlan(base=0.0),
    FidelityPlan(base=0.7, scales={64: 0.5, 32: 1.0}),
    FidelityPlan(base=AutoFidelity(low=0.25, high=0.9), faces=(1.0, 0.0)),
    FidelityPlan(base=0.1, frames={0: 0.2, 24: 1.0}, sizes={32.5: 0.2, 256: 0.9}),
    FidelityPlan(regions={"eyes": 1.0, "rest": 0.0}, mask=MASK, outside=0.3),
    FidelityPlan(mask=FidelityMask(values=np.ones((2, 2)), space="crop")),
]


@pytest.mark.parametrize("plan", PLANS)
def test_a_saved_plan_loads_equal_with_an_equal_hash(plan, tmp_path):
    write_plan(tmp_path / "plan.json", plan)
    loaded = read_plan(tmp_path / "plan.json")
    assert loaded == plan
    assert hash(loaded) == hash(plan)
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan


def test_plans_that_differ_in_one_part_are_not_equal():
    assert len(set(PLANS)) == len(PLANS)
    assert FidelityPlan(base=0.5, scales={32: 0.5}) != FidelityPlan(base=0.5, scales={32: 0.6})
    other = FidelityMask(values=MASK.values[:, ::-1])
    assert FidelityPlan(mask=MASK) != FidelityPlan(mask=other)
    assert FidelityMask(values=MASK.values, space="crop") != MASK


def test_what_a_later_plan_sets_stands_in_place_of_the_earlier():
    first = FidelityPlan(base=0.3, faces=(0.1,), regions={"eyes": 1.0, "nose": 0.2}, scales={32: 0.5}, outside=0.4)
    later = FidelityPlan(regions={"nose": 0.9}, scales={64: 0.25}, mask=MASK)
    both = first.then(later)
    assert both == FidelityPlan(
        base=0.3,
        faces=(0.1,),
        regions={"eyes": 1.0, "nose": 0.9},
        scales={32: 0.5, 64: 0.25},
        mask=MASK,
        outside=0.0,  # a mask brings its own
    )
    assert first.then(FidelityPlan()) == FidelityPlan().then(first) == first
    assert first.then(FidelityPlan(base=0.0)).base == 0.0
    a, b, c = first, later, FidelityPlan(base=AutoFidelity(), faces=(0.5, 0.6))
    assert a.then(b).then(c) == a.then(b.then(c))


def test_a_mapping_or_a_mask_that_changes_later_changes_no_plan():
    regions, values = {"eyes": 1.0}, np.zeros((2, 2), np.float32)
    plan = FidelityPlan(regions=regions, mask=FidelityMask(values=values))  # pyright: ignore[reportArgumentType]
    regions["eyes"], values[:] = 0.0, 1
    assert plan == FidelityPlan(regions={"eyes": 1.0}, mask=FidelityMask(values=np.zeros((2, 2))))
    assert plan.mask is not None
    with pytest.raises(ValueError, match="read-only"):
        plan.mask.values[:] = 1


def test_a_number_is_a_plan_and_a_plan_without_a_base_gets_one():
    assert as_plan(0.3) == FidelityPlan(base=0.3)
    assert as_plan(FidelityPlan(faces=(1.0,)), 0.2) == FidelityPlan(base=0.2, faces=(1.0,))
    assert as_plan(FidelityPlan(base=0.0), 0.2).base == 0.0


def test_numbers_of_numpy_and_of_other_types_are_the_same_plan_and_saved():
    plain = FidelityPlan(base=0.5, frames={2: 1.0}, scales={32: 0.25}, faces=(1.0,))
    faces = (np.int64(1),)
    other = FidelityPlan(base=np.float32(0.5), frames={np.int64(2): 1}, scales={32.0: np.float64(0.25)}, faces=faces)  # pyright: ignore
    assert other == plain
    assert json.dumps(plan_to_json(other)) == json.dumps(plan_to_json(plain))


def test_weights_between_keys_are_linear_in_frames_and_in_the_logarithm_of_sizes():
    assert [weight_between({10: 0.0, 20: 1.0}, at) for at in (0, 10, 12.5, 20, 99)] == [0, 0, 0.25, 1, 1]
    sizes = [weight_between_sizes({16: 0.2, 256: 1.0}, px) for px in (1, 16, 64, 256, 4000)]
    np.testing.assert_allclose(sizes, [0.2, 0.2, 0.6, 1, 1])


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"base": 1.5}, "the base of a fidelity plan lies between 0 .quality. and 1 .fidelity., got 1.5"),
        ({"base": float("nan")}, "got nan"),
        ({"base": True}, "got True"),
        ({"base": "0.5"}, "got '0.5'"),
        ({"outside": -0.1}, "the fidelity outside the mask .* got -0.1"),
        ({"faces": (0.5, 2.0)}, "the fidelity of face 1 .* got 2.0"),
        ({"frames": {3: float("inf")}}, "the fidelity of frame 3 .* got inf"),
        ({"frames": {-1: 0.5}}, "frames of a fidelity plan has the key -1: a key is a whole number, 0 to"),
        ({"sizes": {0.5: 0.5}}, "sizes of a fidelity plan has the key 0.5: a key is a number, 1 to"),
        ({"regions": {"chin": 0.5}}, "no region is called chin: there are eyes, brows, nose, mouth, skin, hair, rest"),
        ({"frames": {1.5: 0.5}}, "frames of a fidelity plan has the key 1.5: a key is a whole number"),
        ({"frames": {10**400: 0.5}}, "frames of a fidelity plan has the key 1000"),
        ({"frames": {True: 0.5}}, "has the key True"),
        ({"scales": {"32": 0.5}}, "scales of a fidelity plan has the key '32'"),
        ({"sizes": [0.5]}, "sizes of a fidelity plan is a mapping to weights, got .0.5."),
        ({"faces": 0.5}, "faces of a fidelity plan is a tuple of weights, got 0.5"),
        ({"mask": "mask.png"}, "the mask of a fidelity plan is a FidelityMask, got a str"),
        ({"scales": {32: 1.2}}, "the factor of scale 32 .* got 1.2"),
    ],
)
def test_parts_that_make_no_sense_are_named(parts, complaint):
    with pytest.raises(ValueError, match=complaint):
        FidelityPlan(**parts)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (np.zeros(4), r"a fidelity mask is \(height, width\), or several such, got \(4,\)"),
        (np.zeros((0, 4)), "got"),
        (np.full((2, 2), np.nan), "values from 0 to 1, got nan"),
        (np.full((2, 2), 255), "values from 0 to 1, got 255"),
    ],
)
def test_masks_that_make_no_sense_are_named(values, complaint):
    with pytest.raises(ValueError, match=complaint):
        FidelityMask(values=values)
    with pytest.raises(ValueError, match="picture or crop, got 'face'"):
        FidelityMask(values=np.ones((2, 2)), space="face")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("saved", "complaint"),
    [
        ([0.5], "a fidelity plan is an object such as"),
        ({"bass": 0.5}, "no part called bass: there are base, frames, "),
        ({"base": {"auto": 1}}, "the base of a fidelity plan is a number or"),
        ({"base": {"auto": {"low": 0.5, "hight": 1}}}, "the base of a fidelity plan is a number or"),
        ({"base": [1]}, "the base of a fidelity plan"),
        ({"scales": {"coarse": 1}}, "the keys of scales of a fidelity plan are numbers, got .'coarse'."),
        ({"scales": 0.5}, "scales of a fidelity plan is an object of numbers"),
        ({"regions": ["eyes"]}, "regions of a fidelity plan is an object of regions"),
        ({"faces": 0.5}, "faces of a fidelity plan is a list of weights, got 0.5"),
        ({"faces": ["x"]}, "the fidelity of face 0 .* got 'x'"),
        ({"mask": "mask.png"}, "the mask of a fidelity plan is what was saved of one, got 'mask.png'"),
        ({"mask": MASK.to_json() | {"shape": [1, 2**20, 2**20]}}, "cannot be read: its shape is"),
        ({"mask": MASK.to_json() | {"shape": [1, float("inf"), 2]}}, "the mask of the fidelity plan cannot be read"),
        ({"mask": MASK.to_json() | {"shape": [1, 2, 2]}}, "cannot be read: it holds more than its shape says"),
        ({"mask": MASK.to_json() | {"float32_zlib_base64": "!"}}, "cannot be read"),
    ],
)
def test_json_that_is_no_plan_is_named_with_its_file(saved, complaint, tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=f"plan.json: .*{complaint}"):
        read_plan(tmp_path / "plan.json")


def test_a_file_of_something_else_is_named(tmp_path):
    for content in (b"", b"\xff\xfe", b"[" * 100_000):
        (tmp_path / "plan.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"plan\.json: "):
            read_plan(tmp_path / "plan.json")
