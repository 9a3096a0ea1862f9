"""Sizes of the networks: frozen dataclasses, the published presets, and reading them back from a state dict."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from torch import Tensor

from .state_dicts import CheckpointError

DOWNSCALE = 32  # of a face to the smallest features of the gate
Lookup = Literal["transformer", "linear", "nearest", "none"]


@dataclass(frozen=True, kw_only=True)
class VQConfig:
    """The VQ autoencoder of stage I (paper, Sec. 3.1). The defaults are the published 512 px network."""

    image_size: int = 512  # side of a face, px
    patch: int = 1  # squares of patch x patch pixels become channels before the encoder, and pixels after the decoder
    width: int = 64  # channels of the first level; every level has width * ch_mult of them
    ch_mult: tuple[int, ...] = (1, 2, 2, 4, 4, 8)  # one entry per level, each level halves the side
    n_res_blocks: int = 2  # residual blocks per level
    attn_sizes: tuple[int, ...] = (16,)  # sides at which each residual block is followed by attention
    codebook_size: int = 1024  # K, the number of code items
    codebook_dim: int = 256  # d, the length of a code item
    beta: float = 0.25  # weight of the commitment term, as in the paper (Eq. 3); see StageConfig.beta_on of training

    def __post_init__(self):
        object.__setattr__(self, "ch_mult", tuple(self.ch_mult))
        object.__setattr__(self, "attn_sizes", tuple(self.attn_sizes))
        if not self.ch_mult or self.n_res_blocks < 1 or self.codebook_size < 1 or self.codebook_dim < 1:
            raise ValueError(f"every size of a network is at least 1, got {self}")
        if self.patch < 1 or self.patch & (self.patch - 1):
            raise ValueError(f"patch is a power of two, got {self.patch}")
        if self.image_size < 1 or self.image_size % self.downscale:
            raise ValueError(f"image_size must be a multiple of {self.downscale}, got {self.image_size}")
        if any(self.width * m < 1 or self.width * m % 32 for m in self.ch_mult):
            raise ValueError(f"width * ch_mult must be multiples of 32 norm groups, got {self.width} * {self.ch_mult}")
        if not set(self.attn_sizes) <= set(self.sizes):
            raise ValueError(f"attn_sizes must be among the sides {self.sizes}, got {self.attn_sizes}")

    @property
    def downscale(self) -> int:
        """Pixels per code, in each direction."""
        return self.patch * 2 ** (len(self.ch_mult) - 1)

    @property
    def latent_size(self) -> int:
        """Codes per row of a face."""
        return self.image_size // self.downscale

    @property
    def sizes(self) -> tuple[int, ...]:
        """Side of each level's features, from the largest (the face's over `patch`) to the codes'."""
        return tuple(self.image_size // self.patch >> level for level in range(len(self.ch_mult)))

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each level's features, in the order of `sizes`."""
        return tuple(self.width * m for m in self.ch_mult)


@dataclass(frozen=True, kw_only=True)
class CodeFormerConfig:
    """The whole network of stage III (paper, Sec. 3.2-3.3). The defaults are the published restoration network."""

    vq: VQConfig = field(default_factory=VQConfig)
    dim: int = 512  # transformer width
    n_heads: int = 8
    n_layers: int = 9
    mlp_dim: int = 1024
    cft_sizes: tuple[int, ...] = (32, 64, 128, 256)  # sides at which CFT blocks stand; none after stage II
    lookup: Lookup = "transformer"  # how codes are found; the others are the paper's ablations, without a transformer
    seen_sizes: tuple[int, ...] = ()  # sides of finer encoder features that the transformer sees too (Table 7)
    gate: int = 0  # channels of the gate that lets clean pixels of the input through; 0: none, as in the paper

    def __post_init__(self):
        if isinstance(self.vq, Mapping):
            object.__setattr__(self, "vq", VQConfig(**self.vq))
        object.__setattr__(self, "cft_sizes", tuple(self.cft_sizes))
        object.__setattr__(self, "seen_sizes", tuple(self.seen_sizes))
        if min(self.dim, self.n_heads, self.n_layers, self.mlp_dim) < 1 or self.dim % self.n_heads:
            raise ValueError(f"dim must be a multiple of n_heads, got {self.dim} and {self.n_heads}")
        if not set(self.cft_sizes) <= set(self.vq.sizes):
            raise ValueError(f"cft_sizes must be among the sides {self.vq.sizes}, got {self.cft_sizes}")
        if self.gate and (self.vq.image_size in self.cft_sizes or not self.cft_sizes or self.vq.image_size % DOWNSCALE):
            raise ValueError(
                f"a gate is for faces of a multiple of {DOWNSCALE} px with CFT at smaller sizes, got "
                f"{self.vq.image_size} px and {self.cft_sizes}"
            )
        if self.lookup not in get_args(Lookup):
            raise ValueError(f"lookup is one of {', '.join(get_args(Lookup))}, got {self.lookup!r}")
        if not set(self.seen_sizes) <= set(self.vq.sizes[:-1]) or (self.seen_sizes and self.lookup != "transformer"):
            raise ValueError(
                f"seen_sizes are among the sides {self.vq.sizes[:-1]}, for the transformer, got {self.seen_sizes}"
            )

    @property
    def without_cft(self) -> "CodeFormerConfig":
        """The network of stage II."""
        return replace(self, cft_sizes=(), gate=0)


UNTOLD = (LookupError, ValueError, TypeError, ArithmeticError)  # of sizes that make no sense

RESTORATION = CodeFormerConfig()
INPAINTING = CodeFormerConfig(vq=VQConfig(codebook_size=512), cft_sizes=(32, 64, 128))
COLORIZATION = CodeFormerConfig(cft_sizes=(32, 64, 128))


def config_to_json(config: VQConfig | CodeFormerConfig) -> str:
    """The config as a JSON object, for the metadata of a safetensors file."""
    return json.dumps(asdict(config))


def vq_config(state: Mapping[str, Tensor], known: Mapping[str, Any] | None = None) -> VQConfig:
    """The sizes of the autoencoder that a state dict holds.

    `known` gives what shapes cannot tell (`beta`, and `image_size` where there is no position embedding); without it
    the published values are taken: beta 0.25 and 16 x 16 codes. CheckpointError if parameters that tell are missing.
    """
    try:
        return _vq_config(state, known or {})
    except UNTOLD as error:
        raise CheckpointError(f"its sizes cannot be told ({error!r}); is the checkpoint whole?") from error


def _vq_config(state: Mapping[str, Tensor], known: Mapping[str, Any]) -> VQConfig:
    kinds = _block_kinds(state, "encoder.blocks.")
    downs = [i for i, kind in enumerate(kinds) if kind == "down"]
    width, c_in = state["encoder.blocks.0.weight"].shape[:2]
    patch = math.isqrt(c_in // 3)
    levels = [kinds[a + 1 : b] for a, b in zip([0, *downs], [*downs, len(kinds) - 5], strict=True)]  # 5: middle and end
    last_res = [b - 1 - (kinds[b - 1] == "attn") for b in [*downs, len(kinds) - 5]]
    tokens = state["position_emb"].shape[0] if "position_emb" in state else 0
    if len({blocks.count("res") for blocks in levels}) != 1:  # else a few names would ask for any number of blocks
        raise ValueError("levels of different numbers of residual blocks")
    downscale = patch * 2 ** len(downs)
    image_size = math.isqrt(tokens) * downscale or known.get("image_size", 16 * downscale)
    codebook_size, codebook_dim = state["quantize.embedding.weight"].shape
    return VQConfig(
        image_size=image_size,
        patch=patch,
        width=width,
        ch_mult=tuple(state[f"encoder.blocks.{i}.conv2.weight"].shape[0] // width for i in last_res),
        n_res_blocks=levels[0].count("res"),
        attn_sizes=tuple(image_size // patch >> level for level, blocks in enumerate(levels) if "attn" in blocks),
        codebook_size=codebook_size,
        codebook_dim=codebook_dim,
        beta=known.get("beta", 0.25),
    )


def codeformer_config(state: Mapping[str, Tensor], known: Mapping[str, Any] | None = None) -> CodeFormerConfig:
    """The sizes of the CodeFormer that a state dict holds.

    `known` is a saved config for what shapes cannot tell: `n_heads` (64 channels a head without it) and those of `vq`.
    """
    known, lookup = known or {}, _other_lookup(state)
    if lookup is None and "ft_layers.0.linear1.weight" not in state:
        raise CheckpointError("the transformer's parameters (ft_layers.0...) are missing; is the checkpoint whole?")
    if lookup is None and state["position_emb"].ndim != 2:
        shape = tuple(state["position_emb"].shape)
        raise CheckpointError(f"position_emb is {shape}, expected (codes, channels); is the checkpoint whole?")
    try:
        cft = {int(name.split(".")[1]) for name in state if name.startswith("fuse_convs_dict.")}
        gate = len(state["gate.first.bias"]) if "gate.first.bias" in state else 0
        if lookup is not None:
            sizes = {name: known[name] for name in ("dim", "n_heads", "n_layers", "mlp_dim") if name in known}
            vq = vq_config(state, known.get("vq"))
            return CodeFormerConfig(vq=vq, cft_sizes=tuple(sorted(cft)), lookup=lookup, gate=gate, **sizes)
        dim = state["position_emb"].shape[1]
        layers = {int(name.split(".")[1]) for name in state if name.startswith("ft_layers.")}
        if layers != set(range(len(layers))):
            raise ValueError(f"layers {min(layers)} to {max(layers)}, but {len(layers)} of them")
        return CodeFormerConfig(
            vq=vq_config(state, known.get("vq")),
            dim=dim,
            n_heads=known.get("n_heads", max(dim // 64, 1)),
            n_layers=len(layers),
            mlp_dim=state["ft_layers.0.linear1.weight"].shape[0],
            cft_sizes=tuple(sorted(cft)),
            seen_sizes=tuple(sorted({int(name.split(".")[1]) for name in state if name.startswith("seen_embs.")})),
            gate=gate,
        )
    except CheckpointError:
        raise
    except UNTOLD as error:
        raise CheckpointError(f"its sizes do not fit together ({error}); is the checkpoint whole?") from error


def _other_lookup(state: Mapping[str, Tensor]) -> Lookup | None:
    """Which ablation a state dict is of, told by the one part that only it has."""
    names: dict[str, Lookup] = {"lookup.weight": "linear", "lookup.nearest": "nearest", "lookup.none": "none"}
    return next((lookup for name, lookup in names.items() if name in state), None)


def _block_kinds(state: Mapping[str, Tensor], prefix: str) -> list[str]:
    """What stands at each index of a list of blocks, told by the parameters' names."""
    kinds: dict[int, str] = {}
    signs = {"norm1.weight": "res", "q.weight": "attn", "conv.weight": "down", "weight": "single"}
    for name in state:
        if name.startswith(prefix):
            index, _, rest = name.removeprefix(prefix).partition(".")
            if rest in signs:
                kinds[int(index)] = signs[rest]
    return [kinds[i] for i in range(len(kinds))]
