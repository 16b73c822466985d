"""Test that no row of a damaged file is misread."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.loader.sheets import read_csv
from usersync.errors import SourceError

HEADER = ("id", "name", "email", "custom_attributes.note")
#: Cells of names and notes; {d} is the delimiter.
CELLS = (
    *("", "x", "a{d} b", 'says "hi"', "two\nlines", "O'Brien", "naïve ☃", " pad ", "NA", '27" screen', 'Team "North"'),
    *("C:\\new", '{{"a": 1}}', "St. 5{d} 2nd floor", "#1", "Total"),
)
Rows = list[str]


def quoted(cell: str, delimiter: str, *, every: bool) -> str:
    special = every or any(c in cell for c in delimiter + '"\r\n')
    return '"' + cell.replace('"', '""') + '"' if special else cell


def written(rng: random.Random, delimiter: str, end: str, *, every: bool) -> tuple[dict[str, list[str]], Rows]:
    """Return a table by id, and its lines with the header."""
    table = {}
    for i in range(1, rng.randrange(8, 40)):
        name, note = (rng.choice(CELLS).format(d=delimiter) for _ in range(2))
        table[str(7 * i + rng.randrange(7))] = [name, f"user{i}@example.org", note]
    rows = [HEADER, *([key, *cells] for key, cells in table.items())]
    return table, [delimiter.join(quoted(cell, delimiter, every=every) for cell in row) + end for row in rows]


def without_first_quote(rows: Rows, at: int, rng: random.Random, delimiter: str, end: str) -> None:
    rows[at] = rows[at].replace('"', "", 1)


def without_last_quote(rows: Rows, at: int, rng: random.Random, delimiter: str, end: str) -> None:
    rows[at] = "".join(rows[at].rsplit('"', 1))


def with_a_stray_quote(rows: Rows, at: int, rng: random.Random, delimiter: str, end: str) -> None:
    place = rows[at].index("@") - 2
    rows[at] = rows[at][:place] + '"' + rows[at][place:]


def with_a_delimiter_more(rows: Rows, at: int, rng: random.Random, delimiter: str, end: str) -> None:
    rows[at] = rows[at].replace("@", "@" + delimiter, 1)


def with_a_delimiter_less(rows: Rows, at: int, rng: random.Random, delimiter: str, end: str) -> None:
    rows[at] = rows[at].replace(delimiter, "", 1)


def broken_by_a_line_end(rows: Rows, at: int, rng: random.Random, delimiter: str, end: str) -> None:
    rows[at] = rows[at].replace("@", end + "@", 1)


def broken_by_the_other_line_end(rows: Rows, at: int, rng: random.Random, delimiter: str, end: str) -> None:
    rows[at] = rows[at].replace("@", ("\r" if end == "\n" else "\n") + "@", 1)


def cut_off(rows: Rows, at: int, rng: random.Random, delimiter: str, end: str) -> None:
    rows[at:] = [rows[at][: rows[at].index("@")]]


def after_a_remark(rows: Rows, at: int, rng: random.Random, delimiter: str, end: str) -> None:
    rows.insert(at, rng.choice(("# a comment", "------", "(5 rows)", "", delimiter * 3)) + end)


def after_another_header(rows: Rows, at: int, rng: random.Random, delimiter: str, end: str) -> None:
    rows.insert(at, rows[0])


def without_line_end(rows: Rows, at: int, rng: random.Random, delimiter: str, end: str) -> None:
    rows[at] = rows[at].removesuffix(end)


#: Damages that are text in a quoted cell.
UNQUOTED = (with_a_delimiter_more, broken_by_a_line_end, broken_by_the_other_line_end)
DAMAGES = (
    *(without_first_quote, without_last_quote, with_a_stray_quote, with_a_delimiter_more, with_a_delimiter_less),
    *(broken_by_a_line_end, broken_by_the_other_line_end, cut_off, after_a_remark, after_another_header),
    *(without_line_end,),
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.replace("_", " "))
def test_misreads_no_row_of_a_damaged_file(damage: Callable[[Rows, int, random.Random, str, str], None]) -> None:
    right = total = 0
    for seed in range(60):
        rng = random.Random(seed)
        delimiter, end = rng.choice(",;\t|"), rng.choice(("\n", "\r\n"))
        table, rows = written(rng, delimiter, end, every=damage not in UNQUOTED and rng.random() < 0.4)
        damage(rows, rng.randrange(1, len(rows)), rng, delimiter, end)
        try:
            sheet = read_csv("".join(rows))
        except SourceError:
            continue
        bad = {error.at for error in sheet.errors}
        for at, (key, *cells) in enumerate(sheet.cells.to_numpy().tolist()):
            if at not in bad and key.isdecimal():
                assert table.get(key) == cells[:3], f"seed {seed}"
                right += 1
        total += len(rows) - 1
    assert right > 0.8 * total
