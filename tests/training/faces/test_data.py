import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from codeformer_core.detection.faces import Face
from codeformer_core.pictures.degradation import HEAVY, MILD, PAPER, Degradation, DegradationConfig, degradation_rng
from training.faces import data
from training.faces.augment import AugmentConfig, augment_face, change_colours, jitter, polyline_mask
from training.faces.data import FaceFolder, SampleKey, degradation_level, to_tensor
from training.faces.lightness import balance_weights, face_lightness
from training.faces.regions import face_region
from training.faces.sampling import face_loader
from training.prepare import PrepareConfig, main, prepare

SIZE = 32


def face_of(seed: int, size: int = 48) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)


def save(path: Path, rgb: np.ndarray):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), rgb[..., ::-1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(7):
        save(tmp_path / "faces" / f"{i}.png", face_of(i))
    return tmp_path / "faces"


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(torch.as_tensor(a[k]), torch.as_tensor(b[k])) for k in a)


def test_sample_holds_what_it_says(folder):
    augment = AugmentConfig(colour_jitter=1.0, mask=1.0)
    sample = FaceFolder(folder, SIZE, seed=1, degradation=HEAVY, augment=augment)[SampleKey(0, 0, 3)]
    assert sample["hq"].shape == sample["lq"].shape == (3, SIZE, SIZE)
    assert sample["hq"].dtype == sample["lq"].dtype == torch.float32
    assert -1 <= sample["lq"].min() < sample["lq"].max() <= 1
    assert sample["index"] == 3
    assert 0 < sample["level"] <= 1
    painted = sample["mask"].expand(3, -1, -1) == 1
    assert painted.any()
    assert (sample["lq"][painted] == 1).all()


def test_stage_one_has_clean_faces_alone(folder):
    faces = FaceFolder(folder, 48, seed=1, augment=AugmentConfig(flip=0.0))
    sample = faces[SampleKey(0, 0, 2)]
    assert "lq" not in sample
    assert torch.equal(sample["hq"], to_tensor(face_of(2)))


def test_randomness_is_of_seed_step_and_slot_alone(folder):
    faces, again, other = (FaceFolder(folder, SIZE, seed=seed, degradation=PAPER) for seed in (5, 5, 6))
    key = SampleKey(4, 2, 1)
    assert same(faces[key], again[key])
    for changed in (SampleKey(5, 2, 1), SampleKey(4, 3, 1)):
        assert not torch.equal(faces[key]["lq"], faces[changed]["lq"])
    assert not torch.equal(faces[key]["lq"], other[key]["lq"])


def test_several_degradations_are_all_drawn(folder):
    faces = FaceFolder(folder, SIZE, seed=0, degradation=(MILD, HEAVY))
    samples = [faces[SampleKey(0, slot, 0)] for slot in range(24)]
    levels = [[s["level"] for s in samples if s["which"] == which] for which in (0, 1)]
    assert all(levels)
    assert max(levels[0]) < min(levels[1])


def test_a_step_may_tell_its_degradations(folder):
    def at(step: int) -> tuple[DegradationConfig, ...]:
        return (HEAVY,) if step % 2 else (MILD,)

    faces = FaceFolder(folder, SIZE, seed=0, degradation=at)
    fixed = {
        MILD: FaceFolder(folder, SIZE, seed=0, degradation=MILD),
        HEAVY: FaceFolder(folder, SIZE, seed=0, degradation=HEAVY),
    }
    for step in range(3):
        key = SampleKey(step, 1, 2)
        assert same(faces[key], fixed[at(step)[0]][key])


def test_level_is_where_the_degradation_lies_in_the_papers_ranges():
    weakest = Degradation(sigma_x=1, sigma_y=1, jpeg_quality=90)
    strongest = Degradation(sigma_x=15, sigma_y=15, downscale=30, noise=20, jpeg_quality=30)
    assert degradation_level(weakest, 512) == 0
    assert degradation_level(strongest, 512) == 1
    assert degradation_level(Degradation(), 32) == 0


def test_index_says_which_files_and_damaged_ones_are_replaced_once(folder, caplog):
    (folder / "bad.png").write_bytes((folder / "0.png").read_bytes()[:200])  # its header is whole
    (folder / "no.png").write_bytes(b"text")
    save(folder / "wide.png", np.zeros((48, 64, 3), np.uint8))
    names = ["bad.png", "no.png", "wide.png", "gone.png", "5.png", "2.png"]
    (folder / "index.jsonl").write_text("".join(json.dumps({"file": name}) + "\n" for name in names))
    with caplog.at_level(logging.WARNING):
        faces = FaceFolder(folder, SIZE, seed=0)
    assert [path.name for path in faces.paths] == ["bad.png", "5.png", "2.png"]
    assert all(name in caplog.text for name in ("no.png", "wide.png", "gone.png"))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert [faces[SampleKey(step, 0, 0)]["index"] for step in range(3)] == [1, 1, 1]
    assert caplog.text.count("bad.png") == 1


def test_folders_that_cannot_be_used_are_refused(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    for wrong, size in ((tmp_path / "empty", SIZE), (tmp_path / "none", SIZE), (folder, 64)):
        with pytest.raises(ValueError, match=wrong.name):
            FaceFolder(wrong, size, seed=0)
    FaceFolder(folder, 64, seed=0, min_side=48)
    with pytest.raises(ValueError, match="shares"):
        FaceFolder(folder, SIZE, seed=0, shares=[1, 2])


def test_loader_workers_change_nothing(folder):
    faces = FaceFolder(folder, SIZE, seed=0, degradation=PAPER)
    for _, one, other in zip(
        range(3), face_loader(faces, batch_size=4), face_loader(faces, batch_size=4, workers=1), strict=False
    ):
        assert same(one, other)
        assert torch.float64 not in {value.dtype for value in one.values()}  # MPS has none


def test_shares_of_folders_and_balance_of_lightness(tmp_path, folder):
    for i, grey in enumerate((200, 201, 202, 203, 204, 60)):
        save(tmp_path / "skin" / f"{i}.png", np.full((48, 48, 3), grey, np.uint8))
    weights = FaceFolder([folder, tmp_path / "skin"], SIZE, seed=0, shares=[1, 3], balance=True).weights
    assert weights is not None
    assert weights.sum() == pytest.approx(1)
    assert weights[:7].sum() == pytest.approx(0.25)
    assert weights[-1] > 2 * weights[-2]


def test_lightness_that_prepare_wrote_down_is_not_measured_again(tmp_path, monkeypatch):
    for i, grey in enumerate((200, 60)):
        save(tmp_path / f"{i}.png", np.full((48, 48, 3), grey, np.uint8))
    measured = FaceFolder(tmp_path, SIZE, seed=0, balance=True).weights
    assert measured is not None
    lines = [{"file": "0.png", "lightness": 20.0}, {"file": "1.png", "lightness": 80.0}]
    (tmp_path / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(data, "face_lightness", None)
    listed = FaceFolder(tmp_path, SIZE, seed=0, balance=True).weights
    assert listed is not None
    assert np.array_equal(listed, measured)  # one face of each kind
    (tmp_path / "index.jsonl").write_text(json.dumps({"file": "0.png"}))
    with pytest.raises(TypeError):  # there is nothing written down
        FaceFolder(tmp_path, SIZE, seed=0, balance=True)


def test_balance_has_a_limit():
    weights = balance_weights([80.0] * 99 + [20.0], most=4)
    assert 3.5 < weights[-1] / weights[0] < 8


def test_lightness_is_that_of_the_face_region():
    face = np.full((64, 64, 3), 255, np.uint8)
    face[face_region(64)] = 119  # sRGB grey of L = 50
    assert face_lightness(face) == pytest.approx(50, abs=0.5)
    assert 0.1 < face_region(64).mean() < 0.25


def test_flip_and_tone():
    face = face_of(0)
    flipped = augment_face(face, AugmentConfig(flip=1.0), degradation_rng(0))
    assert np.array_equal(flipped, face[:, ::-1])
    assert np.array_equal(augment_face(face, AugmentConfig(flip=0.0), degradation_rng(0)), face)
    other_light = augment_face(face, AugmentConfig(flip=0.0, tone=1.0), degradation_rng(0))
    assert not np.array_equal(other_light, face)


def test_neutral_jitter_is_the_identity_and_zero_saturation_is_grey():
    face, none = face_of(1), np.zeros(3)
    same_face = jitter(face, brightness=1, contrast=1, saturation=1, hue=0, shift=none)
    assert np.abs(same_face.astype(int) - face).max() <= 1
    grey = jitter(face, brightness=1, contrast=1, saturation=0, hue=0, shift=none).astype(int)
    assert np.ptp(grey, axis=2).max() <= 1
    turned = jitter(face, brightness=1, contrast=1, saturation=1, hue=1.0, shift=none)
    assert np.abs(turned.astype(int) - face).max() <= 1


def test_grey_input():
    grey = change_colours(face_of(2), AugmentConfig(grey=1.0), degradation_rng(0))
    assert np.ptp(grey, axis=2).max() == 0


def test_masks_paint_part_of_the_face():
    shares = [polyline_mask(64, degradation_rng(0, i)).mean() for i in range(30)]
    assert 0.1 <= min(shares) < 0.25
    assert 0.3 < max(shares) < 0.7


@pytest.mark.parametrize("wrong", [{"flip": 2}, {"tone_gamma": (0, 1)}, {"hue": 1}, {"contrast": (2, 1)}])
def test_wrong_augmentation_is_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AugmentConfig(**wrong)


class OneFace:
    """A detector that finds a face on the template in the middle of every picture."""

    def __init__(self, landmarks: np.ndarray):
        self.face = Face(box=np.array([10, 10, 90, 90]), landmarks=landmarks, score=0.99)

    def detect(self, images, config=None):
        return [[self.face] for _ in images]


def test_prepare_saves_goes_on_and_says_why_not(tmp_path):
    from codeformer_core.pasting.alignment import template

    photo = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    save(tmp_path / "photos" / "a" / "1.png", photo)
    save(tmp_path / "photos" / "flat.png", np.full_like(photo, 128))
    (tmp_path / "photos" / "bad.png").write_bytes(b"text")
    out, detector, config = tmp_path / "out", OneFace(template(96)), PrepareConfig(size=64)
    counts = prepare([tmp_path / "photos"], out, detector, config)
    assert counts == {"saved": 1, "blurred": 1, "damaged": 1}
    with (out / "sources.jsonl").open("a") as file:
        file.write('{"source": "cut o')
    save(tmp_path / "photos" / "2.png", photo)
    assert prepare([tmp_path / "photos"], out, detector, config) == {"saved": 1}
    assert sorted(path.name for path in FaceFolder(out, 64, seed=0).paths) == ["1_png_0.png", "2_png_0.png"]
    large = PrepareConfig(size=512)
    assert prepare([tmp_path / "photos" / "2.png"], tmp_path / "out2", detector, large) == {"small": 1}


def test_prepare_names_what_it_passes_over(tmp_path, caplog):
    from codeformer_core.pasting.alignment import template

    photo = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    for name in ("a/x.png", "a/y.png", "a/y.PNG", "b/x.png"):
        save(tmp_path / name, photo)
    out, detector, config = tmp_path / "out", OneFace(template(96)), PrepareConfig(size=64)
    assert prepare([tmp_path / "a", tmp_path / "none"], out, detector, config) == {"saved": 3}
    assert len(FaceFolder(out, 64, seed=0).paths) == 3  # of y.png and y.PNG too
    assert "none: no picture there" in caplog.messages[-1]
    assert not prepare([tmp_path / "b"], out, detector, config)
    assert caplog.messages[-1].startswith(f"{tmp_path / 'b' / 'x.png'}: passed over, {tmp_path / 'a' / 'x.png'} was ")


def test_a_spoilt_index_is_named(tmp_path):
    save(tmp_path / "0.png", face_of(0))
    for line, why in (('{"file": "0.p', "is no JSON"), ("{}", 'names no "file"')):
        (tmp_path / "index.jsonl").write_text(line)
        with pytest.raises(ValueError, match=rf"index\.jsonl: a line {why}"):
            FaceFolder(tmp_path, 64, seed=0)


def test_prepare_without_a_photo_ends_with_one_line(tmp_path, capsys):
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_native_is_the_side_that_a_face_really_has(folder):
    for size, native in ((64, 48), (SIZE, SIZE)):
        faces = FaceFolder(folder, size, seed=1, min_side=16)
        assert faces[SampleKey(0, 0, 2)]["native"] == native


def test_another_background_leaves_the_face_as_it_is(rng):
    face = face_of(1, 128)
    changed = augment_face(face, AugmentConfig(flip=0.0, background=1.0), rng)
    region = face_region(128)
    assert np.array_equal(changed[region], face[region])
    corner = np.abs(changed[:12, :12].astype(int) - face[:12, :12]).mean()
    assert corner > 5
    assert np.array_equal(augment_face(face, AugmentConfig(flip=0.0), rng), face)
