"""Small networks and pictures that many tests share."""

import numpy as np
import pytest
import torch

from codeformer_core import CodeFormer, CodeFormerConfig, VQConfig

torch.set_num_threads(2)


@pytest.fixture(scope="session")
def tiny_config() -> CodeFormerConfig:
    """A 64 px network with three levels and CFT on two of them."""
    vq = VQConfig(
        image_size=64, width=32, ch_mult=(1, 1, 2), n_res_blocks=1, attn_sizes=(16,), codebook_size=24, codebook_dim=16
    )
    return CodeFormerConfig(vq=vq, dim=32, n_heads=4, n_layers=2, mlp_dim=48, cft_sizes=(32, 64))


@pytest.fixture(scope="session")
def tiny_net(tiny_config: CodeFormerConfig) -> CodeFormer:
    torch.manual_seed(0)
    return CodeFormer(tiny_config).eval().requires_grad_(False)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
