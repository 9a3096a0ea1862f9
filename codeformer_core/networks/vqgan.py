"""Stage I: the VQ autoencoder, which learns a codebook of face parts (paper, Sec. 3.1)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .blocks import AttnBlock, Downsample, ResBlock, Upsample, group_norm
from .config import VQConfig, vq_config
from .patches import PatchesToPixels, fold, start_without_grid
from .state_dicts import load_strictly, require


class Encoder(nn.Module):
    """A face to features at the codes' size, with the features of the `taps` sizes seen on the way."""

    def __init__(self, config: VQConfig, taps: tuple[int, ...] = ()):
        super().__init__()
        self.patch = config.patch
        blocks: list[nn.Module] = [nn.Conv2d(3 * config.patch**2, config.width, 3, padding=1)]
        self.taps: dict[int, int] = {}  # index of a level's last residual block -> side of its features
        c_in = config.width
        for size, c in zip(config.sizes, config.channels, strict=True):
            for _ in range(config.n_res_blocks):
                blocks.append(ResBlock(c_in, c))
                c_in = c
                if size in config.attn_sizes:
                    blocks.append(AttnBlock(c))
            if size in taps:
                self.taps[len(blocks) - (2 if size in config.attn_sizes else 1)] = size
            if size != config.latent_size:
                blocks.append(Downsample(c))
        blocks += [ResBlock(c_in, c_in), AttnBlock(c_in), ResBlock(c_in, c_in)]
        blocks += [group_norm(c_in), nn.Conv2d(c_in, config.codebook_dim, 3, padding=1)]
        self.blocks = nn.ModuleList(blocks)

    def forward(
        self, x: Tensor
    ) -> tuple[Tensor, dict[int, Tensor]]:  # (b, 3, s, s) -> (b, d, n, n), {size: (b, c, size, size)}
        features = {}
        x = fold(x, self.patch)
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.taps:
                features[self.taps[i]] = x
        return x, features


class Generator(nn.Module):
    """The decoder: code items to a face. `modulate(size, x)` may change the features of each size (CFT)."""

    def __init__(self, config: VQConfig):
        super().__init__()
        c_in = config.channels[-1]
        blocks: list[nn.Module] = [nn.Conv2d(config.codebook_dim, c_in, 3, padding=1)]
        blocks += [ResBlock(c_in, c_in), AttnBlock(c_in), ResBlock(c_in, c_in)]
        self.first_res: dict[int, int] = {}  # index of a level's first residual block -> side of its features
        for size, c in zip(reversed(config.sizes), reversed(config.channels), strict=True):
            self.first_res[len(blocks)] = size
            for _ in range(config.n_res_blocks):
                blocks.append(ResBlock(c_in, c))
                c_in = c
                if size in config.attn_sizes:
                    blocks.append(AttnBlock(c))
            if size != config.sizes[0]:
                blocks.append(Upsample(c))
        blocks += [group_norm(c_in), nn.Conv2d(c_in, 3 * config.patch**2, 3, padding=1)]
        if config.patch > 1:
            blocks += [PatchesToPixels(config.patch), nn.Conv2d(3, 3, 3, padding=1)]
            start_without_grid(blocks[-3], blocks[-1])
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, modulate: Callable[[int, Tensor], Tensor] | None = None) -> Tensor:
        # (b, d, n, n) -> (b, 3, s, s)
        for i, block in enumerate(self.blocks):
            x = block(x)
            if modulate is not None and i in self.first_res:
                x = modulate(self.first_res[i], x)
        return x


@dataclass(frozen=True)
class Quantized:
    """What quantization gives: z_q (b, d, n, n), with the gradient of z; codes (b, n * n), row by row; two scalars."""

    z_q: Tensor
    codes: Tensor
    codebook_loss: Tensor  # Eq. 3
    perplexity: Tensor  # exp of the entropy of the codes in this batch, 1 to K


class VectorQuantizer(nn.Module):
    """Replaces each feature by its nearest code item (Eq. 1)."""

    def __init__(self, codebook_size: int, codebook_dim: int, beta: float):
        super().__init__()
        self.beta = beta
        # A plain nn.Embedding begins with normal_, which on the meta device imports all of torch._dynamo.
        items = torch.empty(codebook_size, codebook_dim).uniform_(-1 / codebook_size, 1 / codebook_size)
        self.embedding = nn.Embedding.from_pretrained(items, freeze=False)

    def nearest(self, z: Tensor) -> Tensor:  # (b, d, n, n) -> (b, n * n)
        """Codes of the nearest items, by Euclidean distance."""
        z = rearrange(z, "b d h w -> b (h w) d")
        codebook = self.embedding.weight
        # |z - e|^2 without |z|^2, which is the same for all items
        return (codebook.square().sum(1) - 2 * z @ codebook.T).argmin(-1)

    def look_up(self, codes: Tensor) -> Tensor:  # (b, n * n) -> (b, d, n, n)
        """The code items themselves, laid out as a square of features."""
        side = round(codes.shape[1] ** 0.5)
        return rearrange(self.embedding(codes), "b (h w) d -> b d h w", h=side)

    def forward(self, z: Tensor) -> Quantized:  # z (b, d, n, n)
        codes = self.nearest(z)
        entries = self.look_up(codes)
        # beta is on the commitment term, as in the paper; the published recipe has it on the other one
        loss = F.mse_loss(entries, z.detach()) + self.beta * F.mse_loss(z, entries.detach())
        share = torch.full(codes.shape, 1 / codes.numel(), device=z.device).flatten()
        usage = torch.zeros(self.embedding.num_embeddings, device=z.device).scatter_add_(0, codes.flatten(), share)
        perplexity = torch.special.entr(usage).sum().exp()
        return Quantized(z + (entries - z).detach(), codes, loss, perplexity)


@dataclass(frozen=True)
class Reconstruction:
    """A face (b, 3, s, s) rebuilt from its codes, the features z (b, d, n, n) before quantization, and the rest."""

    image: Tensor
    z: Tensor
    quantized: Quantized


class VQAutoEncoder(nn.Module):
    """Encoder, codebook, decoder of stage I; parameters are named as in the published VQGAN checkpoint."""

    def __init__(self, config: VQConfig | None = None):
        super().__init__()
        self.config = config or VQConfig()
        self.encoder = Encoder(self.config)
        self.quantize = VectorQuantizer(self.config.codebook_size, self.config.codebook_dim, self.config.beta)
        self.generator = Generator(self.config)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], known: Mapping[str, Any] | None = None) -> "VQAutoEncoder":
        """A network of the sizes that the state dict tells, which then shares its tensors; in eval mode.

        `known` is a saved config for what shapes cannot tell: `image_size` and `beta` (16 x 16 codes, 0.25 without it).
        Raises CheckpointError (a ValueError) for other networks, and for missing, unexpected or misshapen parameters.
        """
        require(state, "VQ autoencoder")
        with torch.device("meta"):
            net = cls(vq_config(state, known))
        load_strictly(net, state, "VQ autoencoder", assign=True)
        return net.eval()

    def forward(self, x: Tensor) -> Reconstruction:  # (b, 3, s, s) in [-1, 1]
        z, _ = self.encoder(x)
        quantized = self.quantize(z)
        return Reconstruction(self.generator(quantized.z_q), z, quantized)
