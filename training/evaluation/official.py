"""The paper's own metrics: LPIPS, FID, MUSIQ and ArcFace's IDS, each in its usual package with its usual weights.

The weights are a file of the caller's, or fetched on request and checked. All of them are read without running code.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from codeformer_core.networks.state_dicts import load_strictly
from codeformer_core.weights.checkpoint import naming, read_state_dict
from codeformer_core.weights.published import PublishedFile

from .frechet import Describe
from .metrics import FaceMetric

FILES = {
    file.name: file
    for file in (
        PublishedFile(
            name="lpips",
            kind="metric",
            url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            size=244408911,
            sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            license="BSD-3-Clause",
            license_url="https://github.com/pytorch/vision/blob/main/LICENSE",
            credit="AlexNet of torchvision; the package lpips has the rest of LPIPS",
        ),
        PublishedFile(
            name="fid",
            kind="metric",
            url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
            size=95628359,
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            license="Apache-2.0",
            license_url="https://github.com/toshas/torch-fidelity/blob/master/LICENSE.md",
            credit="Inception-v3 of FID, as distributed with torch-fidelity",
        ),
        PublishedFile(
            name="musiq",
            kind="metric",
            url="https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/musiq_koniq_ckpt-e95806b9.pth",
            size=None,
            sha256="e95806b9eae5f3814c410f574ba8e552362bd5bc63d758ed5b97860f5d6185aa",
            license="PolyForm-Noncommercial-1.0.0",
            license_url="https://github.com/chaofengc/IQA-PyTorch/blob/main/LICENSE",
            credit="MUSIQ (KonIQ-10k) of Google Research, as distributed with pyiqa",
        ),
        PublishedFile(
            name="ids",
            kind="metric",
            url="https://github.com/xinntao/facexlib/releases/download/v0.1.0/recognition_arcface_ir_se50.pth",
            size=175367323,
            sha256="a035c768259b98ab1ce0e646312f48b9e1e218197a0f80ac6765e88f8b6ddf28",
            license="MIT",
            license_url="https://github.com/TreB1eN/InsightFace_Pytorch/blob/master/LICENSE",
            credit="ArcFace IR-SE 50 of TreB1eN/InsightFace_Pytorch, as distributed with facexlib",
        ),
    )
}

PACKAGES = {"lpips": "lpips", "fid": "torch_fidelity", "musiq": "pyiqa", "ids": "facexlib"}  # that each needs


def lpips(alexnet: Path, device: torch.device | str) -> FaceMetric:
    """LPIPS 0.1 of AlexNet (Zhang et al., arXiv 1801.03924); 0 is the same face."""
    net = import_module("lpips").LPIPS(net="alex", pnet_rand=True, verbose=False)
    state = read_state_dict(alexnet)[0]
    with naming(alexnet):  # the package has the convolutions alone, "slice2.3.weight" for "features.3.weight"
        names = {name: f"features.{name.partition('.')[2]}" for name in net.net.state_dict()}
        convolutions = {ours: state[theirs] for ours, theirs in names.items() if theirs in state}
        load_strictly(net.net, convolutions, "torchvision AlexNet")
    net.to(device).eval().requires_grad_(False)
    return lambda restored, clean: net(restored, clean, normalize=True).flatten()


def musiq(weights: Path, device: torch.device | str) -> Callable[[Tensor], Tensor]:
    """MUSIQ trained on KonIQ-10k (Ke et al., arXiv 2108.05997): quality of a face by itself, about 0 to 100."""
    net = import_module("pyiqa").create_metric("musiq", pretrained=False, device=torch.device(device))
    with naming(weights):
        load_strictly(net.net, read_state_dict(weights)[0], "MUSIQ")
    return lambda faces: net(faces).flatten()


def arcface(weights: Path, device: torch.device | str) -> FaceMetric:
    """Cosine of ArcFace's descriptors (Deng et al., arXiv 1801.07698) of both faces; 1 is the same face."""
    net = import_module("facexlib.recognition.arcface_arch").Backbone(num_layers=50, drop_ratio=0.6, mode="ir_se")
    with naming(weights):
        load_strictly(net, read_state_dict(weights)[0], "ArcFace IR-SE 50")
    net.to(device).eval().requires_grad_(False)

    def describe(x: Tensor) -> Tensor:
        return net(F.interpolate(x, (112, 112), mode="area") * 2 - 1)

    return lambda restored, clean: F.cosine_similarity(describe(restored), describe(clean))


def inception(weights: Path, device: torch.device | str) -> Describe:
    """The 2048 features of FID's Inception-v3 (Heusel et al., arXiv 1706.08500), of faces of 8 bits."""
    read_state_dict(weights)  # refuses what is more than tensors, which the package would run
    module = import_module("torch_fidelity.feature_extractor_inceptionv3")
    try:
        net = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(weights))
    except RuntimeError as error:
        raise ValueError(f"{weights}: holds no Inception-v3 of FID ({str(error).splitlines()[0]})") from error
    net.to(device).eval().requires_grad_(False)
    return lambda faces: net((faces * 255 + 0.5).to(torch.uint8))[0]
