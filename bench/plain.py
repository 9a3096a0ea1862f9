"""The baseline of the network's bench: the same network in plain eager style, NCHW, nothing merged or in place."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeformer_core.networks.blocks import AttnBlock, ResBlock, Upsample
from codeformer_core.networks.cft import FuseBlock
from codeformer_core.networks.codeformer import CodeFormer


def plain(net: CodeFormer) -> CodeFormer:
    """A copy with contiguous weights, its blocks computed one step after another as the paper's figures draw them."""
    net = copy.deepcopy(net).to(memory_format=torch.contiguous_format)
    forwards = {ResBlock: _res_block, AttnBlock: _attn_block, Upsample: _upsample, FuseBlock: _fuse_block}
    for module in net.modules():
        if type(module) in forwards:
            module.forward = forwards[type(module)].__get__(module)
    return net


def _res_block(self: ResBlock, x: Tensor) -> Tensor:
    h = self.conv1(F.silu(self.norm1(x)))
    h = self.conv2(F.silu(self.norm2(h)))
    if hasattr(self, "conv_out"):
        x = self.conv_out(x)
    return x + h


def _attn_block(self: AttnBlock, x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    y = self.norm(x)
    q = self.q(y).reshape(b, c, h * w).permute(0, 2, 1)
    k = self.k(y).reshape(b, c, h * w)
    v = self.v(y).reshape(b, c, h * w)
    attention = (torch.bmm(q, k) * c**-0.5).softmax(2).permute(0, 2, 1)
    return x + self.proj_out(torch.bmm(v, attention).reshape(b, c, h, w))


def _upsample(self: Upsample, x: Tensor) -> Tensor:
    return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def _fuse_block(self: FuseBlock, enc: Tensor, dec: Tensor, w: float) -> Tensor:
    def branch(layers: nn.Module, h: Tensor) -> Tensor:
        first, _, last = layers.children()
        return last(F.leaky_relu(first(h), 0.2))

    h = self.encode_enc(torch.cat([enc, dec], dim=1))
    return dec + w * (dec * branch(self.scale, h) + branch(self.shift, h))
