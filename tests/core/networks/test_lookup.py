"""The paper's ablations as networks that are saved, told apart and loaded like any other."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from codeformer_core import CodeFormer, CodeFormerConfig, load_codeformer
from codeformer_core.networks.state_dicts import CheckpointError
from codeformer_core.weights.checkpoint import checkpoint_info, convert, load_vq_autoencoder, save_checkpoint

CHANGES: dict[str, dict[str, Any]] = {
    "no codebook": {"lookup": "none", "cft_sizes": ()},
    "nearest": {"lookup": "nearest"},
    "linear": {"lookup": "linear"},
    "multi-scale": {"seen_sizes": (32, 64)},
}


@pytest.fixture(params=CHANGES)
def net(request, tiny_config: CodeFormerConfig) -> CodeFormer:
    torch.manual_seed(0)
    return CodeFormer(replace(tiny_config, **CHANGES[request.param])).eval().requires_grad_(False)


@pytest.fixture
def lq() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_an_ablation_is_saved_and_loaded(net: CodeFormer, lq, tmp_path):
    save_checkpoint(tmp_path / "net.safetensors", net.state_dict(), net.config)
    loaded = load_codeformer(tmp_path / "net.safetensors")
    assert loaded.config == net.config
    torch.testing.assert_close(loaded.restore(lq, w=0.5), net.restore(lq, w=0.5), rtol=1e-3, atol=1e-3)
    info = convert(tmp_path / "net.safetensors", tmp_path / "again.safetensors")
    assert (info.kind, info.config, info.problem) == ("CodeFormer", net.config, "")
    assert load_vq_autoencoder(tmp_path / "net.safetensors").config == net.config.vq


def test_what_it_is_stands_in_the_state_dict(net: CodeFormer, tmp_path):
    torch.save({"params_ema": net.state_dict()}, tmp_path / "net.pth")  # no metadata
    config = checkpoint_info(tmp_path / "net.pth").config
    assert isinstance(config, CodeFormerConfig)
    assert (config.lookup, config.seen_sizes) == (net.config.lookup, net.config.seen_sizes)
    state = net.state_dict() | {"lookup.more": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="sizes do not fit"):
        CodeFormer.from_state_dict(net.state_dict() | {"fuse_convs_dict.x.scale.0.bias": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"unexpected lookup\.more"):
        CodeFormer.from_state_dict(state, {"vq": {"image_size": 64}})


def test_codes_come_as_the_ablation_says(net: CodeFormer, lq):
    prediction = net.predict_codes(lq)
    assert prediction.logits.shape == (2, 256, 24)
    assert set(prediction.cft_features) == set(net.config.cft_sizes)
    features, codebook = prediction.features, net.quantize.embedding.weight
    if net.config.lookup in ("nearest", "none"):
        assert torch.equal(prediction.codes, net.quantize.nearest(features))
    if net.config.lookup == "none":
        torch.testing.assert_close(net.decode(prediction, 0.0, adain=False), net.generator(features))
    if net.config.lookup == "linear":
        half = net.lookup.logits(features / 2, codebook) - net.lookup.bias
        torch.testing.assert_close(2 * half, prediction.logits - net.lookup.bias)
    if net.config.seen_sizes:
        net.get_parameter("seen_embs.64.weight").zero_()
        assert not torch.equal(net.predict_codes(lq).logits, prediction.logits)


def test_the_order_of_parameters_is_that_of_optimizers_that_were_saved(tiny_net: CodeFormer):
    parts = dict.fromkeys(name.split(".")[0] for name, _ in tiny_net.named_parameters())
    expected = ["position_emb", "encoder", "quantize", "generator", "feat_emb", "ft_layers", "idx_pred_layer"]
    assert list(parts) == [*expected, "fuse_convs_dict"]


def test_impossible_ablations_are_refused(tiny_config):
    with pytest.raises(ValueError, match="lookup is one of"):
        replace(tiny_config, lookup="cnn")
    for changes in ({"seen_sizes": (16,)}, {"seen_sizes": (32,), "lookup": "linear"}):
        with pytest.raises(ValueError, match="seen_sizes are among"):
            replace(tiny_config, **changes)
