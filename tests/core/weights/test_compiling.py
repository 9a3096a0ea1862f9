"""Compiled networks give the same faces, for any w, in few graphs."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch._dynamo.testing import CompileCounter

from codeformer_core.command_line.cli import main
from codeformer_core.networks.cft import CFTWeights
from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.weights import compiling
from codeformer_core.weights.checkpoint import for_inference, save_checkpoint
from codeformer_core.weights.compiling import compile_network


@pytest.fixture(autouse=True)
def no_compiled_code():
    """Networks share their code, of which torch compiles a few versions only."""
    torch._dynamo.reset()


@pytest.fixture
def net(tiny_config) -> CodeFormer:
    torch.manual_seed(0)
    return for_inference(CodeFormer(tiny_config))


@pytest.fixture
def faces() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64) * 2 - 1


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-4), ("mixed", 0.03)])
def test_it_gives_the_same_faces_at_any_w(tiny_config, faces, dtype, rounding):
    torch.manual_seed(0)
    state = CodeFormer(tiny_config).state_dict()
    plain, compiled = (
        for_inference(CodeFormer.from_state_dict({k: v.clone() for k, v in state.items()}), dtype=dtype)
        for _ in range(2)
    )
    compile_network(compiled, backend="eager")
    size = tiny_config.cft_sizes[0]
    mask = torch.rand(1, 1, 64, 64)
    each = torch.tensor([0.2, 0.9])
    for w in (0.0, 0.3, 1.0, each, CFTWeights(w={size: 0.4}), CFTWeights(w=0.8, mask=mask, outside=0.1)):
        torch.testing.assert_close(compiled.restore(faces, w), plain.restore(faces, w), atol=rounding, rtol=0)


def test_another_w_compiles_nothing_anew(net, faces):
    counter = CompileCounter()
    compile_network(net, backend=counter)
    prediction = net.predict_codes(faces)
    net.decode(prediction, 0.3)
    count = counter.frame_count
    for w in (0.31, 0.5, 1.0):
        net.decode(prediction, w)
    assert counter.frame_count == count == 2
    for n in (1, 3, 4, 5):  # the second size is compiled for all
        net.restore(torch.rand(n, 3, 64, 64), 0.5)
    assert counter.frame_count <= 4 + 2  # one face is a size of its own


def test_it_says_once_how_long_compiling_took(net, faces):
    said = []
    compile_network(net, backend="eager", say=said.append)
    for _ in range(2):
        net.restore(faces)
    assert [text.partition(", batches of 2:")[0] for text in said] == ["encoder and transformer", "decoder"]


def test_what_does_not_compile_is_said_in_one_line(net, faces):
    def broken(graph, inputs):
        raise OSError("no C++ compiler")

    compile_network(net, backend=broken)
    with pytest.raises(ValueError, match=r"cannot be compiled here.*leave out --compile"):
        net.restore(faces)


def test_the_command_takes_it_and_says_how_long_it_took(tiny_net, tiny_config, tmp_path, monkeypatch, capsys):
    save_checkpoint(tmp_path / "net.safetensors", tiny_net.state_dict(), tiny_config)
    Image.effect_noise((64, 64), 60).convert("RGB").save(tmp_path / "face.png")
    monkeypatch.setattr(compiling, "compile_network", partial(compile_network, backend="eager"))
    command = ["restore", str(tmp_path / "face.png"), "--aligned", "--model", str(tmp_path / "net.safetensors")]
    assert main([*command, "-o", str(tmp_path / "plain")]) == 0
    assert "compiling" not in capsys.readouterr().err
    assert main([*command, "-o", str(tmp_path / "compiled"), "--compile"]) == 0
    assert capsys.readouterr().err.count("first run, with compiling") == 2
    plain, compiled = (np.asarray(Image.open(tmp_path / name / "face.png"), int) for name in ("plain", "compiled"))
    assert abs(plain - compiled).max() <= 1
