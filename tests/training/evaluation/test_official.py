"""Each of the paper's metrics against its own library, on small files of made-up weights."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from codeformer_core.weights import download
from training.evaluation import official
from training.evaluation.frechet import Moments, frechet_distance
from training.evaluation.library_metrics import library_metrics


@pytest.fixture(scope="module")
def faces() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    clean = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8, generator=generator), (64, 64), mode="bilinear")
    return (clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1), clean


def save_small(path: Path, state: Mapping[str, Tensor]) -> Path:
    """Weights of these shapes in a file of some kB: all are views of the same few numbers, and mean little."""
    numbers = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    small = {}
    for name, like in state.items():
        if not like.is_floating_point():
            small[name] = torch.zeros(like.shape, dtype=like.dtype)
            continue
        fan_in = max(like[0].numel(), 1) if like.ndim else 1
        scaled = (numbers * fan_in**-0.5).abs() + 0.1 if name.endswith("running_var") else numbers * fan_in**-0.5
        strides = [11 - 2 * n if size < 1000 else 1 for n, size in enumerate(like.shape)]
        while sum((size - 1) * stride for size, stride in zip(like.shape, strides, strict=True)) >= len(scaled):
            strides[strides.index(max(strides))] = 0
        small[name] = scaled.as_strided(tuple(like.shape), strides)
    torch.save(small, path)
    return path


@pytest.fixture
def small_files(monkeypatch) -> None:
    """Lets files be read whose tensors share their numbers, so that some kB stand for 175 MB; else they are refused."""
    monkeypatch.setattr(official, "read_state_dict", lambda path: (torch.load(path, weights_only=True), {}))


@pytest.mark.usefixtures("small_files")
def test_lpips(faces, tmp_path, monkeypatch):
    lpips = pytest.importorskip("lpips")
    from torchvision.models import alexnet

    with torch.device("meta"):
        backbone = alexnet()
    file = save_small(tmp_path / "alexnet.pth", backbone.state_dict())
    ours = official.lpips(file, "cpu")(*faces)
    backbone.load_state_dict(torch.load(file, weights_only=True), assign=True)
    monkeypatch.setattr("lpips.pretrained_networks.tv.alexnet", lambda pretrained: backbone)
    library = lpips.LPIPS(net="alex", verbose=False).eval()
    assert ours.shape == (2,)
    assert ours.tolist() == pytest.approx(library(*(2 * x - 1 for x in faces)).flatten().tolist(), rel=1e-4)
    assert ours.min() > 0
    with pytest.raises(ValueError, match=r"other\.pth.*AlexNet"):
        official.lpips(save_small(tmp_path / "other.pth", {"features.0.weight": torch.zeros(64, 3, 11, 11)}), "cpu")


@pytest.mark.usefixtures("small_files")
def test_arcface(faces, tmp_path):
    from facexlib.recognition.arcface_arch import Backbone

    with torch.device("meta"):
        library = Backbone(num_layers=50, drop_ratio=0.6, mode="ir_se").eval()
    file = save_small(tmp_path / "arcface.pth", library.state_dict())
    library.load_state_dict(torch.load(file, weights_only=True), assign=True)
    with torch.inference_mode():
        a, b = (library(torch.nn.functional.interpolate(x, (112, 112), mode="area") * 2 - 1).numpy() for x in faces)
        ours = official.arcface(file, "cpu")(*faces)
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert ours.tolist() == pytest.approx(cosines.tolist(), abs=1e-5)


@pytest.mark.usefixtures("small_files")
def test_inception(faces, tmp_path, monkeypatch):
    library = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3").FeatureExtractorInceptionV3
    nothing = tmp_path / "nothing.pth"
    torch.save({}, nothing)
    with monkeypatch.context() as patched, torch.device("meta"):
        patched.setattr(library, "load_state_dict", lambda self, state: None)
        shapes = library("inception-v3-compat", ["2048"], str(nothing)).state_dict()
    file = save_small(tmp_path / "inception.pth", shapes)
    wanted = library("inception-v3-compat", ["2048"], str(file))((faces[0] * 255).round().to(torch.uint8))[0]
    ours = official.inception(file, "cpu")(faces[0])
    assert ours.shape == (2, 2048)
    assert ours.std() > 0
    torch.testing.assert_close(ours, wanted)


@pytest.mark.usefixtures("small_files")
def test_musiq(faces, tmp_path):
    pyiqa = pytest.importorskip("pyiqa")
    file = save_small(tmp_path / "musiq.pth", pyiqa.create_metric("musiq", pretrained=False).net.state_dict())
    library = pyiqa.create_metric("musiq", pretrained_model_path=str(file), device="cpu")
    assert official.musiq(file, "cpu")(faces[0]).tolist() == pytest.approx(library(faces[0]).flatten().tolist())


def test_frechet_distance_is_its_formula():
    a, b = np.random.default_rng(0).normal(size=(2, 40, 6))
    b = b @ np.diag([1, 2, 3, 1, 1, 0.1]) + 0.5
    one, other = Moments(), Moments()
    for some, moments in ((a, one), (b, other)):
        for batch in np.array_split(some, 3):
            moments.add(torch.from_numpy(batch))
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    trace = np.trace(cov_a + cov_b - 2 * np.real(sqrtm(cov_a @ cov_b)))
    wanted = np.square(a.mean(0) - b.mean(0)).sum() + trace
    assert frechet_distance(one, other) == pytest.approx(wanted, rel=1e-6)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-8)
    with pytest.raises(ValueError, match="two faces"):
        frechet_distance(one, Moments())


def test_frechet_distance_is_torch_fidelitys():
    library = pytest.importorskip("torch_fidelity.metric_fid")
    a, b = torch.randn(2, 30, 8, generator=torch.Generator().manual_seed(0))
    one, other = Moments(), Moments()
    one.add(a)
    other.add(2 * b)
    statistics = [library.fid_features_to_statistics(x) for x in (a, 2 * b)]
    wanted = next(iter(library.fid_statistics_to_metric(*statistics, verbose=False).values()))
    assert frechet_distance(one, other) == pytest.approx(wanted, rel=1e-5)


def test_what_cannot_be_fetched_is_left_out_with_why(monkeypatch, tmp_path):
    monkeypatch.setenv("CODEFORMER_OFFLINE", "1")
    monkeypatch.setenv("CODEFORMER_HOME", str(tmp_path))
    extra = library_metrics(["ids"])
    assert "IDS" not in extra.faces
    assert "recognition_arcface_ir_se50.pth" in extra.left_out["IDS"]
    assert "--with lpips" in extra.left_out["LPIPS"]


def test_a_restricted_licence_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.delenv("CODEFORMER_OFFLINE", raising=False)
    monkeypatch.setenv("CODEFORMER_HOME", str(tmp_path))
    with pytest.raises(download.LicenseNotAccepted, match="non-commercial"):
        download.fetch_published(official.FILES["musiq"])


def test_a_wrong_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.pth"):
        library_metrics(["ids"], files={"ids": tmp_path / "none.pth"})
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.pth"):
        library_metrics(["ids"], files={"ids": tmp_path / "text.pth"})


@pytest.mark.parametrize("name", official.FILES)
def test_files_have_checksums(name):
    assert official.FILES[name].sha256
