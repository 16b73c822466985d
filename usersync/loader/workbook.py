"""Read the sheet with the id column of a workbook, as a `RawSheet`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pandas as pd

from usersync.errors import SourceError
from usersync.loader.headings import Headings
from usersync.loader.raw_sheet import CellError, RawSheet
from usersync.loader.workbook_cell_info import column_letters
from usersync.loader.workbook_sheets import Sheet, Workbook
from usersync.loader.workbook_values import cell_error, column_texts, resolve_overrides
from usersync.models import Code
from usersync.settings import SourceSettings

#: Rows of a sheet in which its header is looked for.
_SEARCHED: Final = 100
#: Rows that a note lists before it says how many more there are.
_LISTED: Final = 5


def read_workbook(data: bytes, *, file: str, headings: Headings, options: SourceSettings) -> RawSheet:
    """Read the sheet that has an id column, or the one that `options` name.

    Raises SourceError where the file as a whole cannot be read.
    """
    book = Workbook(data, file)
    reader, header_row = _choose_sheet(book, file, headings, options)
    sheet = reader(None).widened()
    return _SheetRows(sheet, header_row, headings, options).raw_sheet()


def _choose_sheet(
    book: Workbook, file: str, headings: Headings, options: SourceSettings
) -> tuple[Callable[[int | None], Sheet], int]:
    names = [name for name, _ in book.sheets]
    if options.sheet is not None:
        name = _named_sheet(names, options.sheet, file)
        reader = book.open_sheet(name)
        return reader, _header_row(reader, headings, options) or _no_header(file, f"sheet {name!r}", options)
    found = []
    for name, shown in book.sheets:
        if shown:
            reader = book.open_sheet(name)
            if row := _header_row(reader, headings, options):
                found.append((name, reader, row))
    if len(found) > 1:
        which = " and ".join(repr(name) for name, _, _ in found)
        raise SourceError(file, f"sheets {which} both have an id column; name one with --sheet (source.sheet)")
    if not found:
        hidden = [repr(name) for name, shown in book.sheets if not shown]
        more = f" (hidden sheets were not searched: {', '.join(hidden)}; name one with --sheet)" if hidden else ""
        what = f"sheet {names[0]!r}" if len(names) == 1 else f"each of its {len(names)} sheets"
        _no_header(file, what, options, more)
    return found[0][1], found[0][2]


def _named_sheet(names: Sequence[str], wanted: str, file: str) -> str:
    same = [n for n in names if n == wanted] or [n for n in names if n.strip().casefold() == wanted.strip().casefold()]
    if same:
        return same[0]
    near = difflib.get_close_matches(wanted, names, len(names) or 1, 0.0)
    near += [name for name in names if name not in near]
    raise SourceError(file, f"has no sheet {wanted!r}; its sheets: {', '.join(map(repr, near)) or 'none'}")


def _header_row(reader: Callable[[int | None], Sheet], headings: Headings, options: SourceSettings) -> int:
    """Return the row number of the header; 0 if there is none."""
    head = reader(max(_SEARCHED, options.header_row or 0))
    for at, row in enumerate(head.rows):
        number = head.top + at + 1
        if options.header_row not in (None, number):
            continue
        if number > _SEARCHED and options.header_row is None:
            break
        if headings.id_column([value if isinstance(value, str) else "" for value in row]) is not None:
            return number
    return 0


def _no_header(file: str, what: str, options: SourceSettings, more: str = "") -> int:
    if options.header_row:
        text = f"row {options.header_row} of {what} has no id column; correct source.header_row"
    else:
        text = f"{what} has no header row with an id column in its first {_SEARCHED} rows; name the column id"
    raise SourceError(file, text + more)


class _SheetRows:
    """Builds the `RawSheet` of the rows below the header of one sheet."""

    def __init__(self, sheet: Sheet, header_row: int, headings: Headings, options: SourceSettings) -> None:
        self._sheet = sheet
        self._header_row = header_row
        self._options = options
        heads = sheet.rows[header_row - 1 - sheet.top]
        self._header = column_texts(heads, {}, is_id=False)[0]
        self._id_column = headings.id_column(self._header) or 0
        self._overrides = self._resolve_overrides()
        self._notes: list[str] = []
        self._errors: list[CellError] = []
        self._skipped = 0

    def _resolve_overrides(self) -> dict[int, dict[int, str]]:
        """Return texts by column and row, both counted from the corner of the used area."""
        left, top = self._sheet.left, self._sheet.top
        overrides = resolve_overrides(self._sheet.info, self._id_column + left, self._sheet.value)
        return {
            column - left: {row - top: text for row, text in rows.items()}
            for column, rows in overrides.items()
            if 0 <= column - left < len(self._header)
        }

    def raw_sheet(self) -> RawSheet:
        """Return the rows with their errors and notes."""
        kept = self._kept()
        data = self._sheet.rows if len(kept) == len(self._sheet.rows) else [self._sheet.rows[i] for i in kept]
        where = {row: at for at, row in enumerate(kept)}
        columns = self._columns(data, where)
        numbers = np.asarray(kept, dtype=np.int64) + (self._sheet.top + 1)
        self._reject_merged(numbers)
        order = sorted(self._errors, key=lambda f: f.at)
        cells = pd.DataFrame(dict(enumerate(columns)), index=range(len(kept)), dtype=object)
        return RawSheet(
            header=tuple(self._header[: len(columns)]),
            header_row=self._header_row,
            cells=cells,
            rows=numbers,
            sheet=self._sheet.name,
            errors=tuple(order),
            notes=tuple(self._notes),
            skipped=self._skipped,
        )

    def _kept(self) -> list[int]:
        """Return the positions of the data rows: below the header, not blank, not skipped."""
        first = self._header_row - self._sheet.top
        marked = {row for rows in self._overrides.values() for row in rows}
        rows = self._sheet.rows
        probe = self._id_column
        kept = [i for i in range(first, len(rows)) if i in marked or not _is_blank(rows[i], rows[i][probe])]
        hidden = {row - self._sheet.top for row in self._sheet.info.hidden}.intersection(kept)
        if hidden and self._options.hidden_rows == "skip":
            self._skipped = len(hidden)
            kept = [i for i in kept if i not in hidden]
        if hidden:
            self._report_hidden(sorted(hidden), kept)
        return kept

    def _report_hidden(self, hidden: list[int], kept: list[int]) -> None:
        how = "by a filter" if self._sheet.info.filtered else "by hand"
        numbers = [i + self._sheet.top + 1 for i in hidden]
        listed = ", ".join(map(str, numbers[:_LISTED]))
        if len(numbers) > _LISTED:
            listed += f" and {len(numbers) - _LISTED} more"
        done = {"reject": "rejected", "include": "read like all others", "skip": "left out"}
        noun = "row is" if len(numbers) == 1 else "rows are"
        self._notes.append(
            f"{len(numbers)} {noun} hidden {how} and {done[self._options.hidden_rows]}: {listed} "
            "(source.hidden_rows decides)"
        )
        if self._options.hidden_rows == "reject":
            at = {row: position for position, row in enumerate(kept)}
            for row, number in zip(hidden, numbers, strict=True):
                message = f"row {number} is hidden {how}; unhide it, or set source.hidden_rows to include or skip"
                self._errors.append(CellError(at[row], Code.ROW_HIDDEN, message))

    def _columns(self, data: list[list[object]], where: dict[int, int]) -> list[list[str]]:
        columns: list[list[str]] = []
        for i in range(len(self._header)):
            column = [row[i] for row in data]
            overrides = {where[row]: text for row, text in self._overrides.get(i, {}).items() if row in where}
            texts, wrong = column_texts(column, overrides, is_id=i == self._id_column)
            self._errors.extend(cell_error(at, i, text) for at, text in wrong)
            columns.append(texts)
        used = len(columns)
        while used and not self._header[used - 1] and not any(columns[used - 1]):
            used -= 1
        unnamed = [i for i in range(used) if not self._header[i] and any(columns[i])]
        if unnamed:
            noun = "column" if len(unnamed) == 1 else "columns"
            listed = ", ".join(column_letters(i + self._sheet.left) for i in unnamed)
            self._notes.append(f"{noun} {listed} ignored: there are values, but no heading")
        return columns[:used]

    def _reject_merged(self, numbers: np.typing.NDArray[np.int64]) -> None:
        left = self._sheet.left
        for (row, column), (last_row, last_column) in self._sheet.info.merged:
            area = f"{column_letters(column)}{row + 1}:{column_letters(last_column)}{last_row + 1}"
            if row < self._header_row <= last_row + 1 and column < last_column:
                self._notes.append(f"the headings {area} are merged: only the first of them has a name")
            if not any(self._header[max(column - left, 0) : last_column - left + 1]):
                continue
            low, high = np.searchsorted(numbers, [row + 1, last_row + 2])
            message = f"{area} are merged; unmerge them and fill every row"
            self._errors.extend(CellError(at, Code.ROW_RAGGED, message) for at in range(int(low), int(high)))


def _is_blank(row: list[object], probe: object) -> bool:
    """Whether all cells of a row are blank; `probe` is one that seldom is, which saves looking at the others."""
    if not isinstance(probe, str) or (probe and not probe.isspace()):
        return False
    return all(isinstance(value, str) and (not value or value.isspace()) for value in row)
