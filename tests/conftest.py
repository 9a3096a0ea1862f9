"""Small networks and pictures that many tests share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from codeformer_core import CodeFormer, CodeFormerConfig, CodePrediction, Face, VQConfig
from codeformer_core.pasting.alignment import template

torch.set_num_threads(1)  # on networks this small several threads only wait for each other


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
    net = CodeFormer(tiny_config).eval().requires_grad_(False)
    net.get_parameter("idx_pred_layer.1.weight").mul_(5)  # random, but sure of its codes: no face is doubted
    return net


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


class IdentityNet(torch.nn.Module):
    """Stands in for CodeFormer at 128 px and gives each face back as it is; `change` may be put in between."""

    def __init__(self):
        super().__init__()
        vq = VQConfig(image_size=128, width=32, ch_mult=(1, 1, 2), attn_sizes=(32,))
        self.config = CodeFormerConfig(vq=vq, cft_sizes=(32, 64))
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.batches: list[int] = []

    def change(self, faces: torch.Tensor) -> torch.Tensor:
        return faces

    def predict_codes(self, lq: torch.Tensor) -> CodePrediction:
        self.batches.append(len(lq))
        logits = torch.zeros(len(lq), 4, 8)
        return CodePrediction(logits, logits.argmax(-1), lq, {})

    def decode(self, prediction: CodePrediction, w, adain: bool = True) -> torch.Tensor:
        return self.change(prediction.features)


@pytest.fixture
def identity_net() -> Any:
    return IdentityNet()


@pytest.fixture(scope="session")
def face_at() -> Callable[..., Face]:
    """`face_at(x, y, side, angle=0)`: its crop is `side` px wide, turned (radians), its middle at x, y."""

    def place(x: float, y: float, side: float, angle: float = 0.0) -> Face:
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        landmarks = ((template(512) - 255.5) * (side / 512)) @ turn.T + (x, y)
        box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
        return Face(box=box, landmarks=landmarks, score=0.9)

    return place
