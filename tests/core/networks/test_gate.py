from dataclasses import replace

import pytest
import torch
from torch import nn

from codeformer_core import CFTWeights, CodeFormer, CodeFormerConfig, VQConfig, load_codeformer
from codeformer_core.networks.config import DOWNSCALE, codeformer_config
from codeformer_core.networks.gate import LEVELS, PATCH, InputGate
from codeformer_core.weights.checkpoint import save_checkpoint
from codeformer_core.weights.precision import mix

GATED = CodeFormerConfig(
    vq=VQConfig(
        image_size=64, patch=2, width=32, ch_mult=(1, 2), n_res_blocks=1, attn_sizes=(), codebook_size=24,
        codebook_dim=16,
    ),
    dim=32, n_heads=4, n_layers=1, mlp_dim=48, cft_sizes=(16, 32), gate=8,
)  # fmt: skip


def opened(gate: InputGate, bias: float) -> InputGate:
    """Every share the sigmoid of `bias`."""
    for share in gate.shares:
        assert isinstance(share, nn.Conv2d)
        assert share.bias is not None
        nn.init.zeros_(share.weight)
        nn.init.constant_(share.bias, bias)
    return gate


@pytest.fixture
def net() -> CodeFormer:
    torch.manual_seed(0)
    return CodeFormer(GATED).eval()


@pytest.fixture
def lq() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.inference_mode()
def test_open_it_gives_the_input_and_closed_the_restored_face():
    lq, restored = torch.rand(2, 2, 3, 128, 128)
    gate = opened(InputGate(8), 40.0)
    torch.testing.assert_close(gate(lq, restored, 1.0), lq)
    torch.testing.assert_close(gate(lq, restored, 0.25), 0.25 * lq + 0.75 * restored)
    torch.testing.assert_close(opened(gate, -40.0)(lq, restored, 1.0), restored)


@torch.inference_mode()
def test_each_band_has_a_share_of_its_own_for_light_and_for_colours():
    lq, restored = torch.rand(2, 1, 3, 128, 128)
    gate = opened(InputGate(8), -40.0)
    coarsest = gate.shares[0]
    assert isinstance(coarsest, nn.Conv2d)
    assert coarsest.bias is not None
    coarsest.bias[1] = 40.0  # the colours of the largest areas
    change = gate(lq, restored, 1.0) - restored
    assert change.abs().max() > 1e-3
    torch.testing.assert_close(change.mean(1), torch.zeros(1, 128, 128))
    means = nn.functional.avg_pool2d(lq - restored, 2 ** (len(gate.shares) - 1))
    torch.testing.assert_close(
        change, nn.functional.interpolate(means - means.mean(1, keepdim=True), (128, 128), mode="bilinear"),
        atol=0.03, rtol=0,  # enlarged in one step, not in five
    )  # fmt: skip


@torch.inference_mode()
def test_at_w_0_and_where_a_mask_is_black_it_changes_nothing(net, lq):
    opened(net.gate, 40.0)
    without = CodeFormer(replace(GATED, gate=0)).eval()
    without.load_state_dict({name: t for name, t in net.state_dict().items() if not name.startswith("gate.")})
    assert torch.equal(net.restore(lq, 0.0), without.restore(lq, 0.0))
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :32] = 1
    weights = CFTWeights(w=1.0, mask=mask)
    restored = net.restore(lq, weights)
    torch.testing.assert_close(restored[..., :32], lq[..., :32])
    torch.testing.assert_close(restored[..., 32:], without.restore(lq, weights)[..., 32:])


@torch.inference_mode()
def test_its_weight_is_that_of_the_finest_scale(net, lq):
    opened(net.gate, 40.0)
    prediction = net.predict_codes(lq)
    torch.testing.assert_close(net.decode(prediction, CFTWeights(w={32: 1.0})), lq)
    assert not torch.allclose(net.decode(prediction, CFTWeights(w={16: 1.0})), lq, atol=0.1)
    each = net.decode(prediction, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(each[1], lq[1])
    torch.testing.assert_close(each[0], net.decode(prediction, 0.0)[0])


def test_it_is_told_from_the_state_dict(net, tmp_path):
    assert codeformer_config(net.state_dict(), {"n_heads": 4}) == GATED
    path = tmp_path / "gated.safetensors"
    save_checkpoint(path, net.state_dict(), net.config)
    assert load_codeformer(path).config == GATED


@torch.inference_mode()
def test_in_mixed_precision_the_input_is_not_rounded(net, lq):
    opened(net.gate, 40.0)
    mix(net)
    torch.testing.assert_close(net.restore(lq, 1.0), lq, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "wrong", [{"cft_sizes": ()}, {"vq": replace(GATED.vq, image_size=80), "cft_sizes": (20, 40)},
              {"vq": replace(GATED.vq, patch=1, image_size=32)}],
)  # fmt: skip
def test_faces_that_it_cannot_be_for_are_refused(wrong):
    with pytest.raises(ValueError, match="a gate is for faces of a multiple of 32 px"):
        replace(GATED, **wrong)


def test_its_smallest_features_are_those_that_the_configuration_allows_for():
    assert DOWNSCALE == PATCH * 2 ** (LEVELS - 1)
