"""Choose the sheet of a workbook that holds the users, and find its header."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from usersync.errors import SourceError
from usersync.loader.csv_parser import DELIMITERS
from usersync.loader.export_base import BASE_SHEET
from usersync.loader.headings import CONTACTS, Headings
from usersync.loader.workbook_sheets import SheetReader, Workbook
from usersync.settings import SourceSettings

#: Rows of a sheet in which its header is looked for.
_SEARCHED: Final = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen sheet."""

    name: str
    reader: SheetReader
    header_row: int
    """From 1, as the spreadsheet numbers it."""
    has_id: bool
    """Whether the header has an id column; else its rows are matched by e-mail."""
    has_fields: bool
    """Whether it has another field, or nearly, so that there can be something to change."""
    has_rows: bool
    """Whether anything stands below the header."""
    notes: tuple[str, ...] = ()


def select_sheet(book: Workbook, file: str, headings: Headings, options: SourceSettings) -> Selection:
    """Choose the sheet with an id column and rows below it, or the one that `options` name.

    Where no sheet has an id column, and rows can be matched by e-mail, one with an e-mail column is chosen. Raises
    SourceError where there is no such sheet, or there are several with rows.
    """
    sheets = [(name, is_shown) for name, is_shown in book.sheets if name != BASE_SHEET]
    search = _Search(headings, options)
    if options.sheet is not None:
        name = _named_sheet([name for name, _ in sheets], options.sheet, file)
        return search.find(name, book.open_sheet(name)) or search.refuse(file, f"sheet {name!r}")
    shown = [name for name, is_shown in sheets if is_shown]
    found = [selection for name in shown if (selection := search.find(name, book.open_sheet(name)))]
    if not found:
        hidden = [repr(name) for name, is_shown in sheets if not is_shown]
        more = f" (hidden sheets were not searched: {', '.join(hidden)}; name one with --sheet)" if hidden else ""
        what = f"sheet {shown[0]!r}" if len(sheets) == 1 and shown else f"each of its {len(sheets)} sheets"
        search.refuse(file, what, more)
    with_addresses = [selection for selection in found if not selection.has_id and selection.has_rows]
    found = [selection for selection in found if selection.has_id] or found
    with_ids_alone = [selection for selection in found if not selection.has_fields and selection.has_rows]
    if any(selection.has_fields for selection in found):
        found = [selection for selection in found if selection not in with_ids_alone]
    candidates = [selection for selection in found if selection.has_rows] or found
    if len(candidates) > 1:
        which = _names(candidates, " and ")
        what = "an id column" if candidates[0].has_id else "an e-mail column"
        raise SourceError(file, f"sheets {which} both have {what}; name one with --sheet (source.sheet)")
    notes = list(_passed_over(candidates[0], found, shown))
    if candidates[0].has_id and with_addresses:
        notes.append(f"sheets with e-mail addresses, but no ids, were not read: {_names(with_addresses)}")
    if candidates[0].has_fields and with_ids_alone:
        notes.append(f"sheets with ids, but no field to change, were not read: {_names(with_ids_alone)}")
    return replace(candidates[0], notes=tuple(notes))


def _names(selections: Sequence[Selection], between: str = ", ") -> str:
    return between.join(repr(selection.name) for selection in selections)


def _passed_over(chosen: Selection, found: Sequence[Selection], shown: Sequence[str]) -> Iterator[str]:
    empty = [selection for selection in found if selection is not chosen]
    if empty:
        yield f"sheets without rows were not read: {_names(empty)}"
    others = [repr(name) for name in shown if name not in [selection.name for selection in found]]
    if others and not chosen.has_rows:
        yield f"sheets without an id column were not read: {', '.join(others)}"


def _named_sheet(names: Sequence[str], name: str, file: str) -> str:
    same = [n for n in names if n == name] or [n for n in names if n.strip().casefold() == name.strip().casefold()]
    if same:
        return same[0]
    near = difflib.get_close_matches(name, names, len(names) or 1, 0.0)
    near += [other for other in names if other not in near]
    raise SourceError(file, f"has no sheet {name!r}; its sheets: {', '.join(map(repr, near)) or 'none'}")


class _Search:
    """Looks for the header in one sheet after the other, and remembers what looked like one."""

    def __init__(self, headings: Headings, options: SourceSettings) -> None:
        self._headings, self._options = headings, options
        self._most_fields = 0
        self._explanation = ""

    def find(self, name: str, reader: SheetReader) -> Selection | None:
        """Return the sheet with the row number of its header; None if it has none."""
        named = self._options.header_row
        head = reader(max(_SEARCHED, named or 0))
        without_id: Selection | None = None
        key = addresses = 0
        for at, row in enumerate(head.rows):
            number = at + 1
            if named not in (None, number):
                continue
            if number > _SEARCHED and named is None:
                break
            texts = [value if isinstance(value, str) else "" for value in row]
            if self._headings.key_column(texts) is None:
                addresses += bool(without_id) and "@" in texts[key]
                if addresses > CONTACTS:
                    break  # rows would be lost above a header further down
                self._remember(name, number, texts)
                continue
            is_final = self._headings.is_final(list(map(str, row)))
            if is_final or without_id is None:
                has_rows = _any_filled(head.rows[at + 1 :]) or _any_filled(reader(None).rows[at + 1 :])
                has_id = "id" in self._headings.fields(texts)
                has_fields = self._headings.has_values(texts) or self._headings.resemblance(texts) > 1
                selection = Selection(name, reader, number, has_id, has_fields, has_rows)
                if is_final:
                    return selection
                without_id = selection
                key = self._headings.key_column(texts) or 0
        return without_id

    def _remember(self, sheet: str, row: int, texts: Sequence[str]) -> None:
        filled = [text for text in texts if text.strip()]
        if len(filled) == 1 and any(self._headings.splits_into_header(filled[0], d) for d in DELIMITERS):
            self._most_fields = len(texts) + len(filled[0])
            self._explanation = (
                f"sheet {sheet!r}: row {row} has all headings in one cell; split the column into several "
                "(in Excel: Data, Text to Columns)"
            )
            return
        fields = self._headings.resemblance(texts)
        if fields > self._most_fields:
            self._most_fields = fields
            self._explanation = f"sheet {sheet!r}: {self._headings.explain_missing_id(row, texts)}"

    def refuse(self, file: str, what: str, more: str = "") -> Selection:
        """Raise SourceError: no sheet has an id column."""
        if self._options.header_row:
            raise SourceError(
                file, f"row {self._options.header_row} of {what} has no id column; correct source.header_row{more}"
            )
        text = f"{what} has no header row with an id column in its first {_SEARCHED} rows; name the column id"
        raise SourceError(file, (self._explanation or text) + more)


def _any_filled(rows: Sequence[Sequence[Any]]) -> bool:
    return any(not isinstance(value, str) or (value and not value.isspace()) for row in rows for value in row)
