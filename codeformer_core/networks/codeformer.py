"""Stages II and III: code prediction by a transformer, and decoding with CFT (paper, Sec. 3.2 and 3.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .cft import CFTWeights, FuseBlock, Weight
from .config import CodeFormerConfig, codeformer_config
from .gate import InputGate
from .lookup import LOOKUPS
from .state_dicts import load_strictly, require
from .vqgan import Encoder, Generator, VectorQuantizer


class SelfAttention(nn.Module):
    """Multi-head self-attention; the position embedding is added to queries and keys, not to values."""

    def __init__(self, dim: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:  # (b, n, d), (n, d) -> (b, n, d)
        d = x.shape[-1]
        qk = F.linear(x + position, self.in_proj_weight[: 2 * d], self.in_proj_bias[: 2 * d])
        v = F.linear(x, self.in_proj_weight[2 * d :], self.in_proj_bias[2 * d :])
        q, k, v = (rearrange(t, "b n (h d) -> b h n d", h=self.n_heads) for t in (*qk.chunk(2, -1), v))
        h = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(rearrange(h, "b h n d -> b n (h d)"))


class TransformerLayer(nn.Module):
    """Pre-norm attention and MLP, each plus its input."""

    def __init__(self, dim: int, n_heads: int, mlp_dim: int):
        super().__init__()
        self.self_attn = SelfAttention(dim, n_heads)
        self.linear1 = nn.Linear(dim, mlp_dim)
        self.linear2 = nn.Linear(mlp_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:  # (b, n, d), (n, d) -> (b, n, d)
        x = x + self.self_attn(self.norm1(x), position)
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x))))


@dataclass(frozen=True)
class CodePrediction:
    """What the transformer says of a batch of faces, and what decoding needs besides."""

    logits: Tensor  # (b, n, K), before softmax, places row by row
    codes: Tensor  # (b, n), the most likely code item of each place
    features: Tensor  # (b, d, h, w), the encoder's output
    cft_features: dict[int, Tensor]  # {size: (b, c, size, size)}, the encoder's, for CFT; of the face's size lq itself

    @property
    def confidence(self) -> Tensor:
        """(b, n): the probability of each chosen code, in [0, 1]."""
        return self.logits.float().softmax(-1).amax(-1)


class CodeFormer(nn.Module):
    """The face restorer; parameters are named as in the published checkpoints."""

    def __init__(self, config: CodeFormerConfig | None = None):
        super().__init__()
        self.config = config = config or CodeFormerConfig()
        vq = config.vq
        channels = dict(zip(vq.sizes, vq.channels, strict=True))
        self.encoder = Encoder(vq, taps=(*config.cft_sizes, *config.seen_sizes))
        self.quantize = VectorQuantizer(vq.codebook_size, vq.codebook_dim, vq.beta)
        self.generator = Generator(vq)
        if config.lookup == "transformer":
            self._add_transformer(channels)
        else:
            self.ft_layers = nn.ModuleList()
            self.lookup = LOOKUPS[config.lookup](vq)
        self.fuse_convs_dict = nn.ModuleDict({str(size): FuseBlock(channels[size]) for size in config.cft_sizes})
        if config.gate:
            self.gate = InputGate(config.gate)

    def _add_transformer(self, channels: Mapping[int, int]) -> None:
        config, vq = self.config, self.config.vq
        self.position_emb = nn.Parameter(torch.zeros(vq.latent_size**2, config.dim))
        self.feat_emb = nn.Linear(vq.codebook_dim, config.dim)
        self.ft_layers = nn.ModuleList(
            TransformerLayer(config.dim, config.n_heads, config.mlp_dim) for _ in range(config.n_layers)
        )
        self.idx_pred_layer = nn.Sequential(
            nn.LayerNorm(config.dim), nn.Linear(config.dim, vq.codebook_size, bias=False)
        )
        self.seen_embs = nn.ModuleDict(
            {
                str(size): nn.Conv2d(channels[size] * (size // vq.latent_size) ** 2, config.dim, 1)
                for size in config.seen_sizes
            }
        )

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], known: Mapping[str, Any] | None = None) -> "CodeFormer":
        """A network of the sizes that the state dict tells, which then shares its tensors; in eval mode.

        `known` is a saved config for what shapes cannot tell: `n_heads` (64 channels a head without it).
        Raises CheckpointError (a ValueError) for other networks, and for missing, unexpected or misshapen parameters.
        """
        require(state, "CodeFormer")
        with torch.device("meta"):
            net = cls(codeformer_config(state, known))
        load_strictly(net, state, "CodeFormer", assign=True)
        return net.eval()

    def predict_codes(self, lq: Tensor) -> CodePrediction:
        """The code sequence of the clean face behind each degraded one (Eq. 4).

        `lq` is (b, 3, s, s), RGB in [-1, 1], with s = `config.vq.image_size`.
        """
        size = self.config.vq.image_size
        if lq.ndim != 4 or lq.shape[1:] != (3, size, size):
            raise ValueError(f"this network takes faces of (b, 3, {size}, {size}), got {tuple(lq.shape)}")
        features, tapped = self.encoder(lq)
        if self.config.lookup == "transformer":
            logits = self._transform(features, tapped)
        else:
            logits = self.lookup.logits(features, self.quantize.embedding.weight)
        cft_features = {size: tapped[size] for size in tapped if size in self.config.cft_sizes}
        if self.config.gate:
            cft_features[lq.shape[-1]] = lq
        return CodePrediction(logits, logits.argmax(-1), features, cft_features)

    def _transform(self, features: Tensor, tapped: Mapping[int, Tensor]) -> Tensor:
        # (b, d, n, n), {size: (b, c, size, size)} -> (b, n * n, K)
        x = self.feat_emb(rearrange(features, "b d h w -> b (h w) d"))
        for size, embed in self.seen_embs.items():
            squares = F.pixel_unshuffle(tapped[int(size)], int(size) // self.config.vq.latent_size)
            x = x + rearrange(embed(squares), "b d h w -> b (h w) d")
        for layer in self.ft_layers:
            x = layer(x, self.position_emb)
        return self.idx_pred_layer(x)

    def decode(self, prediction: CodePrediction, w: Weight | CFTWeights = 0.5, adain: bool = True) -> Tensor:
        """Faces (b, 3, s, s) from predicted codes, not clamped; one prediction serves any number of w."""
        weights = w if isinstance(w, CFTWeights) else CFTWeights(w=w)
        if isinstance(weights.w, Mapping) and not set(weights.w) <= set(self.config.cft_sizes):
            raise ValueError(f"this network has CFT at {self.config.cft_sizes}, w was given for {sorted(weights.w)}")
        for weight in weights.tensors():
            if weight.shape[0] not in (1, len(prediction.codes)):
                raise ValueError(f"w has {weight.shape[0]} values for {len(prediction.codes)} faces; give one for each")
        z_q = prediction.features if self.config.lookup == "none" else self.quantize.look_up(prediction.codes)
        if adain:
            z_q = adaptive_instance_norm(z_q, prediction.features)

        def modulate(size: int, dec: Tensor) -> Tensor:
            enc = prediction.cft_features.get(size)
            return dec if enc is None else _tuned(self.fuse_convs_dict[str(size)], enc, dec, weights.at(size))

        restored = self.generator(z_q, modulate)
        if self.config.gate:
            side = self.config.vq.image_size
            lq, w_here = prediction.cft_features[side], weights.at(max(self.config.cft_sizes), side)
            restored = _tuned(self.gate, lq, restored.to(lq), w_here)
        return restored

    def restore(self, lq: Tensor, w: Weight | CFTWeights = 0.5, adain: bool = True) -> Tensor:
        """Restored faces (b, 3, s, s), not clamped, of `lq` (b, 3, s, s), RGB in [-1, 1].

        `w` in [0, 1] is the fidelity weight: a float, a tensor (b,) or `CFTWeights`; 0 skips the CFT blocks and is the
        pure codebook result. `adain` keeps the input's colours; inpainting does without.
        """
        return self.decode(self.predict_codes(lq), w, adain)

    forward = restore


def _tuned(block: nn.Module, enc: Tensor, dec: Tensor, w: Weight) -> Tensor:
    if isinstance(w, Tensor):
        return block(enc, dec, w.to(dec))
    return block(enc, dec, w) if w > 0 else dec


def adaptive_instance_norm(content: Tensor, style: Tensor) -> Tensor:
    """`content` (b, c, h, w) with each channel's mean and std of `style` (unbiased variance, eps 1e-5)."""
    c_var, c_mean = torch.var_mean(content.float(), (2, 3), keepdim=True)  # float16 cannot hold every ratio
    s_var, s_mean = torch.var_mean(style.float(), (2, 3), keepdim=True)
    return ((content - c_mean) * ((s_var + 1e-5) / (c_var + 1e-5)).sqrt() + s_mean).to(content)
