import cv2
import numpy as np
import pytest
import torch

from codeformer_core.pictures.arrays import (
    channel_max,
    channel_min,
    check_picture,
    check_values,
    from_float,
    from_network,
    to_float,
    to_network,
)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_integer_value_survives_float(dtype):
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    floats = to_float(values)
    assert floats.dtype == np.float32
    assert (floats[0], floats[-1]) == (0, 1)
    assert np.array_equal(from_float(floats, values.dtype), values)


def test_integers_are_rounded_and_clipped():
    floats = np.array([-0.5, 0.0019, 0.0021, 1.5], np.float32)
    assert from_float(floats, np.dtype(np.uint8)).tolist() == [0, 0, 1, 255]


def test_float_pictures_pass_through_unclipped():
    image = np.array([[[-1.0, 0.5, 7.0]]], np.float32)
    assert to_float(image) is image
    assert from_float(image, image.dtype) is image


def test_network_form_is_channels_first_in_minus_one_to_one(rng):
    crops = rng.random((2, 4, 6, 3), dtype=np.float32)
    x = to_network(crops)
    assert x.shape == (2, 3, 4, 6)
    assert x[1, 2, 3, 4].item() == pytest.approx(crops[1, 3, 4, 2] * 2 - 1)
    np.testing.assert_allclose(from_network(x), crops, atol=1e-7)


def test_network_output_of_any_precision_comes_back_clamped_float32():
    faces = from_network(torch.tensor([-1.2, 0.0, 1.2]).reshape(1, 3, 1, 1).bfloat16())
    assert faces.dtype == np.float32
    assert faces.ravel().tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("low", "high", "remedy"),
    [
        (0, 255, "divide it by 255"),
        (-2, 0.5, "scale"),
        (0, np.nan, "replace"),
        (0, np.inf, "replace"),
        (-5, 255, "scale"),
    ],
)
def test_floats_out_of_range_are_named_with_the_remedy(low, high, remedy):
    image = np.full((4, 4, 3), 0.5, np.float32)
    image[0, 0] = low, high, 0.5
    with pytest.raises(ValueError, match=rf"\[0, 1\], got values from .*: {remedy}"):
        check_values(image)


def test_what_resizing_filters_ring_beyond_the_range_passes():
    step = np.zeros((24, 24, 3), np.float32)
    step[12:, 12:] = 1
    for filter in (cv2.INTER_CUBIC, cv2.INTER_LANCZOS4):
        large = cv2.resize(step, (70, 70), interpolation=filter)
        assert large.max() > 1.1
        assert check_values(large) is large
    check_values(np.full((2, 2, 3), 255, np.uint8))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 4, 4), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.int32),
        np.zeros((4, 4, 3), bool),
    ],
)
def test_other_shapes_and_dtypes_are_named(image):
    with pytest.raises(ValueError, match=r"\(h, w, 3\)") as error:
        check_picture(image)
    assert f"{image.shape} {image.dtype}" in str(error.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_the_largest_and_the_smallest_channel(rng, dtype):
    image = (rng.random((5, 7, 3)) * 200).astype(dtype)
    for view in (image, image[::2, 1:]):  # a part of a picture is no whole block of memory
        np.testing.assert_array_equal(channel_max(view), view.max(-1))
        np.testing.assert_array_equal(channel_min(view), view.min(-1))
