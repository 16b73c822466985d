"""Test which rows of a rejects file stay rejected."""

from pathlib import Path

import pytest

from usersync.loader import load
from usersync.loader.rejects_columns import held_back, hold_back_rows, original_rows
from usersync.models import Code
from usersync.settings import SourceSettings
from usersync.tables import Table


def read(path: Path, why: str) -> Table:
    path.write_text(f'usersync: row,Usersync: why ,id,name\n17,"{why}",1,Ann\n')
    return hold_back_rows(load([path], options=SourceSettings()))


def test_a_held_back_row_is_rejected_with_its_code_and_reason(tmp_path: Path) -> None:
    table = read(tmp_path / "a.csv", held_back(Code.ROW_HIDDEN, "row 17 is hidden (manually): unhide it"))
    ((key, code, message),) = [(p.key, p.code, p.message) for p in table.problems]
    assert (key, code, message) == (0, Code.ROW_HIDDEN, "row 17 is hidden (manually): unhide it")
    assert hold_back_rows(table) is table


@pytest.mark.parametrize(
    "why",
    [
        pytest.param("", id="emptied"),
        pytest.param("id: not a whole number", id="a reason that the cells show"),
        pytest.param("held back by me", id="words of a person"),
        pytest.param("held back (no-such-code) until this cell is emptied: x", id="no code of ours"),
    ],
)
def test_other_rows_are_read_like_those_of_any_file(tmp_path: Path, why: str) -> None:
    assert read(tmp_path / "a.csv", why).problems == ()


def test_rows_know_where_they_stood_first(tmp_path: Path) -> None:
    assert original_rows(read(tmp_path / "a.csv", "")) == {0: "17"}
    (tmp_path / "b.csv").write_text("id,name\n1,Ann\n")
    assert original_rows(load([tmp_path / "b.csv"], options=SourceSettings())) == {}
