"""What a network computes in."""

import copy

import pytest
import torch

from codeformer_core import CodeFormer, CodeFormerConfig, VQConfig
from codeformer_core.weights import precision
from codeformer_core.weights.checkpoint import for_inference


@pytest.fixture(scope="module")
def net() -> CodeFormer:
    torch.manual_seed(3)
    vq = VQConfig(image_size=128, width=32, ch_mult=(1, 1, 2, 2), n_res_blocks=1, attn_sizes=(16,), codebook_size=64)
    return CodeFormer(CodeFormerConfig(vq=vq, dim=32, n_heads=4, n_layers=2, mlp_dim=48, cft_sizes=(32, 64, 128)))


@pytest.fixture(scope="module")
def mixed(net) -> CodeFormer:
    return for_inference(copy.deepcopy(net), dtype="mixed")


def psnr(image: torch.Tensor, other: torch.Tensor) -> float:
    return -10 * torch.log10((image.float() - other).square().mean() / 4).item()


@pytest.mark.parametrize("w", [0.0, 0.5, 1.0])
def test_mixed_keeps_every_code_and_comes_near_to_float32(net, mixed, w):
    net = for_inference(copy.deepcopy(net))
    x = torch.rand(2, 3, 128, 128) * 2 - 1
    with torch.inference_mode():
        exact, near = net.predict_codes(x), mixed.predict_codes(x)
        assert torch.equal(exact.codes, near.codes)
        decoded = mixed.decode(near, w)
        assert decoded.dtype == torch.bfloat16
        assert psnr(decoded, net.decode(exact, w)) > 40


def test_only_what_is_large_is_in_half_precision(mixed):
    halves = {name for name, tensor in mixed.named_parameters() if tensor.dtype == torch.bfloat16}
    assert {name.split(".")[0] for name in halves} == {"generator", "fuse_convs_dict"}
    assert {name.split(".")[1] for name in halves if name.startswith("fuse")} == {"64", "128"}
    assert mixed.generator.blocks[0].weight.dtype == torch.float32
    assert precision.named(mixed) == "mixed"


def test_masks_of_weights_work_in_mixed_precision(mixed, net):
    from codeformer_core.networks.cft import CFTWeights

    x, mask = torch.rand(1, 3, 128, 128) * 2 - 1, torch.zeros(1, 1, 128, 128)
    mask[..., :64] = 1
    weights = CFTWeights(w={32: 0.3, 128: 1.0}, mask=mask, outside=0.2)
    with torch.inference_mode():
        assert psnr(mixed.restore(x, weights), for_inference(copy.deepcopy(net)).restore(x, weights)) > 40


def test_auto_is_mixed_only_on_processors_that_multiply_bfloat16(tmp_path, monkeypatch, caplog):
    for flags, wanted in (("fpu avx2", torch.float32), ("fpu avx512f avx512_bf16", "mixed"), ("amx_bf16", "mixed")):
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"model name\t: X\nflags\t\t: {flags}\n")
        known = precision.multiplies_bfloat16
        with monkeypatch.context() as patched:
            patched.setattr(precision, "multiplies_bfloat16", lambda path=cpuinfo, known=known: known(path))
            assert precision.numbers_for("auto", "cpu") == wanted
            assert precision.numbers_for("auto", "cuda") == torch.float32
            assert precision.numbers_for("mixed", "cpu") == "mixed"
    assert caplog.messages == ["this processor does not multiply bfloat16: mixed is slower here than float32"]
    assert precision.multiplies_bfloat16(tmp_path / "none") is None
    assert precision.numbers_for("bfloat16", "cpu") == torch.bfloat16
    with pytest.raises(ValueError, match="precision is one of"):
        precision.numbers_for("int8", "cpu")


def test_other_networks_have_no_mixed_precision():
    with pytest.raises(ValueError, match="for CodeFormer"):
        precision.mix(torch.nn.Linear(2, 2))
