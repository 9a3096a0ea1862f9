import math
from itertools import permutations

import cv2
import numpy as np
import pytest
import skimage.data

from codeformer_core.pasting import paste
from codeformer_core.pasting.alignment import affine_scale, crop_face, crop_region, estimate_affine, paste_mask
from codeformer_core.pasting.masks import square_mask
from codeformer_core.pasting.paste import Patch, enlarge, own_detail, paste_faces, pasted_mask

SIZE = 128


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def noisy(photo) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, 10, photo.shape)
    return np.clip(photo + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def woven(photo) -> np.ndarray:
    """Threads of 5 to 8 pixels at full contrast."""
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    threads = np.sin(x * (0.8 + x / 2000)) * np.cos(y * 1.1)
    return np.repeat((127.5 + 120 * threads)[..., None], 3, axis=2).astype(np.uint8)


def patch(image, face, change: float | None = None, size: int = SIZE, upscale: int = 1) -> Patch:
    """A face with its square mask; restored to itself, or to itself plus `change`."""
    affine = estimate_affine(face.landmarks, size)
    crop = crop_face(image, affine, size)
    mask = square_mask(size, upscale / affine_scale(affine), upscale)
    return Patch(restored=crop + (change or 0), crop=crop, affine=affine, mask=mask, detail=own_detail(affine))


def reach(image: np.ndarray, face_patch: Patch) -> np.ndarray:
    """(h, w): the mask as it lies in the picture."""
    x0, y0, x1, y1 = crop_region(face_patch.affine, SIZE, image.shape[:2])
    mask = np.zeros(image.shape[:2], np.float32)
    mask[y0:y1, x0:x1] = paste_mask(face_patch.claims, face_patch.affine, (x0, y0, x1, y1))[..., 0]
    return mask


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * math.log10(255**2 / max(float(((a.astype(float) - b) ** 2).mean()), 1e-9))


@pytest.mark.parametrize("picture", ["photo", "noisy", "woven"])
@pytest.mark.parametrize("side", [13, 20, 31, 50, 80, 110, 128])
def test_untouched_crops_give_the_picture_back(picture, side, face_at, request):
    image = request.getfixturevalue(picture)
    for angle in (0, -2.2):
        for x, y in ((222.3, 118.8), (90.5, 400.1), (3, 200), (505, 507)):
            face_patch = patch(image, face_at(x, y, side, angle))
            pasted = paste_faces(image, [face_patch])
            mask = reach(image, face_patch)
            np.testing.assert_array_equal(pasted[mask == 0], image[mask == 0])
            assert psnr(pasted[mask > 0], image[mask > 0]) > 38


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_outside_the_masks_nothing_changes(dtype, photo, face_at, rng):
    white = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    image = (rng.random(photo.shape) * white).astype(dtype)
    faces = [
        patch(image, face_at(*where), change=0.3)
        for where in ((100, 90, 80, 0.4), (140, 120, 90, 0), (505, 300, 60, 1))
    ]
    before = image.copy()
    pasted = paste_faces(image, faces)
    mask = np.max([reach(image, p) for p in faces], axis=0)
    assert pasted.dtype == dtype
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(pasted[mask == 0], image[mask == 0])
    assert (pasted[mask > 0.5] != image[mask > 0.5]).mean() > 0.9
    assert (mask == 0).mean() > 0.8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("side", [130, 300, 700])
def test_a_face_larger_than_its_crop_comes_out_as_it_went_in(dtype, side, face_at, rng):
    white = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    image = (rng.random((400, 420, 3)) * white).astype(dtype)
    pasted = paste_faces(image, [patch(image, face_at(220, 190, side, 0.3))])
    if dtype == np.float32:
        np.testing.assert_allclose(pasted, image, atol=1e-6)
    else:
        np.testing.assert_array_equal(pasted, image)


def test_a_changed_large_face_is_no_softer(face_at, rng):
    image = (0.3 + 0.3 * rng.random((400, 400, 3))).astype(np.float32)
    pasted = paste_faces(image, [patch(image, face_at(200, 200, 300, 0.3), change=0.2)])
    np.testing.assert_allclose((pasted - image)[150:250, 150:250], 0.2, atol=1e-5)
    own = patch(image, face_at(200, 200, 300, 0.3))
    smooth = Patch(restored=own.crop, crop=own.crop, affine=own.affine, mask=own.mask, detail=0)
    assert paste_faces(image, [smooth])[150:250, 150:250].std() < 0.8 * image.std()


def test_own_detail_falls_from_large_faces_to_small_ones(face_at):
    details = [
        own_detail(estimate_affine(face_at(0, 0, side).landmarks, SIZE)) for side in (10, 60, 90, 110, 128, 129, 900)
    ]
    assert details[:2] == [0, 0]
    assert details[-2:] == [1, 1]
    assert details == sorted(details)
    assert 0 < details[2] < details[3] < 1


def test_a_change_arrives_in_full_where_the_mask_is_full(face_at):
    image = np.full((200, 200, 3), 100, np.uint8)
    face_patch = patch(image, face_at(101, 97, 90, 0.5), change=50 / 255)
    pasted = paste_faces(image, [face_patch])
    expected = 100 + 50 * reach(image, face_patch)
    assert np.abs(pasted - expected[..., None]).max() <= 0.51
    assert pasted.max() == 150


def test_masks_of_ones_change_no_more_than_the_turned_crop(face_at):
    image = np.full((100, 100, 3), 0.5, np.float32)
    affine = estimate_affine(face_at(50, 50, 40, math.pi / 4).landmarks, SIZE)
    crop = crop_face(image, affine, SIZE)
    own_mask = np.ones((SIZE, SIZE), np.float32)
    pasted = paste_faces(image, [Patch(restored=crop + 0.2, crop=crop, affine=affine, mask=own_mask)])
    assert 0.9 < (pasted != image)[..., 0].sum() / 40**2 < 1.1
    assert np.unique(pasted.round(5)).tolist() == pytest.approx([0.5, 0.7])


@pytest.mark.parametrize(
    "places", [[(90, 100, 80), (125, 107, 80)], [(90, 100, 80, 0.3), (120, 90, 60, -0.4), (100, 130, 90, 1)]]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_order_of_overlapping_faces_does_not_matter(places, dtype, face_at, rng):
    image = (rng.random((220, 240, 3)) * (255 if dtype == np.uint8 else 1)).astype(dtype)
    faces = [patch(image, face_at(*place), change=0.3 - 0.25 * i) for i, place in enumerate(places)]
    results = [paste_faces(image, order) for order in permutations(faces)]
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], atol=1 if dtype == np.uint8 else 1e-5)


@pytest.mark.parametrize(
    ("dx", "dy", "side", "angle"), [(40, 0, 80, 0.0), (30, 30, 80, 0.5), (55, 10, 100, -0.7), (75, 3, 80, 0)]
)
def test_overlapping_faces_have_no_seam_and_each_keeps_its_centre(dx, dy, side, angle, face_at):
    image = np.full((240, 260, 3), 0.5, np.float32)
    left, right = (90.0, 100.0), (90.0 + dx, 100.0 + dy)
    faces = [
        patch(image, face_at(*left, 80), change=0.3),
        patch(image, face_at(*right, side, angle), change=-0.3),
    ]
    change = paste_faces(image, faces)[..., 0] - 0.5

    def steepest(field: np.ndarray) -> float:
        return max(np.abs(np.diff(field, axis=axis)).max() for axis in (0, 1))

    # A lone face rises by 0.3 over its feather; between two faces it is 0.6.
    alone = max(steepest(paste_faces(image, [face])[..., 0]) for face in faces)
    assert steepest(change) < 2.2 * alone
    for face_patch, own in zip(faces, (0.3, -0.3), strict=True):
        middle = cv2.invertAffineTransform(face_patch.affine) @ (*(0.5 * SIZE, 0.6 * SIZE), 1)
        x, y = middle.round().astype(int)
        assert change[y, x] == pytest.approx(own, abs=0.06)
    assert change.max() <= 0.3 + 1e-5
    assert change.min() >= -0.3 - 1e-5


def test_a_face_beside_two_that_overlap_is_kept(face_at):
    image = np.full((240, 240, 3), 60, np.uint8)
    faces = [face_at(60, 140, 100), face_at(140, 60, 100), face_at(45, 45, 60)]  # the last amid the others' corners
    out = paste_faces(image, [patch(image, face, 0.5) for face in faces])
    assert [int(out[y, x, 0]) for x, y in ((60, 140), (140, 60), (45, 45))] == [188] * 3


def test_equal_overlapping_faces_are_as_one(face_at):
    """Shares add up to one: two faces that change the picture alike do it once."""
    image = np.full((200, 240, 3), 0.4, np.float32)
    faces = [patch(image, face_at(x, 100, 90, x / 100), change=0.2) for x in (80, 120, 150)]
    change = paste_faces(image, faces)[..., 0] - 0.4
    mask = np.max([reach(image, p) for p in faces], axis=0)
    np.testing.assert_allclose(change, 0.2 * mask, atol=2e-3)


def test_strips_are_not_seen(face_at, rng, monkeypatch):
    image = cv2.GaussianBlur(rng.random((300, 310, 3), dtype=np.float32), (0, 0), 2)
    faces = [patch(image, face_at(120, 140, 220, 0.3), change=0.2), patch(image, face_at(200, 150, 90), change=-0.2)]
    whole = paste_faces(image, faces)
    monkeypatch.setattr(paste, "STRIP_PIXELS", 5000)
    np.testing.assert_allclose(paste_faces(image, faces), whole, atol=2e-3)


@pytest.mark.parametrize("upscale", [2, 3, 4])
def test_upscaled_pictures_have_a_lanczos_background_and_the_faces_in_place(upscale, photo, face_at):
    small = cv2.resize(photo, (128, 128), interpolation=cv2.INTER_AREA)
    face_patch = patch(small, face_at(55, 29, 31, 0.1), upscale=upscale)
    pasted = paste_faces(small, [face_patch], upscale=upscale)
    assert pasted.shape == (128 * upscale, 128 * upscale, 3)
    lanczos = cv2.resize(small, None, fx=upscale, fy=upscale, interpolation=cv2.INTER_LANCZOS4)
    outside = np.ones(pasted.shape[:2], bool)
    outside[10 * upscale : 48 * upscale, 35 * upscale : 75 * upscale] = False
    np.testing.assert_array_equal(pasted[outside], lanczos[outside])
    assert psnr(pasted[~outside], lanczos[~outside]) > 35  # two enlargements, by cubic and by Lanczos filters
    assert (pasted != lanczos).any()


def test_a_given_background_takes_the_place_of_lanczos(photo, face_at):
    background = np.full((1024, 1024, 3), 7, np.uint8)
    pasted = paste_faces(photo, [patch(photo, face_at(222, 118, 60), upscale=2)], upscale=2, background=background)
    large = cv2.resize(photo, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    assert psnr(pasted[200:270, 410:480], large[200:270, 410:480]) > 35
    assert (pasted[:170] == 7).all()
    assert (background == 7).all()


def test_enlarged_float_pictures_stay_in_range():
    step = np.zeros((20, 20, 3), np.float32)
    step[:, 10:] = 1
    large = enlarge(step, 3)
    assert (large.min(), large.max()) == (0, 1)
    assert enlarge(step, 1) is step


@pytest.mark.parametrize(
    "make", [lambda m: (m * 255).astype(np.uint8), lambda m: (m * 65535).astype(np.uint16), lambda m: m]
)
def test_a_limit_says_where_anything_may_change(make, face_at):
    image = np.full((120, 120, 3), 0.4, np.float32)
    faces = [patch(image, face_at(60, 60, 80), change=0.4)]
    limit = np.zeros((120, 120), np.float32)
    limit[:60] = 1
    limit[40:60] = 0.5
    free, limited = paste_faces(image, faces), paste_faces(image, faces, limit=make(limit))
    np.testing.assert_array_equal(limited[60:], image[60:])
    np.testing.assert_allclose(limited[:40], free[:40], atol=1e-6)
    np.testing.assert_allclose(limited[40:60] - 0.4, (free[40:60] - 0.4) / 2, atol=2e-3)
    assert free[70, 60, 0] > 0.75


@pytest.mark.parametrize("upscaled", [False, True])
def test_a_limit_may_have_the_size_of_the_input_or_of_the_output(upscaled, face_at):
    image = np.full((60, 60, 3), 90, np.uint8)
    limit = np.zeros((120, 120) if upscaled else (60, 60), np.uint8)
    limit[: len(limit) // 2] = 255
    pasted = paste_faces(image, [patch(image, face_at(30, 30, 40), change=0.4, upscale=2)], upscale=2, limit=limit)
    assert (pasted[62:] == 90).all()
    assert pasted[50, 60, 0] > 180


def test_what_a_resizing_filter_leaves_beyond_white_and_black_is_kept(face_at):
    image = np.full((80, 80, 3), 1.4, np.float32)
    image[:, 40:] = -0.3
    pasted = paste_faces(image, [patch(image, face_at(40, 40, 50))])
    assert pasted.max() == np.float32(1.4)
    assert pasted.min() == np.float32(-0.3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("change", [0.9, -0.9])
def test_pasted_values_stay_between_black_and_white(dtype, change, face_at):
    white = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    image = np.full((80, 80, 3), (0.3 if change < 0 else 0.7) * white).astype(dtype)
    pasted = paste_faces(image, [patch(image, face_at(40, 40, 50), change=change / 2)] * 2)
    bright = Patch(
        restored=np.full((SIZE, SIZE, 3), 1.4 if change > 0 else -0.4, np.float32),
        crop=np.full((SIZE, SIZE, 3), 0.5, np.float32),
        affine=estimate_affine(face_at(40, 40, 50).landmarks, SIZE),
        mask=square_mask(SIZE, 50 / SIZE),
    )
    for result in (pasted, paste_faces(image, [bright])):
        assert result[40, 40].tolist() == [white if change > 0 else 0] * 3
        assert 0 <= result.min() <= result.max() <= white


def test_a_mask_is_enlarged_without_steps(face_at):
    """From a limit of the input's size and from a crop's mask alike: a ramp stays a ramp."""
    image = np.full((60, 60, 3), 0.25, np.float32)
    face = patch(image, face_at(30, 30, 40), change=0.5, upscale=4)
    ramp = np.repeat(np.clip((np.arange(60) - 20) / 20, 0, 1)[None].astype(np.float32), 60, 0)
    limited = paste_faces(image, [face], upscale=4, limit=ramp)[120, 70:170, 0]
    assert np.abs(np.diff(limited)).max() < 0.5 / 20 / 4 * 1.5
    small = Patch(  # a crop of 32 px over 40 x 4 pixels
        restored=np.ones((32, 32, 3), np.float32),
        crop=np.zeros((32, 32, 3), np.float32),
        affine=estimate_affine(face_at(30, 30, 40).landmarks, 32),
        mask=np.repeat(np.linspace(0, 1, 32, dtype=np.float32)[None], 32, 0),
    )
    mask = pasted_mask((60, 60), [small], upscale=4)[120, 50:190]
    assert np.abs(np.diff(mask)).max() < 1 / 32 / 5 * 1.5


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        ({"restored": np.full((SIZE, SIZE, 3), 200.0, np.float32)}, "restored.* to 200: divide it by 255"),
        ({"restored": np.full((SIZE, SIZE, 3), 200, np.uint8)}, "restored.*uint8"),
        ({"restored": np.full((64, 64, 3), 0.5, np.float32)}, r"restored.*\(64, 64, 3\)"),
        ({"crop": np.full((SIZE, SIZE, 3), np.nan, np.float32)}, "crop.*nan"),
        ({"mask": np.full((SIZE, SIZE), 255.0, np.float32)}, "mask.* 255"),
        ({"mask": np.full((SIZE, SIZE), np.inf, np.float32)}, "mask.*inf"),
        ({"affine": np.full((2, 3), np.nan)}, "affine.*nan"),
    ],
)
def test_a_face_that_cannot_be_pasted_is_named(spoil, named, photo, face_at):
    own = patch(photo, face_at(222, 118, 60))
    parts = {name: getattr(own, name) for name in ("restored", "crop", "affine", "mask")}
    with pytest.raises(ValueError, match=named):
        Patch(**(parts | spoil))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 255.0, -2.0])
def test_float_pictures_and_masks_out_of_range_are_named(value, face_at):
    image = np.full((80, 80, 3), 0.5, np.float32)
    faces = [patch(image, face_at(40, 40, 50), change=0.2)]
    spoilt = image.copy()
    spoilt[3, 4, 1] = value
    limit = np.ones((80, 80), np.float32)
    limit[3, 4] = value
    named = f"{value:g}"
    with pytest.raises(ValueError, match=f"picture.*{named}"):
        paste_faces(spoilt, faces)
    with pytest.raises(ValueError, match=f"background.*{named}"):
        paste_faces(image, faces, background=spoilt)
    with pytest.raises(ValueError, match=f"mask.*{named}"):
        paste_faces(image, faces, limit=limit)


def test_no_faces_give_an_equal_picture_of_its_own(photo):
    pasted = paste_faces(photo, [])
    np.testing.assert_array_equal(pasted, photo)
    assert pasted is not photo
    assert not np.shares_memory(pasted, photo)


def test_a_face_beside_the_picture_changes_nothing(photo, face_at):
    np.testing.assert_array_equal(paste_faces(photo, [patch(photo, face_at(-300, 40, 60), change=0.5)]), photo)


def test_sizes_and_dtypes_that_do_not_fit_are_named(photo):
    with pytest.raises(ValueError, match="1024 x 1024 pixels, got 512 x 512"):
        paste_faces(photo, [], upscale=2, background=photo)
    with pytest.raises(ValueError, match=r"\(512, 511\).*\(512, 512\)"):
        paste_faces(photo, [], limit=np.zeros((512, 511), np.uint8))
    with pytest.raises(ValueError, match="float64"):
        paste_faces(photo, [], limit=np.zeros((512, 512)))
    with pytest.raises(ValueError, match="bool"):
        paste_faces(photo, [], limit=np.zeros((512, 512), bool))
    with pytest.raises(ValueError, match="int32"):
        paste_faces(photo.astype(np.int32), [])
