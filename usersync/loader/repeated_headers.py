"""Read the rows below a second header row by that header.

Files that were joined with `cat`, and sheets pasted below each other, hold such rows; their columns may be in another
order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from usersync.loader.csv_parser import DELIMITERS
from usersync.loader.headings import Headings, normalize
from usersync.loader.raw_sheet import CellError, RawSheet
from usersync.models import Code


def apply_repeated_headers(sheet: RawSheet, headings: Headings) -> RawSheet:
    """Leave out further header rows; put the cells below them in the order of the first header.

    Rows below a header of other columns are rejected.
    """
    id_column = headings.id_column(sheet.header)
    if id_column is None or not len(sheet.rows):
        return sheet
    found = {**_further_headers(sheet, id_column, headings), **_glued_headers(sheet, headings)}
    if not found:
        return sheet
    headers = sorted(found)
    cells = sheet.cells.to_numpy(object, copy=True)
    errors = list(sheet.errors)
    notes = list(sheet.notes)
    for at, end in zip(headers, [*headers[1:], len(cells)], strict=True):
        number = int(sheet.rows[at])
        is_glued = bool(cells[at].tolist() != found[at])
        order = _order(sheet.header, found[at], headings)
        if order is None:
            message = f"row {number} has other headings than row {sheet.header_row}; move these rows to their own file"
            errors = [error for error in errors if not at < error.at < end]
            errors += [CellError(row, Code.ROW_RAGGED, message) for row in range(at + 1, end)]
            notes.append(f"row {number} is a second header with other columns; the rows below it are rejected")
            continue
        ending = "" if is_glued else "; it is left out"
        notes.append(f"row {number} {'ends with' if is_glued else 'repeats'} the header{_in_order(order)}{ending}")
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
    ).without([at for at in headers if sheet.cells.iloc[at].tolist() == found[at]])


def _further_headers(sheet: RawSheet, id_column: int, headings: Headings) -> dict[int, list[str]]:
    """Return rows that are headers, by position; no header has a number as its id."""
    ids = sheet.cells[id_column].to_numpy(object)
    candidates = [at for at, text in enumerate(ids) if text and not text.lstrip()[:1].isdigit()]
    rows = {at: sheet.cells.iloc[at].tolist() for at in candidates}
    return {at: cells for at, cells in rows.items() if headings.looks_like_header(cells)}


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


def _in_order(order: Sequence[int]) -> str:
    return "" if list(order) == sorted(order) else " in another order, by which the rows below it are read"
