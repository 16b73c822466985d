"""Read the sheet of a workbook that holds the users, as a `RawSheet`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from usersync.loader.export_base import sheet_base
from usersync.loader.headings import Headings
from usersync.loader.raw_sheet import CellError, RawSheet, first_few
from usersync.loader.workbook_cell_info import Sheet, column_letters
from usersync.loader.workbook_selection import select_sheet
from usersync.loader.workbook_sheets import Workbook
from usersync.loader.workbook_values import column_texts, resolve_overrides
from usersync.models import Code
from usersync.settings import SourceSettings

#: Characters of a cell that an error quotes.
_CELL_SHOWN: Final = 80


def read_workbook(data: bytes, *, file: str, headings: Headings, options: SourceSettings) -> RawSheet:
    """Read the sheet that has an id column, or the one that `options` name.

    Raises SourceError where the file as a whole cannot be read.
    """
    book = Workbook(data, file)
    selection = select_sheet(book, file, headings, options)
    rows = _SheetRows(selection.reader(None), selection.header_row, headings, options)
    return replace(rows.raw_sheet((*book.notes, *selection.notes)), base=sheet_base(book, file))


class _SheetRows:
    """Builds the `RawSheet` of the rows below the header of one sheet."""

    def __init__(self, sheet: Sheet, header_row: int, headings: Headings, options: SourceSettings) -> None:
        self._sheet = sheet
        self._header_row = header_row
        self._options = options
        self._header = column_texts(sheet.rows[header_row - 1], {})[0]
        self._notes: list[str] = []
        self._leave_out_other_tables(headings)
        self._fields = headings.fields(self._header)
        self._are_read = headings.are_read(self._header)
        self._key_column = headings.key_column(self._header) or 0
        self._overrides = resolve_overrides(sheet, self._fields.index("id") if "id" in self._fields else None)
        self._errors: list[CellError] = []
        self._skipped = 0

    def _leave_out_other_tables(self, headings: Headings) -> None:
        """Take the headings away of tables that stand beside the one with the key."""
        row = self._header_row - 1
        key = headings.key_column(self._header) or 0
        beside = [table for table in self._sheet.info.tables if table.first[0] <= row <= table.last[0]]
        if not any(table.has_column(key) for table in beside):
            return
        for first, last in ((t.first[1], t.last[1]) for t in beside if not t.has_column(key)):
            for i in range(first, min(last + 1, len(self._header))):
                self._header[i] = f"(other table) {self._header[i]}"
            area = f"{column_letters(first)} to {column_letters(last)}"
            self._notes.append(f"columns {area} are another table, and not read")

    def raw_sheet(self, notes: Sequence[str]) -> RawSheet:
        """Return the rows with their errors and notes, `notes` about the workbook first."""
        kept = self._kept()
        columns = self._columns(kept)
        self._apply_hidden_columns(columns)
        numbers = np.asarray(kept, dtype=np.int64) + 1
        self._reject_merged(numbers)
        left = self._blank_columns()
        errors = [e if e.column is None else replace(e, column=e.column - left) for e in self._errors]
        cells = pd.DataFrame(dict(enumerate(columns[left:])), index=range(len(kept)), dtype=object)
        return RawSheet(
            header=tuple(self._header[left : len(columns)]),
            header_row=self._header_row,
            cells=cells,
            rows=numbers,
            sheet=self._sheet.name,
            errors=tuple(sorted(errors, key=lambda error: error.at)),
            notes=(*notes, *self._notes),
            skipped=self._skipped,
        )

    def _blank_columns(self) -> int:
        """Return how many columns precede everything on the sheet."""
        info = self._sheet.info
        marked = {column for _, column in (*info.errors, *info.unsaved)}
        used = (i for i in range(len(self._header)) if i in marked or any(row[i] != "" for row in self._sheet.rows))
        return next(used)

    def _kept(self) -> list[int]:
        """Return the positions of the data rows: below the header, not blank, not skipped."""
        marked = {row for rows in self._overrides.values() for row in rows}
        rows = self._sheet.rows
        probe = self._key_column
        kept = [i for i in range(self._header_row, len(rows)) if i in marked or not _is_blank(rows[i], rows[i][probe])]
        totals = self._total_rows().intersection(kept)
        if totals:
            self._notes.append(f"left out the total row of a table: row {_listed(totals)}")
            self._skipped += len(totals)
            kept = [i for i in kept if i not in totals]
        struck = self._sheet.info.struck.intersection(kept)
        if struck:
            self._notes.append(f"rows with text that is struck through, read like all others: {_listed(struck)}")
        hidden = self._sheet.info.hidden.intersection(kept)
        if hidden and self._options.hidden_rows == "skip":
            self._skipped += len(hidden)
            kept = [i for i in kept if i not in hidden]
        if hidden:
            self._report_hidden(sorted(hidden), kept)
        return kept

    def _total_rows(self) -> set[int]:
        """Return the positions of the total rows of tables that the key column goes through."""
        tables = [table for table in self._sheet.info.tables if table.has_column(self._key_column)]
        ends = [(table.last[0] + 1, table.total_rows) for table in tables]
        return {row for end, count in ends for row in range(end - count, end)}

    def _report_hidden(self, hidden: list[int], kept: list[int]) -> None:
        how = "by a filter" if self._sheet.info.filtered else "manually"
        done = {"reject": "rejected", "include": "read like all others", "skip": "left out"}
        noun = "row is" if len(hidden) == 1 else "rows are"
        self._notes.append(
            f"{len(hidden)} {noun} hidden {how} and {done[self._options.hidden_rows]}: {_listed(hidden)} "
            "(source.hidden_rows decides)"
        )
        if self._options.hidden_rows == "reject":
            at = {row: position for position, row in enumerate(kept)}
            for row in hidden:
                message = f"row {row + 1} is hidden {how}; unhide it, or delete it"
                self._errors.append(CellError(at[row], Code.ROW_HIDDEN, message))

    def _columns(self, kept: Sequence[int]) -> list[list[str]]:
        data = [self._sheet.rows[i] for i in kept]
        where = {row: at for at, row in enumerate(kept)}
        columns: list[list[str]] = []
        for i in range(len(self._header)):
            column = [row[i] for row in data]
            overrides = {where[row]: text for row, text in self._overrides.get(i, {}).items() if row in where}
            texts, wrong = column_texts(column, overrides, field=self._fields[i])
            self._errors.extend(CellError(at, t.code, t.message, i, str(t)[:_CELL_SHOWN]) for at, t in wrong)
            columns.append(texts)
        used = len(columns)
        while used and not self._header[used - 1] and not any(columns[used - 1]):
            used -= 1
        self._errors = [error for error in self._errors if error.column is None or error.column < used]
        unnamed = [i for i in range(used) if not self._header[i] and any(columns[i])]
        if unnamed:
            noun = "column" if len(unnamed) == 1 else "columns"
            listed = ", ".join(column_letters(i) for i in unnamed)
            self._notes.append(f"{noun} {listed} ignored: there are values, but no heading")
        return columns[:used]

    def _apply_hidden_columns(self, columns: list[list[str]]) -> None:
        """Reject rows with values in hidden columns, or take the columns' headings away, as the settings say."""
        choice = self._options.hidden_columns
        for i in sorted(self._sheet.info.hidden_columns):
            if i >= len(columns) or not self._fields[i] or i == self._key_column or not any(columns[i]):
                continue
            name = f"column {column_letters(i)} ({self._header[i].strip()!r})"
            done = {"reject": "its rows are rejected", "include": "read like all others", "skip": "left out"}
            self._notes.append(f"{name} is hidden: {done[choice]} (source.hidden_columns decides)")
            if choice == "skip":
                self._header[i] = f"(hidden column {column_letters(i)})"
            if choice == "reject":
                message = "the column is hidden; unhide it, or delete it"
                filled = [at for at, text in enumerate(columns[i]) if text]
                self._errors.extend(CellError(at, Code.ROW_HIDDEN, message, i) for at in filled)

    def _reject_merged(self, numbers: np.typing.NDArray[np.int64]) -> None:
        unread: list[str] = []
        for (row, column), (last_row, last_column) in self._sheet.info.merged:
            area = f"{column_letters(column)}{row + 1}:{column_letters(last_column)}{last_row + 1}"
            if row < self._header_row <= last_row + 1 and column < last_column:
                self._notes.append(f"the headings {area} are merged: only the first of them has a name")
            columns = slice(column, last_column + 1)
            low, high = np.searchsorted(numbers, [row + 1, last_row + 2])
            if not any(self._are_read[columns]):
                unread += [area] if any(self._header[columns]) and low < high else []
                continue
            message = f"{area} are merged; unmerge them and fill every row"
            self._errors.extend(CellError(at, Code.ROW_RAGGED, message) for at in range(int(low), int(high)))
        if unread:
            self._notes.append(f"merged cells in columns that are not read: {first_few(unread)}")


def _listed(positions: Collection[int]) -> str:
    return first_few([at + 1 for at in sorted(positions)])


def _is_blank(row: list[object], probe: object) -> bool:
    """Return whether all cells of a row are blank; `probe` is one that seldom is, which saves looking at the others."""
    if not isinstance(probe, str) or (probe and not probe.isspace()):
        return False
    return all(isinstance(value, str) and (not value or value.isspace()) for value in row)
