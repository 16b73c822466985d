"""Read the rows below a second header row by that header.

Files that were joined with `cat`, and sheets pasted below each other, hold such rows; their columns may be in another
order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from usersync.loader.headings import Headings, normalize
from usersync.loader.raw_sheet import CellError, RawSheet
from usersync.models import Code


def apply_repeated_headers(sheet: RawSheet, headings: Headings) -> RawSheet:
    """Leave out further header rows; put the cells below them in the order of the first header.

    Rows below a header of other columns are rejected.
    """
    key_column = headings.key_column(sheet.header)
    if key_column is None or not len(sheet.rows):
        return sheet
    headers = _further_headers(sheet, key_column, headings)
    if not headers:
        return sheet
    cells = sheet.cells.to_numpy(object, copy=True)
    errors = list(sheet.errors)
    notes = list(sheet.notes)
    for at, end in zip(headers, [*headers[1:], len(cells)], strict=True):
        number = int(sheet.rows[at])
        order = _order(sheet.header, cells[at], headings)
        if order is None:
            message = f"row {number} has other headings than row {sheet.header_row}; move these rows to their own file"
            errors = [error for error in errors if not at < error.at < end]
            errors += [CellError(row, Code.ROW_RAGGED, message) for row in range(at + 1, end)]
            notes.append(f"row {number} is a second header with other columns; the rows below it are rejected")
            continue
        notes.append(f"row {number} repeats the header{_in_order(order)}; it is left out")
        cells[at + 1 : end] = cells[at + 1 : end, order]
        new_column = {old: new for new, old in enumerate(order)}
        errors = [
            replace(error, column=new_column[error.column])
            if at < error.at < end and error.column is not None
            else error
            for error in errors
        ]
    return replace(
        sheet,
        cells=pd.DataFrame(cells, dtype=object),
        errors=tuple(sorted(errors, key=lambda error: error.at)),
        notes=tuple(notes),
    ).without(headers)


def _further_headers(sheet: RawSheet, key_column: int, headings: Headings) -> list[int]:
    """Return the positions of rows that are headers; no header has a number or an address as its key."""
    keys = sheet.cells[key_column].to_numpy(object)
    candidates = [at for at, text in enumerate(keys) if text and "@" not in text and not text.lstrip()[:1].isdigit()]
    return [at for at in candidates if headings.looks_like_header(sheet.cells.iloc[at].tolist())]


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


def _in_order(order: Sequence[int]) -> str:
    return "" if list(order) == sorted(order) else " in another order, by which the rows below it are read"
