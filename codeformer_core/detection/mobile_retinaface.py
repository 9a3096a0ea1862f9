"""The RetinaFace network (Deng et al., arXiv 1905.00641) on a MobileNet of a quarter of the width (arXiv 1704.04861).

facexlib has the same network, but importing it imports torchvision, which takes longer than `import torch`: for the
bundled detector, which nearly everybody uses, that is most of the start. Parameters are named as in facexlib's weights.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

SLOPE = 0.1  # of the leaky ReLUs
WIDTH = 64  # channels of the features that faces are read from
ANCHORS = 2  # at each place


class MobileRetinaFace(nn.Module):
    """Faces at three scales, of 8, 16 and 32 pixels a place."""

    def __init__(self):
        super().__init__()
        self.body = MobileNet()
        self.fpn = FeaturePyramid((64, 128, 256))
        self.ssh1, self.ssh2, self.ssh3 = (ContextModule() for _ in range(3))
        self.ClassHead, self.BboxHead, self.LandmarkHead = (_heads(n) for n in (2, 4, 10))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of (b, 3, h, w) BGR minus (104, 117, 123) the box offsets, probabilities and landmark offsets at n anchors.

        They are (b, n, 4), (b, n, 2), of background and face, and (b, n, 10); the anchors are `retinaface.anchors`.
        """
        pyramid = self.fpn(self.body(x))
        features = [ssh(h) for ssh, h in zip((self.ssh1, self.ssh2, self.ssh3), pyramid, strict=True)]

        def read(heads: nn.ModuleList) -> Tensor:
            return torch.cat([head(h) for head, h in zip(heads, features, strict=True)], dim=1)

        return read(self.BboxHead), read(self.ClassHead).softmax(-1), read(self.LandmarkHead)


class MobileNet(nn.Module):
    """Depthwise convolutions and 1 x 1 ones in turn; the features of its three stages."""

    def __init__(self):
        super().__init__()
        self.stage1 = nn.Sequential(
            _conv(3, 8, 3, stride=2),
            _depthwise(8, 16),
            _depthwise(16, 32, stride=2),
            _depthwise(32, 32),
            _depthwise(32, 64, stride=2),
            _depthwise(64, 64),
        )
        self.stage2 = nn.Sequential(_depthwise(64, 128, stride=2), *(_depthwise(128, 128) for _ in range(5)))
        self.stage3 = nn.Sequential(_depthwise(128, 256, stride=2), _depthwise(256, 256))

    def forward(self, x: Tensor) -> list[Tensor]:  # (b, 3, h, w) -> (b, 64 .. 256, h / 8 .. 32, w / 8 .. 32)
        features = []
        for stage in (self.stage1, self.stage2, self.stage3):
            x = stage(x)
            features.append(x)
        return features


class FeaturePyramid(nn.Module):
    """Coarser features are added to finer ones (Lin et al., arXiv 1612.03144)."""

    def __init__(self, channels: tuple[int, int, int]):
        super().__init__()
        self.output1, self.output2, self.output3 = (_conv(c, WIDTH, 1) for c in channels)
        self.merge1, self.merge2 = (_conv(WIDTH, WIDTH, 3) for _ in range(2))

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        fine, middle, coarse = (f(h) for f, h in zip((self.output1, self.output2, self.output3), features, strict=True))
        middle = self.merge2(middle + F.interpolate(coarse, middle.shape[-2:], mode="nearest"))
        fine = self.merge1(fine + F.interpolate(middle, fine.shape[-2:], mode="nearest"))
        return fine, middle, coarse


class ContextModule(nn.Module):
    """What lies around a place, by filters of 3, 5 and 7 pixels (SSH; Najibi et al., arXiv 1708.03979)."""

    def __init__(self):
        super().__init__()
        half, quarter = WIDTH // 2, WIDTH // 4
        self.conv3X3 = _conv(WIDTH, half, 3, activation=False)
        self.conv5X5_1 = _conv(WIDTH, quarter, 3)
        self.conv5X5_2 = _conv(quarter, quarter, 3, activation=False)
        self.conv7X7_2 = _conv(quarter, quarter, 3)
        self.conv7x7_3 = _conv(quarter, quarter, 3, activation=False)

    def forward(self, x: Tensor) -> Tensor:  # (b, c, h, w) -> (b, c, h, w)
        h = self.conv5X5_1(x)
        return F.relu(torch.cat((self.conv3X3(x), self.conv5X5_2(h), self.conv7x7_3(self.conv7X7_2(h))), dim=1))


class Head(nn.Module):
    """So many values for each anchor of each place."""

    def __init__(self, values: int):
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(WIDTH, ANCHORS * values, 1)

    def forward(self, x: Tensor) -> Tensor:  # (b, c, h, w) -> (b, h * w * anchors, values)
        return rearrange(self.conv1x1(x), "b (a v) h w -> b (h w a) v", v=self.values)


def _heads(values: int) -> nn.ModuleList:
    return nn.ModuleList(Head(values) for _ in range(3))


def _conv(c_in: int, c_out: int, side: int, *, stride: int = 1, activation: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(c_in, c_out, side, stride, side // 2, bias=False),
        nn.BatchNorm2d(c_out),
    ]
    return nn.Sequential(*layers, *([nn.LeakyReLU(SLOPE, inplace=True)] if activation else []))


def _depthwise(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_in, 3, stride, 1, groups=c_in, bias=False),
        nn.BatchNorm2d(c_in),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(c_in, c_out, 1, bias=False),
        nn.BatchNorm2d(c_out),
        nn.LeakyReLU(SLOPE, inplace=True),
    )
