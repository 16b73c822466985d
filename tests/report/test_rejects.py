"""Test that rejects have the author's columns, and read back the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from usersync.errors import SourceError
from usersync.loader import load
from usersync.loader.rejects_columns import hold_back_rows, original_rows
from usersync.models import Code, FieldChange, Problem, Row, Status
from usersync.report.rejects import REJECTED, write_rejects
from usersync.sandbox import Sandbox
from usersync.settings import SourceSettings
from usersync.tables import DesiredValues, Table
from usersync.validation import validate

PASSWORD = "Str0ng!secret"
AUTO = SourceSettings()
CSV = {
    "encoding": "utf-8", "delimiter": ",", "quote": '"', "escape": "doubled", "line_end": "LF", "why": "",
}  # fmt: skip
FRESH = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(
    st.sampled_from(list("ab1 \t,;|\"'\\\n=#_x0D-é€"))
    | st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r\ufffd\ufffe\uffff"),
    max_size=8,
)


def row_of(table: Table, key: int, **values: Any) -> Row:
    source, number = (int(table.places[name].iat[key]) for name in ("source", "row"))
    row = Row(key, source, number, id="", status=Status.REJECTED, code="id-invalid", message="wrong")
    return replace(row, file=table.sources[source].file, sheet=table.sources[source].sheet, **values)


def read(
    files: Sequence[str | Path], options: SourceSettings = AUTO, columns: Mapping[str, str] | None = None
) -> tuple[Table, DesiredValues]:
    """Read and validate files, as a run does."""
    table = hold_back_rows(load(files, options=options, columns=columns))
    return table, validate(table)


def write_all(files: Sequence[Path], home: Path, options: SourceSettings = AUTO, **values: Any) -> tuple[Table, Path]:
    """Write every row of some files as a reject, with the problems that validation finds."""
    table, desired = read(files, options)
    rows = [row_of(table, key, **values) for key in range(len(table.cells))]
    path = write_rejects(
        rows,
        home,
        table=table,
        problems=desired.problems,
        reread=partial(read, options=options),
        header_row=options.header_row or 1,
    )
    assert path
    return table, path


def codes(path: Path) -> list[Code]:
    return [problem.code for problem in read([path])[1].problems]


def cells(table: Table, ours: int = 0) -> list[list[str]]:
    """Return all cells of the first source, without our columns and without blanks at the end."""
    rows = table.sheets[0].iloc[:, ours:].to_numpy(object).tolist()
    return [row[: max((i for i, text in enumerate(row, 1) if text), default=0)] for row in rows]


def test_no_file_where_no_row_is_to_be_corrected(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,Ann\n")
    table = load([tmp_path / "a.csv"], options=AUTO)
    assert set(REJECTED) == {Status.REJECTED, Status.FAILED, Status.CONFLICT}
    assert write_rejects((), tmp_path, table=table, problems=(), reread=read) is None
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


SHEET = (
    ("Id", "Name", "E-mail ", "Password", "Notes", "Notes", ""),
    ("1", "Ann", "ann@example.org", "", "first", "second", "third"),
    ("x", "=1+1", "", PASSWORD, "", "", ""),
    ("2", "", "no address", "weak", "kept, too", "'", ""),
)
WHY = (
    "wrong",
    "wrong; enter the password again, which this file does not hold",
    "wrong; enter the password again, which this file does not hold",
)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_keeps_order_headings_and_dialect(tmp_path: Path, delimiter: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(SHEET)
    (tmp_path / "a.csv").write_bytes(text.getvalue().encode("utf-8-sig"))
    columns = {"E-mail": "email"}
    table = load([tmp_path / "a.csv"], options=AUTO, columns=columns)
    rows = [row_of(table, key) for key in range(3)]
    path = write_rejects(rows, tmp_path, table=table, problems=(), reread=partial(read, columns=columns))
    assert path == tmp_path / "rejects.csv"
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.count(b"\r\n") == data.count(b"\n") == 4
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter))
    assert rows[0] == ["usersync: row", "usersync: why", *SHEET[0]]
    for number, (row, whole) in enumerate(zip(rows[1:], SHEET[1:], strict=True), 2):
        assert row == [str(number), WHY[number - 2], *whole[:3], "", *whole[4:]]


@pytest.mark.parametrize(
    ("encoding", "mark", "given"),
    [
        pytest.param("utf-8", b"", None, id="UTF-8"),
        pytest.param("utf-8", b"\xef\xbb\xbf", None, id="UTF-8 with its mark"),
        pytest.param("utf-16-le", b"\xff\xfe", None, id="UTF-16 with its mark"),
        pytest.param("utf-16-be", b"\xfe\xff", None, id="UTF-16, the other way round"),
        pytest.param("cp1252", b"", "cp1252", id="Windows, decided by source.encoding"),
        pytest.param("shift_jis", b"", "shift_jis", id="Japanese, decided by source.encoding"),
    ],
)
def test_a_csv_keeps_its_encoding(tmp_path: Path, encoding: str, mark: bytes, given: str | None) -> None:
    name = "山田" if encoding == "shift_jis" else "Zoë"
    (tmp_path / "a.csv").write_bytes(mark + f"id;name\r\nx;{name}\r\n".encode(encoding))
    _, path = write_all([tmp_path / "a.csv"], tmp_path, SourceSettings(encoding=given), message="wrong \ufffd")
    data = path.read_bytes()
    assert data.startswith(mark)
    assert f";x;{name}\r\n" in data[len(mark) :].decode(encoding)


def test_utf_8_is_used_where_few_rows_leave_the_encoding_in_doubt(tmp_path: Path) -> None:
    rows = "".join(f"{i};Jürgen Müller;größer\n{i + 50};Élodie Lefèvre;à la carte\n" for i in range(1, 40))
    (tmp_path / "a.csv").write_bytes(f"id;name;note\n{rows}x;GARÇON;\n".encode("cp1252"))
    table = load([tmp_path / "a.csv"], options=AUTO)
    assert table.sources[0].dialect["encoding"] == "cp1252"
    path = write_rejects([row_of(table, len(table.cells) - 1)], tmp_path, table=table, problems=(), reread=read)
    assert path
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert cells(load([path], options=AUTO), 2) == [["x", "GARÇON"]]


@pytest.mark.parametrize(
    ("quote", "row"),
    [
        pytest.param('"', '1,"say \\"hi\\", C:\\\\x",y', id="backslashes that escape"),
        pytest.param('"', "1,'quoted',y", id="apostrophes that are none"),
        pytest.param("'", "'1','it''s, well','y'", id="apostrophes that are quotes"),
        pytest.param("none", '1,5" nail,y', id="no quotes at all"),
    ],
)
def test_quotes_and_escapes_are_kept(tmp_path: Path, quote: str, row: str) -> None:
    (tmp_path / "a.csv").write_text(f"id,name,note\n{row}\n2,b,c\n")
    options = SourceSettings.model_validate({"quote": quote})
    table, path = write_all([tmp_path / "a.csv"], tmp_path, options, message="one, two")
    assert path.name == "rejects.csv"
    assert cells(load([path], options=options), 2) == cells(table)


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_the_header_stands_where_settings_say(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "csv":
        path.write_text("Team\n,id\nid,name\nx,Ann\n")
    else:
        _workbook(path, [("Team", ""), ("", "id"), ("id", "name"), ("x", "Ann")])
    options = SourceSettings(header_row=3)
    _, written = write_all([path], tmp_path, options)
    back = load([written], options=options)
    assert (cells(back, 2), back.places["row"].tolist()) == ([["x", "Ann"]], [4])


def test_a_ragged_row_is_quoted_unless_it_may_hold_a_password(tmp_path: Path) -> None:
    for heading, why in (("note", "wrong; as written: 1,a,b,c"), ("password", "wrong")):
        (tmp_path / "a.csv").write_text(f"id,name,{heading}\n1,a,b,c\n")
        table = load([tmp_path / "a.csv"], options=AUTO)
        problem = Problem(0, Code.ROW_RAGGED, "4 cells where the header has 3", value="1,a,b,c\n")
        path = write_rejects([row_of(table, 0)], tmp_path, table=table, problems=[problem], reread=read)
        assert path
        assert cells(load([path], options=AUTO)) == [["2", why]]


def test_several_files_share_one_rejects_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Id;Name;Memo\nx;Ann;m\n")
    (tmp_path / "b.csv").write_text("email,ID,Other\nbad,y,o\n")
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    _, path = write_all(files, tmp_path)
    assert path.read_text() == (
        "usersync: row;usersync: why;Id;Name;Memo;email;Other\n"
        f'2 of {files[0]};"wrong";x;Ann;m;;\n'
        f'2 of {files[1]};"wrong";y;;;bad;o\n'
    )


def test_a_workbook_among_the_files_makes_a_workbook(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\nx,Ann\n")
    _workbook(tmp_path / "b.xlsx", [("name", "id"), ("Bea", 10**18)])
    _, path = write_all([tmp_path / "a.csv", tmp_path / "b.xlsx"], tmp_path)
    back = load([path], options=AUTO)
    assert path.name == "rejects.xlsx"
    assert cells(back, 2) == [["x", "Ann"], ["1000000000000000000", "Bea"]]
    assert codes(path) == [Code.ID_INVALID, Code.ID_DAMAGED]


def test_rejects_of_a_rejects_file_have_our_columns_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\nx,Ann\n")
    _, path = write_all([tmp_path / "a.csv"], tmp_path)
    (tmp_path / "again").mkdir()
    _, again = write_all([path], tmp_path / "again")
    assert again.read_text() == 'usersync: row,usersync: why,id,name\n2,"wrong",x,Ann\n'


def _workbook(path: Path, rows: Iterable[Sequence[object]], formats: dict[type, str] | None = None) -> None:
    """Write values as they are; text always as text."""
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("Users")
        looks = {kind: book.add_format({"num_format": code}) for kind, code in (formats or {}).items()}
        for y, row in enumerate(rows):
            for x, value in enumerate(row):
                put = sheet.write_string if isinstance(value, str) else sheet.write
                put(y, x, value, looks.get(type(value)))


def test_faulty_cells_are_coloured_and_have_the_reason_as_comment(tmp_path: Path) -> None:
    rows = [("id", "name", "email", "password"), ("1", "Ann", "bad", "weak"), ("2", "Bea", "", "")]
    _workbook(tmp_path / "a.xlsx", rows)
    _, path = write_all([tmp_path / "a.xlsx"], tmp_path, message="email: bad")
    assert _red(path) == {
        "E2": "not a valid e-mail address: no @-sign",
        "F2": "the password needs 6 to 128 characters, an upper-case letter, a digit, a special character such as"
        " ! or #",
        "B3": "",
    }
    assert openpyxl.load_workbook(path).active["F2"].value is None


def _red(path: Path) -> dict[str, str]:
    sheet = openpyxl.load_workbook(path).active
    red = [cell for row in sheet.iter_rows() for cell in row if str(cell.fill.fgColor.rgb).endswith("FFC7CE")]
    return {cell.coordinate: cell.comment.text if cell.comment else "" for cell in red}


@pytest.mark.parametrize(
    ("known", "red"),
    [
        pytest.param({"code": "refused", "message": "the platform is out of order"}, "B2", id="none named: why"),
        pytest.param({"code": "timeout", "message": "no answer"}, "B2", id="no answer: why"),
        pytest.param({"code": "not-found", "message": "no user"}, "C2", id="not found: the id"),
        pytest.param({"code": "not-permitted", "message": "no"}, "C2", id="not permitted: the id"),
        pytest.param({"code": "refused", "message": "Display name is rude"}, "E2", id="a field by its words"),
        pytest.param({"code": "refused", "message": "team: too long"}, "F2", id="a key of the JSON column"),
        pytest.param({"code": "refused", "message": "renamed"}, "B2", id="a part of a word names nothing"),
        pytest.param({"code": "", "message": "changed", "status": Status.CONFLICT}, "D2 E2 F2", id="conflict"),
    ],
)
def test_the_cell_that_the_platform_names_is_coloured(tmp_path: Path, known: dict[str, Any], red: str) -> None:
    heads = ("id", "name", "display_name", "custom_attributes")
    _workbook(tmp_path / "a.xlsx", [heads, ("1", "Ann", "A", '{"team": "x"}')])
    fields = ("name", "display_name", "custom_attributes.team")
    table = load([tmp_path / "a.xlsx"], options=AUTO)
    row = row_of(table, 0, **{"status": Status.FAILED, **known})
    row = row.with_changes(FieldChange(field, None, "new") for field in fields)
    path = write_rejects([row], tmp_path, table=table, problems=(), reread=read)
    assert path
    assert " ".join(_red(path)) == red


def damaged_workbook(path: Path) -> None:
    """Write a workbook with a fault in each row that text cells cannot show; row 7 is valid."""
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("Users")
        sheet.write_row(0, 0, ("id", "name", "email"))
        sheet.write_row(1, 0, (1234567890123456768, "id of too many digits"))
        sheet.write_row(2, 0, (2,))
        sheet.write_formula(2, 1, "=1+1", None, "")
        sheet.write_row(3, 0, (3, "hidden"))
        sheet.set_row(3, None, None, {"hidden": True})
        sheet.merge_range(4, 1, 5, 1, "merged")
        sheet.write_row(4, 0, (4,))
        sheet.write_row(4, 2, ("four@example.org",))
        sheet.write_row(5, 0, (5,))
        sheet.write_row(5, 2, ("five@example.org",))
        sheet.write_row(6, 0, (6, "valid"))


DAMAGE = [Code.ID_DAMAGED, Code.FORMULA_UNSAVED, Code.ROW_HIDDEN, Code.ROW_RAGGED, Code.ROW_RAGGED]


def test_a_fault_that_cells_do_not_show_is_kept_until_a_person_empties_the_reason(tmp_path: Path) -> None:
    damaged_workbook(tmp_path / "a.xlsx")
    table, desired = read([tmp_path / "a.xlsx"])
    assert [p.code for p in desired.problems] == DAMAGE
    rows = [row_of(table, p.key, code=p.code, message=p.sentence()) for p in desired.problems]
    path = write_rejects(rows, tmp_path, table=table, problems=desired.problems, reread=read)
    assert path
    assert codes(path) == [*DAMAGE[:1], Code.NOTHING_TO_DO, *DAMAGE[2:]]
    book = openpyxl.load_workbook(path)
    sheet = book.active
    assert [y for y in range(1, 7) if sheet.row_dimensions[y].hidden] == [4]
    assert sheet["B2"].value.startswith("held back (id-damaged) until this cell is emptied: id '1234567890123457024': ")
    assert sheet["B4"].value.startswith("row 4 is hidden"), "a hidden row is rejected as such"
    sheet.row_dimensions[4].hidden = False
    for y in (2, 5, 6):
        sheet[f"B{y}"] = None
    sheet["A2"], sheet["C2"], sheet["D3"] = None, "1234567890123456789", "two"
    book.save(path)
    assert read([path])[1].problems == ()


def test_a_hidden_row_stays_rejected_where_the_rejects_are_saved_as_csv(tmp_path: Path) -> None:
    damaged_workbook(tmp_path / "a.xlsx")
    table, desired = read([tmp_path / "a.xlsx"])
    csv_source = replace(table.sources[0], dialect=CSV)
    text_table = replace(table, sources=(csv_source,))
    (problem,) = (p for p in desired.problems if p.code is Code.ROW_HIDDEN)
    path = write_rejects([row_of(text_table, problem.key)], tmp_path, table=text_table, problems=[problem], reread=read)
    assert path == tmp_path / "rejects.csv"
    assert codes(path) == [Code.ROW_HIDDEN]
    _, again = write_all([path], tmp_path)
    assert codes(again) == [Code.ROW_HIDDEN]
    assert again.read_text().count("held back") == 1
    kept = again.read_text()
    again.write_text(kept.replace(kept.splitlines()[1].split('"')[1], ""))
    assert codes(again) == []


def test_the_original_row_number_is_carried_from_rejects_to_rejects(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,Ann\n2,Bea\nx,Cid\n")
    table = load([tmp_path / "a.csv"], options=AUTO)
    path = write_rejects([row_of(table, 2)], tmp_path, table=table, problems=(), reread=read)
    assert path
    table, again = write_all([path], tmp_path)
    assert original_rows(table) == {0: "4"}
    assert again.read_text() == 'usersync: row,usersync: why,id,name\n4,"wrong",x,Cid\n'


def test_an_unfinished_file_is_never_seen(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\nx,Ann\n")
    seen: list[list[str]] = []

    def reread(files: Sequence[str | Path]) -> tuple[Table, DesiredValues]:
        seen.append(sorted(path.name for path in tmp_path.iterdir() if path.is_file()))
        return read(files)

    table = load([tmp_path / "a.csv"], options=AUTO)
    write_rejects([row_of(table, 0)], tmp_path, table=table, problems=(), reread=reread)
    assert seen == [["a.csv"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "rejects.csv"]


ROW = st.lists(TEXT, min_size=3, max_size=3)


@FRESH
@given(
    rows=st.lists(ROW, min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(("\n", "\r\n")),
    encoding=st.sampled_from(("utf-8", "utf-8-sig", "utf-16")),
)
def test_a_csv_of_any_cells_reads_back_the_same(
    tmp_path: Path, rows: list[list[str]], delimiter: str, end: str, encoding: str
) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(
        [("id", "name", "note", "more"), *(("x", *row) for row in rows)]
    )
    (tmp_path / "a.csv").write_bytes(text.getvalue().encode(encoding))
    try:
        table, path = write_all([tmp_path / "a.csv"], tmp_path)
    except SourceError:
        assume(False)
    assert cells(load([path], options=AUTO), 2) == cells(table)


VALUE = (
    TEXT
    | st.integers(-(10**14), 10**14)
    | st.floats(-1e9, 1e9).map(lambda x: round(x, 3))
    | st.booleans()
    | st.datetimes(datetime(1950, 1, 1), datetime(2090, 1, 1)).map(lambda t: t.replace(microsecond=0))
)
FORMATS = {int: "0000", float: "0.0%", datetime: "dd/mm/yyyy hh:mm"}


@FRESH
@given(rows=st.lists(st.lists(VALUE, min_size=3, max_size=3), min_size=1, max_size=5))
def test_a_workbook_of_any_values_reads_back_the_same(tmp_path: Path, rows: list[list[object]]) -> None:
    _workbook(tmp_path / "a.xlsx", [("id", "name", "note", "more"), *(("x", *row) for row in rows)], FORMATS)
    table, path = write_all([tmp_path / "a.xlsx"], tmp_path)
    back = load([path], options=AUTO)
    assert cells(back, 2) == cells(table)
    assert len(validate(back).problems) >= len(rows)


def test_corrected_rejects_of_a_csv_can_be_run(desk: Callable[..., Any]) -> None:
    with desk(Sandbox(users=50, limit=None), source={"encoding": "cp1252"}) as (box, at):
        text = f"Id;Name;Email;Password\r\n1;Zoë;;\r\n2;Bea;no address;{PASSWORD}\r\n999;Ghost;;\r\n"
        at.write("changes.csv", text.encode("cp1252"))
        first = at.run("run", "changes.csv", "--yes", "--json")
        assert first.summary["counts"] == {"updated": 1, "rejected": 2, "rows": 3}
        path = Path(at.folder, first.summary["files"]["rejects"])
        written = path.read_bytes().decode("cp1252")
        assert PASSWORD not in written
        fixed = written.replace("no address;", f"bea@example.org;{PASSWORD}").replace("999", "3")
        path.write_bytes(fixed.encode("cp1252"))
        sent = len([r for r in box.log if r.method == "PATCH"])
        again = at.run("run", str(path), "--yes", "--json")
        assert (again.code, again.summary["counts"]) == (0, {"updated": 2, "rows": 2})
        assert sorted(r.user_id for r in box.log if r.method == "PATCH")[sent:] == [2, 3]
        assert (box.store.users[2].email, box.store.users[3].name) == ("bea@example.org", "Ghost")
        assert again.summary["files"]["rejects"] is None


def test_corrected_rejects_of_a_workbook_can_be_run(desk: Callable[..., Any]) -> None:
    with desk(Sandbox(users=50, limit=None)) as (box, at):
        rows = [("Id", "Name", "Email"), (1, "Ann", ""), (2, "=Bea()", "no address"), (999, "Ghost", "")]
        _workbook(at.folder / "changes.xlsx", rows)
        first = at.run("run", "changes.xlsx", "--yes", "--json")
        assert first.summary["counts"] == {"updated": 1, "rejected": 2, "rows": 3}
        path = Path(at.folder, first.summary["files"]["rejects"])
        assert path.name == "rejects.xlsx"
        assert _red(path).keys() == {"E2", "C3"}
        book = openpyxl.load_workbook(path)
        book.active["E2"], book.active["C3"] = "bea@example.org", "3"
        book.save(path)
        again = at.run("run", str(path), "--yes", "--json")
        assert (again.code, again.summary["counts"]) == (0, {"updated": 2, "rows": 2})
        assert sorted(r.user_id for r in box.log if r.method == "PATCH") == [1, 2, 3]
        assert (box.store.users[2].name, box.store.users[3].name) == ("=Bea()", "Ghost")


def test_uncorrected_rejects_send_nothing(desk: Callable[..., Any]) -> None:
    with desk(Sandbox(users=50, limit=None)) as (box, at):
        damaged_workbook(at.folder / "changes.xlsx")
        first = at.run("run", "changes.xlsx", "--yes", "--json")
        assert first.summary["counts"] == {"updated": 1, "rejected": 5, "rows": 6}
        again = at.run("run", first.summary["files"]["rejects"], "--yes", "--json")
        assert again.summary["counts"] == {"rejected": 5, "rows": 5}
        assert [r.user_id for r in box.log if r.method == "PATCH"] == [6]
        assert [line["message"].rpartition("; ")[2] for line in again.report] == [
            f"originally row {row}" for row in range(2, 7)
        ]
