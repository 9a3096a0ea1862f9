"""Variants: files that hold only what differs from a bundled model."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from codeformer_core import CodeFormer, load_codeformer
from codeformer_core.networks.state_dicts import CheckpointError
from codeformer_core.weights.checkpoint import checkpoint_info, convert, read_state_dict, save_checkpoint
from codeformer_core.weights.variants import BASE_KEY, BASES, HASH_KEY, difference, tensors_hash

MANY = {"codeformer_config": '{"n_layers": 1000000}'}  # what such a network is called would take for ever to list


@pytest.fixture
def base(tiny_net, tmp_path, monkeypatch) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, tiny_net.state_dict(), tiny_net.config)
    monkeypatch.setitem(BASES, "tiny", path)
    return path


@pytest.fixture
def variant(tiny_net, base, tmp_path) -> Path:
    """Another encoder, and one scale of CFT fewer."""
    shared = read_state_dict(base)[0]
    state = {name: t for name, t in tiny_net.state_dict().items() if not name.startswith("fuse_convs_dict.")}
    state = {name: t + 1 if name.startswith("encoder.") else t for name, t in state.items()}
    config = CodeFormer.from_state_dict(state, {"n_heads": tiny_net.config.n_heads}).config
    path = tmp_path / "tiny-other.safetensors"
    save_checkpoint(path, difference(state, shared), config, {BASE_KEY: "tiny", HASH_KEY: tensors_hash(shared)})
    return path


def test_a_variant_comes_whole_with_what_it_shares(tiny_net, variant):
    net = load_codeformer(variant)
    assert net.config.cft_sizes == ()
    assert torch.equal(
        net.get_parameter("generator.blocks.0.weight"), tiny_net.get_parameter("generator.blocks.0.weight")
    )
    assert torch.equal(net.get_parameter("encoder.blocks.0.bias"), tiny_net.get_parameter("encoder.blocks.0.bias") + 1)
    assert not checkpoint_info(variant).problem


def test_its_file_is_smaller_and_a_converted_one_is_whole(variant, base, tmp_path):
    assert variant.stat().st_size < base.stat().st_size / 2
    whole = tmp_path / "whole.safetensors"
    convert(variant, whole)
    base.unlink()
    assert load_codeformer(whole).config == checkpoint_info(whole).config


def test_a_base_that_is_not_there_is_one_clear_error(variant, base):
    base.unlink()
    with pytest.raises(CheckpointError, match=r"tiny-other.*variant of 'tiny', and .*tiny.safetensors is missing"):
        load_codeformer(variant)


def test_another_base_of_the_same_name_is_one_clear_error(tiny_net, variant, base):
    save_checkpoint(base, {n: t * 2 for n, t in tiny_net.state_dict().items()}, tiny_net.config)
    with pytest.raises(CheckpointError, match=r"tiny-other.*was made from another 'tiny'.*train it again"):
        load_codeformer(variant)


@pytest.mark.parametrize("name", ["nonsense", "../tiny", ""])
def test_an_unknown_base_is_named(tmp_path, name):
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors", {BASE_KEY: name})
    with pytest.raises(CheckpointError, match=r"x.safetensors: is a variant of .* only variants of mini"):
        read_state_dict(tmp_path / "x.safetensors")


@pytest.mark.parametrize("config", [{}, {"codeformer_config": '{"dim": 0}'}, {"codeformer_config": '{"odd": 1}'}, MANY])
def test_a_variant_without_a_config_is_one_clear_error(base, tmp_path, config):
    facts = {BASE_KEY: "tiny", HASH_KEY: tensors_hash(read_state_dict(base)[0]), **config}
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors", facts)
    with pytest.raises(CheckpointError, match=r"x.safetensors: .*codeformer_config"):
        read_state_dict(tmp_path / "x.safetensors")


def test_the_hash_is_of_names_kinds_and_values():
    one = {"a": torch.zeros(2), "b": torch.ones(2)}
    assert tensors_hash(one) == tensors_hash(dict(reversed(one.items())))
    others = ({"a": torch.zeros(2)}, {**one, "b": torch.zeros(2)}, {**one, "a": torch.zeros(2).half()})
    assert len({tensors_hash(state) for state in (one, *others)}) == 4
