from pathlib import Path

import pytest

from codeformer_core.pictures.folders import find_pictures


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
    found = find_pictures([folder]).pictures
    assert relatives(found) == ["2.png", "10.png", "b/1.jpg", "b/[1].png", "c/2.TIF"]
    assert all(path == folder / relative for path, relative in found)


def test_a_named_file_is_taken_whatever_its_suffix_and_once(folder):
    found = find_pictures([str(folder / "odd.dat"), folder / "b" / "[1].png", folder / "b" / ".." / "odd.dat"]).pictures
    assert relatives(found) == ["odd.dat", "[1].png"]


def test_a_file_in_an_input_folder_comes_once(folder):
    found = find_pictures([folder / "10.png", folder]).pictures
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
    assert relatives(find_pictures([f"{folder}/{pattern}"]).pictures) == expected


def test_patterns_relative_to_here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert relatives(find_pictures(["b/*.jpg", "*.png"]).pictures) == ["1.jpg", "2.png", "10.png"]


def test_the_output_folder_is_passed_over_below_the_input_only(folder):
    assert relatives(find_pictures([folder], exclude=folder / "b").pictures) == ["2.png", "10.png", "c/2.TIF"]
    assert (
        len(find_pictures([folder], exclude=folder).pictures)
        == len(find_pictures([folder], exclude=folder.parent).pictures)
        == 5
    )


@pytest.mark.parametrize("name", ["missing.png", "missing*.png", "[3].png", "empty"])
def test_an_input_without_pictures_is_named_and_the_others_are_found(folder, name):
    (folder / "empty").mkdir()
    found = find_pictures([folder, folder / name])
    assert len(found.pictures) == 5
    (problem,) = found.problems
    assert problem.startswith(f"{folder / name}: no picture there; give")
    with pytest.raises(ValueError, match="no picture there"):
        find_pictures([folder / name])


def test_a_second_picture_of_one_relative_path_is_left_out(folder):
    (folder / "c" / "1.jpg").touch()
    found = find_pictures([folder / "b" / "1.jpg", folder / "c" / "1.jpg"])
    assert found.pictures == [(folder / "b" / "1.jpg", Path("1.jpg"))]
    (problem,) = found.problems
    assert problem.startswith(f"{folder / 'c' / '1.jpg'}: its result would replace that of")


def test_pictures_of_other_formats_are_passed_over_in_one_line(folder, caplog):
    for name in ("raw.CR2", "b/layers.psd", "b/more.psd", ".hidden.psd"):
        (folder / name).touch()
    (folder / "c" / "IMG_1.HEIC").touch()
    assert relatives(find_pictures([folder]).pictures)[-2:] == ["c/2.TIF", "c/IMG_1.HEIC"]
    (line,) = caplog.messages
    assert line.startswith(f"{folder}: 3 pictures of other formats are passed over (.cr2 .psd); save it as PNG")
