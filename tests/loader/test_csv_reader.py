"""Test how the rows of a text file are read, and which are rejected."""

from __future__ import annotations

import pytest

from tests.loader.sheets import read_csv
from usersync.errors import SourceError
from usersync.loader import csv_reader as text_module
from usersync.loader.raw_sheet import CellError, RawSheet
from usersync.models import Code


def rows(raw_sheet: RawSheet) -> list[tuple[int, list[str] | Code]]:
    """Row numbers with cells, or with the code of a row that is bad as a whole."""
    bad = {error.at: error.code for error in raw_sheet.errors if error.column is None}
    cells = raw_sheet.cells.to_numpy().tolist()
    return [(int(n), bad.get(i, cells[i])) for i, n in enumerate(raw_sheet.rows)]


BAD = Code.ROW_RAGGED


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            "1,NA\n2,null\n007,nan\n", [(2, ["1", "NA"]), (3, ["2", "null"]), (4, ["007", "nan"])], id="words"
        ),
        pytest.param(" 1 , x \n", [(2, [" 1 ", " x "])], id="blanks around a cell"),
        pytest.param("1,\n,x\n", [(2, ["1", ""]), (3, ["", "x"])], id="blank cells"),
        pytest.param("1,x", [(2, ["1", "x"])], id="a last line without its end"),
        pytest.param('"1","x, ""y"""\n', [(2, ["1", 'x, "y"'])], id="doubled quotes"),
        pytest.param('1,"a\r\nb\rc"\n2,x\n', [(2, ["1", "a\r\nb\rc"]), (3, ["2", "x"])], id="line breaks in quotes"),
        pytest.param("\ufeff1,\ufeff\n", [(2, ["\ufeff1", "\ufeff"])], id="a byte-order mark inside"),
        pytest.param("1,a\x85b\u2028c\x0cd\n", [(2, ["1", "a\x85b\u2028c\x0cd"])], id="Unicode line separators"),
        pytest.param("1,#x\n#2,=y\n", [(2, ["1", "#x"]), (3, ["#2", "=y"])], id="characters without a meaning in CSV"),
    ],
)
def test_keeps_every_cell_unchanged(body: str, expected: list[object]) -> None:
    raw_sheet = read_csv("id,name\n" + body, quote='"')
    assert rows(raw_sheet) == expected
    assert raw_sheet.errors == ()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param('\n1,x\n,\n \n"",""\n2,y\n', [(3, ["1", "x"]), (7, ["2", "y"])], id="blank rows are numbered"),
        pytest.param("1,x,\n2,y\n", [(2, BAD), (3, ["2", "y"])], id="a cell too many, though blank"),
        pytest.param("1\n2,y\n", [(2, BAD), (3, ["2", "y"])], id="a cell too few"),
        pytest.param('1,x"y\n2,y\n', [(2, BAD), (3, ["2", "y"])], id="a stray quote"),
        pytest.param('1,"x"y\n2,y\n', [(2, BAD), (3, ["2", "y"])], id="text behind a closing quote"),
        pytest.param('1,"x\n2,y\n3,z\n', [(2, BAD), (3, ["2", "y"]), (4, ["3", "z"])], id="an open quote"),
        pytest.param('1,"x\n2,"y, z"\n', [(2, BAD), (3, ["2", "y, z"])], id="an open quote before a quoted cell"),
        pytest.param('1,"x\n2,y\n3,z"\n4,w\n', [(2, BAD), (3, BAD), (4, BAD), (5, ["4", "w"])], id="a row between two"),
        pytest.param('1,"x\n2,y"\n4,w\n', [(2, BAD), (3, BAD), (4, ["4", "w"])], id="two rows between two"),
        pytest.param('1,"a, b\n2,y"\n4,w\n', [(2, BAD), (3, BAD), (4, ["4", "w"])], id="two, the first with a comma"),
        pytest.param('1,x\ny"\n2,z\n', [(2, BAD), (3, BAD), (4, ["2", "z"])], id="a cell that lost its first quote"),
        pytest.param("1,x\ry\n2,y\n", [(2, BAD), (3, ["2", "y"])], id="a lone CR"),
        pytest.param("1,x\nTotal\n", [(2, ["1", "x"]), (3, BAD)], id="a footer"),
    ],
)
def test_rejects_only_the_malformed_row(body: str, expected: list[object]) -> None:
    assert rows(read_csv("id,name\n" + body)) == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param("1,a,b", "3 cells where the header has 2; put the cell that holds a , in quotes", id="many"),
        pytest.param("1", "1 cell where the header has 2; add the missing cells, or their ,", id="few"),
        pytest.param('1,"a', 'the " that opens cell 2 is never closed; close or remove it', id="open"),
        pytest.param(
            '1,a"b',
            'cell 2 holds a stray "; put the cell in quotes and double the " inside',
            id="stray",
        ),
        pytest.param("1,a\rb", "cell 2 holds a lone line-end character; put the cell in quotes", id="lone CR"),
    ],
)
def test_reports_what_was_found_and_what_to_do(row: str, message: str) -> None:
    assert read_csv(f"id,name\n{row}\n2,x\n").errors == (CellError(0, Code.ROW_RAGGED, message, value=row),)


def test_rejects_an_escape_that_means_nothing() -> None:
    raw_sheet = read_csv('id,name\n0,"\\"x\\" y"\n1,"say \\"hi\\""\n2,"a\\qb"\n3,C:\\\\x\n')
    assert rows(raw_sheet) == [(2, ["0", '"x" y']), (3, ["1", 'say "hi"']), (4, BAD), (5, ["3", "C:\\x"])]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param('"a real\nline break"', id="a real line break in another cell"),
        pytest.param("C:\\new", id="a path"),
    ],
)
def test_rejects_an_escaped_letter_that_may_stand_for_itself(other: str) -> None:
    raw_sheet = read_csv(f'id,name\n0,"say \\"hi\\""\n1,a\\nb\n2,{other}\n3,"\\"Al\\" Lee"\n4,"\\"Bo\\" Lee"\n')
    assert rows(raw_sheet)[1] == (3, BAD)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        pytest.param("O\\'Brien", "O'Brien", id="an apostrophe"),
        pytest.param("Meyer\\, Ann", "Meyer, Ann", id="a delimiter"),
        pytest.param("two\\nlines", "two\nlines", id="a line break"),
        pytest.param('"a\\tb"', "a\tb", id="a tab in quotes"),
        pytest.param('"back\\\\slash"', "back\\slash", id="a backslash"),
    ],
)
def test_reads_escapes_where_a_file_escapes_with_backslashes(cell: str, text: str) -> None:
    raw_sheet = read_csv(f'id,name\n0,"say \\"hi\\""\n1,{cell}\n')
    assert rows(raw_sheet) == [(2, ["0", 'say "hi"']), (3, ["1", text])]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param("O\\'Brien\n2,D\\'Arcy", ["O'Brien", "D'Arcy"], id="only apostrophes are escaped"),
        pytest.param("O\\'Brien\n2,C:\\new", ["O\\'Brien", "C:\\new"], id="a path shows that nothing is"),
    ],
)
def test_takes_a_backslash_before_an_apostrophe_for_an_escape_if_all_can_be(names: str, expected: list[str]) -> None:
    assert [row[1][1] for row in rows(read_csv(f"id,name\n1,{names}\n"))] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('"id", "name"\n"1", "a, b"\n', ["1", "a, b"], id="blanks after the delimiter"),
        pytest.param('"id" ; "name"\n"1" ; "a; b"\n', ["1", "a; b"], id="blanks around it"),
        pytest.param('id,name\n1,\t"say ""hi"""  \n', ["1", 'say "hi"'], id="a tab, and blanks at the end"),
        pytest.param("id,name\n1, x \n", ["1", " x "], id="blanks of an unquoted cell stay"),
        pytest.param('id,name\n1,Team "North"\n', ["1", 'Team "North"'], id="a word in quotes"),
        pytest.param('id,name\n1,27" screen\n', ["1", '27" screen'], id="inches"),
        pytest.param('id,name\n1,["a"]\n', ["1", '["a"]'], id="JSON"),
        pytest.param('id;name\n1;{"seats": 5}\n', ["1", '{"seats": 5}'], id="a JSON object"),
        pytest.param('id,name\n1,Robert "Bob" Lee (27" TV)\n', ["1", 'Robert "Bob" Lee (27" TV)'], id="several"),
    ],
)
def test_accepts_quotes_that_can_be_read_in_one_way_only(text: str, expected: list[str]) -> None:
    raw_sheet = read_csv(text)
    assert ([row[1] for row in rows(raw_sheet)], raw_sheet.errors) == ([expected], ())


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param('An"n', id="a quote in a word"),
        pytest.param('Ann"', id="a quote at the end"),
        pytest.param('27"', id="inches at the end, which may be a torn cell"),
        pytest.param('a"b"c', id="quotes inside a word"),
        pytest.param('say ""hi""', id="doubled quotes without outer ones"),
        pytest.param('"Bob" Lee', id="text after a quoted cell"),
    ],
)
def test_rejects_quotes_that_may_be_damage(cell: str) -> None:
    assert rows(read_csv(f"id,name\n1,{cell}\n2,x\n")) == [(2, BAD), (3, ["2", "x"])]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param("1,x\ny\r\n2,z\r\n", [(2, BAD), (3, BAD), (4, ["2", "z"])], id="in the last cell"),
        pytest.param("1,x\ny\nw\r\n2,z\r\n", [(2, BAD), (3, BAD), (4, BAD), (5, ["2", "z"])], id="twice"),
        pytest.param('1,"x\ny"\r\n2,z\r\n', [(2, ["1", "x\ny"]), (3, ["2", "z"])], id="inside quotes it is text"),
        pytest.param('1,"x\n7,y\n8,z"\r\n2,w\r\n', [(2, ["1", "x\n7,y\n8,z"]), (3, ["2", "w"])], id="even a table"),
        pytest.param('1,"x\r\n7,y"\r\n2,w\r\n', [(2, BAD), (3, BAD), (4, ["2", "w"])], id="CRLF may end rows"),
        pytest.param("1,x\n2,y\r\n", [(2, ["1", "x"]), (3, ["2", "y"])], id="between rows it ends one"),
    ],
)
def test_rejects_a_row_that_a_lone_lf_cut(body: str, expected: list[object]) -> None:
    assert rows(read_csv("id,name\r\n" + body)) == expected


def test_reports_the_cell_that_cannot_be_decoded() -> None:
    raw_sheet = read_csv("id,name\n1,Zoë\n2,Jörg\n3,".encode() + b"M\xfcller\n4,a\0b\n5,x\n")
    remedy = "type the text again, or export the file again as UTF-8"
    assert raw_sheet.errors == (
        CellError(
            2, Code.ENCODING, f"the cell holds a character that cannot be decoded (\ufffd); {remedy}", 1, "M\ufffdller"
        ),
        CellError(3, Code.ENCODING, f"the cell holds a NUL character; {remedy}", 1, "a\ufffdb"),
    )
    assert raw_sheet.rows.tolist() == [2, 3, 4, 5, 6]


def test_reports_an_empty_file_as_empty() -> None:
    for data in (b"", b"\n\n", b"\xef\xbb\xbf", b"\xff\xfe", b"  \r\n"):
        with pytest.raises(SourceError, match=r"^f\.csv: the file is empty$"):
            read_csv(data)


def test_a_header_alone_has_no_rows() -> None:
    raw_sheet = read_csv("id,name\n")
    assert (raw_sheet.cells.shape, list(raw_sheet.cells.columns), raw_sheet.rows.tolist()) == ((0, 2), [0, 1], [])


def test_reports_how_the_file_is_written() -> None:
    raw_sheet = read_csv("Title\nid;name\r\n1;x\r\n")
    assert raw_sheet.header == ("id", "name")
    assert raw_sheet.header_row == 2
    assert raw_sheet.notes == ("the header is row 2; the rows above it are not read",)
    assert raw_sheet.dialect == {
        "encoding": "utf-8",
        "delimiter": ";",
        "quote": '"',
        "escape": "doubled",
        "line_end": "LF and CRLF",
        "why": "plain ASCII",
    }


def test_reads_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    body = '1,x,y\n2,"a\nb",c\n\n3,"open,z\n4,q\n5,"m","n"\n6,"p\n7,r,s\n8,t",u\n9,v,w\ncut"\n\ufeff10,a,b\n'
    whole = read_csv("id,name,email\n" + body * 3)
    for size in (1, 7, 20, 64):
        monkeypatch.setattr(text_module, "_BLOCK", size)
        pieces = read_csv("id,name,email\n" + body * 3)
        assert rows(pieces) == rows(whole)
        assert pieces.errors == whole.errors


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('1,"x', id="an open quote on every line"),
        pytest.param('1,"",""x', id="empty quotes on every line"),
        pytest.param('1,"","', id="quotes that close on the next line"),
        pytest.param("1,x,y", id="a cell too many on every line"),
        pytest.param("\ufffd,a\0", id="nothing to be read on any line"),
        pytest.param('x"', id="ends of cells without their beginnings"),
        pytest.param("\\\"'", id="escapes and apostrophes"),
    ],
)
def test_reads_damaged_files_in_linear_time(line: str) -> None:
    raw_sheet = read_csv(
        'id,name\n1,"open\n' + f"{line}\n" * 20_000, delimiter=","
    )  # a minute, were each line read again
    assert len(raw_sheet.rows) > 19_000 or line == '1,"","'
