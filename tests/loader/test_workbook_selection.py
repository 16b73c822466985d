"""Test which sheet, rows and columns of a workbook are read."""

from __future__ import annotations

import io
from typing import Any

import openpyxl
import pytest
import xlsxwriter

from tests.loader.sheets import pack, read_book, refusal, saved, unpacked
from usersync.errors import SourceError
from usersync.loader.export_base import BASE_SHEET
from usersync.loader.headings import Headings
from usersync.loader.raw_sheet import RawSheet
from usersync.loader.workbook import read_workbook
from usersync.models import Code
from usersync.settings import SourceSettings

Sheets = dict[str, list[list[Any]]]


def book(sheets: Sheets) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as written:
        for name, rows in sheets.items():
            sheet = written.add_worksheet(name)
            for at, row in enumerate(rows):
                sheet.write_row(at, 0, row)
    return out.getvalue()


USERS = [["User ID", "Name"], [7, "Ann"]]


@pytest.mark.parametrize(
    ("sheets", "chosen", "notes"),
    [
        pytest.param(
            {"Data": USERS, "Notes": [["ID"]]},
            "Data",
            ("sheets without rows were not read: 'Notes'",),
            id="an empty sheet after it",
        ),
        pytest.param(
            {"Template": [["id", "name"], ["", " "]], "Users": USERS},
            "Users",
            ("sheets without rows were not read: 'Template'",),
            id="a sheet of blank rows before it",
        ),
        pytest.param(
            {"Users": [["id"]], "Data": [["Nr"], [1]]},
            "Users",
            ("sheets without an id column were not read: 'Data'",),
            id="no rows, but rows on a sheet without ids",
        ),
        pytest.param(
            {"Users": [["id", "name"], [5, "Ann"]], "Legend": [["ID", "Meaning"], [1, "active"]]},
            "Users",
            ("sheets with ids, but no field to change, were not read: 'Legend'",),
            id="a legend with ids",
        ),
        pytest.param({"Data": [["x"]] * 3, "Users": USERS}, "Users", (), id="a sheet without ids is not worth a note"),
    ],
)
def test_prefers_a_sheet_with_rows_and_names_those_passed_over(
    sheets: Sheets, chosen: str, notes: tuple[str, ...]
) -> None:
    found = read_book(book(sheets))
    assert (found.sheet, found.notes) == (chosen, notes)


@pytest.mark.parametrize("number", ["No. 4711", 4711])
def test_finds_the_header_below_the_number_of_a_report(number: object) -> None:
    found = read_book(book({"Users": [["ID", number], [""], ["id", "name"], [5, "Ann"]]}))
    assert (found.header_row, found.rows.tolist()) == (3, [4])


def test_finds_rows_far_below_the_header() -> None:
    found = read_book(book({"Notes": [["id"]], "Users": [["id"], *[[""]] * 150, [5]]}))
    assert (found.sheet, found.rows.tolist()) == ("Users", [152])


def test_says_what_a_sheet_with_e_mails_and_no_ids_needs() -> None:
    assert refusal(
        read_book, book({"Intro": [["Hello"]], "Staff": [["Name", "E-mail"], ["Ann", "a@example.org"]]})
    ) == (
        "sheet 'Staff': row 1 looks like the header and has e-mail addresses, but no ids "
        "(headings: 'Name', 'E-mail'); add a column id with the platform's user ids"
    )


def test_reads_the_sheet_with_addresses_where_none_has_ids() -> None:
    people = [["Name", "E-mail"], ["Ann", "a@example.org"]]
    data = book({"Intro": [["Hello"]], "Staff": people, "Users": [["id", "name"], [7, "Ann"]]})
    assert read_by_email(data).sheet == "Users", "ids are preferred"
    assert read_by_email(data).notes == ("sheets with e-mail addresses, but no ids, were not read: 'Staff'",)
    assert read_by_email(book({"Intro": [["Hello"]], "Staff": people})).sheet == "Staff"
    with pytest.raises(SourceError, match="sheets 'A' and 'B' both have an e-mail column; name one"):
        read_by_email(book({"A": people, "B": people}))


@pytest.mark.parametrize("heading", ["name", "nmae", "custom_atributes.plan"])
def test_asks_which_of_two_sheets_with_ids_and_fields_is_meant(heading: str) -> None:
    data = book({"Users": [["id", heading], [5, "Ann"]], "Old": [["id", "name"], [5, "Bea"]]})
    assert (
        refusal(read_book, data)
        == "sheets 'Users' and 'Old' both have an id column; name one with --sheet (source.sheet)"
    )


@pytest.mark.parametrize("asked", ["Team", BASE_SHEET], ids=["a sheet that is not there", "usersync's own"])
def test_the_sheet_that_an_export_adds_is_not_one_to_choose(asked: str) -> None:
    data = book({"Users": [["name"], ["Ann"]], BASE_SHEET: [["id", "name"], ["1", "Ann"]]})
    assert refusal(read_book, data, sheet=asked).endswith(f"has no sheet {asked!r}; its sheets: 'Users'")
    assert "sheet 'Users': row 1 looks like the header" in refusal(read_book, data)
    data = book({"Users": [["a"], ["b"]], BASE_SHEET: [["id", "name"], ["1", "Ann"]]})
    assert "sheet 'Users' has no header row" in refusal(read_book, data)


def test_a_number_in_the_first_column_of_a_sheet_without_ids_is_no_id() -> None:
    found = read_by_email(book({"Staff": [["custom_attributes.seats", "E-mail"], [12.5, "a@example.org"]]}))
    assert (found.cells[0].tolist(), found.errors) == (["12.5"], ())


def read_by_email(data: bytes) -> RawSheet:
    return read_workbook(data, file="users.xlsx", headings=Headings(match_by="auto"), options=SourceSettings())


@pytest.mark.parametrize("heading", ["id,name,email", "ID;Name", '"User ID"|"E-mail"'])
def test_says_that_all_columns_are_in_one_cell(heading: str) -> None:
    assert refusal(read_book, book({"Users": [[heading], ["1,Ann,a@example.org"]]})) == (
        "sheet 'Users': row 1 has all headings in one cell; split the column into several "
        "(in Excel: Data, Text to Columns)"
    )


def without_part(data: bytes, part: str) -> bytes:
    return pack({name: content for name, content in unpacked(data).items() if name != part})


def test_reads_a_workbook_whose_other_sheet_is_missing() -> None:
    whole = book({"Users": USERS, "Lost": [["x"]]})
    found = read_book(without_part(whole, "xl/worksheets/sheet2.xml"))
    assert (found.sheet, found.notes) == ("Users", ("the file lists a sheet 'Lost', but does not hold it",))
    assert refusal(read_book, without_part(book({"Users": USERS}), "xl/worksheets/sheet1.xml")).startswith(
        "sheet 'Users' is not"
    )


def test_a_lost_result_beside_the_table_does_no_harm() -> None:
    out = openpyxl.Workbook()
    for row in (["id", "name"], [1, "Ann"], [2, "Bea", None, None, "=A2"]):
        out.active.append(row)
    found = read_book(saved(out))
    assert (found.header, found.errors) == (("id", "name"), ())


def hidden_columns(*letters: str) -> bytes:
    out = openpyxl.Workbook()
    for row in (["id", "name", "email", "note"], [1, "Ann", "", "x"], [2, "Bea", "b@example.org", ""]):
        out.active.append(row)
    for letter in letters:
        out.active.column_dimensions[letter].hidden = True
    return saved(out)


def test_rejects_rows_with_values_in_a_hidden_column() -> None:
    found = read_book(hidden_columns("C"))
    assert [(int(found.rows[e.at]), e.code, e.column) for e in found.errors] == [(3, Code.ROW_HIDDEN, 2)]
    assert found.notes == ("column C ('email') is hidden: its rows are rejected (source.hidden_columns decides)",)


@pytest.mark.parametrize(("width", "errors"), [("0", 1), ("0.0", 1), ("0.5", 0)])
def test_a_column_without_width_is_hidden(width: str, errors: int) -> None:
    written = openpyxl.load_workbook(io.BytesIO(hidden_columns()))
    written.active.column_dimensions["C"].width = 77
    parts = unpacked(saved(written))
    found = read_book(pack({n: part.replace(b'width="77"', f'width="{width}"'.encode()) for n, part in parts.items()}))
    assert len(found.errors) == errors


@pytest.mark.parametrize(
    ("choice", "heading", "note"),
    [
        pytest.param("include", "email", "read like all others", id="include"),
        pytest.param("skip", "(hidden column C)", "left out", id="skip"),
    ],
)
def test_settings_decide_about_hidden_columns(choice: str, heading: str, note: str) -> None:
    found = read_book(hidden_columns("C"), hidden_columns=choice)
    assert (found.errors, found.header[2]) == ((), heading)
    assert found.notes == (f"column C ('email') is hidden: {note} (source.hidden_columns decides)",)


def test_a_hidden_id_column_or_one_without_a_field_is_read() -> None:
    found = read_book(hidden_columns("A", "D"))
    assert (found.errors, found.notes) == ((), ())


def table_with_totals(*, ids_as_text: bool) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as written:
        sheet = written.add_worksheet("Users")
        rows = [[str(i) if ids_as_text else i, f"User {i}"] for i in range(1, 7)]
        columns = [
            {"header": "id", "total_function": "count", "total_value": 6},
            {"header": "name", "total_string": "Total"},
        ]
        sheet.add_table(0, 0, 7, 1, {"data": rows, "total_row": True, "columns": columns})
    return out.getvalue()


@pytest.mark.parametrize("ids_as_text", [pytest.param(True, id="text"), pytest.param(False, id="numbers")])
def test_leaves_out_the_total_row_of_a_table(ids_as_text: bool) -> None:
    found = read_book(table_with_totals(ids_as_text=ids_as_text))
    assert found.cells[1].tolist() == [f"User {i}" for i in range(1, 7)]
    assert (found.notes, found.skipped) == (("left out the total row of a table: row 8",), 1)


@pytest.mark.parametrize(
    "reference",
    [
        pytest.param("99999999999", id="a row number of eleven digits"),
        pytest.param("1048577", id="one row too many"),
        pytest.param("18446744073709551615", id="the largest number of 64 bits"),
    ],
)
def test_refuses_a_row_beyond_the_last_before_it_is_read(reference: str) -> None:
    parts = unpacked(book({"Users": USERS}))
    far = f'<row r="{reference}"><c r="A{reference}"><v>1</v></c></row></sheetData>'.encode()
    data = pack({name: part.replace(b"</sheetData>", far) for name, part in parts.items()})
    assert refusal(read_book, data) == "is damaged: it has a row beyond 1,048,576; open it and save it again"


def side_by_side(*, users_are_a_table: bool) -> bytes:
    """Users in A1:B7, and beside them a table of teams in D1:E4 with a total row."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as written:
        sheet = written.add_worksheet()
        rows = [[number, f"User {number}"] for number in range(1, 7)]
        if users_are_a_table:
            sheet.add_table("A1:B7", {"data": rows, "columns": [{"header": "id"}, {"header": "name"}]})
        for y, row in enumerate([["id", "name"], *rows]):
            sheet.write_row(y, 0, row)
        columns = [{"header": "Team", "total_string": "Total"}, {"header": "email"}]
        data = [["Sales", "sales@example.org"], ["Support", "support@example.org"]]
        sheet.add_table("D1:E4", {"data": data, "total_row": True, "columns": columns})
    return out.getvalue()


@pytest.mark.parametrize("users_are_a_table", [True, False])
def test_a_total_row_of_a_table_beside_the_users_is_a_row_of_users(*, users_are_a_table: bool) -> None:
    found = read_book(side_by_side(users_are_a_table=users_are_a_table))
    assert found.rows.tolist() == [2, 3, 4, 5, 6, 7]
    assert found.skipped == 0


def test_does_not_read_a_table_beside_that_of_the_users() -> None:
    found = read_book(side_by_side(users_are_a_table=True))
    assert found.header == ("id", "name", "", "(other table) Team", "(other table) email")
    assert found.notes == ("columns D to E are another table, and not read",)


def test_notes_rows_that_are_struck_through() -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as written:
        sheet = written.add_worksheet()
        struck = written.add_format({"font_strikeout": True})
        sheet.write_row(0, 0, ["id", "name"])
        sheet.write_row(1, 0, [1, "Ann"])
        sheet.write_row(2, 0, [2, "Bea"], struck)
        sheet.write_blank(3, 1, None, struck)
        sheet.write_number(3, 0, 3)
        sheet.write_number(4, 0, 4, struck)
    found = read_book(out.getvalue())
    assert found.rows.tolist() == [2, 3, 4, 5]
    assert found.notes == ("rows with text that is struck through, read like all others: 3, 5",)


def test_rejects_a_text_of_which_a_part_is_struck_through() -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as written:
        sheet = written.add_worksheet()
        struck, bold = written.add_format({"font_strikeout": True}), written.add_format({"bold": True})
        sheet.write_row(0, 0, ["id", "name", "Notes"])
        sheet.write_row(1, 0, [1, ""])
        sheet.write_rich_string(1, 1, struck, "Ann Jones", bold, " Ann Smith")
        sheet.write_row(2, 0, [2, ""])
        sheet.write_rich_string(2, 1, bold, "Bea", " May")
        sheet.write_row(3, 0, [3, ""])
        sheet.write_rich_string(3, 1, "Cid", struck, " B.")
    found = read_book(out.getvalue())
    assert found.cells[1].tolist() == ["Ann Jones Ann Smith", "Bea May", "Cid B."]
    assert [(e.at, e.column, e.code) for e in found.errors] == [(0, 1, "value-suspect"), (2, 1, "value-suspect")]
