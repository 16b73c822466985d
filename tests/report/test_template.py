"""Test that the template explains itself, and that the loader reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from usersync import loader
from usersync.errors import UsageError
from usersync.report.template import write_template
from usersync.sandbox import Sandbox
from usersync.settings import FieldSettings, SourceSettings
from usersync.validation import validate

COLUMNS = {"User": "id", "Mail": "email", "Seats": "custom_attributes.seats", "Comment": "ignore"}
FIELDS: Mapping[str, FieldSettings] = {
    name: FieldSettings.model_validate(rules)
    for name, rules in {
        "name": {"blank": "reject"},
        "custom_attributes.seats": {"type": "integer", "blank": "clear"},
        "custom_attributes.active": {"type": "boolean"},
        "custom_attributes.state": {"type": "boolean", "replace": {"Aktiv": "true", "Inaktiv": "false"}},
        "custom_attributes.since": {"type": "date", "default": "2026-01-01"},
        "custom_attributes.share": {"type": "number", "only_if_blank": True},
        "custom_attributes.tags": {"type": "list", "separator": ";"},
        "custom_attributes.size": {"replace": {"S, small": "s", "M": "m"}},
    }.items()
}
HEADINGS = ["User", "name", "display_name", "Mail", "password", "Seats"] + [
    f"custom_attributes.{key}" for key in ("active", "state", "since", "share", "tags", "size")
]


@pytest.fixture
def book(tmp_path: Path) -> Any:
    write_template(tmp_path / "t.xlsx", columns=COLUMNS, fields=FIELDS)
    return openpyxl.load_workbook(tmp_path / "t.xlsx")


def test_one_sheet_is_to_fill_in_and_one_explains_it(book: Any) -> None:
    sheet = book["Changes"]
    assert [cell.value for cell in sheet[1]] == HEADINGS
    assert sheet.freeze_panes == "A2"
    assert [c.value for c in sheet[2]] == [
        "EXAMPLE", "Ann Jones", "Ann", "ann@example.org", None, 12, "true", "Aktiv", sheet["I2"].value, 1.5, "a;b",
        "S, small",
    ]  # fmt: skip
    assert sheet["I2"].value.date() == date(2026, 11, 24)
    assert book.sheetnames[:2] == ["Changes", "How to"]
    assert "User: The user's number" in "\n".join(str(row[0].value) for row in book["How to"])


def test_text_columns_are_text_and_typed_ones_are_not(book: Any) -> None:
    sheet = book["Changes"]
    formats = {cell.value: sheet.column_dimensions[cell.column_letter].number_format for cell in sheet[1]}
    other = {name: code for name, code in formats.items() if code != "@"}
    assert other == {
        "Seats": "General",
        "custom_attributes.share": "General",
        "custom_attributes.since": "yyyy-mm-dd",
    }


def test_typed_columns_have_lists_and_rules(book: Any) -> None:
    rules = {str(r.sqref): (r.type, r.formula1) for r in book["Changes"].data_validations.dataValidation}
    assert rules == {
        "F2:F1048576": ("whole", "-999999999999999"),
        "G2:G1048576": ("list", '"true,false"'),
        "H2:H1048576": ("list", '"Aktiv,Inaktiv"'),
        "I2:I1048576": ("date", "1"),
        "J2:J1048576": ("decimal", "-999999999999999"),
        "L2:L1048576": ("list", "Lists!$A$1:$A$2"),
    }
    assert [row[0].value for row in book["Lists"]["A1:A2"]] == ["S, small", "M"]
    assert book["Lists"].sheet_state == "hidden"


def test_notes_on_headings_say_what_to_write(book: Any) -> None:
    notes = {cell.value: cell.comment.text for cell in book["Changes"][1]}
    assert notes["name"] == "The full name. Must not be blank."
    assert notes["Seats"] == "A whole number, such as 12. Blank: is cleared. #CLEAR clears it."
    assert notes["custom_attributes.state"].startswith("One of: Aktiv, Inaktiv. Blank: stays as it is.")
    assert "Blank: 2026-01-01." in notes["custom_attributes.since"]
    assert notes["custom_attributes.share"].endswith("Is written only where the platform has no value yet.")
    assert notes["custom_attributes.tags"].startswith("Several values, with ; between them.")


def test_the_example_row_is_valid(book: Any, tmp_path: Path) -> None:
    sheet = book["Changes"]
    sheet["A2"], sheet["B2"], sheet["D2"] = "1", "Bea Jones", "bea@example.org"
    book.save(tmp_path / "filled.xlsx")
    table = loader.load([tmp_path / "filled.xlsx"], options=SourceSettings(), columns=COLUMNS)
    desired = validate(table, FIELDS)
    assert desired.problems == ()
    assert desired.values["custom_attributes.tags"][0] == ["a", "b"]


def test_the_loader_leaves_the_example_row_out_and_counts_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,name\n1,Ann\nEXAMPLE,x\n2,Bea\n3,a,b\nexample,Cid\n")
    table = loader.load([path], options=SourceSettings())
    assert table.cells["id"].tolist() == ["1", "2", "", "example"]
    assert table.places["row"].tolist() == [2, 4, 5, 6]
    assert [problem.key for problem in table.problems] == [2]
    assert table.sources[0].skipped == 1
    assert table.sources[0].notes == ("left out the template's example: row 3",)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        pytest.param("there.xlsx", "the file exists already", id="an existing file is kept"),
        pytest.param("a.csv", r"a template is an \.xlsx file", id="another kind of file"),
        pytest.param("no/folder.xlsx", "cannot be written", id="a folder that is not there"),
    ],
)
def test_a_template_is_not_written(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "there.xlsx").write_text("mine")
    with pytest.raises(UsageError, match=why):
        write_template(tmp_path / name, columns={}, fields={})
    assert (tmp_path / "there.xlsx").read_text() == "mine"


@pytest.mark.parametrize("sheet", ["How to", "a" * 32, "May/June"])
def test_a_sheet_name_that_no_workbook_can_have_is_refused(tmp_path: Path, sheet: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of this sheet"):
        write_template(tmp_path / "t.xlsx", columns={}, fields={}, sheet=sheet)
    assert not list(tmp_path.iterdir())


def test_an_untouched_template_changes_nothing_and_a_filled_one_is_run(desk: Callable[..., Any]) -> None:
    fields = {"custom_attributes.seats": {"type": "integer"}}
    with desk(Sandbox(users=50, limit=None), columns={"Seats": "custom_attributes.seats"}, fields=fields) as (
        box,
        at,
    ):
        assert at.run("template", "t.xlsx").code == 0
        assert at.run("template", "t.xlsx").code == 2
        idle = at.run("run", "t.xlsx", "--yes", "--json")
        assert (idle.code, idle.summary["counts"], len(box.log)) == (3, {"rows": 0}, 0)
        book = openpyxl.load_workbook(at.folder / "t.xlsx")
        book["Changes"].append(["7", "Ann Jones", None, "ann.jones@example.org", None, 12])
        book.save(at.folder / "t.xlsx")
        assert at.run("plan", "t.xlsx").code == 0
        ran = at.run("run", "t.xlsx", "--yes", "--json")
        assert (ran.code, ran.summary["counts"]) == (0, {"updated": 1, "rows": 1})
        assert (box.store.users[7].name, box.store.users[7].custom_attributes["seats"]) == ("Ann Jones", 12)
