"""Test that lines are written as `csv.writer` writes them, formulas escaped."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from usersync.formulas import escape_formula
from usersync.report.columns import COLUMNS, FREE_TEXT
from usersync.report.csv_lines import csv_lines

TEXTS = st.text(st.sampled_from("ab=+'\t,\";\r\n {}é\0\u2028"), max_size=4)
NUMBERS = st.none() | st.integers(0, 2**40)
LINES = st.tuples(
    *(NUMBERS if name in ("row", "http_status", "attempts") else TEXTS for name in COLUMNS),
    st.integers(0, 9),
)


@given(st.lists(LINES, min_size=1, max_size=5))
def test_lines_are_those_of_csv_writer_with_formulas_escaped(lines: list[tuple[object, ...]]) -> None:
    escaped = [
        [escape_formula(str(cell)) if name in FREE_TEXT else cell for name, cell in zip(COLUMNS, line, strict=False)]
        for line in lines
    ]
    expected = io.StringIO()
    csv.writer(expected).writerows(escaped)
    assert csv_lines(list(zip(*lines, strict=True))) == expected.getvalue()
