"""Test whole files: headers, composed fields, joined files, notes."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest
import xlsxwriter
import yaml

from usersync.errors import SourceError
from usersync.loader import load
from usersync.models import Code
from usersync.settings import SourceSettings
from usersync.tables import Table


def read(folder: Path, text: str, columns: dict[str, str] | None = None, **options: object) -> Table:
    path = folder / "users.csv"
    path.write_text(text, encoding="utf-8")
    return load(path, options=SourceSettings.model_validate(options), columns=columns)


def rows(table: Table, *fields: str) -> list[tuple[str, ...]]:
    return [tuple(row) for row in table.cells[list(fields)].to_numpy(object).tolist()]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        pytest.param("1;Ann;Lee\n", ["Ann Lee"], id="both parts"),
        pytest.param("1;;Lee\n2;Bea;\n", ["Lee", "Bea"], id="one part"),
        pytest.param("1;;\n", [""], id="no part"),
        pytest.param("1; Ann ;{Last name}\n", ["Ann {Last name}"], id="a cell that looks like a template"),
    ],
)
def test_composes_a_name_of_two_columns(tmp_path: Path, body: str, names: list[str]) -> None:
    table = read(tmp_path, f"ID;First name;Last name\n{body}", {"name": "{First name} {Last name}"})
    assert table.cells["name"].tolist() == names
    assert [c.heading for c in table.sources[0].columns] == ["ID", "First name", "Last name"]
    assert table.sources[0].notes == ("name is composed of 'First name' and 'Last name'",)


@pytest.mark.parametrize(
    ("columns", "note"),
    [
        pytest.param({"Agent name": "name"}, "'Agent name' (did you mean 'Agent names'?)", id="a similar heading"),
        pytest.param({"Seats": "custom_attributes.seats"}, "'Seats'", id="none that is similar"),
        pytest.param(
            {"agentname": "name", "City": "custom_attributes.city", "Plan": "custom_attributes.plan"},
            "'agentname' (did you mean 'Agent names'?), 'Plan'",
            id="two",
        ),
        pytest.param({"CITY": "custom_attributes.city", "Seats": "ignore"}, "", id="none, or none that would be read"),
    ],
)
def test_mapped_headings_that_a_file_does_not_have_are_noted(
    tmp_path: Path, columns: dict[str, str], note: str
) -> None:
    notes = read(tmp_path, "id,Agent names,City\n1,Ann,Rome\n", columns).sources[0].notes
    expected = [f"not in this file, but under columns: in the settings: {note}"] if note else []
    assert [found for found in notes if "settings" in found] == expected


@pytest.mark.parametrize(
    ("header", "line"),
    [
        pytest.param("id,First name,Last name", 'name: "{First name} {Last name}"', id="English"),
        pytest.param("id,Nachname,Vorname", 'name: "{Vorname} {Nachname}"', id="German, the last name first"),
        pytest.param("id,Given_Name,SURNAME,email", 'name: "{Given_Name} {SURNAME}"', id="other words"),
    ],
)
def test_suggests_how_to_compose_the_name(tmp_path: Path, header: str, line: str) -> None:
    text = f"{header}\n" + ",".join("1" for _ in header.split(",")) + "\n"
    assert read(tmp_path, text).sources[0].notes[-1] == f"to send the name, add under columns: {line}"
    mapping = yaml.safe_load(line)
    assert "name" in read(tmp_path, text, mapping).cells


def test_an_unreadable_part_of_a_composed_field_rejects_its_row(tmp_path: Path) -> None:
    table = read(tmp_path, "id,first,last\n1,A\ufffd,Lee\n2,Bea,May\n", {"name": "{first} {last}"})
    assert [(p.key, p.code, p.column) for p in table.problems] == [(0, Code.ENCODING, "first")]


def test_refuses_a_template_whose_column_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read(tmp_path, "id,First name\n1,Ann\n", {"name": "{First name} {Last name}"})
    assert str(caught.value).endswith(
        "columns: name: '{First name} {Last name}' needs a column 'Last name'; headings: 'id', 'First name'"
    )


@pytest.mark.parametrize(
    ("second", "expected", "note"),
    [
        pytest.param(
            "id,name,display_name\n2,Bea,B\n", ("2", "Bea", "B"), "row 3 repeats the header; it is left out", id="same"
        ),
        pytest.param(
            "id,display_name,name\n2,B,Bea\n",
            ("2", "Bea", "B"),
            "row 3 repeats the header in another order, by which the rows below it are read; it is left out",
            id="other order",
        ),
        pytest.param(
            "\ufeffDisplay name,Name,User ID\n2,Bea,B\n".replace("2,Bea,B", "B,Bea,2"),
            ("2", "Bea", "B"),
            "row 3 repeats the header in another order, by which the rows below it are read; it is left out",
            id="the id elsewhere, other words, a byte-order mark",
        ),
    ],
)
def test_reads_rows_below_a_second_header_by_it(
    tmp_path: Path, second: str, expected: tuple[str, ...], note: str
) -> None:
    table = read(tmp_path, f"id,name,display_name\n1,Ann,A\n{second}")
    assert rows(table, "id", "name", "display_name") == [("1", "Ann", "A"), expected]
    assert table.places["row"].tolist() == [2, 4]
    assert (table.sources[0].notes, table.sources[0].skipped, table.problems) == ((note,), 1, ())


@pytest.mark.parametrize(
    ("second", "row"),
    [
        pytest.param("id,display_name,name\n3,C,Cleo\n", ("3", "Cleo", "C"), id="in another order"),
        pytest.param('"Display name","Name","User ID"\n"C","Cleo","3"\n', ("3", "Cleo", "C"), id="quoted"),
        pytest.param("id,name,display_name\n3,Cleo,C\n", ("3", "Cleo", "C"), id="in the same order"),
    ],
)
def test_reads_rows_below_a_header_without_a_line_end_before_it(
    tmp_path: Path, second: str, row: tuple[str, ...]
) -> None:
    table = read(tmp_path, f"id,name,display_name\n1,Ann,A\n2,Bea,B{second}")
    assert rows(table, "id", "name", "display_name") == [("1", "Ann", "A"), ("", "", ""), row]
    assert [p.key for p in table.problems] == [1]
    assert table.sources[0].notes[0].startswith("row 3 ends with the header")


def test_rejects_rows_below_a_header_of_other_columns(tmp_path: Path) -> None:
    table = read(tmp_path, "id,name\n1,Ann\nid,email\n2,b@example.org\n3,c@example.org\nID,Name\n4,Di\n")
    assert table.cells["id"].tolist() == ["1", "2", "3", "4"]
    assert [(p.key, p.code) for p in table.problems] == [(1, Code.ROW_RAGGED), (2, Code.ROW_RAGGED)]
    assert "row 3 has other headings than row 1" in table.problems[0].message


@pytest.mark.parametrize(
    ("other", "rejected"),
    [
        pytest.param("No,Team,\n1,Sales,\n2,Support,\n", [1, 2, 3], id="teams with numbers"),
        pytest.param("No,Contact,E-mail\n1,Dan,d@example.org\n", [1, 2], id="contacts with numbers"),
        pytest.param(",,\nLegend,meaning,of plan\n1,free of charge,\n2,paid,\n", [1, 2, 3], id="a legend"),
        pytest.param("Ticket,State,Since\n17,open,\n18,closed,\n", [1, 2, 3], id="another list"),
        pytest.param("Teams,,\nNo,Team,\n1,Sales,\n", [2, 3], id="a title above it"),
        pytest.param("Table 2\nNo,Team,\n1,Sales,\n", [1, 2, 3], id="a title without delimiters, of Numbers"),
    ],
)
def test_rejects_another_table_below_a_blank_row(tmp_path: Path, other: str, rejected: list[int]) -> None:
    table = read(tmp_path, f"id,name,display_name\n1,Ann,A\n\n{other}\nid,name,display_name\n3,Cid,C\n")
    assert rows(table, "id", "name")[0] == ("1", "Ann")
    assert rows(table, "id", "name")[-1] == ("3", "Cid")
    assert [(p.key, p.code) for p in table.problems] == [(key, Code.ROW_RAGGED) for key in rejected]
    assert "below a blank row" in table.sources[0].notes[0]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param("Berlin,,\n", id="the name of a group"),
        pytest.param("Berlin,Head: Ann Lee,\n2,Bea,b@example.org\n", id="the name of a group, and its head"),
        pytest.param("new,Bea,b@example.org\n", id="a user without id, with an address"),
        pytest.param("2,Bea,\nnew,Dan,\n", id="a user without id below another one"),
    ],
)
def test_reads_the_rows_below_a_blank_row_and_one_that_is_no_header(tmp_path: Path, row: str) -> None:
    table = read(tmp_path, f"id,name,email\n1,Ann,\n\n{row}3,Cid,\n")
    assert table.cells["name"].tolist()[-1] == "Cid"
    assert table.problems == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("id,name,,Team,email\n1,Ann,,Sales,s@example.org\n", "'email' stands", id="a field to the right"),
        pytest.param("email,name,,id\na@example.org,Ann,,1\n", "'email', 'name' stand", id="fields to the left"),
        pytest.param("id,name,,Team\n1,Ann,,Sales\n", "", id="no field to the right"),
        pytest.param("id,name,,email\n1,Ann,x,s@example.org\n", "", id="a column without a heading"),
        pytest.param("id,name,,\n1,Ann,,\n", "", id="blank columns at the end"),
    ],
)
def test_notes_fields_beyond_a_blank_column(tmp_path: Path, text: str, named: str) -> None:
    notes = [note for note in read(tmp_path, text).sources[0].notes if "blank column" in note]
    assert [note.partition(" beyond")[0] for note in notes] == ([named] if named else [])


@pytest.mark.parametrize(
    ("row", "left"),
    [
        pytest.param("42,Real Name,Ann,ann@example.org", ["display_name", "email"], id="another name"),
        pytest.param("42,Ann Jones,Ann,ann@example.org", ["name", "display_name", "email"], id="all of it"),
        pytest.param("42,Ann Jones,Annie,ann@jones.org", [], id="a user of that name"),
        pytest.param("EXAMPLE,Ann Jones,Ann,ann@example.org", [], id="the example itself"),
    ],
)
def test_rejects_what_is_left_of_the_example_of_a_template(tmp_path: Path, row: str, left: list[str]) -> None:
    table = read(tmp_path, f"id,name,display_name,email\n{row}\n7,Bea,B,\n")
    assert [(p.key, p.code, p.column) for p in table.problems] == [(0, Code.VALUE_SUSPECT, name) for name in left]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize(
    ("above", "count"),
    [
        pytest.param(
            [["email", "name"], ["a@x.org", "Ann"], ["b@x.org", "Bob"]], 3, id="rows that are matched by e-mail"
        ),
        pytest.param([["email", "name"], ["a@x.org", "Ann"]], 1, id="the address of the author"),
        pytest.param([["email", "name"], ["made by", "Ann"]], 1, id="a note"),
    ],
)
def test_loses_no_row_above_a_header_with_ids(tmp_path: Path, kind: str, above: list[list[str]], count: int) -> None:
    lines = [*above, ["id", "name"], ["5", "Bea"]]
    path = tmp_path / f"joined.{kind}"
    if kind == "csv":
        path.write_text("".join(f"{','.join(line)}\n" for line in lines))
    else:
        with xlsxwriter.Workbook(path) as book:
            sheet = book.add_worksheet()
            for y, line in enumerate(lines):
                sheet.write_row(y, 0, line)
    table = load([path], options=SourceSettings(match_by="auto"))
    assert len(table.cells) == count
    assert [p.key for p in table.problems] == ([2] if count > 1 else [])


@pytest.mark.parametrize(
    ("line", "is_row"),
    [
        pytest.param("#TEAM,5", True, id="a name that begins like a comment"),
        pytest.param("#TEAM,a@example.org", True, id="the same beside an address"),
        pytest.param("# as of May,", False, id="a comment"),
        pytest.param("#end", False, id="a comment of one cell"),
    ],
)
def test_a_short_line_with_a_key_is_no_comment(tmp_path: Path, line: str, is_row: bool) -> None:
    table = read(tmp_path, f"name,id,display_name\n{line}\nBea,6,B\n")
    assert [p.key for p in table.problems] == ([0] if is_row else [])
    assert len(table.cells) == 1 + is_row


def test_a_cell_error_moves_with_its_column(tmp_path: Path) -> None:
    table = read(tmp_path, "id,name,display_name\n1,Ann,A\nid,display_name,name\n2,B\ufffd,Bea\n")
    assert [(p.key, p.column) for p in table.problems] == [(1, "display_name")]


def test_keeps_a_row_whose_id_only_looks_like_a_heading(tmp_path: Path) -> None:
    table = read(tmp_path, "id,name,email\nID,Ann,a@example.org\nx,Id,b@example.org\n")
    assert len(table.cells) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "Nr,Name,Mail\n1,Ann,a@example.org\n",
            "row 1 looks like the header and has e-mail addresses, but no ids (headings: 'Nr', 'Name', 'Mail'); "
            "add a column id with the platform's user ids; if one of the columns has them, add under columns:\n"
            "    Nr: id",
            id="e-mails and a number",
        ),
        pytest.param(
            "Staff\n\nName;Comment\nAnn;x\n",
            "row 3 looks like the header and has no id column (headings: 'Name', 'Comment'); "
            "add a column id with the platform's user ids",
            id="names below a title",
        ),
        pytest.param(
            "Personalnummer,Vorname,Mial\n7,Ann,a@b.org\n",
            "row 1 looks like the header and has no id column (headings: 'Personalnummer', 'Vorname', 'Mial'); "
            "add a column id with the platform's user ids; if one of the columns has them, add under columns:\n"
            "    Personalnummer: id\n"
            "  this heading is nearly a field: 'Mial' (email); correct it, or add under columns: (ignore if no field is"
            " meant)\n    Mial: email",
            id="headings that are no fields",
        ),
        pytest.param(
            "x\n1\n",
            "none of the first 100 rows has an id column; name the column id, "
            "or map its heading under columns: {Your heading: id}",
            id="nothing that looks like a header",
        ),
    ],
)
def test_says_what_to_do_about_a_file_without_ids(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(tmp_path, text, match_by="id")
    assert str(caught.value).removeprefix(f"{tmp_path / 'users.csv'}: ") == message


def test_notes_a_file_without_rows(tmp_path: Path) -> None:
    table = read(tmp_path, "id,name\n")
    assert table.sources[0].notes == ("there are no data rows below the header in row 1",)


TABLE = b"id,name\n7,Ann\n"


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name.replace("__", "."), content)
    return out.getvalue()


def workbook() -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["id", "name"])
        sheet.write_row(1, 0, [7, "Ann"])
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("users.csv.gz", gzip.compress(TABLE), id="a packed CSV"),
        pytest.param("users.xlsx.gz", gzip.compress(workbook()), id="a packed workbook"),
        pytest.param("users.zip", zipped(users__csv=TABLE), id="a zip with one CSV"),
        pytest.param("users.zip", zipped(readme__md=b"x", users__TXT=TABLE), id="and another file"),
        pytest.param("users.zip", zipped(users__xlsx=workbook()), id="a zip with a workbook"),
        pytest.param("users.xls", TABLE.replace(b",", b"\t"), id="an .xls that is text"),
        pytest.param("users.xlsx", TABLE.decode().encode("utf-16"), id="an .xlsx that is UTF-16"),
        pytest.param("users.csv", workbook(), id="a .csv that is a workbook"),
    ],
)
def test_reads_a_file_by_its_content(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert rows(load(path, options=SourceSettings()), "id", "name") == [("7", "Ann")]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        pytest.param(
            "~$users.xlsx",
            b"\x03Ann",
            "is the lock file of a workbook that is open in Excel; name users.xlsx itself",
            id="a lock file",
        ),
        pytest.param(
            "users.zip",
            zipped(a__csv=TABLE, b__csv=TABLE),
            "holds several files ('a.csv', 'b.csv'); unpack it, and name the one to read",
            id="a zip with two",
        ),
        pytest.param(
            "users.csv.gz", gzip.compress(TABLE)[:-9], "is damaged or cut short; fetch or export it again", id="half"
        ),
        pytest.param(
            "users.xls",
            b"<html><table></table></html>",
            "is a web page (HTML) under a workbook's name; "
            "open it in the spreadsheet program and save it again as .xlsx",
            id="a web page",
        ),
        pytest.param(
            "users.doc",
            TABLE,
            "usersync reads .csv, .tsv, .txt, .xlsx, .xlsm, .xls, .xlsb, .ods; save the file as one of these",
            id="another kind",
        ),
    ],
)
def test_refuses_a_file_of_another_kind_in_one_sentence(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(SourceError) as caught:
        load(path, options=SourceSettings())
    assert str(caught.value) == f"{path}: {sentence}"


def test_a_header_with_an_id_below_is_preferred_to_one_with_an_address(tmp_path: Path) -> None:
    table = read(tmp_path, "Name,Mail,\nOffice,office@example.org,\nid,name,email\n7,Ann,a@example.org\n")
    assert (table.sources[0].header_row, table.cells["id"].tolist()) == (3, ["7"])


def test_a_file_without_ids_is_read_by_its_addresses(tmp_path: Path) -> None:
    table = read(tmp_path, "Staff list\n\nName;Mail\nAnn;a@example.org\n\nName;Mail\nBob;b@example.org\n")
    assert table.cells["email"].tolist() == ["a@example.org", "b@example.org"]
    assert table.sources[0].notes[1:3] == (
        "row 6 repeats the header; it is left out",
        "there is no id column, so rows are matched by e-mail address",
    )


def test_lines_between_stray_quotes_are_rejected_where_addresses_say_who_is_meant(tmp_path: Path) -> None:
    table = read(tmp_path, 'email,name\na@x.org,"Ann\nb@x.org,Bob\nc@x.org,Cy"\nd@x.org,Dan\n')
    assert [problem.code for problem in table.problems] == ["row-ragged"] * 3
    assert table.cells["email"].tolist() == ["", "", "", "d@x.org"]


def test_match_by_email_needs_an_address(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="row 1 looks like the header and has no e-mail column"):
        read(tmp_path, "id,name\n1,Ann\n", match_by="email")
