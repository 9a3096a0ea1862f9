"""Weights that others have published: where they are, how to know them, and under which licence they stand."""

from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

Kind = Literal["restoration", "inpainting", "colorization", "vqgan", "detector", "parsing", "upscaler", "metric"]


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A file of weights on a release page; `size` (bytes) and `sha256` are None where nobody has published them."""

    name: str
    url: str
    size: int | None
    sha256: str | None
    kind: Kind
    license: str  # SPDX identifier, or the like
    license_url: str
    credit: str

    def __post_init__(self):
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind {self.kind!r} of {self.name}: wanted one of {', '.join(get_args(Kind))}")
        if self.size is not None and self.size <= 0:
            raise ValueError(f"size {self.size} of {self.name}: wanted a number of bytes, or None")
        if self.sha256 is not None and (len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef")):
            raise ValueError(f"sha256 {self.sha256!r} of {self.name}: wanted 64 lower-case hexadecimal digits, or None")
        if not self.filename:
            raise ValueError(f"url {self.url!r} of {self.name}: wanted one that ends in a file name")

    @property
    def filename(self) -> str:
        """The last part of the URL, and the name of the file in the cache folder."""
        return self.url.rpartition("/")[2]


_CODEFORMER = "https://github.com/sczhou/CodeFormer/releases/download/v0.1.0"
_FACEXLIB = "https://github.com/xinntao/facexlib/releases/download"

_codeformer = partial(
    PublishedFile,
    license="S-Lab-1.0",
    license_url="https://github.com/sczhou/CodeFormer/blob/master/LICENSE",
    credit="CodeFormer, Zhou et al., NeurIPS 2022",
)
_facexlib = partial(PublishedFile, license="MIT", license_url="https://github.com/xinntao/facexlib/blob/master/LICENSE")

PUBLISHED: dict[str, PublishedFile] = {
    file.name: file
    for file in (
        _codeformer(
            name="official",
            kind="restoration",
            url=f"{_CODEFORMER}/codeformer.pth",
            size=376637898,
            sha256="1009e537e0c2a07d4cabce6355f53cb66767cd4b4297ec7a4a64ca4b8a5684b7",
        ),
        _codeformer(
            name="inpainting",
            kind="inpainting",
            url=f"{_CODEFORMER}/codeformer_inpainting.pth",
            size=None,
            sha256="b0d1b868c3dacf75d637bbcc0d4b3dd4ce2a064a338dfb4d35c740d3b4ae8797",
        ),
        _codeformer(
            name="colorization",
            kind="colorization",
            url=f"{_CODEFORMER}/codeformer_colorization.pth",
            size=None,
            sha256=None,
        ),
        _codeformer(
            name="vqgan",
            kind="vqgan",
            url=f"{_CODEFORMER}/vqgan_code1024.pth",
            size=None,
            sha256="4d1c6741b3cffcbdc2cd1a12b2c3c2442282e042d5de66909cb643d4fa31b20f",
        ),
        _facexlib(
            name="retinaface_resnet50",
            kind="detector",
            url=f"{_FACEXLIB}/v0.1.0/detection_Resnet50_Final.pth",
            size=109497761,
            sha256="6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
            credit="biubug6/Pytorch_Retinaface, as distributed with facexlib",
        ),
        _facexlib(
            name="retinaface_mobile0.25",
            kind="detector",
            url=f"{_FACEXLIB}/v0.1.0/detection_mobilenet0.25_Final.pth",
            size=1789735,
            sha256="2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
            credit="biubug6/Pytorch_Retinaface, as distributed with facexlib",
        ),
        PublishedFile(  # facexlib refers to the original licences, and this network's is not its own MIT
            name="parsenet",
            kind="parsing",
            url=f"{_FACEXLIB}/v0.2.2/parsing_parsenet.pth",
            size=85331193,
            sha256="3d558d8d0e42c20224f13cf5a29c79eba2d59913419f945545d8cf7b72920de2",
            license="CC-BY-NC-SA-4.0",
            license_url="https://github.com/chaofengc/PSFRGAN#license",
            credit="ParseNet of chaofengc/PSFRGAN, as distributed with facexlib",
        ),
        _facexlib(
            name="bisenet",
            kind="parsing",
            url=f"{_FACEXLIB}/v0.2.0/parsing_bisenet.pth",
            size=53289463,
            sha256="468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567",
            credit="zllrunning/face-parsing.PyTorch, as distributed with facexlib",
        ),
        PublishedFile(
            name="realesrgan_x2plus",
            kind="upscaler",
            url="https://github.com/xinntao/Real-ESRGAN/releases/download/v0.2.1/RealESRGAN_x2plus.pth",
            size=67061725,
            sha256="49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
            license="BSD-3-Clause",
            license_url="https://github.com/xinntao/Real-ESRGAN/blob/master/LICENSE",
            credit="Real-ESRGAN, Wang et al., ICCVW 2021",
        ),
    )
}
