"""A workbook's bytes in, its sheets out: values as calamine reads them, marks as we do.

Whatever calamine raises, a Rust panic included, becomes a SourceError.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from usersync.errors import SourceError
from usersync.loader import workbook_ods, workbook_xls, workbook_xlsb, workbook_xlsx
from usersync.loader.workbook_marks import Marks
from usersync.loader.workbook_package import Package, kind_of

_ERROR: Final = re.compile(rb"""(<c\b[^>]*\bt="e"[^>]*>(?:<f\b.*?</f>|<f\b[^>]*/>)?<v>)([^<]*)(</v>)""", re.DOTALL)
_COMMENT: Final = re.compile(rb"<!--.*?-->", re.DOTALL)
_CDATA: Final = re.compile(rb"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)


@dataclass(slots=True)
class Sheet:
    """The used part of one sheet."""

    name: str
    rows: list[list[Any]]
    """Values as Python knows them, "" for a blank cell; all rows of one length."""
    top: int = 0
    """How many rows stand above, left: how many columns before, the used part."""
    left: int = 0
    marks: Marks = field(default_factory=Marks)

    def value(self, row: int, column: int) -> Any:
        """The value of a cell, counted from the sheet's corner; "" outside the used part."""
        y, x = row - self.top, column - self.left
        return self.rows[y][x] if 0 <= y < len(self.rows) and 0 <= x < len(self.rows[0]) else ""

    def widened(self) -> Sheet:
        """The same sheet, its used part grown over all cells that have marks."""
        places = [*self.marks.errors, *self.marks.unsaved, *self.marks.texts]
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


class Workbook:
    """An opened workbook of any kind; `sheets` lists (name, whether it is shown)."""

    def __init__(self, data: bytes, file: str) -> None:
        self._file = file
        self.kind = kind_of(data, file)
        self._package = Package(data, file) if self.kind != "xls" else None
        if self._package:
            self._package.check()
        self._tables = workbook_ods.read_tables(self._package, file) if self.kind == "ods" and self._package else []
        self._records = workbook_xls.scan(data, file) if self.kind == "xls" else {}
        self._parts: dict[str, str] = {}
        self._formats: dict[str, str] = {}
        self._book: CalamineWorkbook | None = None
        if self.kind == "ods":
            self.sheets = [(table.name, table.shown) for table in self._tables]
            return
        if self.kind == "xlsx" and self._package:
            self._parts = workbook_xlsx.sheet_parts(self._package)
            self._formats = workbook_xlsx.formats_of(self._package)
        with _calamine(file):
            self._book = CalamineWorkbook.from_filelike(io.BytesIO(data))
            self.sheets = [
                (s.name, s.visible == SheetVisibleEnum.Visible)
                for s in self._book.sheets_metadata
                if s.typ == SheetTypeEnum.WorkSheet
            ]

    def open_sheet(self, name: str) -> Callable[[int | None], Sheet]:
        """Find a sheet; call what is returned with a number of rows for its head, with None for all of it."""
        if self.kind == "ods":
            return self._open_table(next(table for table in self._tables if table.name == name))
        part = self._parts.get(name, "")
        xml = b""
        if self.kind == "xlsx" and self._package:
            if part not in self._package.names:
                raise SourceError(self._file, f"sheet {name!r} is not in the file; open it and save it again")
            xml = self._package.read(part)
            workbook_xlsx.check_area(xml, self._file)
        marks = None if xml else self._marks(name, xml)
        found = self._sheet(name, part, xml)

        def read(rows: int | None) -> Sheet:
            with _calamine(self._file):
                values = found.to_python(skip_empty_area=True, nrows=rows)
                top, left = found.start or (0, 0)
                merged = found.merged_cell_ranges if rows is None else None
            sheet = Sheet(name, values, top, left)
            if rows is None:
                sheet.marks = marks or self._marks(name, xml)
                sheet.marks.merged = sheet.marks.merged or list(merged or ())
            return sheet

        return read

    @staticmethod
    def _open_table(table: workbook_ods.Table) -> Callable[[int | None], Sheet]:
        def read(rows: int | None) -> Sheet:
            return Sheet(table.name, *table.values(rows), table.marks)

        return read

    def _sheet(self, name: str, part: str, xml: bytes) -> CalamineSheet:
        if self._book is None:
            raise SourceError(self._file, "is closed")
        mended = _mended(xml) if xml else None
        if mended and self._package:
            data = self._package.replaced({part.lower(): mended})
            with _calamine(self._file):
                return CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_name(name)
        with _calamine(self._file, f"sheet {name!r} "):
            return self._book.get_sheet_by_name(name)

    def _marks(self, name: str, xml: bytes) -> Marks:
        if xml:
            return workbook_xlsx.scan_sheet(xml, self._formats, self._file)
        if self._package:
            return workbook_xlsb.scan_sheet(self._package, name, self._file)
        if name not in self._records:
            raise SourceError(self._file, f"sheet {name!r} is damaged; open it and save it again")
        return self._records[name]


def _mended(xml: bytes) -> bytes | None:
    """Rewrite what calamine refuses or misreads: newer errors, CDATA, comments; None where there is none."""
    odd = b"<![CDATA[" in xml or (
        b't="e"' in xml
        and any(
            found[2].decode("latin-1") not in workbook_xlsx.KNOWN_ERRORS
            for found in (_ERROR.finditer(xml) if b't="e"' in xml else ())
        )
    )
    if not odd:
        return None
    xml = _CDATA.sub(lambda m: m[1].replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;"), xml)
    xml = _COMMENT.sub(b"", xml)
    return _ERROR.sub(rb"\1#N/A\3", xml)


@contextlib.contextmanager
def _calamine(file: str, what: str = "") -> Iterator[None]:
    try:
        with _quiet():
            yield
    except CalamineError as error:
        reason = " ".join(str(error).split())[:200]
        if "password" in reason.lower() or type(error).__name__ == "PasswordError":
            raise SourceError(file, "is protected by a password; save it without one and try again") from None
        raise SourceError(file, f"{what}is damaged or not a workbook ({reason}); open it and save it again") from None
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise SourceError(file, f"{what}is damaged ({error}); open it and save it again") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise SourceError(file, f"{what}is damaged in a way that cannot be read; open it and save it again") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what a Rust panic prints from the user's terminal; it goes past `sys.stderr`."""
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
