"""What faces are compared by: their real size, crops, mean colours."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from codeformer_core.pasting.alignment import template
from training.averaging import cast_convolutions
from training.presets import MINI, StageConfig
from training.stages.image_loss import CROP, ImageLoss, at_size, crop, eyes
from training.stages.perceptual import load_perceptual
from training.stages.shift_tolerant import ShiftTolerantLPIPS, weights_file

SIZE = 64


class L1(nn.Module):
    def forward(self, x, y):
        return (x - y).abs().mean()


def loss_of(perceptual_size: int | None = None, **weights) -> ImageLoss:
    stage = StageConfig(**{"w_l1": 0.0, "w_perceptual": 0.0, "batch_size": 2, **weights})
    return ImageLoss(replace(MINI, perceptual_size=perceptual_size, stages=(stage,) * 3), 1, L1(), L1())


def batch_of(hq: torch.Tensor, native: int) -> dict:
    return {"hq": hq, "native": torch.tensor([native] * len(hq)), "slot": torch.arange(len(hq))}


@pytest.fixture
def small() -> torch.Tensor:
    return torch.rand(2, 3, SIZE // 4, SIZE // 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


def fine(amount: float = 0.2) -> torch.Tensor:
    """Detail that is gone when every 4 x 4 pixels are averaged."""
    return amount * (-1) ** torch.arange(SIZE).float().expand(1, 1, SIZE, SIZE)


@pytest.mark.parametrize("kind", [{"w_l1": 1.0}, {"w_perceptual": 1.0, "perceptual_size": 32}, {"w_crops": 1.0}])
def test_detail_that_an_enlarged_face_cannot_show_is_not_punished(kind, small):
    loss, hq = loss_of(**kind), small.repeat_interleave(4, 2).repeat_interleave(4, 3)
    enlarged, _ = loss(hq + fine(), batch_of(hq, SIZE // 4), 0)
    real, _ = loss(hq + fine(), batch_of(hq, SIZE), 0)
    assert enlarged == pytest.approx(0, abs=1e-6)
    if kind != {"w_perceptual": 1.0, "perceptual_size": 32}:
        assert real == pytest.approx(0.2, abs=1e-3)
    assert loss(hq + 0.1, batch_of(hq, SIZE // 4), 0)[0] == pytest.approx(0.1, abs=1e-3)


def test_faces_of_several_sizes_stand_in_one_batch(small):
    hq = F.interpolate(small, (SIZE, SIZE), mode="nearest")
    batch = batch_of(hq, SIZE) | {"native": torch.tensor([SIZE, SIZE // 4])}
    value, parts = loss_of(w_l1=1.0)(hq + fine(), batch, 0)
    assert value == pytest.approx(0.1, abs=1e-3)  # the mean of 0.2 and 0
    assert parts["psnr"] == pytest.approx(-10 * torch.tensor(0.01 / 2).log10().item(), abs=1)


def test_mean_colours_see_shifts_and_no_texture(small):
    hq, loss = F.interpolate(small, (SIZE, SIZE), mode="nearest"), loss_of(w_colour=1.0)
    assert loss(hq + fine(), batch_of(hq, SIZE), 0)[0] == pytest.approx(0, abs=1e-6)
    assert loss(hq + 0.1, batch_of(hq, SIZE), 0)[0] == pytest.approx(0.1, abs=1e-5)


def test_crops_are_drawn_from_step_and_slot():
    assert crop(torch.zeros(2, 3, 200, 200), 1.0, 0.3).shape == (2, 3, CROP, CROP)
    assert crop(torch.zeros(2, 3, 40, 40), 1.0, 0.3).shape == (2, 3, 40, 40)
    loss = loss_of(w_crops=1.0)
    both = loss._places(torch.tensor([0, 1]), 5)
    assert both == loss._places(torch.tensor([0, 1]), 5) != loss._places(torch.tensor([0, 1]), 6)
    assert loss._places(torch.tensor([1]), 5) == both[1:]


def test_sizes_are_averaged_down_and_interpolated_up():
    x = torch.rand(1, 3, 8, 8)
    assert at_size(x, 8) is x
    torch.testing.assert_close(at_size(x, 4), F.avg_pool2d(x, 2))
    assert at_size(x, 12).shape == (1, 3, 12, 12)


def test_fixed_networks_in_bfloat16_measure_what_autocast_does():
    exact, cast = load_perceptual("retinaface"), load_perceptual("retinaface")
    cast_convolutions(cast, torch.bfloat16)
    x, y = torch.rand(2, 1, 3, 64, 64).unbind()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(cast(x, y), exact(x, y))


@pytest.mark.parametrize(("backbone", "golden"), [("vgg", 0.006351), ("alex", 0.002699)])
def test_shift_tolerant_lpips(backbone, golden):
    try:
        weights_file(backbone)
    except ValueError as error:
        pytest.skip(str(error))
    net = ShiftTolerantLPIPS(backbone)
    rng = torch.Generator().manual_seed(0)
    x, noise = torch.rand(2, 3, 64, 64, generator=rng) * 2 - 1, torch.randn(2, 3, 64, 64, generator=rng)
    assert net(x, x) == 0
    near, far = (net((x + s * noise).clamp(-1, 1), x) for s in (0.1, 0.4))
    assert 0 < near < far
    assert net((x + 0.2 * noise).clamp(-1, 1), x) == pytest.approx(golden, rel=1e-3)  # of the package itself


def test_eyes_are_squares_about_the_templates_eyes():
    face = torch.zeros(1, 3, 512, 512, requires_grad=True)
    (seen,) = torch.autograd.grad(eyes(face).sum(), face)
    rows, columns = (seen[0, 0] > 0).nonzero(as_tuple=True)
    for side, (x, y) in zip((columns < 256, columns >= 256), template(512)[:2], strict=True):
        assert side.sum() == 64 * 64
        assert rows[side].float().mean() == pytest.approx(y, abs=2)
        assert columns[side].float().mean() == pytest.approx(x, abs=2)
    assert eyes(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 4, 8)
