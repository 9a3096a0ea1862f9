import pytest
import torch
import torch.nn.functional as F
from torch import nn

from codeformer_core.networks import winograd
from codeformer_core.networks.blocks import Conv3x3, ResBlock


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setattr(winograd, "_fast_processor", lambda: True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def channels_last(*shape: int) -> torch.Tensor:
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "shape", [(1, 64, 32, 32), (2, 64, 33, 47), (1, 64, 65, 130), (1, 96, 129, 40), (1, 64, 37, 64)]
)
@pytest.mark.parametrize("normed", [False, True])
def test_it_gives_what_the_convolution_gives(shape, normed):
    x, conv, norm = channels_last(*shape), nn.Conv2d(shape[1], 64, 3, padding=1), nn.GroupNorm(32, shape[1], eps=1e-6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    with torch.inference_mode():
        wanted = conv(F.silu(norm(x)) if normed else x)
        assert winograd.pays(x, conv)
        torch.testing.assert_close(winograd.convolve(x, conv, norm if normed else None), wanted, atol=1e-4, rtol=1e-4)
        if shape[1] == 64:
            winograd.convolve(x, conv, norm if normed else None, out=x)
            torch.testing.assert_close(x, wanted, atol=1e-4, rtol=1e-4)


def test_a_block_keeps_its_input_and_gives_the_same(monkeypatch):
    block, x = ResBlock(64, 96).requires_grad_(False), channels_last(2, 64, 40, 40)
    with torch.inference_mode():
        before = x.clone()
        fast = block(x)
        assert torch.equal(x, before)
        monkeypatch.setattr(winograd, "pays", lambda x, conv: False)
        torch.testing.assert_close(fast, block(x), atol=1e-4, rtol=1e-4)


def test_all_else_falls_back():
    conv, x = Conv3x3(64, 64), channels_last(1, 64, 32, 32)
    assert not winograd.pays(x, conv)  # gradients
    with torch.no_grad():
        assert winograd.pays(x, conv)
        assert not winograd.pays(x.contiguous(), conv)
        assert not winograd.pays(x[..., :16], conv)
        assert not winograd.pays(x, nn.Conv2d(64, 64, 3, stride=2, padding=1))
        assert not winograd.pays(x, nn.Conv2d(64, 3, 3, padding=1))
        for dtype in (torch.bfloat16, torch.float16, torch.float64):
            assert not winograd.pays(x.to(dtype), conv.to(dtype))
        conv.float()
        assert not winograd.pays(x.to("meta"), conv)
        with torch.autocast("cpu", torch.bfloat16):
            assert not winograd.pays(x, conv)
        torch.set_num_threads(2)
        assert not winograd.pays(x, conv)
