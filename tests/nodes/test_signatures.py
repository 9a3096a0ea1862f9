"""Faces know the picture that they were found in, whatever was done to it since."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

ASSETS = Path(__file__).parents[2] / "workflows" / "assets"


def read(name: str) -> np.ndarray:
    image = cv2.imread(str(ASSETS / name))
    assert image is not None
    return image[..., ::-1].astype(np.float32) / 255


def jpeg(image: np.ndarray) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image * 255, [cv2.IMWRITE_JPEG_QUALITY, 10])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)).astype(np.float32) / 255


def larger(image: np.ndarray, scale: int) -> np.ndarray:
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def blurred(image: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), image.shape[1] / 80)


def without_middle(image: np.ndarray) -> np.ndarray:
    h, w = image.shape[:2]
    image[h // 4 : h * 3 // 4, w // 3 : w * 2 // 3] = 0.6
    return image


EDITS = {
    "graded": lambda image: np.clip(image * np.array([1.3, 1, 0.6], np.float32), 0, 1),
    "gamma": lambda image: image**2.2,
    "darker": lambda image: image * 0.3,
    "contrast": lambda image: np.clip((image - 0.5) * 2 + 0.5, 0, 1),
    "grey": lambda image: np.repeat(image.mean(-1, keepdims=True), 3, -1),
    "jpeg": jpeg,
    "blurred": blurred,
    "noise": lambda image: np.clip(image + np.random.default_rng(0).normal(0, 0.15, image.shape), 0, 1),
    "another face": without_middle,
    "twice": lambda image: larger(image, 2),
    "thrice": lambda image: larger(image, 3),
    "four times": lambda image: larger(image, 4),
}


@pytest.fixture
def found_in(run, face_at):
    """Faces, one a picture, found in an IMAGE."""

    def found(image: torch.Tensor):
        signature = run("signatures").signature
        b, h, w, _ = image.shape
        faces = [[face_at(w / 2, h / 2, 60)] for _ in range(b)]
        signatures = [signature(picture) for picture in image.numpy()]
        return run("found").FoundFaces(faces=faces, height=h, width=w, signatures=signatures)

    return found


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("name", ["group.jpg", "astronaut.jpg"])
def test_an_edited_picture_is_still_the_same(name, edit, run, found_in):
    image = torch.from_numpy(read(name))[None]
    edited = torch.from_numpy(np.ascontiguousarray(EDITS[edit](read(name)), np.float32))[None]
    scale = {"twice": 2, "thrice": 3, "four times": 4}.get(edit, 1)
    assert run("signatures").check_faces(found_in(image), edited, largest=4) == scale


@pytest.mark.parametrize("other", [lambda a, b: b, lambda a, b: a[:, ::-1], lambda a, b: a[::-1]])
def test_another_picture_of_the_same_size_is_refused(other, run, found_in):
    group = read("group.jpg")
    astronaut = cv2.resize(read("astronaut.jpg"), group.shape[1::-1])
    batch = torch.from_numpy(np.stack([group, group]))
    changed = torch.from_numpy(np.stack([group, other(group, astronaut)]))
    run("signatures").check_faces(found_in(batch), batch)
    with pytest.raises(ValueError, match=r"picture 1 of the image is another one .*: connect the same pictures"):
        run("signatures").check_faces(found_in(batch), changed)


def test_flat_pictures_and_pictures_without_faces_are_not_compared(run, found_in):
    flat, group = torch.full((1, 64, 96, 3), 0.5), torch.from_numpy(read("group.jpg"))[None]
    run("signatures").check_faces(found_in(flat), torch.rand(1, 64, 96, 3))
    none = found_in(group)
    none.faces[0].clear()
    run("signatures").check_faces(none, group.flip(2))


def test_another_size_or_number_is_refused(run, found_in):
    image = torch.rand(1, 64, 96, 3)
    for other in (torch.rand(2, 64, 96, 3), torch.rand(1, 96, 64, 3), torch.rand(1, 128, 192, 3)):
        with pytest.raises(ValueError, match="connect the image that they were found in"):
            run("signatures").check_faces(found_in(image), other)
    assert (
        run("signatures").check_faces(
            found_in(image),
            torch.nn.functional.interpolate(image.movedim(-1, 1), scale_factor=2).movedim(1, -1),
            largest=4,
        )
        == 2
    )
