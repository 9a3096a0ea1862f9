from dataclasses import replace

import pytest
import torch

from codeformer_core import CodeFormer, CodeFormerConfig, VQAutoEncoder, VQConfig, load_codeformer
from codeformer_core.networks.config import codeformer_config
from codeformer_core.networks.patches import fold, haar_basis, unfold
from codeformer_core.weights.checkpoint import save_checkpoint

PATCHED = CodeFormerConfig(
    vq=VQConfig(
        image_size=64, patch=4, width=32, ch_mult=(1, 2), n_res_blocks=1, attn_sizes=(), codebook_size=24,
        codebook_dim=16,
    ),
    dim=32, n_heads=4, n_layers=1, mlp_dim=48, cft_sizes=(8, 16),
)  # fmt: skip


@pytest.mark.parametrize("patch", [1, 2, 4, 8])
def test_unfolding_is_the_inverse_of_folding(patch):
    basis = haar_basis(patch).flatten(1)
    torch.testing.assert_close(basis @ basis.T, torch.eye(patch**2))
    x = torch.randn(2, 3, 16, 16)
    folded = fold(x, patch)
    assert folded.shape == (2, 3 * patch**2, 16 // patch, 16 // patch)
    torch.testing.assert_close(unfold(folded, patch), x)
    torch.testing.assert_close(folded.square().sum(), x.square().sum())


def test_the_first_three_channels_are_the_colours_of_the_squares():
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(fold(x, 4)[:, :3] / 4, torch.nn.functional.avg_pool2d(x, 4))


def test_a_patched_network_has_features_of_the_folded_size():
    vq = PATCHED.vq
    assert (vq.sizes, vq.latent_size, vq.downscale) == ((16, 8), 8, 8)
    net = CodeFormer(PATCHED).eval()
    lq = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        prediction = net.predict_codes(lq)
        assert {size: f.shape[-1] for size, f in prediction.cft_features.items()} == {8: 8, 16: 16}
        assert net.decode(prediction, 1.0).shape == lq.shape
        assert not torch.allclose(net.decode(prediction, 1.0), net.decode(prediction, 0.0))
    VQAutoEncoder(vq)(lq).image.sum().backward()  # the kernel that inference has made serves training too


def test_a_fresh_decoder_paints_squares_of_one_colour():
    with torch.inference_mode():
        image = VQAutoEncoder(PATCHED.vq).eval()(torch.randn(1, 3, 64, 64)).image
    squares = torch.nn.functional.avg_pool2d(image, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(image, squares)


def test_the_patch_is_told_from_the_state_dict(tmp_path):
    net = CodeFormer(PATCHED).eval()
    assert codeformer_config(net.state_dict(), {"n_heads": 4}) == PATCHED
    plain = CodeFormer(replace(PATCHED, vq=replace(PATCHED.vq, patch=1, image_size=16))).state_dict()
    extra = f"generator.blocks.{len(net.generator.blocks) - 1}."
    assert set(net.state_dict()) - set(plain) == {f"{extra}weight", f"{extra}bias"}
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, net.state_dict(), PATCHED)
    lq = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(load_codeformer(path).restore(lq, 1.0), net.restore(lq, 1.0))


@pytest.mark.parametrize("patch", [0, 3])
def test_patches_that_are_no_power_of_two_are_refused(patch):
    with pytest.raises(ValueError, match="power of two"):
        VQConfig(patch=patch)
