"""Open a workbook of any format and read its sheets: values and cell info.

.xlsx and .xlsb are read by calamine, .xls by xlrd, .ods here. calamine prints a message when it panics, so whatever
would make it panic is refused before. Whatever a library raises becomes a SourceError.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from usersync.errors import SourceError
from usersync.loader import workbook_ods, workbook_parts, workbook_xls, workbook_xlsb, workbook_xlsx
from usersync.loader.workbook_cell_info import CellInfo
from usersync.loader.workbook_package import Package, damaged, kind_of, protected

_ERROR: Final = re.compile(rb"""(<c\b[^>]*\bt="e"[^>]*>(?:<f\b.*?</f>|<f\b[^>]*/>)?<v>)([^<]*)(</v>)""", re.DOTALL)
_DIMENSION: Final = re.compile(rb"<(?:\w+:)?dimension\b[^>]*>")
_VALID_AREA: Final = re.compile(rb"""ref\s*=\s*["'][A-Z]{1,3}\d{1,7}(?::[A-Z]{1,3}\d{1,7})?["']""")
_COMMENT: Final = re.compile(rb"<!--.*?-->", re.DOTALL)
_CDATA: Final = re.compile(rb"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)


@dataclass(slots=True)
class Sheet:
    """The used area of one sheet."""

    name: str
    rows: list[list[Any]]
    """Values as Python objects, "" for a blank cell; all rows of one length."""
    top: int = 0
    """How many rows precede the used area; `left`: how many columns."""
    left: int = 0
    info: CellInfo = field(default_factory=CellInfo)

    def value(self, row: int, column: int) -> Any:
        """Return the value of a cell, counted from the sheet's corner; "" outside the used area."""
        y, x = row - self.top, column - self.left
        return self.rows[y][x] if 0 <= y < len(self.rows) and 0 <= x < len(self.rows[0]) else ""

    def widened(self) -> Sheet:
        """Extend the used area to all cells that have errors or lost results."""
        places = [*self.info.errors, *self.info.unsaved]
        if not places:
            return self
        width = len(self.rows[0]) if self.rows else 0
        if not self.rows:
            self.top, self.left = min(p[0] for p in places), min(p[1] for p in places)
        above = self.top - min(self.top, min(p[0] for p in places))
        before = self.left - min(self.left, min(p[1] for p in places))
        below = max(0, max(p[0] for p in places) + 1 - self.top - len(self.rows))
        after = max(0, max(p[1] for p in places) + 1 - self.left - width)
        if before or after:
            self.rows = [[""] * before + row + [""] * after for row in self.rows]
        width += before + after
        self.rows = [*([""] * width for _ in range(above)), *self.rows, *([""] * width for _ in range(below))]
        self.top -= above
        self.left -= before
        return self


#: Reads a sheet: its first rows when called with a number, all of it and its cell info with None.
SheetReader = Callable[[int | None], Sheet]


class Workbook:
    """An open workbook; `sheets` lists (name, whether it is shown)."""

    sheets: list[tuple[str, bool]]
    notes: tuple[str, ...] = ()

    def __init__(self, data: bytes, file: str) -> None:
        self._file = file
        self._readers: dict[str, SheetReader] = {}
        self._calamine_file: _CalamineFile | None = None
        kind = kind_of(data, file)
        if kind == "xls":
            tables = workbook_xls.read_tables(data, file)
            self.sheets = [(table.name, table.shown) for table in tables]
            self._readers = {t.name: _whole_sheet(Sheet(t.name, t.rows, left=t.left, info=t.info)) for t in tables}
            self.notes = tuple(
                f"sheet {t.name!r} is full to row {workbook_xls.MAX_ROWS:,}, the last of an .xls: rows may be missing"
                for t in tables
                if len(t.rows) == workbook_xls.MAX_ROWS
            )
            return
        package = Package(data, file)
        package.check()
        if kind == "ods":
            ods_tables = workbook_ods.read_tables(package, file)
            self.sheets = [(table.name, table.shown) for table in ods_tables]
            self._readers = {table.name: _ods_sheet(table) for table in ods_tables}
            return
        self._calamine_file = _CalamineFile(data, package, kind, file)
        self.sheets = self._calamine_file.sheets
        missing = [name for name, _ in self.sheets if not self._calamine_file.holds(name)]
        if missing and len(missing) < len(self.sheets):
            self.sheets = [(name, is_shown) for name, is_shown in self.sheets if name not in missing]
            self.notes = tuple(f"the file lists a sheet {name!r}, but does not hold it" for name in missing)

    def open_sheet(self, name: str) -> SheetReader:
        """Return the reader of a sheet."""
        if self._calamine_file:
            return self._calamine_file.open_sheet(name)
        return self._readers[name]


def _whole_sheet(sheet: Sheet) -> SheetReader:
    def read(rows: int | None) -> Sheet:
        return sheet if rows is None else Sheet(sheet.name, sheet.rows[:rows], left=sheet.left)

    return read


def _ods_sheet(table: workbook_ods.Table) -> SheetReader:
    def read(rows: int | None) -> Sheet:
        return Sheet(table.name, *table.values(rows), table.info)

    return read


class _CalamineFile:
    """An .xlsx or .xlsb: values by calamine, cell info from the package."""

    def __init__(self, data: bytes, package: Package, kind: str, file: str) -> None:
        self._package = package
        self._is_xlsx = kind == "xlsx"
        self._file = file
        if self._is_xlsx:
            self._parts = workbook_parts.sheet_parts(package)
            self._formats = workbook_parts.number_formats(package)
            self._is_calculated = workbook_parts.is_calculated(package)
        else:
            workbook_xlsb.check_sheet_list(package, file)
        with _calamine_errors(file):
            self._book = CalamineWorkbook.from_filelike(io.BytesIO(data))
            self.sheets = [
                (s.name, s.visible == SheetVisibleEnum.Visible)
                for s in self._book.sheets_metadata
                if s.typ == SheetTypeEnum.WorkSheet
            ]

    def holds(self, name: str) -> bool:
        """Return whether the part of a sheet is in the file."""
        return not self._is_xlsx or self._parts.get(name, "") in self._package.names

    def open_sheet(self, name: str) -> SheetReader:
        """Return the reader of a sheet."""
        xml = self._xml(name) if self._is_xlsx else b""
        # of an .xlsb, this checks the records before calamine reads them
        info = None if xml else workbook_xlsb.scan_sheet(self._package, name, self._file)
        found = self._values(name, xml)

        def read(rows: int | None) -> Sheet:
            with _calamine_errors(self._file):
                values = found.to_python(skip_empty_area=True, nrows=rows)
                top, left = found.start or (0, 0)
                merged = found.merged_cell_ranges if rows is None else None
            sheet = Sheet(name, values, top, left)
            if rows is None:
                sheet.info = info or self._xlsx_info(name, xml)
                sheet.info.merged = sheet.info.merged or list(merged or ())
            return sheet

        return read

    def _xlsx_info(self, name: str, xml: bytes) -> CellInfo:
        info = workbook_xlsx.scan_sheet(xml, self._formats, self._file, is_calculated=self._is_calculated)
        info.struck = workbook_parts.struck_rows(xml, workbook_parts.struck_styles(self._package))
        info.partly_struck = workbook_parts.partly_struck_cells(self._package, xml)
        workbook_parts.read_tables(self._package, self._parts[name], info)
        return info

    def _xml(self, name: str) -> bytes:
        part = self._parts.get(name, "")
        if part not in self._package.names:
            raise SourceError(self._file, f"sheet {name!r} is not in the file; open it and save it again")
        xml = self._package.read(part)
        workbook_xlsx.check_area(xml, self._file)
        return xml

    def _values(self, name: str, xml: bytes) -> CalamineSheet:
        rewritten = _rewritten(xml) if xml else None
        if rewritten:
            data = self._package.replaced({self._parts[name].lower(): rewritten})
            with _calamine_errors(self._file):
                return CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_name(name)
        with _calamine_errors(self._file, f"sheet {name!r} "):
            return self._book.get_sheet_by_name(name)


def _rewritten(xml: bytes) -> bytes | None:
    """Rewrite what calamine refuses or misreads: newer errors, areas, CDATA, comments; None where there is none."""
    unknown_error = b't="e"' in xml and any(
        found[2].decode("latin-1") not in workbook_xlsx.KNOWN_ERRORS for found in _ERROR.finditer(xml)
    )
    area = _DIMENSION.search(xml[:10_000])
    invalid_area = area and not _VALID_AREA.search(area[0])
    if not unknown_error and not invalid_area and b"<![CDATA[" not in xml and b"<!--" not in xml:
        return None
    xml = _DIMENSION.sub(b"", xml, 1) if invalid_area else xml
    xml = _CDATA.sub(lambda m: m[1].replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;"), xml)
    xml = _COMMENT.sub(b"", xml)
    return _ERROR.sub(rb"\1#N/A\3", xml)


@contextlib.contextmanager
def _calamine_errors(file: str, what: str = "") -> Iterator[None]:
    try:
        yield
    except CalamineError as error:
        reason = " ".join(str(error).split())[:200]
        if "password" in reason.lower() or type(error).__name__ == "PasswordError":
            raise protected(file) from None
        raise SourceError(file, f"{what}is damaged or not a workbook ({reason}); open it and save it again") from None
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise damaged(file, error, what) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise SourceError(file, f"{what}is too damaged to be read; open it and save it again") from None
