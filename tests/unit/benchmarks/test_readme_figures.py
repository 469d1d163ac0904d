"""Figures are written between their markers and nowhere else."""

from __future__ import annotations

import pytest

from benchmarks import readme

TEXT = "before\n<!-- edge -->\nold\n<!-- /edge -->\nbetween\n<!-- size -->\n<!-- /size -->\nafter\n"


def test_only_the_parts_own_figures_change() -> None:
    once = readme.replaced(TEXT, "edge", r"new \1 figures")
    assert once == TEXT.replace("old", r"new \1 figures")
    assert readme.replaced(once, "edge", "old") == TEXT


def test_missing_markers_are_an_error() -> None:
    with pytest.raises(ValueError, match="demo"):
        readme.replaced(TEXT, "demo", "")


@pytest.mark.parametrize("part", readme.PARTS)
def test_the_readme_has_a_place_for_each(part: str) -> None:
    text = readme.README.read_text()
    assert readme.replaced(text, part, "figures") != text
