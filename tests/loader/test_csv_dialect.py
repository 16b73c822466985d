"""Test how delimiter, quote, escape and header of a text file are found."""

from __future__ import annotations

import re

import pytest

from usersync.errors import SourceError
from usersync.loader.csv_dialect import DialectMatch, describe, detect_dialect
from usersync.loader.headings import Headings
from usersync.settings import SourceSettings


def find(text: str, **options: object) -> DialectMatch:
    settings = SourceSettings.model_validate(options)
    return detect_dialect(text.encode(), 0, file="f.csv", headings=Headings(), options=settings)


def summary(text: str, **options: object) -> str:
    found = describe(find(text, **options))
    return f"{found['delimiter']} {found['quote']} {found['escape']} {found['line_end']}"


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        pytest.param("id,name\n1,O'Brien\n2,'007\n", ', " doubled LF', id="an apostrophe in a name is no quote"),
        pytest.param("id,name\n1,'Bob' Lee\n2,Ann\n", ', " doubled LF', id="nor is one around a nickname"),
        pytest.param("id,name\n1,'Bob'\n2,Ann\n", ', " doubled LF', id="nor is one around one cell of many"),
        pytest.param("id,name\n1,C:\\new\n2,\\\\srv\n", ', " doubled LF', id="a backslash in a path is no escape"),
        pytest.param('id,name\n1,"C:\\"\n', ', " doubled LF', id="nor is one before a closing quote"),
        pytest.param("id,name\n1,a;b|c\n", ', " doubled LF', id="another delimiter in a cell is text"),
        pytest.param("id\n5\n", ', " doubled LF', id="a file of one column"),
        pytest.param("id,name", ', " doubled none', id="a header alone"),
        pytest.param("id;name\r\n1;x\r\n", '; " doubled CRLF', id="semicolons, Windows"),
        pytest.param("id\tname\n1\tx\r\n", 'tab " doubled LF and CRLF', id="tabs, mixed line ends"),
        pytest.param("id|name\r1|x\r", '| " doubled CR', id="bars, old Mac"),
        pytest.param("id,name\r\r\n1,x\r\r\n", ', " doubled CRLF', id="line ends written twice"),
        pytest.param("'id','name'\n'1','x'\n", ", ' doubled LF", id="apostrophes around the headings"),
        pytest.param("id,name\n1,'x, y'\n", ", ' doubled LF", id="rows that fit with apostrophes only"),
        pytest.param("id,name\n1,'x'\n2,'y'\n", ", ' doubled LF", id="a whole column in apostrophes"),
        pytest.param('id,name\n1,"a \\"b\\" c"\n', ', " backslash LF', id="rows that fit with a backslash only"),
        pytest.param("id,name\n1,a\\, b\n", ', " backslash LF', id="delimiters behind a backslash"),
        pytest.param("sep=;\nid;a,id\n1;2,3\n", '; " doubled LF', id="a line that declares the delimiter"),
        pytest.param("All | id | users\nid;n\n1;x\n2;y\n", '; " doubled LF', id="a title that looks like a header"),
    ],
)
def test_finds_the_dialect(text: str, dialect: str) -> None:
    assert summary(text) == dialect


@pytest.mark.parametrize(
    ("text", "row"),
    [
        pytest.param("id,name\n1,x\n", 1, id="the first line"),
        pytest.param("\n\nid,name\n1,x\n", 3, id="below blank lines"),
        pytest.param("Users of 2024\nexported; by, Ann\n\nid,name\n1,x\n", 4, id="below a title and notes"),
        pytest.param('"two\nlines",x\nid,name\n1,x\n', 2, id="below a note of two lines, which is one row"),
        pytest.param('a "stray quote\nid,name\n1,x\n', 2, id="below a stray quote"),
        pytest.param('"never closed\nid,name\n1,x\n', 2, id="below a quote that is never closed"),
        pytest.param('"E-mail\n(work)",id\nx,1\n', 1, id="with a line break in a heading"),
        pytest.param("Report,Users\nID,4711\n\nid,name\n1,x\n", 4, id="below the number of a report"),
        pytest.param("id,City\n1,Rome\nid,name\n2,x\n", 1, id="the first of two"),
        pytest.param("id,2026\n1,x\n", 1, id="with a number for a heading"),
    ],
)
def test_finds_the_header(text: str, row: int) -> None:
    assert find(text).row == row


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        pytest.param(
            "city,team\nx,y\n",
            {},
            "f.csv: row 1 looks like the header and has no id column (headings: 'city', 'team'); "
            "add a column id with the platform's user ids",
            id="no id column",
        ),
        pytest.param(
            "id,a;id\n1,2;3\n",
            {},
            "f.csv: the delimiter is in doubt: , (2 columns) and ; (2 columns) both find an id column; "
            "set source.delimiter",
            id="two delimiters that fit",
        ),
        pytest.param(
            "id,name\n1,x\n",
            {"header_row": 2},
            "f.csv: row 2 has no id column; set source.header_row to the row of the headings, "
            "or map one of them under columns: {Your heading: id}",
            id="a header row without an id column",
        ),
        pytest.param(
            'id,"na"me\n1,x\n',
            {},
            'f.csv: row 1 looks like the header, but text follows the " that closes cell 2; '
            'double the " inside the cell',
            id="a header that is damaged",
        ),
        pytest.param(
            "id§name\n1§x\n",
            {"delimiter": "§"},
            "f.csv: source.delimiter cannot be '§'; name one character of ASCII, like ;",
            id="a delimiter beyond ASCII",
        ),
    ],
)
def test_refuses_a_file_that_cannot_be_read_as_a_whole(text: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(SourceError) as caught:
        find(text, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param('{"id": 5, "name": "Ann"}\n', "JSON", id="lines of JSON"),
        pytest.param('[\n  {"id": 5, "name": "Ann"}\n]\n', "JSON", id="a JSON list"),
        pytest.param("<html><table><tr><td>id</td></tr></table></html>", "a web page or XML", id="a web page"),
        pytest.param('<?xml version="1.0"?><users/>', "a web page or XML", id="XML"),
        pytest.param("{\\rtf1 id,name}", "formatted text (RTF)", id="RTF"),
        pytest.param("%PDF-1.7\n1 0 obj", "a PDF", id="a PDF"),
        pytest.param(
            "MIME-Version: 1.0\nContent-Type: multipart/related; a=b\n\nx", "a web archive (MHTML)", id="MHTML"
        ),
    ],
)
def test_says_what_a_file_is_that_is_no_table(text: str, kind: str) -> None:
    with pytest.raises(SourceError, match=re.escape(f"the file is {kind}, not a table")):
        find(text)


def test_settings_override_detection() -> None:
    assert summary("id,a;id\n1,2;3\n", delimiter=";") == '; " doubled LF'
    assert summary("id,name\n1,'x, y'\n", quote='"') == ', " doubled LF'
    assert summary('id,name\n1,5"\n', quote="none") == ", none none LF"
    assert find("id,old\nid,name\n1,x\n", header_row=2).row == 2
