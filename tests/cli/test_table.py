"""Test that tables align whatever their cells hold, and fit the window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usersync.cli.table import cut, cut_around, printable, table_text, text_width

LETTERS = st.text(st.sampled_from("ab@.é東京\u0301👍🏽क्षि"), max_size=40)


@pytest.mark.parametrize("width", [20, 21, 22, 40])
def test_columns_align_with_wide_letters_and_accents(width: int) -> None:
    rows = [("a\u0301b", "東京" * 9, "x"), ("é", "plain " * 5, "y")]
    lines = table_text(rows, right=set(), width=width).splitlines()
    assert [line[-1] for line in lines] == ["x", "y"]
    assert len({text_width(line) for line in lines}) == 1


def test_control_characters_in_cells_are_replaced() -> None:
    assert table_text([("a\x1b[2Jb\nc",)], right=set()) == "  a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c"


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        pytest.param(
            "aigerim.nurlanova@example.com",
            "aigerim.nurlanova@example.org",
            ("…@example.com", "…@example.org"),
            id="the end of a domain",
        ),
        pytest.param(
            "aigerim.nurlanova@old.example.com",
            "aigerim.nurlanova@new.example.com",
            ("…va@old.exam…", "…va@new.exam…"),
            id="the middle",
        ),
        pytest.param("Ann Johnson-Smythe", "Bea Johnson-Smythe", ("Ann Johnson-…", "Bea Johnson-…"), id="the start"),
        pytest.param(
            "Johnson-Smythe, Ann", "Johnson-Smythe, Ann Louise", ("…-Smythe, Ann", "…, Ann Louise"), id="an addition"
        ),
        pytest.param(
            "東京都千代田区丸の一", "東京都千代田区丸の二", ("…代田区丸の一", "…代田区丸の二"), id="wide letters"
        ),
        pytest.param("null", "Ann Johnson-Smythe", ("null", "Ann Johnson-…"), id="no old value"),
        pytest.param("Ann", "Bea", ("Ann", "Bea"), id="short values"),
    ],
)
def test_old_and_new_values_never_look_the_same(old: str, new: str, shown: tuple[str, str]) -> None:
    rows = [(old, "->", new), ("x" * 40, "->", "y" * 40)]
    line = table_text(rows, right=set(), width=34, pair=(0, 2)).splitlines()[0]
    assert tuple(part.strip() for part in line.split("->")) == shown


@given(LETTERS, st.integers(1, 30), st.integers(0, 60))
def test_a_cut_text_fits_whatever_letters_it_has(text: str, width: int, column: int) -> None:
    assert text_width(cut_around(printable(text), width, column)) <= width
    if text_width(printable(text)) <= width:
        assert cut(printable(text), width) == printable(text)
