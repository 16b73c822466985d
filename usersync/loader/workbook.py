"""A workbook (.xlsx .xlsm .xls .xlsb .ods) in, the `RawSheet` of the one sheet with an id column out."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pandas as pd

from usersync.errors import SourceError
from usersync.loader.raw_sheet import Fault, FindsId, RawSheet
from usersync.loader.workbook_marks import letters
from usersync.loader.workbook_sheets import Sheet, Workbook
from usersync.loader.workbook_values import column_texts, fault, settle_marks
from usersync.models import Code
from usersync.settings import SourceSettings

_SEARCHED: Final = 100
"""Rows of a sheet in which its header is looked for."""
_NAMED: Final = 5
"""Rows that a note names before it says how many more there are."""


def read_workbook(data: bytes, *, file: str, finds_id: FindsId, options: SourceSettings) -> RawSheet:
    """Read the sheet that has an id column (or the one that `options` name).

    Raises SourceError where the file as a whole cannot be read: the sentence says why, and what to do.
    """
    book = Workbook(data, file)
    reader, header_row = _choose(book, file, finds_id, options)
    sheet = reader(None).widened()
    return _Rows(sheet, header_row, finds_id, options).grid()


def _choose(
    book: Workbook, file: str, finds_id: FindsId, options: SourceSettings
) -> tuple[Callable[[int | None], Sheet], int]:
    names = [name for name, _ in book.sheets]
    if options.sheet is not None:
        name = _named_sheet(names, options.sheet, file)
        reader = book.open_sheet(name)
        return reader, _header_row(reader, finds_id, options) or _no_header(file, f"sheet {name!r}", options)
    found = []
    for name, shown in book.sheets:
        if shown:
            reader = book.open_sheet(name)
            if row := _header_row(reader, finds_id, options):
                found.append((name, reader, row))
    if len(found) > 1:
        which = " and ".join(repr(name) for name, _, _ in found)
        raise SourceError(file, f"sheets {which} both have an id column; name one with --sheet (source.sheet)")
    if not found:
        unseen = [repr(name) for name, shown in book.sheets if not shown]
        more = f" (hidden sheets were not searched: {', '.join(unseen)}; --sheet names one)" if unseen else ""
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


def _header_row(reader: Callable[[int | None], Sheet], finds_id: FindsId, options: SourceSettings) -> int:
    """Find the header's row, from 1; 0 where there is none."""
    head = reader(max(_SEARCHED, options.header_row or 0))
    for at, row in enumerate(head.rows):
        number = head.top + at + 1
        if options.header_row not in (None, number):
            continue
        if number > _SEARCHED and options.header_row is None:
            break
        if finds_id([value if isinstance(value, str) else "" for value in row]):
            return number
    return 0


def _no_header(file: str, what: str, options: SourceSettings, more: str = "") -> int:
    if options.header_row:
        text = f"row {options.header_row} of {what} names no id column; correct source.header_row"
    else:
        text = f"{what} has no header row with an id column in its first {_SEARCHED} rows; name one column id"
    raise SourceError(file, text + more)


class _Rows:
    """The data rows below the header of one sheet, and what is wrong with them."""

    def __init__(self, sheet: Sheet, header_row: int, finds_id: FindsId, options: SourceSettings) -> None:
        self._sheet = sheet
        self._header_row = header_row
        self._options = options
        heads = sheet.rows[header_row - 1 - sheet.top]
        self._header = column_texts(heads, {}, is_id=False)[0]
        self._ids = {i for i, heading in enumerate(self._header) if heading and finds_id((heading,))}
        self._settled = self._settle()
        self._notes: list[str] = []
        self._faults: list[Fault] = []
        self._skipped = 0

    def _settle(self) -> dict[int, dict[int, str]]:
        """Texts by column and row, both counted from the used part's corner."""
        left, top = self._sheet.left, self._sheet.top
        settled = settle_marks(self._sheet.marks, {i + left for i in self._ids}, self._sheet.value)
        return {
            column - left: {row - top: text for row, text in rows.items()}
            for column, rows in settled.items()
            if 0 <= column - left < len(self._header)
        }

    def grid(self) -> RawSheet:
        """Put it all together."""
        kept = self._kept()
        data = self._sheet.rows if len(kept) == len(self._sheet.rows) else [self._sheet.rows[i] for i in kept]
        where = {row: at for at, row in enumerate(kept)}
        columns = self._columns(data, where)
        numbers = np.asarray(kept, dtype=np.int64) + (self._sheet.top + 1)
        self._reject_merged(numbers)
        order = sorted(self._faults, key=lambda f: f.at)
        cells = pd.DataFrame(dict(enumerate(columns)), index=range(len(kept)), dtype=object)
        return RawSheet(
            header=tuple(self._header[: len(columns)]),
            header_row=self._header_row,
            cells=cells,
            rows=numbers,
            sheet=self._sheet.name,
            faults=tuple(order),
            notes=tuple(self._notes),
            skipped=self._skipped,
        )

    def _kept(self) -> list[int]:
        """Positions of the rows that are data: below the header, not blank, not skipped."""
        first = self._header_row - self._sheet.top
        marked = {row for rows in self._settled.values() for row in rows}
        rows = self._sheet.rows
        probe = min(self._ids, default=0)
        kept = [i for i in range(first, len(rows)) if i in marked or not _is_blank(rows[i], rows[i][probe])]
        hidden = {row - self._sheet.top for row in self._sheet.marks.hidden}.intersection(kept)
        if hidden and self._options.hidden_rows == "skip":
            self._skipped = len(hidden)
            kept = [i for i in kept if i not in hidden]
        if hidden:
            self._tell_hidden(sorted(hidden), kept)
        return kept

    def _tell_hidden(self, hidden: list[int], kept: list[int]) -> None:
        how = "by a filter" if self._sheet.marks.filtered else "by hand"
        numbers = [i + self._sheet.top + 1 for i in hidden]
        named = ", ".join(map(str, numbers[:_NAMED])) + (
            f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
        )
        done = {"reject": "rejected", "include": "read like all others", "skip": "left out"}
        noun = "row is" if len(numbers) == 1 else "rows are"
        self._notes.append(
            f"{len(numbers)} {noun} hidden {how} and {done[self._options.hidden_rows]}: {named} "
            "(source.hidden_rows settles it)"
        )
        if self._options.hidden_rows == "reject":
            at = {row: position for position, row in enumerate(kept)}
            for row, number in zip(hidden, numbers, strict=True):
                message = f"row {number} is hidden {how}; unhide it, or set source.hidden_rows to include or skip"
                self._faults.append(Fault(at[row], Code.ROW_HIDDEN, message))

    def _columns(self, data: list[list[object]], where: dict[int, int]) -> list[list[str]]:
        columns: list[list[str]] = []
        for i in range(len(self._header)):
            column = [row[i] for row in data]
            settled = {where[row]: text for row, text in self._settled.get(i, {}).items() if row in where}
            texts, wrong = column_texts(column, settled, is_id=i in self._ids)
            self._faults.extend(fault(at, i, cell) for at, cell in wrong)
            columns.append(texts)
        used = len(columns)
        while used and not self._header[used - 1] and not any(columns[used - 1]):
            used -= 1
        nameless = [letters(i + self._sheet.left) for i in range(used) if not self._header[i] and any(columns[i])]
        if nameless:
            noun = "column" if len(nameless) == 1 else "columns"
            self._notes.append(f"{noun} {', '.join(nameless)} ignored: there are values, but no heading")
        return columns[:used]

    def _reject_merged(self, numbers: np.typing.NDArray[np.int64]) -> None:
        left = self._sheet.left
        for (row, column), (last_row, last_column) in self._sheet.marks.merged:
            area = f"{letters(column)}{row + 1}:{letters(last_column)}{last_row + 1}"
            if row < self._header_row <= last_row + 1 and column < last_column:
                self._notes.append(f"the headings {area} are merged: only the first of them has a name")
            if not any(self._header[max(column - left, 0) : last_column - left + 1]):
                continue
            low, high = np.searchsorted(numbers, [row + 1, last_row + 2])
            message = f"{area} are merged; unmerge them and fill every row"
            self._faults.extend(Fault(at, Code.ROW_RAGGED, message) for at in range(int(low), int(high)))


def _is_blank(row: list[object], probe: object) -> bool:
    """Whether nothing can be seen in a row; `probe` is a cell that is seldom blank."""
    if not isinstance(probe, str) or (probe and not probe.isspace()):
        return False
    return all(isinstance(value, str) and (not value or value.isspace()) for value in row)
