from pathlib import Path

import pytest

from codeformer_core.find_pictures import find_pictures


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "in"
    for name in (
        "10.png",
        "2.png",
        "b/1.jpg",
        "b/[1].png",
        ".hidden.png",
        ".cache/a.png",
        "notes.txt",
        "odd.dat",
        "c/2.TIF",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def relatives(found: list[tuple[Path, Path]]) -> list[str]:
    return [relative.as_posix() for _, relative in found]


def test_folder_is_searched_in_natural_order(folder):
    found = find_pictures([folder])
    assert relatives(found) == ["2.png", "10.png", "b/1.jpg", "b/[1].png", "c/2.TIF"]
    assert all(path == folder / relative for path, relative in found)


def test_a_named_file_is_taken_whatever_its_suffix_and_once(folder):
    found = find_pictures([str(folder / "odd.dat"), folder / "b" / "[1].png", folder / "b" / ".." / "odd.dat"])
    assert relatives(found) == ["odd.dat", "[1].png"]


def test_a_file_in_an_input_folder_comes_once(folder):
    found = find_pictures([folder / "10.png", folder])
    assert relatives(found) == ["10.png", "2.png", "b/1.jpg", "b/[1].png", "c/2.TIF"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["2.png", "10.png"]),
        ("?.png", ["2.png"]),
        ("**/*.png", ["2.png", "10.png", "b/[1].png"]),
        ("[bc]", ["b/1.jpg", "b/[1].png", "c/2.TIF"]),
        ("b/*", ["1.jpg", "[1].png"]),
        ("*", ["2.png", "10.png", "b/1.jpg", "b/[1].png", "c/2.TIF"]),
    ],
)
def test_patterns_are_expanded(folder, pattern, expected):
    assert relatives(find_pictures([f"{folder}/{pattern}"])) == expected


def test_patterns_relative_to_here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert relatives(find_pictures(["b/*.jpg", "*.png"])) == ["1.jpg", "2.png", "10.png"]


def test_the_output_folder_is_passed_over_below_the_input_only(folder):
    assert relatives(find_pictures([folder], exclude=folder / "b")) == ["2.png", "10.png", "c/2.TIF"]
    assert len(find_pictures([folder], exclude=folder)) == len(find_pictures([folder], exclude=folder.parent)) == 5


@pytest.mark.parametrize("name", ["missing.png", "missing*.png", "[3].png", "empty"])
def test_an_input_without_pictures_is_named(folder, name):
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no picture there; give") as info:
        find_pictures([folder, folder / name])
    assert str(info.value).startswith(str(folder / name))


def test_two_pictures_of_one_relative_path_are_refused(folder):
    (folder / "c" / "1.jpg").touch()
    with pytest.raises(ValueError, match=r"1\.jpg"):
        find_pictures([folder / "b" / "1.jpg", folder / "c" / "1.jpg"])
