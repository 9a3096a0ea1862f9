"""Networks of the paper's ablations (Tables 3 and 7) that the core, which loads what is in use, does not have."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from codeformer_core.networks.blocks import ResBlock
from codeformer_core.networks.codeformer import CodeFormer, CodePrediction
from codeformer_core.networks.config import CodeFormerConfig

from ..precision import exact_distances
from ..presets import TrainConfig


def build_codeformer(config: TrainConfig, sizes: CodeFormerConfig) -> CodeFormer:
    """The code predictor that a run trains: the core's, or an ablation's."""
    if config.prediction == "nearest":
        return NearestCodeFormer(sizes)
    if config.prediction == "cnn":
        return ConvCodeFormer(sizes)
    return MultiScaleCodeFormer(sizes) if config.multi_scale else CodeFormer(sizes)


class NearestCodeFormer(CodeFormer):
    """Codes are those of the nearest items to the encoder's features (Table 3 (b)); the transformer is not used."""

    def predict_codes(self, lq: Tensor) -> CodePrediction:
        features, cft_features = self.encoder(lq)
        with exact_distances(features.device):
            z = rearrange(features.float(), "b d h w -> b (h w) d")
            logits = -torch.cdist(z, self.quantize.embedding.weight).square()
        return CodePrediction(logits, logits.argmax(-1), features, cft_features)


class ConvCodeFormer(CodeFormer):
    """Residual blocks of convolutions predict the codes (Table 3 (c)), as many as there would be layers."""

    def __init__(self, config: CodeFormerConfig):
        super().__init__(config)
        self.ft_layers = nn.ModuleList(ResBlock(config.dim, config.dim) for _ in range(config.n_layers))

    def predict_codes(self, lq: Tensor) -> CodePrediction:
        features, cft_features = self.encoder(lq)
        side = features.shape[-1]
        x = self.feat_emb(rearrange(features, "b d h w -> b (h w) d")) + self.position_emb
        x = rearrange(x, "b (h w) d -> b d h w", h=side)
        for block in self.ft_layers:
            x = block(x)
        logits = self.idx_pred_layer(rearrange(x, "b d h w -> b (h w) d"))
        return CodePrediction(logits, logits.argmax(-1), features, cft_features)


class MultiScaleCodeFormer(CodeFormer):
    """The transformer sees the encoder's next finer features besides the last ones (Table 7)."""

    def __init__(self, config: CodeFormerConfig):
        super().__init__(config)
        self.finer = config.vq.sizes[-2]
        self.encoder.taps |= dict.fromkeys(self._last_res(self.finer), self.finer)
        self.finer_emb = nn.Linear(4 * config.vq.channels[-2], config.dim)

    def _last_res(self, size: int) -> list[int]:
        side, found = self.config.vq.sizes[0], []
        for i, block in enumerate(self.encoder.blocks):
            if isinstance(block, ResBlock) and side == size:
                found.append(i)
            side //= 2 if type(block).__name__ == "Downsample" else 1
        return found[-1:]

    def predict_codes(self, lq: Tensor) -> CodePrediction:
        features, cft_features = self.encoder(lq)
        x = self.feat_emb(rearrange(features, "b d h w -> b (h w) d"))
        x = x + self.finer_emb(rearrange(F.pixel_unshuffle(cft_features[self.finer], 2), "b d h w -> b (h w) d"))
        for layer in self.ft_layers:
            x = layer(x, self.position_emb)
        logits = self.idx_pred_layer(x)
        used = {size: f for size, f in cft_features.items() if size in self.config.cft_sizes}
        return CodePrediction(logits, logits.argmax(-1), features, used)
