import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from codeformer_core import facexlib_nets
from codeformer_core.pasting import parsing
from codeformer_core.pasting.parsing import FaceParser, load_parser
from codeformer_core.weights.checkpoint import CheckpointError


class ByRed(nn.Module):
    """Sees class 1 (skin) where red is high and the background elsewhere; named as ParseNet's last layer."""

    def __init__(self):
        super().__init__()
        self.out_mask_conv = nn.ModuleDict({"conv2d": nn.Conv2d(1, 1, 1)})
        self.seen = torch.empty(0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (b, 3, 512, 512) -> (b, 19, 512, 512), picture
        self.seen = x
        logits = torch.zeros(len(x), 19, *x.shape[2:])
        logits[:, 1] = torch.where(x[:, 0] > 0, 1.0, -1.0)
        return logits, x


class Stripes(ByRed):
    """Sees class i in the columns from 16 i on."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        classes = (torch.arange(512) // 16).clamp(max=18).expand(len(x), 512, 512)
        return nn.functional.one_hot(classes, 19).movedim(-1, 1), x


@pytest.fixture
def faces() -> np.ndarray:
    """Two faces of 64 px whose right half is red, and then whose upper half is."""
    faces = np.zeros((2, 64, 64, 3), np.float32)
    faces[0, :, 32:, 0] = faces[1, :32, :, 0] = 1
    return faces


def test_masks_follow_what_the_net_sees_in_each_face(faces):
    masks = FaceParser(ByRed(), "ParseNet face parser").masks(faces)
    assert masks.shape == (2, 64, 64)
    assert masks.dtype == np.float32
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert masks[0, 32, 50] == masks[1, 14, 32] == pytest.approx(1, abs=1e-3)
    assert masks[0, 32, 14] == masks[1, 50, 32] == pytest.approx(0, abs=1e-3)
    assert masks[:, 0].max() == masks[:, :, -1].max() == 0
    np.testing.assert_allclose(masks[0], np.rot90(masks[1], -1), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "not_face"),
    [("ParseNet face parser", {0, 14, 16, 17, 18}), ("BiSeNet face parser", {0, 14, 15, 16, 18})],
)
def test_background_hat_necklace_neck_and_cloth_are_no_face(kind, not_face, monkeypatch):
    monkeypatch.setattr(parsing, "soften_parsing", lambda face: face.astype(np.float32))
    mask = FaceParser(Stripes(), kind).masks(np.zeros((1, 512, 512, 3), np.float32))[0]
    assert {label for label in range(19) if mask[:, 16 * label].max() == 0} == not_face


@pytest.mark.parametrize(
    ("kind", "classes"),
    [
        ("ParseNet face parser", {"hair": {13}, "hat": {14}, "glasses": {3}, "neck": {17}, "ears": {8, 9, 15}}),
        ("BiSeNet face parser", {"hair": {17}, "hat": {18}, "glasses": {6}, "neck": {14}, "ears": {7, 8, 9}}),
    ],
)
def test_each_part_of_a_mask_is_its_classes(kind, classes, monkeypatch):
    monkeypatch.setattr(parsing, "soften_parsing", lambda face: face.astype(np.float32))
    parser, face = FaceParser(Stripes(), kind), np.zeros((1, 512, 512, 3), np.float32)
    bare = parser.masks(face, [])[0]
    for part, its_classes in classes.items():
        mask = parser.masks(face, [part])[0]
        assert {label for label in range(19) if (mask - bare)[:, 16 * label].max() > 0} == its_classes


def test_each_net_gets_its_own_range():
    white = np.ones((1, 64, 64, 3), np.float32)
    net = ByRed()
    FaceParser(net, "ParseNet face parser").masks(white)
    assert net.seen.shape == (1, 3, 512, 512)
    assert net.seen.flatten()[0].item() == 1
    FaceParser(net, "BiSeNet face parser").masks(white)
    np.testing.assert_allclose(
        net.seen[0, :, 0, 0], [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225], rtol=1e-5
    )


def test_parsenet_is_loaded_from_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(facexlib_nets, "build_parsenet", ByRed)
    saved = ByRed()
    torch.save(saved.state_dict(), tmp_path / "parser.pth")
    parser = load_parser(tmp_path / "parser.pth")
    assert parser.kind == "ParseNet face parser"
    assert not parser.net.training
    assert all(
        not p.requires_grad and torch.equal(p, q)
        for p, q in zip(parser.net.parameters(), saved.parameters(), strict=True)
    )


def test_bisenet_of_facexlib_is_loaded_and_parses(tmp_path, faces, monkeypatch):
    net = facexlib_nets.build_bisenet()
    save_file(net.state_dict(), tmp_path / "bisenet.safetensors")
    monkeypatch.setattr(facexlib_nets, "build_bisenet", lambda: net)  # building takes its time
    parser = load_parser(tmp_path / "bisenet.safetensors")
    assert parser.kind == "BiSeNet face parser"
    masks = parser.masks(faces[:1])
    assert masks.shape == (1, 64, 64)
    assert np.isfinite(masks).all()


def test_another_network_and_a_missing_file_are_refused(tmp_path, tiny_net):
    path = tmp_path / "net.safetensors"
    save_file(tiny_net.state_dict(), path)
    with pytest.raises(CheckpointError, match=r"net\.safetensors: holds a CodeFormer, expected a face parser"):
        load_parser(path)
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        load_parser(tmp_path / "none.pth")
