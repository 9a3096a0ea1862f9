"""The card of the paper has no empty cell, and what it points at is there."""

import re
from pathlib import Path

import pytest

CARD = Path(__file__).parents[1] / "docs" / "paper.md"
TEXT = CARD.read_text(encoding="utf-8")


def test_no_cell_is_empty():
    rows = [line for line in TEXT.splitlines() if line.startswith("|")]
    assert len(rows) > 50
    empty = [row for row in rows if not all(cell.strip() for cell in row.strip().strip("|").split("|"))]
    assert not empty, "\n".join(empty)


@pytest.mark.parametrize("place", sorted(set(re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT))))
def test_what_it_points_at_is_there(place):
    assert place.startswith("https://") or (CARD.parent / place).exists()


@pytest.mark.parametrize(
    ("file", "names"), sorted(set(re.findall(r"\]\((\.\./[^)#]+\.py)\), ((?:`\w+`(?:, )?)+)", TEXT)))
)
def test_names_are_in_the_files(file, names):
    code = (CARD.parent / file).read_text(encoding="utf-8")
    for name in re.findall(r"\w+", names):
        preset = re.fullmatch(r"(codes|layers)\d+", name)
        assert f'"{preset[1]}{{' in code if preset else name in code, f"{name} in {file}"
