"""The published architectures give the golden numbers, with weights and inputs rebuilt from names and seeds."""

import json
import os
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codeformer_core import CodeFormer, VQAutoEncoder
from codeformer_core.models import USAGE
from codeformer_core.networks.cft import CFTWeights
from codeformer_core.networks.config import COLORIZATION, INPAINTING, RESTORATION, VQConfig
from codeformer_core.weights.checkpoint import for_inference
from codeformer_core.weights.precision import multiplies_bfloat16

DATA = Path(__file__).parents[2] / "data"
SHAPES = json.loads((DATA / "state_dict_shapes.json").read_text())
recipe = runpy.run_path(str(DATA / "recipe.py"))


@pytest.fixture(scope="module", autouse=True)
def all_threads():
    """The networks here are of the published size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(threads)


def rebuilt(name: str) -> dict[str, torch.Tensor]:
    return {n: torch.from_numpy(recipe["tensor"](n, tuple(shape))) for n, shape in SHAPES[name].items()}


def assert_golden(got: torch.Tensor, wanted: np.ndarray):
    np.testing.assert_array_less(np.abs(got.numpy() - wanted), 1e-3 * (1 + np.abs(wanted)))


@pytest.mark.parametrize(
    ("name", "config"),
    [("codeformer", RESTORATION), ("codeformer_inpainting", INPAINTING), ("codeformer_colorization", COLORIZATION)],
)
def test_published_codeformers_load_strictly(name, config):
    state = {n: torch.empty(shape, device="meta") for n, shape in SHAPES[name].items()}
    net = CodeFormer.from_state_dict(state)
    assert net.config == config
    assert {n: list(t.shape) for n, t in net.state_dict().items()} == SHAPES[name]


def test_published_vqgan_loads_strictly():
    net = VQAutoEncoder.from_state_dict({n: torch.empty(s, device="meta") for n, s in SHAPES["vqgan"].items()})
    assert net.config == VQConfig()


@pytest.fixture(scope="module")
def prediction():
    net = for_inference(CodeFormer.from_state_dict(rebuilt("codeformer")))
    with torch.inference_mode():
        return net, net.predict_codes(torch.from_numpy(recipe["image"](1, 1)))


@pytest.mark.parametrize("case", ["w0_adain", "w0.5_adain", "w1_adain", "w0.5_plain"])
def test_codeformer_golden(prediction, case):
    net, predicted = prediction
    golden = np.load(DATA / "codeformer.npz")
    weight, style = case.split("_")
    with torch.inference_mode():
        out = net.decode(predicted, float(weight[1:]), adain=style == "adain")
    np.testing.assert_array_equal(predicted.codes.numpy(), golden[f"{case}/codes"])
    assert_golden(predicted.logits[:, :8], golden[f"{case}/logits.first8"])
    assert_golden(predicted.features[:, ::8], golden[f"{case}/lq_feat"])
    assert_golden(out[..., ::16, ::16], golden[f"{case}/out.grid"])
    assert_golden(out.mean((2, 3)), golden[f"{case}/out.mean"])
    assert_golden(out.std((2, 3)), golden[f"{case}/out.std"])


def test_the_published_colorization_is_golden_as_it_is_used(prediction):
    """At w = 0 with AdaIN its layout, which lacks only CFT at 256, makes of these weights what the golden one does."""
    net, golden = for_inference(CodeFormer.from_state_dict(rebuilt("codeformer_colorization"))), prediction[1]
    usage, wanted = USAGE["colorization"], np.load(DATA / "codeformer.npz")
    with torch.inference_mode():
        predicted = net.predict_codes(torch.from_numpy(recipe["image"](1, 1)))
        out = net.decode(predicted, usage.w, usage.adain)
    assert torch.equal(predicted.codes, golden.codes)
    np.testing.assert_array_equal(predicted.codes.numpy(), wanted["w0_adain/codes"])
    assert_golden(out[..., ::16, ::16], wanted["w0_adain/out.grid"])


def test_the_published_inpainting_is_golden_as_it_is_used(prediction):
    """Its codebook is half of the golden network's, and CFT at 256 is missing: at w = 1 without AdaIN both agree."""
    golden_net, golden = prediction
    net = for_inference(CodeFormer.from_state_dict(rebuilt("codeformer_inpainting")))
    wanted = np.load(DATA / "codeformer.npz")
    with torch.inference_mode():
        predicted = net.predict_codes(torch.from_numpy(recipe["image"](1, 1)))
        assert_golden(predicted.logits[:, :8], wanted["w1_adain/logits.first8"][..., :512])
        assert_golden(predicted.features[:, ::8], wanted["w1_adain/lq_feat"])
        half = golden.logits[..., :512]
        assert torch.equal(predicted.codes, half.argmax(-1))
        same = replace(golden, logits=half, codes=half.argmax(-1))
        weights = CFTWeights(w=dict.fromkeys(INPAINTING.cft_sizes, 1.0))
        usage, expected = USAGE["inpainting"], golden_net.decode(same, weights, adain=False)
        out = net.decode(predicted, usage.w, usage.adain)
    assert (usage.w, usage.adain) == (1.0, False)
    assert_golden(out, expected.numpy())


@pytest.mark.skipif(not multiplies_bfloat16(), reason="takes many minutes on a processor without bfloat16")
@pytest.mark.parametrize("w", [0.0, 1.0])
def test_mixed_precision_comes_near_to_float32_on_the_published_network(prediction, w):
    net, predicted = prediction
    mixed = for_inference(CodeFormer.from_state_dict(rebuilt("codeformer")), dtype="mixed")
    with torch.inference_mode():
        exact, near = net.decode(predicted, w).clamp(-1, 1), mixed.decode(predicted, w).float().clamp(-1, 1)
    assert -10 * torch.log10((exact - near).square().mean() / 4) > 42


def test_codeformer_golden_by_winograd(prediction):
    net, _ = prediction
    golden, threads = np.load(DATA / "codeformer.npz"), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            predicted = net.predict_codes(torch.from_numpy(recipe["image"](1, 1)))
            out = net.decode(predicted, 1.0)
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(predicted.codes.numpy(), golden["w1_adain/codes"])
    assert_golden(predicted.features[:, ::8], golden["w1_adain/lq_feat"])
    assert_golden(out[..., ::16, ::16], golden["w1_adain/out.grid"])


def test_vqgan_golden():
    net = for_inference(VQAutoEncoder.from_state_dict(rebuilt("vqgan")))
    golden = np.load(DATA / "vqgan.npz")
    with torch.inference_mode():
        result = net(torch.from_numpy(recipe["image"](1, 1)))
    np.testing.assert_array_equal(result.quantized.codes.numpy(), golden["a/codes"])
    assert_golden(result.z[:, ::8], golden["a/z"])
    assert_golden(result.image[..., ::16, ::16], golden["a/out.grid"])
    assert_golden(result.quantized.codebook_loss, golden["a/codebook_loss"])
    assert_golden(result.quantized.perplexity, golden["a/perplexity"])
