"""ONNX files, run by ONNX Runtime."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from codeformer_core import CodeFormer
from codeformer_core.command_line.cli import main
from codeformer_core.weights.checkpoint import save_checkpoint
from codeformer_core.weights.onnx_file import export_onnx

runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def checkpoint(tiny_net, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "tiny.safetensors"
    save_checkpoint(path, tiny_net.state_dict(), tiny_net.config)
    return path


def test_the_command_writes_a_file_that_gives_what_torch_gives(checkpoint, tiny_net, tmp_path):
    target = tmp_path / "tiny.onnx"
    assert main(["export-onnx", "-q", str(checkpoint), str(target)]) == 0
    session = runtime.InferenceSession(target, providers=["CPUExecutionProvider"])
    assert "codeformer_config" in session.get_modelmeta().custom_metadata_map
    for batch in (1, 3):
        lq, w = torch.rand(batch, 3, 64, 64) * 2 - 1, torch.linspace(0, 1, batch)
        restored, codes = session.run(["restored", "codes"], {"lq": lq.numpy(), "w": w.numpy()})
        with torch.inference_mode():
            np.testing.assert_array_equal(codes, tiny_net.predict_codes(lq).codes.numpy())
            np.testing.assert_allclose(restored, tiny_net.restore(lq, w).numpy(), atol=1e-3)


def test_a_gate_is_in_the_graph(tiny_config, tmp_path):
    torch.manual_seed(0)
    net = CodeFormer(replace(tiny_config, vq=replace(tiny_config.vq, image_size=128, patch=2), gate=8)).eval()
    export_onnx(net, tmp_path / "gated.onnx")
    session = runtime.InferenceSession(tmp_path / "gated.onnx", providers=["CPUExecutionProvider"])
    lq, w = torch.rand(2, 3, 128, 128) * 2 - 1, torch.tensor([0.0, 1.0])
    restored = session.run(["restored"], {"lq": lq.numpy(), "w": w.numpy()})[0]
    with torch.inference_mode():
        np.testing.assert_allclose(restored, net.restore(lq, w).numpy(), atol=1e-3)
        assert not torch.allclose(net.restore(lq, w)[1], net.restore(lq, torch.zeros(2))[1], atol=1e-2)


def test_a_file_that_is_there_is_kept(checkpoint, tmp_path, capsys):
    target = tmp_path / "tiny.onnx"
    target.write_bytes(b"mine")
    assert main(["export-onnx", str(checkpoint), str(target)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert target.read_bytes() == b"mine"


def test_without_the_packages_one_line_names_the_extra(tiny_net, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"pip install comfyui-codeformer\[onnx\]"):
        export_onnx(tiny_net, tmp_path / "tiny.onnx")
    assert not list(tmp_path.iterdir())
