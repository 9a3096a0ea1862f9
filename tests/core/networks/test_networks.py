import pytest
import torch
import torch.nn.functional as F
from torch import nn

from codeformer_core import CFTWeights, CodeFormer, CodeFormerConfig, VQAutoEncoder, VQConfig
from codeformer_core.networks.blocks import Upsample
from codeformer_core.networks.codeformer import adaptive_instance_norm


@pytest.fixture
def lq(tiny_config):
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_w_zero_is_the_pure_codebook_result(tiny_net, lq):
    predicted = tiny_net.predict_codes(lq)
    items = tiny_net.quantize.look_up(predicted.codes)
    pure = tiny_net.generator(adaptive_instance_norm(items, predicted.features))
    for w in (0, 0.0, torch.zeros(2), CFTWeights(w={32: 0.0}), CFTWeights(w=1.0, mask=torch.zeros(1, 1, 8, 8))):
        assert torch.equal(tiny_net.restore(lq, w), pure)


def test_w_changes_the_result_and_holds_per_face(tiny_net, lq):
    zero, one = tiny_net.restore(lq, 0.0), tiny_net.restore(lq, 1.0)
    assert not torch.allclose(zero, one)
    mixed = tiny_net.restore(lq, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(mixed, torch.stack([zero[0], one[1]]))


def test_w_per_scale_skips_the_scales_that_are_not_named(tiny_net, lq):
    predicted = tiny_net.predict_codes(lq)
    both = tiny_net.decode(predicted, CFTWeights(w={32: 0.7, 64: 0.7}))
    torch.testing.assert_close(both, tiny_net.decode(predicted, 0.7))
    assert not torch.allclose(tiny_net.decode(predicted, CFTWeights(w={32: 0.7})), both)


def test_w_per_place_changes_nothing_far_from_the_mask(tiny_net, lq):
    predicted = tiny_net.predict_codes(lq)
    weights = CFTWeights(w=1.0, mask=F.pad(torch.ones(1, 1, 64, 32), (0, 32)), outside=0.25)
    assert weights.at(32)[0, 0, 0].tolist() == [1.0] * 16 + [0.25] * 16  # pyright: ignore[reportIndexIssue]
    assert not torch.allclose(tiny_net.decode(predicted, weights), tiny_net.decode(predicted, 0.25))


def test_a_mask_is_averaged_down_and_interpolated_up():
    stripes = torch.tensor([0.0, 1.0, 1.0, 1.0]).repeat(64, 16)[None, None]
    torch.testing.assert_close(CFTWeights(w=1.0, mask=stripes).at(16), torch.full((1, 1, 16, 16), 0.75))
    two = torch.tensor([[0.0, 1.0]]).repeat(2, 1)[None, None]
    row = CFTWeights(w=1.0, mask=two).at(8)[0, 0, 0]  # pyright: ignore[reportIndexIssue]
    assert row.tolist() == [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]


@pytest.mark.parametrize(("value", "named"), [(-0.1, "-0.1 to"), (255.0, "to 255"), (float("nan"), "nan")])
def test_mask_out_of_range_is_refused(value, named):
    mask = torch.full((1, 1, 8, 8), 0.5)
    mask[0, 0, 3, 3] = value
    with pytest.raises(ValueError, match=f"mask.*{named}"):
        CFTWeights(w=1.0, mask=mask)
    CFTWeights(w=1.0, mask=mask.fill_(1 + 1e-6))  # as resizing rounds


@pytest.mark.parametrize("w", [-0.1, 1.1, float("nan"), torch.tensor([0.5, 2.0]), torch.zeros(1, 1)])
def test_w_out_of_range_is_refused(tiny_net, lq, w):
    with pytest.raises(ValueError, match="w "):
        tiny_net.restore(lq, w)


def test_w_for_another_number_of_faces_is_refused(tiny_net, lq):
    for w in (torch.zeros(3), CFTWeights(w=1.0, mask=torch.zeros(3, 1, 8, 8))):
        with pytest.raises(ValueError, match="3 values for 2 faces"):
            tiny_net.restore(lq, w)


def test_adain_in_half_precision_stays_finite():
    style = 100 * torch.randn(1, 2, 4, 4)
    assert adaptive_instance_norm(torch.ones(1, 2, 4, 4).half(), style.half()).isfinite().all()


def test_w_for_a_scale_without_cft_is_refused(tiny_net, lq):
    with pytest.raises(ValueError, match="CFT at"):
        tiny_net.restore(lq, CFTWeights(w={128: 1.0}))


def test_faces_of_another_size_are_refused(tiny_net):
    with pytest.raises(ValueError, match="64, 64"):
        tiny_net.restore(torch.zeros(1, 3, 32, 32))


def test_a_batch_is_its_faces_one_by_one(tiny_net, lq):
    together = tiny_net.restore(lq, 0.5)
    alone = torch.cat([tiny_net.restore(face[None], 0.5) for face in lq])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_channels_last_gives_the_same(tiny_config, lq):
    torch.manual_seed(0)
    net = CodeFormer(tiny_config).eval()
    wanted = net.restore(lq, 0.5)
    torch.testing.assert_close(net.to(memory_format=torch.channels_last).restore(lq, 0.5), wanted, atol=1e-4, rtol=1e-4)


def test_without_gradients_gives_the_same(tiny_net, lq):
    with torch.inference_mode():
        inference = tiny_net.restore(lq, 0.5)
    torch.testing.assert_close(inference, tiny_net.restore(lq, 0.5))


def test_upsample_is_nearest_neighbour_then_convolution():
    layer = Upsample(8).double()
    x = torch.randn(2, 8, 5, 7, dtype=torch.double)
    torch.testing.assert_close(layer(x), layer.conv(F.interpolate(x, scale_factor=2, mode="nearest")))


def test_quantized_features_are_codebook_items(tiny_config, lq):
    net = VQAutoEncoder(tiny_config.vq)
    z, _ = net.encoder(lq)
    quantized = net.quantize(z)
    items = net.quantize.embedding.weight[quantized.codes].transpose(1, 2).reshape(z.shape)
    torch.testing.assert_close(quantized.z_q, items)
    distances = torch.cdist(z.flatten(2).transpose(1, 2), net.quantize.embedding.weight)
    assert torch.equal(quantized.codes, distances.argmin(-1))


def test_the_gradient_passes_straight_through_the_quantizer(tiny_config, lq):
    net = VQAutoEncoder(tiny_config.vq)
    z = net.encoder(lq)[0].detach().requires_grad_()
    (net.quantize(z).z_q * 3).sum().backward()
    assert torch.equal(z.grad, torch.full_like(z, 3))  # pyright: ignore[reportArgumentType]


def test_beta_weighs_the_commitment_term(tiny_config, lq):
    net = VQAutoEncoder(tiny_config.vq)
    z = net.encoder(lq)[0].detach().requires_grad_()
    net.quantize(z).codebook_loss.backward()
    items = net.quantize.look_up(net.quantize.nearest(z))
    torch.testing.assert_close(z.grad, 0.25 * 2 * (z - items) / z.numel())


def test_adain_takes_mean_and_std_of_the_style():
    content, style = torch.randn(2, 3, 16, 16), 3 + 2 * torch.randn(2, 3, 16, 16)
    out = adaptive_instance_norm(content, style)
    torch.testing.assert_close(out.mean((2, 3)), style.mean((2, 3)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(out.std((2, 3)), style.std((2, 3)), atol=1e-3, rtol=1e-3)


def test_training_mode_gives_gradients_to_every_parameter(tiny_config, lq):
    net = CodeFormer(tiny_config)
    predicted = net.predict_codes(lq)
    (net.decode(predicted, 1.0).mean() + predicted.logits.square().mean()).backward()
    without = [name for name, p in net.named_parameters() if p.grad is None]
    assert without == []


def test_no_channel_is_alone_in_its_group():
    config = VQConfig(image_size=64, width=32, ch_mult=(1, 2, 4))
    norms = [m for m in VQAutoEncoder(config).modules() if isinstance(m, nn.GroupNorm)]
    assert {(m.num_channels, m.num_groups) for m in norms} == {(32, 16), (64, 32), (128, 32)}


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"image_size": 100}, "multiple of 32"),
        ({"width": 48}, "32 norm groups"),
        ({"attn_sizes": (20,)}, "attn_sizes"),
        ({"ch_mult": ()}, "at least 1"),
        ({"ch_mult": (1, 0)}, "multiples of 32"),
    ],
)
def test_wrong_sizes_are_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        VQConfig(**wrong)
    with pytest.raises(ValueError, match="cft_sizes"):
        CodeFormerConfig(cft_sizes=(33,))
    with pytest.raises(ValueError, match="n_heads"):
        CodeFormerConfig(dim=100, n_heads=8)
