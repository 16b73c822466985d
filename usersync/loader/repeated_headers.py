"""Read the rows below a second header row by that header.

Files that were joined with `cat`, and sheets pasted below each other, hold such rows; their columns may be in another
order. Below a blank row there may be another table, which is not about users.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import pandas as pd

from usersync.loader.csv_parser import DELIMITERS
from usersync.loader.heading_words import normalize
from usersync.loader.headings import Headings
from usersync.loader.raw_sheet import CellError, RawSheet
from usersync.models import Code

#: A line with text, but no digit, between line ends: a search for a sign is faster than one for starts of lines.
_NO_DIGIT: Final = re.compile(r"\n[^\d\n]+(?=\n)")


@dataclass(frozen=True, slots=True)
class _Section:
    """The rows between two headers, by position."""

    header: int
    stop: int
    order: list[int] | None
    """For each column of the first header its position in this section; None if the columns differ."""
    is_glued: bool
    """Whether the header follows a row in one line."""
    is_other_table: bool
    """Whether the header has no key column: then it is the header of another table, or a user's row."""

    @property
    def is_left_out(self) -> bool:
        """Whether the row is a header and nothing else."""
        return not self.is_glued and not self.is_other_table


def apply_repeated_headers(sheet: RawSheet, headings: Headings) -> RawSheet:
    """Leave out further header rows; put the cells below them in the order of the first header.

    Rows below a header of other columns are rejected.
    """
    sections = _sections(sheet, headings)
    if not sections:
        return sheet
    cells = sheet.cells.to_numpy(object, copy=True)
    for section in sections:
        if section.order:
            below = slice(section.header + 1, section.stop)
            cells[below] = cells[below, section.order]
    return replace(
        sheet,
        cells=pd.DataFrame(cells, dtype=object),
        errors=tuple(_errors(sheet, sections)),
        notes=(*sheet.notes, *(_note(sheet, section) for section in sections)),
    ).without([section.header for section in sections if section.is_left_out])


def _sections(sheet: RawSheet, headings: Headings) -> list[_Section]:
    further, glued = _further_headers(sheet, headings), _glued_headers(sheet, headings)
    found = {**further, **glued}
    headers = sorted(found)
    return [
        _Section(
            at,
            stop,
            _order(sheet.header, found[at], headings),
            is_glued=at in glued,
            is_other_table=headings.key_column(found[at]) is None,
        )
        for at, stop in zip(headers, [*headers[1:], len(sheet.rows)], strict=bool(headers))
    ]


def _errors(sheet: RawSheet, sections: Sequence[_Section]) -> list[CellError]:
    """Move errors with their columns, and reject the rows of sections with other columns."""
    headers = [section.header for section in sections]
    found = []
    for error in sheet.errors:
        section = sections[bisect_left(headers, error.at) - 1] if error.at > headers[0] else None
        if section is None or error.at in (section.header, section.stop):
            found.append(error)
        elif section.order:
            column = None if error.column is None else section.order.index(error.column)
            found.append(replace(error, column=column))
    for section in sections:
        if section.order is None:
            message = (
                f"row {sheet.rows[section.header]} has other headings than row {sheet.header_row}; "
                "move these rows to their own file"
            )
            rejected = range(section.header + (not section.is_other_table), section.stop)
            found.extend(CellError(at, Code.ROW_RAGGED, message) for at in rejected)
    return sorted(found, key=lambda error: error.at)


def _note(sheet: RawSheet, section: _Section) -> str:
    number = sheet.rows[section.header]
    if section.is_other_table:
        return f"row {number}, below a blank row, seems to begin another table; all of its rows are rejected"
    if section.order is None:
        return f"row {number} is a second header with other columns; the rows below it are rejected"
    verb = "ends with" if section.is_glued else "repeats"
    moved = section.order != sorted(section.order)
    order = " in another order, by which the rows below it are read" if moved else ""
    return f"row {number} {verb} the header{order}{'' if section.is_glued else '; it is left out'}"


def _further_headers(sheet: RawSheet, headings: Headings) -> dict[int, list[str]]:
    """Return rows that are headers, by position; the key of a header has neither a digit nor an @.

    Below a blank row, and perhaps a title, a row without a digit or an @ in any of several cells is the header of
    another table, or the title of a group of users.
    """
    key_column = headings.key_column(sheet.header)
    if key_column is None or not len(sheet.rows):
        return {}
    keys = sheet.cells[key_column].tolist()
    if not _NO_DIGIT.search("\n".join(("", *keys, ""))):
        return {}
    candidates = [at for at, text in enumerate(keys) if "@" not in text and _NO_DIGIT.search(f"\n{text}\n")]
    rows = sheet.cells.to_numpy(object)
    found = {at: rows[at].tolist() for at in candidates}
    return {
        at: cells
        for at, cells in found.items()
        if headings.looks_like_header(cells)
        or (_is_below_gap(sheet, at) and _is_words(cells) and not _is_title_of_group(sheet, headings, at))
    }


def _is_below_gap(sheet: RawSheet, at: int) -> bool:
    """Return whether there is a row below a row, and a blank one above it, or above the titles over it.

    Rows that cannot be read may be titles.
    """
    if at == len(sheet.rows) - 1:
        return False
    while at > 0 and sheet.rows[at] - sheet.rows[at - 1] == 1:
        at -= 1
        filled = [cell for cell in sheet.cells.iloc[at] if cell.strip()]
        if len(filled) > 1 or any(cell.isdecimal() for cell in filled):
            return False
    return at > 0


def _is_title_of_group(sheet: RawSheet, headings: Headings, at: int) -> bool:
    """Whether the row below is a user's: with an address in the column of addresses, and more cells than headings."""
    fields = headings.fields(sheet.header)
    title, below = sheet.cells.iloc[at].tolist(), sheet.cells.iloc[at + 1].tolist()
    if "email" not in fields or "@" not in below[fields.index("email")]:
        return False
    return any(cell.strip() and not heading.strip() for heading, cell in zip(title, below, strict=True))


def _is_words(cells: Sequence[str]) -> bool:
    """Return whether several cells are filled, none of them with a digit or an @."""
    filled = [cell for cell in cells if cell.strip()]
    return len(filled) > 1 and not any(re.search(r"[\d@]", cell) for cell in filled)


def _glued_headers(sheet: RawSheet, headings: Headings) -> dict[int, list[str]]:
    """Return headers that follow the last row of a file without a line end, by the position of that row."""
    name = sheet.dialect.get("delimiter", "")
    delimiter = next((key for key, known in DELIMITERS.items() if known == name), name)
    width = len(sheet.header)
    found = {}
    for error in sheet.errors:
        parts = error.value.split(delimiter) if error.code == Code.ROW_RAGGED and delimiter else []
        if len(parts) == 2 * width - 1:
            glued, *others = parts[width - 1 :]
            for start in range(len(glued)):
                header = [part.strip().strip('"') for part in (glued[start:], *others)]
                if headings.looks_like_header(header) and headings.field(header[0]):
                    found[error.at] = header
                    break
    return found


def _order(header: Sequence[str], cells: Sequence[str], headings: Headings) -> list[int] | None:
    """Return for each column of the first header its position in the further one; None if the columns differ."""
    first = _meanings(header, headings)
    further = _meanings(cells, headings)
    if sorted(first) != sorted(further) or len(set(first)) < len(first):
        return list(range(len(header))) if first == further else None
    return [further.index(meaning) for meaning in first]


def _meanings(header: Sequence[str], headings: Headings) -> list[str]:
    fields = headings.fields(header)
    return [field or f" {normalize(heading)}" for field, heading in zip(fields, header, strict=True)]
