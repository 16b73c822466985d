"""Test binary workbooks, built record by record, and damaged files."""

from __future__ import annotations

import contextlib
import os
import random
import re
import struct
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, time
from pathlib import Path

import openpyxl
import pytest

from tests.loader.sheets import pack, read_book, saved, unpacked
from usersync.errors import SourceError
from usersync.loader import workbook_ods, workbook_xls
from usersync.loader.workbook_values import column_texts, formatted_number, iso_text
from usersync.models import Code

FILES = Path(__file__).parent / "files"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"


def record(kind: int, content: bytes = b"") -> bytes:
    number = bytes([kind]) if kind < 128 else bytes([kind & 0x7F | 0x80, kind >> 7])
    return number + bytes([len(content) & 0x7F | 0x80, len(content) >> 7]) + content


def wide(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def row(number: int, *, hidden: bool = False) -> bytes:
    return record(0, struct.pack("<IIHBBBI", number, 0, 300, 0, 0x10 if hidden else 0, 0, 0))


def cell(kind: int, column: int, content: bytes, style: int = 0) -> bytes:
    return record(kind, struct.pack("<II", column, style) + content)


def text(column: int, value: str) -> bytes:
    return cell(6, column, wide(value))


def number(column: int, value: float, style: int = 0) -> bytes:
    return cell(5, column, struct.pack("<d", value), style)


def xlsb(*rows: bytes, after: bytes = b"") -> bytes:
    area = record(148, struct.pack("<4I", 0, 9, 0, 3))
    sheet = record(129) + area + record(145) + b"".join(rows) + record(146) + after + record(130)
    bundle = record(156, struct.pack("<II", 0, 1) + wide("r1") + wide("Users"))
    styles = record(615, struct.pack("<I", 1)) + record(44, struct.pack("<H", 164) + wide("00000")) + record(616)
    formats = b"".join(record(47, struct.pack("<HHHHHHHH", 0, f, 0, 0, 0, 0, 0, 0)) for f in (0, 164, 14))
    styles += record(617, struct.pack("<I", 3)) + formats + record(618)
    links = (("r1", "worksheet", "worksheets/sheet1.bin"), ("r2", "styles", "styles.bin"))
    parts = {
        "xl/workbook.bin": record(131) + record(143) + bundle + record(144) + record(132),
        "xl/_rels/workbook.bin.rels": f'<Relationships xmlns="{RELATIONSHIPS}">'
        + "".join(f'<Relationship Id="{i}" Type="{OFFICE}/{k}" Target="{t}"/>' for i, k, t in links)
        + "</Relationships>",
        "xl/styles.bin": styles,
        "xl/worksheets/sheet1.bin": sheet,
    }
    return pack(parts)


XLSB = xlsb(
    row(2) + text(0, "id") + text(1, "name"),
    row(3) + number(0, 42, 1) + text(1, " Ann "),
    row(4, hidden=True) + number(0, 8) + cell(4, 1, b"\x01"),
    row(5) + number(0, 9) + cell(3, 1, b"\x2a"),
    row(6) + number(0, 45000, 2) + number(1, 12.5),
    row(7) + number(0, 11) + text(1, "#N/A"),
    after=record(176, struct.pack("<4I", 7, 8, 1, 1)),
)


def test_an_xlsb_gives_the_same_rows_and_errors() -> None:
    raw_sheet = read_book(XLSB)
    assert raw_sheet.rows.tolist() == [4, 5, 6, 7, 8]
    assert [list(r) for r in raw_sheet.cells.to_numpy(object)] == [
        ["00042", " Ann "],
        ["8", "TRUE"],
        ["9", "#N/A"],
        ["2023-03-15", "12.5"],
        ["11", "#N/A"],
    ]
    assert [(int(raw_sheet.rows[f.at]), f.code.value, f.value) for f in raw_sheet.errors] == [
        (5, "row-hidden", ""),
        (5, "type-invalid", "TRUE"),
        (6, "cell-error", "#N/A"),
        (7, "id-damaged", "2023-03-15"),
        (8, "row-ragged", ""),
    ]


def xlsx() -> bytes:
    book = openpyxl.Workbook()
    for values in (["id", "name", "email"], *([i, f"Ann {i}", f"ann{i}@example.org"] for i in range(1, 30))):
        book.active.append(values)
    book.active.row_dimensions[5].hidden = True
    book.active["B7"] = "#N/A"
    return saved(book)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Cut, flip, drop or repeat some bytes."""
    buffer = bytearray(data)
    at = chance.randrange(len(buffer))
    kind = chance.randrange(4)
    if kind == 0:
        return bytes(buffer[:at])
    if kind == 1:
        buffer[at] ^= 1 << chance.randrange(8)
    elif kind == 2:
        del buffer[at : at + chance.randrange(1, 40)]
    else:
        buffer[at:at] = buffer[chance.randrange(len(buffer)) :][: chance.randrange(1, 60)]
    return bytes(buffer)


def damaged_member(data: bytes, chance: random.Random) -> bytes:
    """Damage what is in one member of a zip, and pack it again."""
    parts = unpacked(data)
    chosen = chance.choice([name for name in parts if name.startswith("xl/") or name == "content.xml"])
    return pack(parts | {chosen: damaged(parts[chosen], chance) if parts[chosen] else b""})


@pytest.mark.parametrize("kind", ["xlsx", "xlsb", "xls", "ods"])
def test_a_damaged_file_is_read_or_refused_in_one_sentence(kind: str) -> None:
    whole = {"xlsx": xlsx, "xlsb": lambda: XLSB}.get(kind, lambda: (FILES / f"users.{kind}").read_bytes())()
    chance = random.Random(kind)
    for _ in range(150):
        data = damaged(whole, chance) if kind == "xls" or chance.random() < 0.3 else damaged_member(whole, chance)
        with contextlib.suppress(SourceError):
            raw_sheet = read_book(data)
            assert len(raw_sheet.rows) == len(raw_sheet.cells)
            assert all(type(value) is str for line in raw_sheet.cells.to_numpy(object) for value in line)
            assert all(error.at < len(raw_sheet.rows) for error in raw_sheet.errors)


@pytest.mark.parametrize("kind", ["xlsx", "xlsb", "xls", "ods"])
def test_a_file_that_is_cut_short_is_never_half_read(kind: str) -> None:
    whole = {"xlsx": xlsx, "xlsb": lambda: XLSB}.get(kind, lambda: (FILES / f"users.{kind}").read_bytes())()
    for share in (0.1, 0.4, 0.7, 0.95):
        with pytest.raises(SourceError):
            read_book(whole[: int(len(whole) * share)])


def test_reading_in_threads_leaves_stderr_alone() -> None:
    """Damaged files and sound ones, read at the same time: descriptor 2 stays the same file throughout."""
    chance = random.Random(11)
    files = [(FILES / "users.xls").read_bytes(), XLSB, xlsx()]
    files += [damaged_member(XLSB, chance) for _ in range(60)]
    files += [damaged(files[0], chance) for _ in range(20)]
    before, seen = os.fstat(2), set()

    def read_and_look(data: bytes) -> None:
        with contextlib.suppress(SourceError):
            read_book(data)

    with ThreadPoolExecutor(4) as pool:
        reading = [pool.submit(read_and_look, data) for data in files * 2]
        while not all(one.done() for one in reading):
            now = os.fstat(2)
            seen.add((now.st_dev, now.st_ino))
    assert all(one.exception() is None for one in reading)
    assert seen == {(before.st_dev, before.st_ino)}


def test_refuses_an_xls_whose_sectors_form_a_circle() -> None:
    data = bytearray((FILES / "users.xls").read_bytes())
    (table,) = struct.unpack_from("<I", data, 60)
    struct.pack_into("<I", data, (table + 1) * 512, 0)
    with pytest.raises(SourceError, match="its sectors form a circle"):
        read_book(bytes(data))


def test_an_xlsb_reports_hidden_columns() -> None:
    hidden = record(60, struct.pack("<4IH", 1, 1, 2304, 0, 1))
    users = xlsb(row(0) + text(0, "id") + text(1, "name"), row(1) + number(0, 42) + text(1, "Ann"), after=hidden)
    found = read_book(users)
    assert [(e.code.value, e.column) for e in found.errors] == [("row-hidden", 1)]


def test_notes_an_xls_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook_xls, "MAX_ROWS", 12)
    (note,) = (note for note in read_book((FILES / "users.xls").read_bytes()).notes if "full" in note)
    assert note.endswith("is full to row 12, the last of an .xls: rows may be missing")


def test_an_ods_reports_hidden_columns() -> None:
    columns = (
        b'<table:table-column table:number-columns-repeated="2"/><table:table-column table:visibility="collapse"/>'
    )
    parts = unpacked((FILES / "users.ods").read_bytes())
    parts["content.xml"] = re.sub(b"<table:table-column [^>]*>", columns, parts["content.xml"], count=1)
    found = read_book(pack(parts))
    assert {e.column for e in found.errors if e.message.startswith("the column is hidden")} == {1}
    assert "column C ('name') is hidden: its rows are rejected (source.hidden_columns decides)" in found.notes


def test_an_ods_reports_groups_that_are_folded_up_and_rows_that_are_struck_through() -> None:
    def cell(text: str, style: str = "") -> str:
        return f'<table:table-cell {style} office:value-type="string"><text:p>{text}</text:p></table:table-cell>'

    def row(*cells: str) -> str:
        return f"<table:table-row>{''.join(cells)}</table:table-row>"

    folded = '<table:table-row-group table:display="false">' + row(cell("1"), cell("Ann")) + "</table:table-row-group>"
    struck = cell("Bea", 'table:style-name="Gone"')
    names = ("office", "style", "table", "text")
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    content = (
        f'<office:document-content {spaces}><office:automatic-styles><style:style style:name="Gone" '
        'style:family="table-cell"><style:text-properties style:text-line-through-style="solid"/></style:style>'
        '</office:automatic-styles><office:body><office:spreadsheet><table:table table:name="Users">'
        f"{row(cell('id'), cell('name'))}{folded}{row(cell('2'), struck)}{row(cell('3'), cell('Cid'))}"
        "</table:table></office:spreadsheet></office:body></office:document-content>"
    )
    found = read_book(pack({"content.xml": content}))
    assert [(e.at, e.code) for e in found.errors] == [(0, Code.ROW_HIDDEN)]
    assert "rows with text that is struck through, read like all others: 3" in found.notes


def test_an_ods_reports_text_that_is_struck_in_part() -> None:
    style = (
        b'<office:automatic-styles><style:style style:name="Gone" style:family="text">'
        b'<style:text-properties style:text-line-through-style="solid"/></style:style>'
    )
    parts = unpacked((FILES / "users.ods").read_bytes())
    content = parts["content.xml"].replace(b"<office:automatic-styles>", style, 1)
    assert b"<text:p>filtered</text:p>" in content
    struck = b'<text:p><text:span text:style-name="Gone">Bea</text:span> Ann</text:p>'
    found = read_book(pack(parts | {"content.xml": content.replace(b"<text:p>filtered</text:p>", struck)}))
    assert "Bea Ann" in found.cells.to_numpy(object)
    assert [e.message for e in found.errors if e.value == "Bea Ann"] == [
        "a part of the text is struck through; delete that part"
    ]


def ods(attributes: str, content: str) -> bytes:
    """Make an .ods of one row, user 7, with one more cell."""
    names = ("office", "table", "text")
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    texts = ("id", "custom_attributes.x", "7")
    head, heading, user = (f"<table:table-cell><text:p>{text}</text:p></table:table-cell>" for text in texts)
    cell = f"<table:table-cell {attributes}>{content}</table:table-cell>"
    rows = f"<table:table-row>{head}{heading}</table:table-row><table:table-row>{user}{cell}</table:table-row>"
    xml = (
        f'<office:document-content {spaces} xmlns:calcext="urn:calcext"><office:body><office:spreadsheet>'
        f'<table:table table:name="Users">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    return pack({"content.xml": xml})


@pytest.mark.parametrize("shown", ["#N/A", "#REF!", "#WERT!", "#NOM ?", "#¡VALOR!", "Err:502"])
def test_an_error_that_openoffice_wrote_as_a_zero_is_an_error(shown: str) -> None:
    found = read_book(
        ods('table:formula="of:=A9" office:value-type="float" office:value="0"', f"<text:p>{shown}</text:p>")
    )
    assert [(e.code, e.value) for e in found.errors] == [(Code.CELL_ERROR, shown)]


@pytest.mark.parametrize("text", ["#CLEAR", "#VIP", "#Ahoy!"])
@pytest.mark.parametrize("a", ["", 'table:formula="of:=A9"', 'office:string-value=""'])
def test_a_text_of_an_ods_that_begins_with_a_number_sign_is_read(text: str, a: str) -> None:
    found = read_book(ods(f'office:value-type="string" {a}', f"<text:p>{text}</text:p>"))
    assert found.errors == ()
    assert found.cells.iloc[0, 1] == text


def test_a_formula_of_an_ods_whose_result_is_a_blank_text_is_a_blank_cell() -> None:
    found = read_book(ods('table:formula="of:=IF([.A2]=7;&quot;&quot;;1)"', "<text:p/>"))
    assert found.errors == ()
    assert [e.code for e in read_book(ods('table:formula="of:=A9"', "")).errors] == [Code.FORMULA_UNSAVED]


@pytest.mark.parametrize(("value", "text"), [("true", "TRUE"), ("5", "TRUE"), ("false", "FALSE"), ("0", "FALSE")])
def test_a_number_that_an_ods_shows_as_true_is_true(value: str, text: str) -> None:
    found = read_book(ods(f'office:value-type="boolean" office:boolean-value="{value}"', f"<text:p>{text}</text:p>"))
    assert found.cells.iloc[0, 1] == text


@pytest.mark.parametrize("value", ["0", "5", "-0.5"])
def test_a_number_that_an_ods_shows_as_a_blank_cell_is_an_error(value: str) -> None:
    found = read_book(ods(f'office:value-type="float" office:value="{value}"', "<text:p/>"))
    assert [(e.code, e.value) for e in found.errors] == [(Code.CELL_ERROR, value)]


@pytest.mark.parametrize("value", [date(1899, 12, 30), datetime(1899, 12, 30, 6)])
def test_day_zero_of_an_ods_is_an_error(value: date) -> None:
    texts, wrong = column_texts(["x", value], {}, field="custom_attributes.until")
    assert texts == ["x", iso_text(value)]
    assert [(at, text.code) for at, text in wrong] == [(1, Code.CELL_ERROR)]


@pytest.mark.parametrize(
    ("value", "shown", "text"),
    [
        pytest.param("7", "D-00007", "D-00007", id="letters before zeros"),
        pytest.param("5", "ID-5", "ID-5", id="letters and a dash"),
        pytest.param("4930123", "+4930123", "+4930123", id="a plus"),
        pytest.param("30123", "030123", "030123", id="a zero"),
        pytest.param("-7", "-007", "-007", id="a negative number"),
        pytest.param("12", "12 kg", "12", id="a unit"),
        pytest.param("5", "€5", "5", id="a currency"),
        pytest.param("1234", "1,234", "1234", id="thousands"),
        pytest.param("1234567", "1 234 567", "1234567", id="thousands with blanks"),
        pytest.param("12345678", "012-34-5678", "012-34-5678", id="groups with dashes"),
        pytest.param("612345678", "06 12 34 56 78", "06 12 34 56 78", id="groups behind a zero"),
        pytest.param("301234567", "030/1234567", "030/1234567", id="a slash"),
        pytest.param("301234567", "(030) 123-4567", "(030) 123-4567", id="groups in brackets"),
        pytest.param("0.125", "12.5%", "12.5%", id="percent"),
        pytest.param("0.125", "12,5%", "12.5%", id="percent with a decimal comma"),
        pytest.param("12.5", "12,50", "12.50", id="two decimals behind a comma"),
        pytest.param("-12.5", "-12,50", "-12.50", id="a negative number with a decimal comma"),
    ],
)
def test_writes_the_number_of_an_ods_as_its_cell_shows_it(value: str, shown: str, text: str) -> None:
    number, kind = workbook_ods._number(value, shown)
    assert (formatted_number(number, kind[1:]) if kind else column_texts([number], {})[0][0]) == text


def test_midnight_in_an_xls_is_a_time() -> None:
    assert workbook_xls._date_or_time(0.0, "hh:mm", 0) == time(0)
    assert workbook_xls._date_or_time(0.25, "hh:mm", 0) == time(6)
    assert workbook_xls._date_or_time(45000.0, "dd.mm.yyyy", 0) == date(2023, 3, 15)
