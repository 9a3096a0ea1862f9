"""ONNX files for other programs: the whole network as one graph, with the fidelity weight w as an input."""

import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ..networks.codeformer import CodeFormer, adaptive_instance_norm
from ..networks.config import config_to_json
from ..whole_files import whole_file
from .checkpoint import CONFIG_KEY


class _Graph(nn.Module):
    """`CodeFormer.restore` without the checks and choices that a graph cannot hold: CFT runs at w = 0 too."""

    def __init__(self, net: CodeFormer, adain: bool):
        super().__init__()
        self.net = net
        self.adain = adain

    def forward(self, lq: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        net, prediction = self.net, self.net.predict_codes(lq)
        z_q = net.quantize.look_up(prediction.codes)
        if self.adain:
            z_q = adaptive_instance_norm(z_q, prediction.features)

        w = w.reshape(-1, 1, 1, 1)

        def modulate(size: int, dec: Tensor) -> Tensor:
            enc = prediction.cft_features.get(size)
            return dec if enc is None else net.fuse_convs_dict[str(size)](enc, dec, w)

        restored = net.generator(z_q, modulate)
        return net.gate(lq, restored, w) if net.config.gate else restored, prediction.codes


def export_onnx(net: CodeFormer, path: str | Path, *, adain: bool = True) -> None:
    """Write a float32 network to an ONNX file, whole or not at all; `adain` as in `CodeFormer.restore`.

    Inputs: `lq` (b, 3, s, s) float32 RGB in [-1, 1], `w` (b,) float32 in [0, 1], which nothing checks. Outputs:
    `restored` (b, 3, s, s), not clamped, and `codes` (b, n) int64. The batch is of any size. The network's config is in
    the metadata. Raises ImportError without the packages of the extra `onnx`.
    """
    try:
        import onnxscript as _  # noqa: F401  (the exporter says it in many lines)
    except ImportError as error:
        raise ImportError(
            f"{error.name} is not installed: get what writes ONNX with `pip install comfyui-codeformer[onnx]`",
            name=error.name,
        ) from error
    net = net.to("cpu", torch.float32, memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    size, batch = net.config.vq.image_size, torch.export.Dim("batch")
    example = torch.zeros(2, 3, size, size), torch.full((2,), 0.5)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own workings
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            _Graph(net, adain).eval(),
            example,
            input_names=["lq", "w"],
            output_names=["restored", "codes"],
            dynamic_shapes=({0: batch}, {0: batch}),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # it is asked for no file of its own
    program.model.metadata_props[CONFIG_KEY] = config_to_json(net.config)
    with whole_file(Path(path)) as unfinished:
        program.save(unfinished, external_data=False)
