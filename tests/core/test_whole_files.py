"""Files written whole or not at all: what is there after success and after failure."""

import errno
import os

import pytest

from codeformer_core.whole_files import whole_file


def test_the_file_takes_its_place_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as unfinished:
        unfinished.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, done = tmp_path / "a.txt", []
    flush, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (flush(file), done.append(os.fstat(file).st_size)))
    monkeypatch.setattr(os, "replace", lambda *names: (rename(*names), done.append("named")))
    with whole_file(path) as unfinished:
        unfinished.write_text("whole")
    assert done == [5, "named"]


@pytest.mark.parametrize(
    ("failure", "number"),
    [
        (OSError(errno.ENOSPC, "No space left"), errno.ENOSPC),
        (OSError("I/O error: No space left"), errno.EIO),  # without a number, as safetensors reports it
    ],
)
def test_a_failure_names_the_file_and_leaves_the_old_one(failure, number, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write():
        with whole_file(path) as unfinished:
            unfinished.write_text("half")
            raise failure

    with pytest.raises(OSError, match=r"No space left.*make room") as info:
        write()
    assert (info.value.errno, info.value.filename) == (number, str(path))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
