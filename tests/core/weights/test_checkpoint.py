import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from codeformer_core import CodeFormer, load_codeformer
from codeformer_core.networks.state_dicts import CheckpointError
from codeformer_core.weights.checkpoint import (
    checkpoint_info,
    convert,
    load_vq_autoencoder,
    read_state_dict,
    save_checkpoint,
)


@pytest.fixture
def saved(tiny_net, tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, tiny_net.state_dict(), tiny_net.config, {"steps": "7"})
    return path


def assert_same(a: torch.nn.Module, b: torch.nn.Module):
    torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=0, atol=0)


def test_save_then_load(tiny_net, saved):
    net = load_codeformer(saved)
    assert net.config == tiny_net.config
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())
    assert_same(net, tiny_net)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"params_ema": s, "params": {}}, lambda s: {"state_dict": s}])
@pytest.mark.parametrize("legacy", [False, True])
def test_pth_is_unwrapped(tiny_net, tmp_path, wrap, legacy):
    path = tmp_path / "tiny.pth"
    torch.save(wrap(tiny_net.state_dict()), path, _use_new_zipfile_serialization=not legacy)
    state, _ = read_state_dict(path)
    torch.testing.assert_close(state, dict(tiny_net.state_dict()), rtol=0, atol=0)


@pytest.mark.parametrize("content", [b"<!DOCTYPE html>", b"\xff\xd8\xff\xe0 a JPEG", b"version https://git-lfs"])
def test_what_is_no_pickle_is_not_called_dangerous(tmp_path, content):
    (tmp_path / "page.pth").write_bytes(content * 100)
    with pytest.raises(CheckpointError, match=r"page.pth: not a PyTorch checkpoint"):
        load_codeformer(tmp_path / "page.pth")


def test_a_safetensors_file_by_another_name_and_an_empty_one_are_told(saved, tmp_path):
    renamed = tmp_path / "renamed.pth"
    renamed.write_bytes(saved.read_bytes())
    with pytest.raises(
        CheckpointError, match=r"renamed\.pth: is a safetensors file.*rename it to renamed\.safetensors"
    ):
        read_state_dict(renamed)
    for name in ("empty.pth", "empty.safetensors"):
        (tmp_path / name).touch()
        with pytest.raises(CheckpointError, match=f"{name}: is empty"):
            read_state_dict(tmp_path / name)


def test_nested_wrappers_are_taken_off(tmp_path):
    torch.save({"state_dict": {"params_ema": {"module.a": torch.ones(1)}}}, tmp_path / "x.pth")
    assert list(read_state_dict(tmp_path / "x.pth")[0]) == ["a"]


def test_from_state_dict_says_what_is_wrong(tiny_net):
    state = dict(tiny_net.state_dict())
    with pytest.raises(CheckpointError, match="expected a CodeFormer"):
        CodeFormer.from_state_dict({"params_ema": state})  # pyright: ignore[reportArgumentType]
    for name in ("position_emb", "encoder.blocks.0.weight", "encoder.blocks.2.conv.weight", "ft_layers.1.norm1.bias"):
        with pytest.raises(CheckpointError, match=r"expected a CodeFormer|told|missing"):
            CodeFormer.from_state_dict({k: v for k, v in state.items() if k != name})


def test_averaged_weights_are_preferred(tmp_path):
    torch.save({"params": {"a": torch.zeros(1)}, "params_ema": {"a": torch.ones(1)}}, tmp_path / "x.pth")
    assert read_state_dict(tmp_path / "x.pth")[0]["a"] == 1


def test_sizes_come_from_shapes_and_heads_from_metadata(tiny_net, tmp_path, saved):
    bare = tmp_path / "bare.safetensors"
    save_file(dict(tiny_net.state_dict()), bare)
    assert load_codeformer(bare).config.vq == tiny_net.config.vq
    assert load_codeformer(bare).config.n_heads == 1  # 32 wide: one head of up to 64
    assert load_codeformer(saved).config.n_heads == 4


def test_half_precision_is_loaded_as_float32_unless_asked(tiny_net, tmp_path):
    path = tmp_path / "half.safetensors"
    save_checkpoint(path, {k: v.half() for k, v in tiny_net.state_dict().items()}, tiny_net.config)
    assert next(load_codeformer(path).parameters()).dtype == torch.float32
    assert next(load_codeformer(path, dtype=torch.bfloat16).parameters()).dtype == torch.bfloat16


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Evil()))
    for name in ("evil.pth", "bare.pth"):
        with pytest.raises(CheckpointError, match=rf"{name}: refused.*could run code"):
            load_codeformer(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_one_clear_error(tiny_net, tmp_path, suffix, keep):
    path = tmp_path / f"cut{suffix}"
    if suffix == ".pth":
        torch.save(tiny_net.state_dict(), path)
    else:
        save_checkpoint(path, tiny_net.state_dict())
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    with pytest.raises(CheckpointError) as raised:
        load_codeformer(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["stylegan_decoder.style_mlp.1.weight"], "GFPGAN"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "Stable Diffusion"),
        (["conv_first.weight", "conv_body.weight"], "ESRGAN"),
        (["anything"], "network of an unknown kind"),
    ],
)
def test_another_network_is_named(tmp_path, names, kind):
    save_file({name: torch.zeros(2) for name in names}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=f"{kind}.*expected a CodeFormer"):
        load_codeformer(tmp_path / "other.safetensors")


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_a_checkpoint_that_is_not_whole_names_the_parameter(tiny_net, tmp_path, change):
    state = dict(tiny_net.state_dict())
    name = "generator.blocks.2.k.bias"
    if change == "missing":
        del state[name]
    elif change == "shape":
        state[name] = state[name][:-1].clone()
    else:
        name = "generator.extra"
        state[name] = torch.zeros(1)
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=name):
        load_codeformer(tmp_path / "x.safetensors")
    assert name in checkpoint_info(tmp_path / "x.safetensors").problem


def test_a_codebook_that_does_not_fit_the_predictor_is_named(tiny_net, tmp_path):
    state = dict(tiny_net.state_dict())
    state["quantize.embedding.weight"] = torch.zeros(12, 16)
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"idx_pred_layer.1.weight is \(24, 32\), expected \(12, 32\)"):
        load_codeformer(tmp_path / "x.safetensors")


def test_missing_files_and_things_that_hold_no_tensors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.pth: no such checkpoint"):
        load_codeformer(tmp_path / "nowhere.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds a list"):
        load_codeformer(tmp_path / "list.pth")
    with zipfile.ZipFile(tmp_path / "some.pth", "w") as file:
        file.writestr("a.txt", "hello")
    with pytest.raises(CheckpointError, match=r"some.pth"):
        load_codeformer(tmp_path / "some.pth")


def test_the_autoencoder_of_a_codeformer_can_be_loaded_alone(tiny_net, saved):
    net = load_vq_autoencoder(saved)
    assert net.config == tiny_net.config.vq
    assert_same(net.encoder, tiny_net.encoder)


def test_convert_keeps_values_and_metadata(tiny_net, saved, tmp_path):
    torch.save({"params_ema": tiny_net.state_dict()}, tmp_path / "a.pth")
    info = convert(tmp_path / "a.pth", tmp_path / "b.safetensors")
    assert (info.kind, info.tensors, info.dtypes) == ("CodeFormer", len(tiny_net.state_dict()), ("float32",))
    assert info.problem == ""
    assert_same(load_codeformer(tmp_path / "b.safetensors"), tiny_net)
    convert(saved, tmp_path / "c.safetensors")
    assert checkpoint_info(tmp_path / "c.safetensors").metadata["steps"] == "7"
    assert load_codeformer(tmp_path / "c.safetensors").config == tiny_net.config


@pytest.mark.parametrize("config", ["[1]", "[" * 100_000, "{", '{"vq": 5}', '{"n_heads": "x"}', '{"n_heads": 3}'])
def test_a_config_that_makes_no_sense_is_one_error(tiny_net, tmp_path, config):
    save_file(dict(tiny_net.state_dict()), tmp_path / "x.safetensors", {"codeformer_config": config})
    for use in (load_codeformer, checkpoint_info, load_vq_autoencoder):
        if use is load_vq_autoencoder and "n_heads" in config:
            continue
        with pytest.raises(CheckpointError, match=r"x.safetensors"):
            use(tmp_path / "x.safetensors")


def test_whole_numbers_in_place_of_floats_are_refused(tiny_net, tmp_path):
    save_file({name: t.int() for name, t in tiny_net.state_dict().items()}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"is torch.int32, expected floating point"):
        load_codeformer(tmp_path / "x.safetensors")


def test_others_may_read_what_is_written(tiny_net, tmp_path):
    (tmp_path / "usual").touch()
    save_checkpoint(tmp_path / "x.safetensors", tiny_net.state_dict())
    assert (tmp_path / "x.safetensors").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_nothing_half_written_stays(tiny_net, tmp_path, monkeypatch):
    def full(tensors, name, metadata):
        with open(name, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("codeformer_core.weights.checkpoint.save_file", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path / "a.safetensors", tiny_net.state_dict())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="safetensors"):
        save_checkpoint(tmp_path / "a.pth", tiny_net.state_dict())


def test_from_state_dict_shares_the_tensors(tiny_net):
    state = tiny_net.state_dict()
    net = CodeFormer.from_state_dict(state)
    assert net.position_emb.data_ptr() == state["position_emb"].data_ptr()


CLAIMS = {
    "expanded": (torch.zeros(1).expand(10**6, 10**5), r"is \(1000000, 100000\) of 4 bytes repeated"),
    "sparse": (torch.eye(3).to_sparse(), "is a sparse_coo tensor"),
    "compressed rows": (torch.eye(3).to_sparse_csr(), "is a sparse_csr tensor"),
    "meta": (torch.zeros(10**6, 10**6, device="meta"), "holds no values"),
    "quantized": (torch.quantize_per_tensor(torch.zeros(4), 0.1, 0, torch.qint8), "is a quantized tensor"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("claim", CLAIMS)
def test_a_tensor_that_claims_more_than_it_holds_is_refused_before_it_takes_memory(tmp_path, claim):
    tensor, said = CLAIMS[claim]
    torch.save({"w": tensor}, tmp_path / "x.pth")
    for use in (checkpoint_info, lambda path: convert(path, tmp_path / "out.safetensors")):
        with pytest.raises(CheckpointError, match=f"x.pth: w {said}"):
            use(tmp_path / "x.pth")
    assert not (tmp_path / "out.safetensors").exists()


def test_many_tensors_of_one_storage_are_refused_and_a_few_are_not(tmp_path):
    shared = torch.zeros(1000)
    torch.save({f"t{i}": shared for i in range(100)}, tmp_path / "many.pth")
    with pytest.raises(CheckpointError, match="100 tensors claim 400000 bytes and share 4000"):
        read_state_dict(tmp_path / "many.pth")
    torch.save({"a": shared, "tied": shared}, tmp_path / "tied.pth")
    assert len(read_state_dict(tmp_path / "tied.pth")[0]) == 2


def test_a_checkpoint_that_holds_itself_and_a_compressed_one(tmp_path):
    endless: dict = {}
    endless["params"] = endless
    torch.save(endless, tmp_path / "endless.pth")
    with pytest.raises(CheckpointError, match=r"endless.pth: holds no named tensors"):
        read_state_dict(tmp_path / "endless.pth")
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x/data.pkl", b"\0" * 10**6)
    with pytest.raises(CheckpointError, match=r"bomb.pth: its records are compressed"):
        read_state_dict(tmp_path / "bomb.pth")


def test_a_legacy_file_cut_short(tiny_net, tmp_path):
    torch.save(tiny_net.state_dict(), tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    data = (tmp_path / "x.pth").read_bytes()
    for keep in (20, 100, 5000, len(data) // 2, len(data) - 3):
        (tmp_path / "x.pth").write_bytes(data[:keep])
        with pytest.raises(CheckpointError, match=r"x.pth: .*fetch it again"):
            read_state_dict(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("name", "tensor", "said"),
    [
        ("position_emb", torch.zeros(5), r"position_emb is \(5,\), expected \(codes, channels\)"),
        ("encoder.blocks.0.weight", torch.zeros(()), "told"),
        ("encoder.blocks.0.weight", torch.zeros(0, 3, 3, 3), "told"),
        ("ft_layers.999999999.linear1.weight", torch.zeros(1), "layers 0 to 999999999"),
        ("fuse_convs_dict.x.scale", torch.zeros(1), "do not fit together"),
        ("encoder.blocks.1.99.norm1.weight", torch.zeros(1), "not a whole"),
        ("quantize.embedding.weight", torch.zeros(4), "told"),
    ],
)
def test_sizes_that_make_no_sense_are_one_error(tiny_net, tmp_path, name, tensor, said):
    save_file({**tiny_net.state_dict(), name: tensor}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=rf"x.safetensors: .*{said}"):
        load_codeformer(tmp_path / "x.safetensors")


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    for path in (tmp_path, tmp_path / "pipe.pth", "/dev/zero"):
        with pytest.raises(CheckpointError, match="is a folder or a device, not a file"):
            read_state_dict(path)
