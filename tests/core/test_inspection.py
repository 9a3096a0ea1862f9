import dataclasses

import numpy as np
import pytest
import torch

from codeformer_core.inspection import inspect_face, mix_codes
from codeformer_core.pictures.arrays import from_network, to_network


@pytest.fixture
def crops(rng) -> np.ndarray:
    return rng.random((2, 64, 64, 3), np.float32)


def test_an_inspection_holds_what_the_network_gives(tiny_net, crops):
    seen = inspect_face(tiny_net, crops[0], crops[1])
    prediction = tiny_net.predict_codes(to_network(crops[:1]))
    assert seen.codes.shape == seen.nearest.shape == seen.confidence.shape == (16, 16)
    np.testing.assert_array_equal(seen.codes.ravel(), prediction.codes[0])
    np.testing.assert_array_equal(seen.nearest.ravel(), tiny_net.quantize.nearest(prediction.features)[0])
    np.testing.assert_allclose(seen.confidence.ravel(), prediction.confidence[0])
    np.testing.assert_array_equal(seen.restored, from_network(tiny_net.decode(prediction, 0.0))[0])
    assert set(seen.changes) == {32, 64}
    assert all(change.shape == (64, 64) and change.max() > 0 for change in seen.changes.values())


def test_a_clean_face_tells_how_many_codes_are_right(tiny_net, crops):
    seen = inspect_face(tiny_net, crops[0], crops[0])
    assert seen.accuracy(seen.codes) == 1
    assert seen.accuracy(seen.codes + 1) == 0
    np.testing.assert_array_equal(seen.from_clean, seen.restored)
    with pytest.raises(ValueError, match="without the clean face"):
        inspect_face(tiny_net, crops[0]).accuracy(seen.codes)


def test_codes_are_mixed_by_a_mask_of_any_size(tiny_net, crops):
    first, second = (tiny_net.predict_codes(to_network(crop[None])) for crop in crops)
    mask = np.zeros((1, 40, 48), np.float32)
    mask[:, :, 24:] = 1
    mixed = mix_codes(first, second, mask).codes.view(16, 16)
    assert torch.equal(mixed[:, :8], first.codes.view(16, 16)[:, :8])
    assert torch.equal(mixed[:, 8:], second.codes.view(16, 16)[:, 8:])
    assert mix_codes(first, second, mask * 0).codes.equal(first.codes)
    assert mix_codes(first, second, mask * 0 + 1).codes.equal(second.codes)
    assert mix_codes(first, second, mask).features is first.features


def test_without_a_mask_the_surer_code_of_each_place_stands(tiny_net, crops):
    first, second = (tiny_net.predict_codes(to_network(crop[None])) for crop in crops)
    mixed = mix_codes(first, second)
    assert torch.equal(mixed.confidence, torch.maximum(first.confidence, second.confidence))
    assert mixed.codes.ne(first.codes).any()
    assert mixed.codes.ne(second.codes).any()


def test_other_numbers_of_faces_cannot_be_mixed(tiny_net, crops):
    both = tiny_net.predict_codes(to_network(crops))
    one = dataclasses.replace(both, logits=both.logits[:1], codes=both.codes[:1])
    with pytest.raises(ValueError, match="codes of 2 and 1 faces cannot be mixed"):
        mix_codes(both, one)
