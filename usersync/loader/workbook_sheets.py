"""Open a workbook of any format and read its sheets: values and cell info.

.xlsx and .xlsb are read by calamine, .xls by xlrd, .ods here. calamine prints a message when it panics, so whatever
would make it panic is refused before. Whatever a library raises becomes a SourceError.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from usersync.errors import SourceError
from usersync.loader import workbook_ods, workbook_parts, workbook_xls, workbook_xlsb, workbook_xlsx
from usersync.loader.unpack import ZIP
from usersync.loader.workbook_cell_info import CellInfo, Sheet
from usersync.loader.workbook_package import Package, check_xls, damaged, unreadable

_ERROR: Final = re.compile(rb"""(<c\b[^>]*\bt="e"[^>]*>(?:<f\b.*?</f>|<f\b[^>]*/>)?<v>)([^<]*)(</v>)""", re.DOTALL)
_DIMENSION: Final = re.compile(rb"<(?:\w+:)?dimension\b[^>]*>")
_VALID_AREA: Final = re.compile(rb"""ref\s*=\s*["'][A-Z]{1,3}\d{1,7}(?::[A-Z]{1,3}\d{1,7})?["']""")
_COMMENT: Final = re.compile(rb"<!--.*?-->", re.DOTALL)
_CDATA: Final = re.compile(rb"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)


#: Reads a sheet: its first rows when called with a number, all of it and its cell info with None.
SheetReader = Callable[[int | None], Sheet]


class Workbook:
    """An open workbook; `sheets` lists (name, whether it is shown), `open_sheet` returns the reader of one."""

    def __init__(self, data: bytes, file: str) -> None:
        self.notes: tuple[str, ...] = ()
        if not data.startswith(ZIP):
            check_xls(data, file)
            sheets = workbook_xls.read_sheets(data, file)
            self._keep(sheets)
            self.notes = tuple(
                f"sheet {sheet.name!r} is full to row {workbook_xls.MAX_ROWS:,}, the last of an .xls: "
                "rows may be missing"
                for sheet in sheets
                if len(sheet.rows) == workbook_xls.MAX_ROWS
            )
            return
        package = Package(data, file)
        kind = package.kind()
        package.check()
        if kind == "ods":
            self._keep(workbook_ods.read_sheets(package, file))
            return
        opened = _CalamineFile(data, package, kind, file)
        self.open_sheet: Callable[[str], SheetReader] = opened.open_sheet
        self.sheets = opened.sheets
        missing = [name for name, _ in self.sheets if not opened.holds(name)]
        if missing and len(missing) < len(self.sheets):
            self.sheets = [(name, is_shown) for name, is_shown in self.sheets if name not in missing]
            self.notes = tuple(f"the file lists a sheet {name!r}, but does not hold it" for name in missing)

    def _keep(self, sheets: Sequence[Sheet]) -> None:
        """Open sheets that have been read as a whole."""
        for sheet in sheets:
            sheet.pad()
        self.sheets = [(sheet.name, sheet.is_shown) for sheet in sheets]
        readers: dict[str, SheetReader] = {sheet.name: partial(_whole, sheet) for sheet in sheets}
        self.open_sheet = readers.__getitem__


def _whole(sheet: Sheet, _: int | None) -> Sheet:
    return sheet


class _CalamineFile:
    """An .xlsx or .xlsb: values by calamine, cell info from the package."""

    def __init__(self, data: bytes, package: Package, kind: str, file: str) -> None:
        self._package = package
        self._is_xlsx = kind == "xlsx"
        self._file = file
        if self._is_xlsx:
            self._parts = workbook_parts.sheet_parts(package)
            self._styles = workbook_parts.read_styles(package)
            self._is_calculated = workbook_parts.is_calculated(package)
        else:
            self._parts = workbook_xlsb.sheet_parts(package, file)
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
        info = None if xml else workbook_xlsb.scan_sheet(self._package, self._parts, name, self._file)
        found = self._values(name, xml)

        def read(rows: int | None) -> Sheet:
            with _calamine_errors(self._file):
                values = found.to_python(skip_empty_area=False, nrows=rows)
                merged = found.merged_cell_ranges if rows is None else None
            sheet = Sheet(name, values)
            if rows is None:
                sheet.info = info or self._xlsx_info(name, xml)
                sheet.info.merged = sheet.info.merged or list(merged or ())
                sheet.pad()
            return sheet

        return read

    def _xlsx_info(self, name: str, xml: bytes) -> CellInfo:
        info = workbook_xlsx.scan_sheet(xml, self._styles.formats, self._file, is_calculated=self._is_calculated)
        info.struck = workbook_parts.struck_rows(xml, self._styles.struck)
        info.partly_struck = workbook_parts.partly_struck_cells(self._package, xml)
        workbook_parts.read_tables(self._package, self._parts[name], info)
        return info

    def _xml(self, name: str) -> bytes:
        if not self.holds(name):
            raise SourceError(self._file, f"sheet {name!r} is not in the file; open it and save it again")
        xml = self._package.read(self._parts[name])
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
        raise unreadable(file, error, what) from None
    except OverflowError:  # Python has no duration of so many days
        message = (
            f"{what}has a number that is too large for its format as hours or minutes; format the cell as a number"
        )
        raise SourceError(file, message) from None
    except (OSError, ValueError, MemoryError) as error:
        raise damaged(file, error, what) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise SourceError(file, f"{what}is too damaged to be read; open it and save it again") from None
