"""Define a sheet of a workbook: its values, and what it says about its cells."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

#: Row and column, both from 0, counted from the sheet's corner.
Place = tuple[int, int]
#: Rows and columns of the largest sheet.
MAX_ROWS: Final = 1_048_576
MAX_COLUMNS: Final = 16_384
#: Number formats that files refer to by number alone.
BUILT_IN_FORMATS: Final = {1: "0", 2: "0.00", 9: "0%", 10: "0.00%"}
#: Formats that show the number's value in full: digits, decimals, percent, and the dashes of a phone number; before
#: leading zeros, as in "D-"00000, any letters; before others a plus, and what ends in a dash or a digit: "ID-"0, "0"0.
_DIGITS_SHOWN: Final = re.compile(
    r"""(?:(?:"[^"0.%]*"|\\[^0.%])+(?=00)|(?:\\?\+|"\+[^".%]*"|"[^".%\s]*[-_/0-9]"|\\0)+(?=0))?"""
    r"""(?:0|\\[- ()/]|"[- ()/]*"|[- ()])*0(?:\.0+)?%?(?:_\))?"""
)
#: Language and colour, which stand before the digits of a format.
_MARKERS: Final = re.compile(
    r"\[(?:\$-[0-9a-f]+|black|blue|cyan|green|magenta|red|white|yellow|color ?[0-9]+)\]", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class TableArea:
    """One of the tables that Excel knows on a sheet."""

    first: Place
    last: Place
    total_rows: int
    """How many of its last rows are totals."""

    def has_column(self, column: int) -> bool:
        """Return whether it covers a column."""
        return self.first[1] <= column <= self.last[1]


@dataclass(slots=True)
class CellInfo:
    """Filled by the scan of one sheet, whatever its file format."""

    errors: dict[Place, str] = field(default_factory=dict)
    """Cells that hold an error, such as #N/A."""
    unsaved: set[Place] = field(default_factory=set)
    """Formulas whose result is not in the file."""
    formats: dict[Place, str] = field(default_factory=dict)
    """Numbers whose format says how their digits are shown, or that they are not."""
    unseen_zeros: set[Place] = field(default_factory=set)
    """Zeros of a sheet that shows zeros as blank cells."""
    negative: set[Place] = field(default_factory=set)
    """Negative numbers, which no date can be."""
    hidden: set[int] = field(default_factory=set)
    """Hidden rows."""
    hidden_columns: set[int] = field(default_factory=set)
    tables: list[TableArea] = field(default_factory=list)
    struck: set[int] = field(default_factory=set)
    """Rows with text that is struck through."""
    partly_struck: set[Place] = field(default_factory=set)
    """Texts of which a part is struck through."""
    filtered: bool = False
    """Whether the sheet has a filter."""
    merged: list[tuple[Place, Place]] = field(default_factory=list)


@dataclass(slots=True)
class Sheet:
    """One sheet, from its corner on."""

    name: str
    rows: list[list[Any]] = field(default_factory=list)
    """Values as Python objects, "" for a blank cell."""
    info: CellInfo = field(default_factory=CellInfo)
    is_shown: bool = True

    def value(self, row: int, column: int) -> Any:
        """Return the value of a cell; "" beyond the last ones."""
        return self.rows[row][column] if row < len(self.rows) and column < len(self.rows[row]) else ""

    def pad(self) -> None:
        """Make all rows equally long, and add those that have nothing but errors or lost results."""
        places = [*self.info.errors, *self.info.unsaved]
        height = max([len(self.rows), *(row + 1 for row, _ in places)])
        width = max([0, *set(map(len, self.rows)), *(column + 1 for _, column in places)])
        blank = [""] * width
        self.rows = [row + blank[len(row) :] if len(row) < width else row for row in self.rows]
        self.rows += [blank] * (height - len(self.rows))


def digits_format(code: str) -> str:
    """Return the part of a number format that says how the digits are shown; "" for the plain `0`, and for others.

    It is the first section, for numbers above zero, without language and colour.
    """
    found = _MARKERS.sub("", code.partition(";")[0])
    if found.startswith("0#") and "." not in found:  # 0#" "##" "##: behind a zero, all digits are shown
        found = found.replace("#", "0")
    return found if found != "0" and _DIGITS_SHOWN.fullmatch(found) else ""


def relevant_format(code: str) -> str:
    """Return what matters of a number format: how digits are shown, or all of it where some numbers are not shown."""
    return code if any(hides_number(code, sign) for sign in (1, 0, -1)) else digits_format(code)


@lru_cache
def _sections(code: str) -> list[str]:
    return _MARKERS.sub("", code).split(";")


def hides_number(code: str, value: float) -> bool:
    """Whether a format shows a number as a blank cell: its section for it is blank, or has no digit for a zero."""
    sections = _sections(code)
    at = 0 if value > 0 else 1 if value < 0 else 2
    section = sections[at] if at < len(sections) else sections[0]
    if not section:
        return len(sections) > 1
    return not value and "#" in section and not re.search("[0?]", section)


def column_letters(column: int) -> str:
    """0 -> A, 27 -> AB."""
    text = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text


def column_number(letters: bytes) -> int:
    """A -> 0, AB -> 27."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number - 1


def parse_reference(ref: str) -> Place | None:
    """B4 -> (3, 1); None where it is not a valid cell reference."""
    head = ref.rstrip("0123456789")
    if not ref[len(head) :] or not head.isascii() or not head.isalpha() or len(head) > 3:
        return None
    return int(ref[len(head) :]) - 1, column_number(head.encode())
