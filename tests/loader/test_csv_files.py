"""Test whole text files: widths, remarks, endings, sizes, missing headers."""

from __future__ import annotations

import pytest

from tests.loader.sheets import read_csv, refusal


@pytest.mark.parametrize(
    ("text", "note"),
    [
        pytest.param("id,name\n1,Ann,\n2,Bea,\n", "all rows end with a , that the header does not have", id="rows"),
        pytest.param("id;name\n1;Ann;;\n2;Bea;;\n", "all rows end with a ; that the header does not have", id="two"),
        pytest.param("id,name,\n1,Ann\n2,Bea\n", "the header ends with a , that the rows do not have", id="header"),
        pytest.param(
            'id\tname\t\t\n1\tAnn\n\n2\t"Bea"\n', "the header ends with a tab that the rows do not", id="tabs"
        ),
    ],
)
def test_ignores_delimiters_at_the_end_of_all_rows_or_of_the_header(text: str, note: str) -> None:
    sheet = read_csv(text)
    assert [row[:2] for row in sheet.cells.to_numpy().tolist()] == [["1", "Ann"], ["2", "Bea"]]
    assert (sheet.errors, sheet.notes[0].startswith(note)) == ((), True)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("id,name\n1,Ann,\n2,Bea\n", id="one row of two"),
        pytest.param("id,name\n1,Ann,\n2,Bea,x\n", id="a value among them"),
        pytest.param("id,name,email\n1,Ann\n2,Bea\n", id="a heading that is not blank"),
    ],
)
def test_rejects_rows_whose_width_has_no_explanation(text: str) -> None:
    assert read_csv(text).errors


def excel_csv(rows: list[list[str]]) -> str:
    """Write a table as Excel does: as many cells in a row as the longest of its block of 16 rows."""
    lines = []
    for start in range(0, len(rows), 16):
        block = rows[start : start + 16]
        width = max(max((i for i, cell in enumerate(row, 1) if cell), default=1) for row in block)
        lines += [",".join(row[:width]) for row in block]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "filled",
    [
        pytest.param(set(), id="no row has the last cells"),
        pytest.param({20, 70}, id="two rows have them"),
        pytest.param({17, 33}, id="first rows of blocks have them"),
    ],
)
def test_adds_blank_cells_that_excel_left_off(filled: set[int]) -> None:
    table = [["id", "name", "email"]]
    table += [[str(i), f"User {i}", f"u{i}@example.org" if i in filled else ""] for i in range(1, 75)]
    sheet = read_csv(excel_csv(table))
    assert sheet.cells.to_numpy().tolist() == table[1:]
    assert sheet.errors == ()
    assert sheet.notes[0].startswith("added the blank cells that Excel left off")


@pytest.mark.parametrize("damaged", [3, 20, 70])
def test_rejects_short_rows_that_excel_would_not_write(damaged: int) -> None:
    table = [["id", "name", "email"], *([str(i), f"User {i}", f"u{i}@example.org"] for i in range(1, 75))]
    lines = excel_csv(table).splitlines()
    lines[damaged] = f"{damaged},User {damaged}"
    assert [error.at for error in read_csv("\n".join(lines) + "\n").errors] == [damaged - 1]


def test_says_once_what_is_wrong_with_the_row_names_of_r() -> None:
    assert refusal(read_csv, '"id","name"\n"1",7,"Ann"\n"2",8,"Bea"\n') == (
        "all rows begin with a row number that has no heading, as R writes them; "
        "write the file with row.names = FALSE, or add a heading for the first column"
    )


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        pytest.param("id,name\n# by Ann\n1,Ann\n#\n", "2, 4", id="comments"),
        pytest.param("id|name\n--+---\n1|Ann\n(1 row)\n", "2, 4", id="psql"),
        pytest.param("id,name\n1,Ann\n(2 rows)", "3", id="a count without a line end"),
        pytest.param("id;name\n1;Ann\n1,204 rows selected.\n", "3", id="a count in thousands"),
        pytest.param("id,name\n=======\n1,Ann\n1 row in set (0.00 sec)\n", "2, 4", id="MySQL"),
    ],
)
def test_leaves_out_comments_rulers_and_row_counts_with_a_note(text: str, rows: str) -> None:
    sheet = read_csv(text)
    assert sheet.cells.to_numpy().tolist() == [["1", "Ann"]]
    assert (sheet.errors, sheet.notes) == ((), (f"left out lines that are comments, rulers or row counts: row {rows}",))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("# 7,Ann", id="a comment of the width of a row"),
        pytest.param("Ann", id="a name alone"),
        pytest.param("12 Monkeys", id="a number and a word"),
    ],
)
def test_keeps_what_may_be_a_row(line: str) -> None:
    assert len(read_csv(f"id,name\n1,Ann\n{line}\n").rows) == 2


@pytest.mark.parametrize("end", [b"\x1a", b"\0\0\0", b"\n\x1a\r\n", b"\0" * 5000])
def test_leaves_out_control_characters_at_the_end(end: bytes) -> None:
    sheet = read_csv(b"id,name\n1,Ann" + end)
    assert sheet.cells.to_numpy().tolist() == [["1", "Ann"]]
    assert (sheet.errors, sheet.notes) == ((), ("left out the control characters at the end of the file",))


@pytest.mark.parametrize("last", ["2,Be", '2,"Be', "2"])
def test_notes_a_last_line_that_is_cut_off(last: str) -> None:
    sheet = read_csv(f"id,name,email\n1,Ann,a@example.org\n{last}")
    assert [error.at for error in sheet.errors] == [1]
    assert sheet.notes == ("the last line is incomplete and has no line end: the file may have been cut off",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(
            '"id,name"\n"1,Ann"\n',
            "row 1 is one quoted cell that holds all headings; write the file again with quotes around single cells, "
            "or none",
            id="every line one quoted cell",
        ),
        pytest.param(
            "Staff\nid:name\n1:Ann\n",
            "row 2 has an id column if ':' separates cells; set source.delimiter to it",
            id="colons",
        ),
        pytest.param(
            "id^email\n1^x\n", "row 1 has an id column if '^' separates cells; set source.delimiter to it", id="carets"
        ),
    ],
)
def test_names_the_form_in_which_headings_were_found(text: str, sentence: str) -> None:
    assert refusal(read_csv, text) == sentence


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(
            lambda: b"id,name\n1," + b"x" * 60_000_000,
            "has a line of more than 16 MB; it is not a table, or damaged",
            id="60 MB in one line",
        ),
        pytest.param(
            lambda: b"id" + b"," * 60_000_000,
            "has a line of more than 16 MB; it is not a table, or damaged",
            id="60 MB of commas",
        ),
        pytest.param(
            lambda: b"id" + b"".join(b",c%d" % i for i in range(99_999)) + b"\n1" + b"," * 99_999 + b"\n",
            "row 1 has 100,000 cells; no table of users is that wide",
            id="100,000 columns",
        ),
        pytest.param(
            lambda: b",".join(b"c%d" % i for i in range(15_000)) + b"\n",
            "row 1 looks like the header and has no id column (headings: 'c0', 'c1'",
            id="15,000 columns without an id",
        ),
    ],
)
def test_refuses_a_file_beyond_all_measure(data: object, sentence: str) -> None:
    content = data()  # type: ignore[operator]
    assert refusal(read_csv, content).startswith(sentence)
