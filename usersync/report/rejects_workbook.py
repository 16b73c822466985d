"""Write rejects as a workbook with the author's columns, formats and widths; faulty cells are coloured."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree
from zipfile import ZipFile

from usersync.models import Source
from usersync.report.rejects_rows import ROW, WHY, Layout, Reject

log = logging.getLogger(__name__)

#: A larger source is not opened again for its formats; its rejects are text cells.
REREAD_BYTES: Final = 10_000_000
#: Excel gets slow beyond so many; further faulty cells are coloured only.
COMMENTS: Final = 10_000
_WIDTH: Final = 60
_ESCAPED: Final = re.compile("_(?=x[0-9A-Fa-f]{4}_)|[\0-\x08\x0b-\x1f\ufffe\uffff]")
_TYPED: Final = (bool, int, float, date, time, timedelta)


def write_workbook(layout: Layout, header_row: int, home: Path, rejects: Sequence[Reject], *, reopen: bool) -> Path:
    """Write the file below `home`; `reopen` copies formats and typed values from the source."""
    from openpyxl import Workbook

    originals = [_SourceLook()] * len(layout.sources)
    if reopen:
        numbers = [{r.number for r in rejects if r.source == i} for i in range(len(layout.sources))]
        originals = list(map(_original, layout.sources, layout.targets, numbers))
    book = Workbook(write_only=True)
    name = next((source.sheet for source in layout.sources if source.sheet), "Rejects")
    sheet = book.create_sheet(re.sub(r"[\\*?:/\[\]]", " ", name)[:31])
    factory = _CellFactory(sheet, layout, originals)
    factory.frame(header_row, header_row + len(rejects))
    for _ in range(header_row - 1):
        sheet.append([])
    sheet.append(factory.header())
    for number, reject in enumerate(rejects, header_row + 1):
        if len(reject.why) > _WIDTH:  # not every program makes room for wrapped text by itself
            sheet.row_dimensions[number].height = 15.0 * min(5, -(-len(reject.why) // _WIDTH))
        sheet.append(factory.row(reject))
    path = home / "rejects.xlsx"
    book.save(path)
    return path


class _CellFactory:
    """Makes the cells of a workbook."""

    def __init__(self, sheet: Any, layout: Layout, originals: Sequence[_SourceLook]) -> None:
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.styles import Alignment, Font, PatternFill

        self._sheet, self._layout, self._originals = sheet, layout, originals
        self._new: Callable[..., Any] = partial(WriteOnlyCell, sheet)
        self._red, self._bold = PatternFill("solid", fgColor="FFC7CE"), Font("Calibri", 11, bold=True)
        self._wrap = Alignment(wrap_text=True)
        self._comments = 0

    def frame(self, header_row: int, last_row: int) -> None:
        """Set widths, the frozen header and the filter, which come before the first row."""
        from openpyxl.utils import get_column_letter as letter

        widths = {1: 14.0, 2: float(_WIDTH)}
        widths |= {i + 3: self._originals[0].widths.get(i, 18.0) for i in range(len(self._layout.columns))}
        for column, width in widths.items():
            self._sheet.column_dimensions[letter(column)].width = width
        self._sheet.freeze_panes = f"A{header_row + 1}"
        self._sheet.auto_filter.ref = f"A{header_row}:{letter(len(widths))}{last_row}"

    def header(self) -> list[Any]:
        """Make the headings, as they looked in the first source."""
        cells = []
        for place, heading in enumerate((ROW, WHY, *(column.heading for column in self._layout.columns)), -2):
            cell = self._text(heading)
            model = self._originals[0].header.get(place)
            cell.font = copy(model.font) if model else self._bold
            if model:
                cell.fill, cell.alignment = copy(model.fill), copy(model.alignment)
            cells.append(cell)
        return cells

    def row(self, reject: Reject) -> list[Any]:
        """Make the cells of one row."""
        why = self._text(reject.why)
        why.alignment = self._wrap
        if not reject.faulty:
            why.fill = self._red
        label = reject.label if isinstance(reject.label, int) else self._text(reject.label)
        original = self._originals[reject.source]
        models = original.cells.get(reject.number, {})
        return [label, why, *(self._cell(reject, i, models.get(i), original) for i in range(len(reject.cells)))]

    def _cell(self, reject: Reject, place: int, model: Any, original: _SourceLook) -> Any:
        text, faulty = reject.cells[place], reject.faulty.get(place)
        if not text and not faulty and not model:
            return None
        cell = self._value(reject, place, model)
        if model:
            cell.number_format = model.number_format
        is_id = faulty and self._layout.columns[place].field == "id"
        is_text = cell.data_type == "s" or cell.value is None
        if place in reject.damaged or (is_text and (is_id or not original.header)):
            cell.number_format = "@"  # what is typed here next stays as it is typed
        if faulty:
            cell.fill = self._red
            self._remark(cell, faulty)
        return cell

    def _value(self, reject: Reject, place: int, model: Any) -> Any:
        text = reject.cells[place]
        if place in reject.damaged:
            number = reject.damaged[place]
            return self._error(text) if number is None else self._new(number)
        if model and text and model.data_type == "e":
            return self._error(text)
        return self._new(model.value) if model and text and isinstance(model.value, _TYPED) else self._text(text)

    def _remark(self, cell: Any, text: str) -> None:
        from openpyxl.comments import Comment

        self._comments += 1
        if self._comments <= COMMENTS:
            cell.comment = Comment(text, "usersync", width=320, height=100)

    def _text(self, text: str) -> Any:
        """Make a cell that is text whatever it begins with."""
        if not text:
            return self._new()
        cell = self._new(_ESCAPED.sub(lambda m: f"_x{ord(m[0]):04X}_", text))
        cell.data_type = "s"
        return cell

    def _error(self, text: str) -> Any:
        cell = self._new(text)
        cell.data_type = "e"
        return cell


@dataclass(slots=True)
class _SourceLook:
    """What the source workbook shows of the rejected rows, beyond their text."""

    widths: dict[int, float] = field(default_factory=dict)
    """Target column -> width in characters."""
    header: dict[int, Any] = field(default_factory=dict)
    """Target column -> the heading's cell."""
    cells: dict[int, dict[int, Any]] = field(default_factory=dict)
    """Row number -> target column -> cell."""


def _original(source: Source, targets: Sequence[int | None], numbers: set[int]) -> _SourceLook:
    """Open the source again, where it is a small .xlsx and still the file that was read."""
    path = Path(source.file)
    try:
        if not numbers or path.suffix.lower() not in (".xlsx", ".xlsm") or path.stat().st_size > REREAD_BYTES:
            return _SourceLook()
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != source.sha256:
            return _SourceLook()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _look(data, source, targets, numbers)
    except Exception as error:  # whatever openpyxl trips over: text cells say the same
        log.info("%s: written without its formats: %s", source.file, error)
        return _SourceLook()


def _look(data: bytes, source: Source, targets: Sequence[int | None], numbers: set[int]) -> _SourceLook:
    from openpyxl import load_workbook

    found = _SourceLook()
    with closing(load_workbook(io.BytesIO(data), read_only=True, data_only=True)) as book:
        sheet: Any = book[source.sheet]
        sheet.reset_dimensions()
        first, left = source.header_row, 0
        for number, row in enumerate(sheet.iter_rows(min_row=first, max_row=max(numbers)), first):
            if number == first:
                left = _left(row, source)
                found.header = _placed(row[left:], targets)
            elif number in numbers:
                found.cells[number] = _placed(row[left:], targets)
        widths = _widths(data, sheet._worksheet_path)
    found.widths = {t: widths[i + left + 1] for i, t in enumerate(targets) if t is not None and i + left + 1 in widths}
    return found


def _left(row: Sequence[Any], source: Source) -> int:
    """How many columns stand before the table: the headings tell."""
    heads = [c.heading for c in source.columns if c.field]
    places = [i for i, c in enumerate(source.columns) if c.field]
    for left in range(len(row)):
        if [row[i + left].value if i + left < len(row) else None for i in places] == heads:
            return left
    raise ValueError("its headings are not where they were")


def _placed(row: Sequence[Any], targets: Sequence[int | None]) -> dict[int, Any]:
    pairs = zip(targets, row, strict=False)
    return {t: cell for t, cell in pairs if t is not None and (cell.value is not None or cell.number_format)}


def _widths(data: bytes, part: str) -> dict[int, float]:
    """Column (from 1) -> width, from the lines above a sheet's cells."""
    widths: dict[int, float] = {}
    with ZipFile(io.BytesIO(data)) as archive, archive.open(part) as xml:
        for _, element in ElementTree.iterparse(xml, ("start",)):  # noqa: S314 - the loader has vetted the file
            tag = element.tag.rpartition("}")[2]
            if tag == "sheetData":
                break
            if tag == "col" and element.get("width"):
                last = min(int(element.get("max", 0)), 1000)
                for column in range(int(element.get("min", 1)), last + 1):
                    widths[column] = float(element.get("width", 0))
    return widths
