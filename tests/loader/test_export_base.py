"""The base of an export reads back as it was written, or is refused."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xlsxwriter import Workbook

from usersync.errors import SourceError
from usersync.loader import load
from usersync.loader.export_base import (
    BASE_SHEET,
    base_lines,
    base_of_rows,
    base_path,
    parse_base,
    read_base,
    split_cells,
)
from usersync.report.xlsx import BaseSheet, TextSheet
from usersync.settings import SourceSettings
from usersync.tables import Base

URL = "https://chat.example.org"
TEXT = st.none() | st.text(max_size=20)


def base(texts: dict[int, tuple[str | None, ...]], fields: tuple[str, ...] = ("name", "email"), **more: Any) -> Base:
    made = Base(URL, "2026-11-24T12:00:00.000Z", fields, texts, "", **more)
    return parse_base([json.loads(line) for line in base_lines(made)], "test")


def as_file(path: Path, made: Base) -> Path:
    path.write_text(f"[{','.join(base_lines(made))}]")
    return path


def as_workbook(path: Path, made: Base, *, hidden: bool = True) -> Path:
    with Workbook(path, {"constant_memory": True}) as book:
        sheet = book.add_worksheet("Users", TextSheet)
        for y, row in enumerate((("id", "name", "email"), ("1", "Ann", "ann@x.org"))):
            for x, text in enumerate(row):
                sheet.write_string(y, x, text)
        carried = BaseSheet(book)
        for y, line in enumerate(base_lines(made)):
            carried.write(y, line)
        if not hidden:
            book.get_worksheet_by_name(BASE_SHEET).set_first_sheet()
            book.get_worksheet_by_name(BASE_SHEET).hidden = 0
    return path


HEAD = {"usersync_base": 1, "platform": "", "exported_at": "", "fields": ["name"], "escaped": False}
MADE = base({1: ("Ann", "ann@x.org"), 2: (None, "")})


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text of all takes seconds
@given(st.dictionaries(st.integers(1, 2**63 - 1), st.tuples(TEXT, TEXT)), st.booleans())
def test_any_texts_read_back_as_they_were_written(texts: dict[int, tuple[str | None, ...]], is_escaped: bool) -> None:
    made = base(texts, is_escaped=is_escaped)
    assert made.texts == texts
    assert made.is_escaped == is_escaped
    assert len(made.digest) == 64
    assert all(line.isascii() and line.isprintable() for line in base_lines(made))


def test_a_workbook_carries_its_base_on_a_sheet_that_is_never_read_as_users(tmp_path: Path) -> None:
    for hidden in (True, False):
        path = as_workbook(tmp_path / f"{hidden}.xlsx", MADE, hidden=hidden)
        table = load([path], options=SourceSettings())
        assert table.sources[0].base == MADE
        assert table.sources[0].sheet == "Users"
        assert table.cells["id"].tolist() == ["1"]


def test_a_text_that_no_single_cell_has_room_for_is_carried_in_several(tmp_path: Path) -> None:
    made = base({1: ("ä" * 30_000, "x")})
    assert read_base(as_workbook(tmp_path / "a.xlsx", made)) == made
    assert all(len(part) <= 32_767 for line in base_lines(made) for part in split_cells(line))


@pytest.mark.parametrize(("name", "beside"), [("users.csv", "users.base.json"), ("users.csv.gz", "users.base.json")])
def test_the_base_lies_beside_its_file_under_the_same_name(name: str, beside: str) -> None:
    assert base_path(Path("there") / name) == Path("there") / beside


def test_a_base_beside_a_file_is_used(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("id,name\n1,Ann\n")
    assert load([tmp_path / "users.csv"], options=SourceSettings()).sources[0].base is None
    as_file(tmp_path / "users.base.json", MADE)
    assert load([tmp_path / "users.csv"], options=SourceSettings()).sources[0].base == MADE


@pytest.mark.parametrize(
    ("name", "nearby"),
    [
        pytest.param("users (1).csv", "users.base.json", id="a copy of a browser"),
        pytest.param("users - Kopie.xlsx", "users.base.json", id="a copy of a file manager"),
        pytest.param("book.csv", "book.xlsx", id="a workbook that was saved as CSV"),
        pytest.param("staff.csv", "", id="another file"),
    ],
)
def test_notes_a_base_that_a_file_may_belong_to(tmp_path: Path, name: str, nearby: str) -> None:
    as_file(tmp_path / "users.base.json", base({1: ("Ann", "ann@x.org")}))
    as_workbook(tmp_path / "book.xlsx", base({1: ("Ann", "ann@x.org")}))
    (tmp_path / name).write_text("id,name,email\n1,Ann,ann@x.org\n")
    (source,) = load(tmp_path / name, options=SourceSettings()).sources
    assert source.base is None
    assert [note for note in source.notes if "--base" in note] == (
        [f"if this file comes from the export of {nearby}, add: --base {tmp_path / nearby}"] if nearby else []
    )


def test_a_named_base_counts_more_than_one_beside_the_file_but_not_more_than_its_own(tmp_path: Path) -> None:
    other = base({1: ("Zoe", "z@x.org")})
    (tmp_path / "users.csv").write_text("id,name\n1,Ann\n")
    as_file(tmp_path / "users.base.json", MADE)
    as_workbook(tmp_path / "users.xlsx", MADE)
    named = as_file(tmp_path / "other.json", other)
    files: list[str | Path] = [tmp_path / "users.csv", tmp_path / "users.xlsx"]
    assert [s.base for s in load(files, options=SourceSettings(), base=named).sources] == [other, MADE]


def changed(change: Callable[[list[Any]], object]) -> str:
    values = [json.loads(line) for line in base_lines(MADE)]
    change(values)
    return json.dumps(values)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(changed(lambda v: v[1].__setitem__(1, "Zoe")), "were edited", id="a text was changed"),
        pytest.param(changed(lambda v: v[0].update(platform="https://x.org")), "were edited", id="another platform"),
        pytest.param(changed(lambda v: v.pop(1)), "were edited", id="a user was removed"),
        pytest.param(changed(lambda v: v.insert(1, [9, "x", "y"])), "were edited", id="a user was added"),
        pytest.param(changed(lambda v: v.insert(1, v.pop(2))), "were edited", id="the order was changed"),
        pytest.param(changed(lambda v: v.pop()), "were edited", id="the digest was removed"),
        pytest.param(changed(lambda v: v[0].update(usersync_base=2)), "not of version 1", id="a newer version"),
        pytest.param("[]", "is not the base of an export", id="an empty list"),
        pytest.param("{}", "is not the base of an export", id="an object"),
        pytest.param('["usersync_base', "are damaged", id="a file cut short"),
        pytest.param('["usersync_base",' + "[" * 100_000, "are damaged", id="nested without end"),
        pytest.param('["usersync_base\xff', "are damaged", id="no UTF-8"),
    ],
)
def test_a_base_that_is_not_as_it_was_written_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "users.base.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SourceError, match=sentence):
        read_base(path)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([{"usersync_base": 1}, [1, "x"]], id="a head without fields"),
        pytest.param([{**HEAD, "fields": 5}], id="fields that are no list"),
        pytest.param([HEAD, [1]], id="too few texts"),
        pytest.param([HEAD, ["x", "y"]], id="an id that is no number"),
    ],
)
def test_a_base_with_a_right_digest_and_wrong_contents_is_refused(values: list[Any]) -> None:
    lines = "".join(f"{json.dumps(value, separators=(',', ':'))}\n" for value in values)
    digest = hashlib.sha256(lines.encode()).hexdigest()
    with pytest.raises(SourceError, match="are damaged"):
        parse_base([*values, {"sha256": digest}], "users.base.json")


def test_a_named_base_that_is_not_there_or_not_in_the_workbook_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        read_base(tmp_path / "none.json")
    with Workbook(tmp_path / "plain.xlsx") as book:
        book.add_worksheet("Users").write_string(0, 0, "id")
    with pytest.raises(SourceError, match="carries no base"):
        read_base(tmp_path / "plain.xlsx")


def test_rows_of_several_exports_get_one_base_with_what_is_known_of_each() -> None:
    other = base({3: ("Cy", "7")}, fields=("name", "custom_attributes.seats"))
    joined = base_of_rows([(MADE, 1), (None, 1), (other, 3), (other, 4), (MADE, None)])
    assert joined is not None
    assert joined.fields == ("name", "email", "custom_attributes.seats")
    assert joined.texts == {1: ("Ann", "ann@x.org", None), 3: ("Cy", None, "7")}
    assert base_of_rows([(None, 1), (MADE, 5)]) is None
