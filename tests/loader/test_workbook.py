"""Test the values of workbooks in all formats."""

from __future__ import annotations

import contextlib
import io
from datetime import date, datetime, time, timedelta
from pathlib import Path

import openpyxl
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.loader.sheets import pack, read_book, refusal, saved, xlsx
from usersync.errors import SourceError
from usersync.loader.headings import Headings
from usersync.loader.raw_sheet import RawSheet
from usersync.loader.workbook import read_workbook
from usersync.models import Code
from usersync.settings import SourceSettings

FILES = Path(__file__).parent / "files"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def raw_xlsx(rows: str, *, styles: str = "", strings: str = "", after: str = "", odd: str = "") -> bytes:
    """A workbook of one sheet from the XML of its rows; `odd` is put before the sheet's root element."""
    kinds = {"worksheet": "worksheets/sheet1.xml", "styles": "styles.xml", "sharedStrings": "sharedStrings.xml"}
    links = "".join(
        f'<Relationship Id="r{i}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for i, (kind, target) in enumerate(kinds.items(), 1)
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" '
        'ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="Users" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{links}</Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{MAIN}">{styles}</styleSheet>',
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{strings}</sst>',
        "xl/worksheets/sheet1.xml": f'{odd}<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData>{after}</worksheet>',
    }
    return pack(parts)


HEADER = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>id</t></is></c><c r="B1" t="inlineStr"><is><t>name</t></is></c></row>'
)


def cell(xml: str) -> bytes:
    return raw_xlsx(f'{HEADER}<row r="2"><c r="A2"><v>7</v></c>{xml}</row>')


def texts(raw_sheet: RawSheet) -> list[list[str]]:
    return [list(row) for row in raw_sheet.cells.to_numpy(object)]


def errors_of(raw_sheet: RawSheet) -> list[tuple[int, str, int | None, str]]:
    return [(int(raw_sheet.rows[f.at]), f.code.value, f.column, f.value) for f in raw_sheet.errors]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(" Ann ", id="blanks around a text"),
        pytest.param("a\nb", id="a line break"),
        pytest.param("_x000D_ stays", id="a text that looks like an escape"),
        pytest.param("=1+1", id="a text that looks like a formula"),
        pytest.param("007", id="digits typed as text"),
        pytest.param("1234567890123456789", id="nineteen digits typed as text"),
        pytest.param("2026-11-24", id="a date typed as text"),
        pytest.param("#N/A", id="an error's name typed as text"),
        pytest.param("1E5", id="E-notation in a name"),
        pytest.param("😀 Zoë 東京", id="letters of all scripts"),
        pytest.param("x" * 32_767, id="the longest text"),
        pytest.param('<a t="e" hidden="1"/>', id="a text that looks like suspicious XML"),
        pytest.param("TRUE", id="TRUE typed as text"),
        pytest.param("1-2", id="text that looks like a date"),
    ],
)
def test_keeps_text_unchanged(text: str) -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["id", "name"])
        sheet.write_string(1, 0, "7")
        sheet.write_string(1, 1, text)
    raw_sheet = read_book(out.getvalue())
    assert texts(raw_sheet) == [["7", text]]
    assert raw_sheet.errors == ()


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        pytest.param(12, "General", "12", id="a whole number"),
        pytest.param(12.0, "General", "12", id="a whole number stored with a fraction"),
        pytest.param(0.1, "General", "0.1", id="a tenth"),
        pytest.param(-0.5, "General", "-0.5", id="less than nothing"),
        pytest.param(1e-7, "General", "0.0000001", id="a small number without E-notation"),
        pytest.param(1.1 * 3, "General", "3.3", id="the noise of a binary sum"),
        pytest.param(1 / 3, "General", repr(1 / 3), id="a third, in full"),
        pytest.param(999999999999999, "General", "999999999999999", id="fifteen digits"),
        pytest.param(42, "00000", "00042", id="leading zeros"),
        pytest.param(1067, "[$-407]00000", "01067", id="leading zeros with a language"),
        pytest.param(1067, "[Red]00000;[Blue]-00000", "01067", id="leading zeros with a colour and a second section"),
        pytest.param(1067, "00000;@", "01067", id="leading zeros with a section for text"),
        pytest.param(1067, '"D-"00000', "D-01067", id="letters before leading zeros"),
        pytest.param(42, "\\E\\M\\P0000", "EMP0042", id="letters one by one"),
        pytest.param(5, '"ID-"0', "ID-5", id="letters and a dash before any digits"),
        pytest.param(4930123, "+0", "+4930123", id="a plus before a telephone number"),
        pytest.param(30123, '"+49 "0', "+49 30123", id="the code of a country"),
        pytest.param(30123, '"0"0', "030123", id="a zero as text"),
        pytest.param(30123, "\\0\\00", "0030123", id="two zeros as text"),
        pytest.param(5, '"EUR "0.00', "5", id="a currency, which is not part of the value"),
        pytest.param(1234567, "00000", "1234567", id="more digits than the format has"),
        pytest.param(12.5, "0.00", "12.50", id="two decimals"),
        pytest.param(1.23456, "0.00", "1.23456", id="decimals that the format hides"),
        pytest.param(0.5, "0%", "50%", id="percent"),
        pytest.param(0.505, "0%", "50.5%", id="percent with a hidden decimal"),
        pytest.param(12345678, "000\\-00\\-0000", "012-34-5678", id="dashes between the digits"),
        pytest.param(612345678, '0#" "##" "##" "##" "##', "06 12 34 56 78", id="Excel's French telephone number"),
        pytest.param(301234567, "000\\/0000000", "030/1234567", id="a slash between the digits"),
        pytest.param(5, "0.0#", "5", id="decimals that are shown where there are any"),
        pytest.param(1234, "#,##0", "1234", id="thousands, whose mark depends on the country"),
        pytest.param(5, '0 "kg"', "5", id="a unit"),
        pytest.param(True, "General", "TRUE", id="true"),
        pytest.param(False, "General", "FALSE", id="false"),
        pytest.param(date(2026, 11, 24), "dd.mm.yyyy", "2026-11-24", id="a day"),
        pytest.param(datetime(2026, 11, 24, 13, 45), "dd.mm.yy hh:mm", "2026-11-24T13:45:00", id="a iso_text"),
        pytest.param(time(13, 45), "hh:mm", "13:45:00", id="a time of day"),
        pytest.param(timedelta(hours=36), "[h]:mm:ss", "36:00:00", id="a duration"),
    ],
)
def test_writes_a_value_as_its_cell_shows_it(value: object, code: str, text: str) -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["id", "custom_attributes.x"])
        sheet.write(1, 0, 7)
        sheet.write(1, 1, value, book.add_format({"num_format": code}))
    raw_sheet = read_book(out.getvalue())
    assert (texts(raw_sheet), raw_sheet.errors) == ([["7", text]], ())


def test_a_number_that_openpyxl_wrote_has_its_format() -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", "custom_attributes.x"])
    book.active.append([7, 42])
    book.active["B2"].number_format = "00000"
    assert texts(read_book(saved(book))) == [["7", "00042"]]


@pytest.mark.parametrize(
    ("value", "code", "text", "kind"),
    [
        pytest.param(True, "General", "TRUE", "TRUE or FALSE", id="a boolean"),
        pytest.param(date(2026, 1, 2), "dd.mm.yyyy", "2026-01-02", "a date", id="a date"),
        pytest.param(datetime(2026, 1, 2, 3, 4), "dd.mm.yy hh:mm", "2026-01-02T03:04:00", "a date", id="date and time"),
        pytest.param(time(13, 45), "hh:mm", "13:45:00", "a time", id="a time"),
        pytest.param(timedelta(hours=36), "[h]:mm:ss", "36:00:00", "a duration", id="a duration"),
    ],
)
@pytest.mark.parametrize("heading", ["name", "Full name", "display_name", "email"])
def test_a_typed_value_is_no_name(value: object, code: str, text: str, kind: str, heading: str) -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["id", heading])
        sheet.write(1, 0, 7)
        sheet.write(1, 1, value, book.add_format({"num_format": code}))
    (error,) = read_book(out.getvalue()).errors
    message = f"the cell holds {kind}, not text; format the cell as text and type the value again"
    assert (error.at, error.column, error.code, error.value, error.message) == (0, 1, "type-invalid", text, message)


@pytest.mark.parametrize("second", range(0, 86_400, 6_007))
def test_a_time_keeps_its_second(second: int) -> None:
    iso_text = datetime(2026, 3, 29) + timedelta(seconds=second)
    assert texts(read_book(xlsx(["id", "name"], [7, iso_text])))[0][1] == (
        iso_text.isoformat() if second else iso_text.date().isoformat()
    )


def test_dates_of_the_1904_system_are_right() -> None:
    book = openpyxl.Workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    book.active.append(["id", "name"])
    book.active.append([7, datetime(2026, 11, 24)])
    assert texts(read_book(saved(book))) == [["7", "2026-11-24"]]


@pytest.mark.parametrize(
    ("value", "text", "code"),
    [
        pytest.param(12.5, "12.5", None, id="a fraction is left to the check"),
        pytest.param(999999999999999, "999999999999999", None, id="fifteen digits are whole"),
        pytest.param(1234567890123456789, "1234567890123456768", Code.ID_DAMAGED, id="nineteen digits lost the last"),
        pytest.param("1.23E+15", "1.23E+15", Code.ID_DAMAGED, id="E-notation as text"),
        pytest.param("1,23E+15", "1,23E+15", Code.ID_DAMAGED, id="E-notation with a decimal comma"),
        pytest.param(date(2026, 2, 1), "2026-02-01", Code.ID_DAMAGED, id="1-2 that became a date"),
    ],
)
def test_reports_a_damaged_id(value: object, text: str, code: Code | None) -> None:
    raw_sheet = read_book(xlsx(["id", "name"], [value, "Ann"]))
    assert texts(raw_sheet)[0][1] == "Ann"
    assert texts(raw_sheet)[0][0][:12] == text[:12]
    assert [f.code for f in raw_sheet.errors] == ([code] if code else [])


def test_reports_a_long_number_outside_the_id_column() -> None:
    raw_sheet = read_book(xlsx(["id", "name"], [7, 12345678901234567]))
    assert [(f.code, f.column) for f in raw_sheet.errors] == [(Code.TYPE_INVALID, 1)]


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        pytest.param('<c r="B2" t="str"><v>#N/A</v></c>', [], id="a text that names an error"),
        pytest.param('<c r="B2"><f>1+1</f><v>2</v></c>', [], id="a formula with its result"),
        pytest.param('<c r="B2" t="str"><f>""</f><v></v></c>', [], id="a formula whose result is no text"),
        pytest.param('<c r="B2" t="e"><v>#N/A</v></c>', [("cell-error", "#N/A")], id="an error"),
        pytest.param("<c r='B2' t='e'><v>#REF!</v></c>", [("cell-error", "#REF!")], id="single quotes"),
        pytest.param('<c t="e" r="B2"><v>#DIV/0!</v></c>', [("cell-error", "#DIV/0!")], id="attributes swapped"),
        pytest.param('<c r="B2" t="e"><f>A1</f><v>#SPILL!</v></c>', [("cell-error", "#SPILL!")], id="a newer error"),
        pytest.param('<c r="B2" t="e"><v/></c>', [("cell-error", "#ERROR!")], id="an error without a name"),
        pytest.param('<c r="B2"><f>1+1</f></c>', [("formula-unsaved", "")], id="a formula without a result"),
        pytest.param('<c r="B2"><f>1+1</f><v></v></c>', [("formula-unsaved", "")], id="a formula with a blank result"),
        pytest.param('<c r="B2"><f>1+1</f><v /></c>', [("formula-unsaved", "")], id="a formula as openpyxl writes it"),
        pytest.param(
            '<c r="B2" t="n"><f>C2</f><v>0.0</v></c>', [("formula-unsaved", "")], id="a formula of a POI stream"
        ),
        pytest.param('<c r="B2"><v>0.0</v></c>', [], id="a number that a program wrote"),
        pytest.param('<c r="B2"><f t="shared" si="0"/></c>', [("formula-unsaved", "")], id="a shared formula"),
    ],
)
def test_reports_errors_and_unsaved_formulas(xml: str, expected: list[tuple[str, str]]) -> None:
    assert [(code, value) for _, code, _, value in errors_of(read_book(cell(xml)))] == expected


def test_a_formula_that_xlsxwriter_wrote_has_no_result_unless_one_was_given() -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["id", "name", "custom_attributes.seats"])
        sheet.write_column(1, 0, [1, 2, 3, 4])
        sheet.write_formula("B2", '="Ann"&" Lee"')
        sheet.write_formula("B3", '="Ann"&" Lee"', None, "Ann Lee")
        sheet.write_array_formula("C4:C4", "{=SUM(A1:A2)}")
        sheet.write_formula("C5", "=1+1", None, 2)
        sheet.write_number("C3", 0)
    found = read_book(out.getvalue())
    assert [(row, code, column) for row, code, column, _ in errors_of(found)] == [
        (2, "formula-unsaved", 1), (4, "formula-unsaved", 2),
    ]  # fmt: skip
    assert texts(found)[1::2] == [["2", "Ann Lee", "0"], ["4", "", "2"]]


@pytest.mark.parametrize(
    ("value", "code", "is_hidden"),
    [
        pytest.param(0, "0;-0;;@", True, id="a format for no zeros"),
        pytest.param(0, "#,###", True, id="a format without a digit for zero"),
        pytest.param(5, ";;;", True, id="a format for nothing"),
        pytest.param(5, "0;-0;;@", False, id="a number that is shown"),
        pytest.param(0, '_-* #,##0_-;-* #,##0_-;_-* "-"_-;_-@_-', False, id="a zero that is shown as a dash"),
        pytest.param(0, "General", False, id="a zero that is shown"),
    ],
)
def test_a_number_that_is_shown_as_a_blank_cell_is_an_error(value: int, code: str, is_hidden: bool) -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["id", "custom_attributes.seats"])
        sheet.write_row(1, 0, [7, value], book.add_format({"num_format": code}))
    found = [shown for _, _, column, shown in errors_of(read_book(out.getvalue())) if column == 1]
    assert found == ([str(value)] if is_hidden else [])


def test_a_zero_of_a_sheet_that_shows_no_zeros_is_an_error() -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.hide_zero()
        for y, row in enumerate((["id", "custom_attributes.seats"], [7, 0], [8, 10], [9, "0"])):
            sheet.write_row(y, 0, row)
    assert [(row, code) for row, code, _, _ in errors_of(read_book(out.getvalue()))] == [(2, "cell-error")]


def test_a_zero_that_a_spreadsheet_calculated_is_read() -> None:
    assert texts(read_book(cell('<c r="B2"><f>1-1</f><v>0</v></c>')))[0][1] == "0"


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        pytest.param('<c r="B2" t="inlineStr"><is><r><t>An</t></r><r><t>n</t></r></is></c>', "Ann", id="rich text"),
        pytest.param(
            '<c r="B2" t="inlineStr"><is><t>東京</t><rPh sb="0" eb="2"><t>トウキョウ</t></rPh></is></c>',
            "東京",
            id="a reading beside the text",
        ),
        pytest.param('<c r="B2" t="str"><v><![CDATA[R&D <x>]]></v></c>', "R&D <x>", id="a CDATA section"),
        pytest.param('<c r="B2" t="str"><v>An<!-- n -->n</v></c>', "Ann", id="a comment"),
        pytest.param('<c r="B2"><v>1<!-- n -->2</v></c>', "12", id="a comment in a number"),
        pytest.param('<c r="B2" t="str"><v>a_x000D_b</v></c>', "a\rb", id="an escaped carriage return"),
        pytest.param('<x:c xmlns:x="a" r="B2" t="str"><x:v>Ann</x:v></x:c>', "Ann", id="a prefix"),
    ],
)
def test_reads_text_however_the_xml_is_written(xml: str, text: str) -> None:
    assert texts(read_book(cell(xml))) == [["7", text]]


def test_an_error_in_the_last_row_and_column_is_not_lost() -> None:
    data = raw_xlsx(f'{HEADER}<row r="2"><c r="B2" t="e"><v>#N/A</v></c></row>')
    assert (texts(read_book(data)), errors_of(read_book(data))) == ([["", "#N/A"]], [(2, "cell-error", 1, "#N/A")])


@pytest.mark.parametrize("number", [0, 0.25])
def test_a_number_below_one_among_dates_is_an_error(number: float) -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        day, clock = book.add_format({"num_format": "dd.mm.yyyy"}), book.add_format({"num_format": "hh:mm"})
        sheet.write_row(0, 0, ["id", "custom_attributes.until", "custom_attributes.at"])
        for row, value in enumerate((45000, number), 1):
            sheet.write(row, 0, row)
            sheet.write(row, 1, value, day)
            sheet.write(row, 2, value % 1, clock)
    found = read_book(out.getvalue())
    assert [(row, code, column) for row, code, column, _ in errors_of(found)] == [(3, "cell-error", 1)]
    assert texts(found)[0] == ["1", "2023-03-15", "00:00:00"]


def test_a_negative_date_is_an_error() -> None:
    styles = '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
    rows = f'{HEADER}<row r="2"><c r="A2"><v>7</v></c><c r="B2" s="1"><v>-5</v></c></row>'
    assert errors_of(read_book(raw_xlsx(rows, styles=styles))) == [(2, "cell-error", 1, "####")]


ROWS = (
    HEADER + '<row r="2"><c r="A2"><v>2</v></c></row><row r="3" hidden="1"><c r="A3"><v>3</v></c></row>'
    '<row r="4" ht="0" customHeight="1"><c r="A4"><v>4</v></c></row><row r="5" hidden="1"/>'
    '<row r="6" hidden="0"><c r="A6"><v>6</v></c></row>'
)


@pytest.mark.parametrize(
    ("choice", "rows", "rejected", "skipped"),
    [
        pytest.param("include", [2, 3, 4, 6], [], 0, id="include reads them"),
        pytest.param("reject", [2, 3, 4, 6], [3, 4], 0, id="reject names them"),
        pytest.param("skip", [2, 6], [], 2, id="skip leaves them out"),
    ],
)
def test_treats_hidden_rows_as_the_settings_say_with_a_note(
    choice: str, rows: list[int], rejected: list[int], skipped: int
) -> None:
    raw_sheet = read_book(raw_xlsx(ROWS, after='<autoFilter ref="A1:A6"/>'), hidden_rows=choice)
    assert raw_sheet.rows.tolist() == rows
    assert [row for row, code, _, _ in errors_of(raw_sheet) if code == "row-hidden"] == rejected
    assert raw_sheet.skipped == skipped
    assert raw_sheet.notes[0].startswith("2 rows are hidden by a filter and ")


def test_rejects_every_row_that_merged_cells_touch() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["A title", None], ["id", "name"], [1, "a"], [2, "b"], [3, None], [4, "d"]):
        sheet.append(row)
    sheet.merge_cells("A1:B1")
    sheet.merge_cells("B4:B5")
    raw_sheet = read_book(saved(book))
    assert [(int(raw_sheet.rows[f.at]), f.code, f.message) for f in raw_sheet.errors] == [
        (row, Code.ROW_RAGGED, "B4:B5 are merged; unmerge them and fill every row") for row in (4, 5)
    ]


@pytest.mark.parametrize(
    ("columns", "rejected"),
    [
        pytest.param({}, [], id="no field"),
        pytest.param({"Office": "custom_attributes.office"}, [2, 3], id="a field"),
        pytest.param({"display_name": "{name} ({Office})"}, [2, 3], id="a part of one"),
    ],
)
def test_merged_cells_reject_rows_where_they_are_read(columns: dict[str, str], rejected: list[int]) -> None:
    book = openpyxl.Workbook()
    for row in (["Office", "id", "name"], ["Berlin", 1, "a"], [None, 2, "b"], ["Paris", 3, "c"]):
        book.active.append(row)
    book.active.merge_cells("A2:A3")
    raw_sheet = read_workbook(saved(book), file="x.xlsx", headings=Headings(columns), options=SourceSettings())
    assert [row for row, *_ in errors_of(raw_sheet)] == rejected
    assert raw_sheet.notes == (() if rejected else ("merged cells in columns that are not read: A2:A3",))


def test_numbers_rows_as_the_spreadsheet_does() -> None:
    book = openpyxl.Workbook()
    for place, value in {"C4": "Id ", "D4": "name", "C5": 1, "C8": 2, "E9": "no heading", "D10": "  "}.items():
        book.active[place] = value
    raw_sheet = read_book(saved(book))
    assert (raw_sheet.header, raw_sheet.header_row, raw_sheet.rows.tolist()) == (("Id ", "name", ""), 4, [5, 8, 9])
    assert texts(raw_sheet)[2] == ["", "", "no heading"]
    assert raw_sheet.notes == ("column E ignored: there are values, but no heading",)


def two_sheets(*, hidden: bool = False) -> bytes:
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    book.active.append(["nothing here"])
    for name in ("Users", "Old users"):
        sheet = book.create_sheet(name)
        sheet.append(["id"])
        sheet.append([name])
    book["Old users"].sheet_state = "hidden" if hidden else "visible"
    return saved(book)


def test_the_sheet_with_the_id_column_is_found() -> None:
    assert read_book(two_sheets(hidden=True)).sheet == "Users"


def test_a_named_sheet_is_read_though_it_is_hidden() -> None:
    assert texts(read_book(two_sheets(hidden=True), sheet="old users")) == [["Old users"]]


@pytest.mark.parametrize(
    ("data", "options", "sentence"),
    [
        pytest.param(
            two_sheets(),
            {},
            "sheets 'Users' and 'Old users' both have an id column; name one with --sheet (source.sheet)",
            id="two sheets with ids",
        ),
        pytest.param(
            two_sheets(),
            {"sheet": "User"},
            "has no sheet 'User'; its sheets: 'Users', 'Old users', 'Notes'",
            id="sheet",
        ),
        pytest.param(
            two_sheets(),
            {"sheet": "Users", "header_row": 2},
            "row 2 of sheet 'Users' has no id column; correct source.header_row",
            id="a header row without an id",
        ),
        pytest.param(
            xlsx([]),
            {},
            "sheet 'Sheet' has no header row with an id column in its first 100 rows; name the column id",
            id="an empty sheet",
        ),
        pytest.param(
            b"id;name\n1;Ann\n",
            {},
            "is a text file under a workbook's name; rename it to .csv and try again",
            id="a csv",
        ),
        pytest.param(
            b"<html><table><tr><td>id</td></tr></table></html>",
            {},
            "is a web page (HTML) under a workbook's name; "
            "open it in the spreadsheet program and save it again as .xlsx",
            id="html",
        ),
        pytest.param(
            xlsx(["id"], [1])[:-200],
            {},
            "is damaged or cut short; fetch or export it again",
            id="a cut-off download",
        ),
        pytest.param(
            raw_xlsx(HEADER + '<row r="2"><c r="A2"><v>1</v></c></row><row r="2"><c r="A2"><v>2</v></c></row>'),
            {},
            "holds a row twice, or rows out of order; open it and save it again",
            id="two rows of one number",
        ),
        pytest.param(
            pack({"readme.txt": "hello"}),
            {},
            "is a zip file without a workbook; name the .xlsx (.xls, .xlsb, .ods) file itself",
            id="another zip",
        ),
        pytest.param(
            raw_xlsx(HEADER, odd='<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'),
            {},
            "holds XML entity definitions, which a workbook never needs (an attack?); "
            "open it in the spreadsheet program and save it again as .xlsx",
            id="a billion laughs",
        ),
        pytest.param(
            pack({"xl/workbook.xml": b"x", "xl/worksheets/sheet1.xml": bytes(80_000_000)}),
            {},
            "would unpack to 80,000,000 bytes, more than any real sheet (a zip bomb?); nothing was read",
            id="a zip bomb",
        ),
        pytest.param(
            raw_xlsx(
                HEADER + '<row r="2"><c r="A2"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
            ),
            {},
            "has a cell as far out as XFD1048576; delete the empty rows and columns beyond the table, "
            "or copy the table into a new workbook",
            id="a stray cell in the last row and column",
        ),
    ],
)
def test_refuses_an_unusable_workbook_in_one_sentence(data: bytes, options: dict[str, object], sentence: str) -> None:
    assert refusal(read_book, data, **options) == sentence


def test_says_what_to_do_about_a_telephone_number_in_a_cell_for_hours() -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", "custom_attributes.phone"])
    book.active.append([7, 49301234567])
    book.active["B2"].number_format = "[h]:mm"
    assert refusal(read_book, saved(book)).endswith(
        "too large for its format as hours or minutes; format the cell as a number"
    )


def test_nothing_is_printed_about_a_damaged_workbook(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray((FILES / "users.xls").read_bytes())
    for at in range(600, len(data), 61):
        flipped = bytearray(data)
        flipped[at] ^= 0x41
        with contextlib.suppress(SourceError):
            read_book(bytes(flipped))
    assert capfd.readouterr() == ("", "")


def test_an_old_xls_named_xlsx_is_read() -> None:
    assert read_book((FILES / "users.xls").read_bytes()).header[:2] == ("id", "name")


@pytest.mark.parametrize("name", ["users.ods", "users.xls"])
def test_ods_and_xls_give_the_same_rows_and_errors(name: str) -> None:
    raw_sheet = read_book((FILES / name).read_bytes())
    assert raw_sheet.rows.tolist() == [4, 5, 6, 7, 8, 9, 11, 12]
    assert texts(raw_sheet)[0] == [
        *("12", " Ann ", "TRUE", "00042", "2026-11-24", "2026-11-24T13:45:00", "13:45:00", "36:00:00", "50%"),
        *("12.50", "1234"),
    ]
    assert texts(raw_sheet)[6][1] == "line\nbreak"
    assert [(row, code, value) for row, code, _, value in errors_of(raw_sheet) if code != "type-invalid"] == [
        (5, "cell-error", "#N/A"),
        (5, "cell-error", "#DIV/0!"),
        (6, "row-hidden", ""),
        (7, "row-ragged", ""),
        (8, "row-ragged", ""),
        (9, "row-ragged", ""),
        (11, "row-hidden", ""),
    ]
    assert texts(raw_sheet)[1][3] == "#N/A", "the one that was typed as text"


TEXT = st.text(
    st.characters(blacklist_categories=("Cs",), min_codepoint=32, blacklist_characters="\ufffe\uffff"), max_size=12
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(TEXT, min_size=3, max_size=3), max_size=6))
def test_any_table_of_text_is_read_back_the_same(rows: list[list[str]]) -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for at, row in enumerate([["id", "name", "x", "end"], *([*row, "."] for row in rows)]):
            for column, text in enumerate(row):
                sheet.write_string(at, column, text)
    assert texts(read_book(out.getvalue())) == [[*row, "."] for row in rows]
