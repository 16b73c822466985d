"""Tables align whatever their cells hold, and fit the window."""

import pytest

from usersync.cli.table import table_text


@pytest.mark.parametrize("width", [20, 21, 22, 40])
def test_columns_align_with_wide_letters_and_accents(width: int) -> None:
    rows = [("a\u0301b", "東京" * 9, "x"), ("é", "plain " * 5, "y")]
    ends = [line[-1] for line in table_text(rows, right=set(), width=width).splitlines()]
    assert ends == ["x", "y"]


def test_control_characters_in_cells_are_replaced() -> None:
    assert table_text([("a\x1b[2Jb\nc",)], right=set()) == "  a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c"
