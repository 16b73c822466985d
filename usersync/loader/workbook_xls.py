"""Read the sheets of an .xls (Excel 97 to 2003): values and cell info, by xlrd."""

from __future__ import annotations

import io
from datetime import date, datetime, time, timedelta
from typing import Any, Final

import xlrd
import xlrd.compdoc

from usersync.errors import SourceError
from usersync.loader.workbook_cell_info import CellInfo, Sheet, relevant_format
from usersync.loader.workbook_package import damaged, unreadable

#: Rows of a sheet.
MAX_ROWS: Final = 65_536
#: Cells that the used areas of all sheets may have together.
_CELLS: Final = 20_000_000
#: The name that Excel gives to the area of a filter.
_FILTER_NAME: Final = "\x0d"


def read_sheets(data: bytes, file: str) -> list[Sheet]:
    """Read every worksheet. Raises SourceError where the file is encrypted, damaged or too large for memory."""
    try:
        # formatting_info gives hidden rows, merged cells and number formats; xlrd would log to stdout
        book = xlrd.open_workbook(
            file_contents=_workbook_stream(data),
            formatting_info=True,
            ragged_rows=True,
            on_demand=True,
            logfile=io.StringIO(),
        )
        filtered = {name.scope for name in book.name_obj_list if name.builtin and name.name == _FILTER_NAME}
        sheets = []
        cells = 0
        for number in range(book.nsheets):
            sheet = book.sheet_by_index(number)
            cells += sheet.nrows * sheet.ncols
            if cells > _CELLS:
                raise SourceError(file, "has a cell far outside the table; delete the empty rows and columns beyond it")
            sheets.append(_sheet(book, sheet, filtered=number in filtered))
            book.unload_sheet(number)
    except (xlrd.XLRDError, xlrd.compdoc.CompDocError) as error:
        raise unreadable(file, error) from None
    except SourceError:
        raise
    except Exception as error:  # a damaged file makes xlrd raise nearly anything
        raise damaged(file, str(error) or type(error).__name__) from None
    return sheets


def _workbook_stream(data: bytes) -> bytes:
    """Extract the workbook from its compound file. xlrd would follow a circular chain of short sectors forever."""
    compound = xlrd.compdoc.CompDoc(data, logfile=io.StringIO())
    links: list[int] = compound.SSAT
    finished: set[int] = set()
    for start in range(len(links)):
        chain: set[int] = set()
        sector = start
        while 0 <= sector < len(links) and sector not in finished:
            if sector in chain:
                raise xlrd.XLRDError("its sectors form a circle")
            chain.add(sector)
            sector = links[sector]
        finished |= chain
    for name in ("Workbook", "Book"):
        stream: bytes | None = compound.get_named_stream(name)
        if stream:
            return stream
    raise xlrd.XLRDError("it holds no workbook")


def _sheet(book: xlrd.Book, sheet: xlrd.sheet.Sheet, *, filtered: bool) -> Sheet:
    info = CellInfo(filtered=filtered)
    info.hidden = {row for row, found in sheet.rowinfo_map.items() if found.hidden}
    info.hidden_columns = {column for column, found in sheet.colinfo_map.items() if found.hidden}
    info.merged = [((top, left), (bottom - 1, right - 1)) for top, bottom, left, right in sheet.merged_cells]
    struck = {i for i, xf in enumerate(book.xf_list) if book.font_list[xf.font_index].struck_out}
    info.partly_struck = {
        place for place, runs in sheet.rich_text_runlist_map.items() if _is_partly_struck(book, sheet, place, runs)
    }
    formats = [book.format_map[xf.format_key].format_str for xf in book.xf_list]
    rows = []
    for row in range(sheet.nrows):
        cells = sheet.row(row)
        rows.append([_value(book, formats, info, (row, column), cell) for column, cell in enumerate(cells)])
        if any(cell.xf_index in struck and cell.value != "" for cell in cells):
            info.struck.add(row)
        if not sheet.show_zero_values:
            zeros = [i for i, cell in enumerate(cells) if cell.ctype == xlrd.XL_CELL_NUMBER and not cell.value]
            info.unseen_zeros.update((row, column) for column in zeros)
    return Sheet(sheet.name, rows, info, is_shown=sheet.visibility == 0)


def _is_partly_struck(
    book: xlrd.Book, sheet: xlrd.sheet.Sheet, place: tuple[int, int], runs: list[tuple[int, int]]
) -> bool:
    """Return whether some of the runs of a rich text are struck through, and others are not."""
    cell = sheet.cell(*place)
    fonts = {0: book.xf_list[cell.xf_index].font_index, **dict(runs)}
    return len({bool(book.font_list[font].struck_out) for at, font in fonts.items() if at < len(cell.value)}) > 1


def _value(book: xlrd.Book, formats: list[str], info: CellInfo, place: tuple[int, int], cell: xlrd.sheet.Cell) -> Any:
    if cell.ctype == xlrd.XL_CELL_NUMBER:
        if shown := relevant_format(formats[cell.xf_index]):
            info.formats[place] = shown
        return cell.value
    if cell.ctype == xlrd.XL_CELL_DATE:
        if cell.value < 0:
            info.negative.add(place)
        return _date_or_time(cell.value, formats[cell.xf_index], book.datemode)
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return bool(cell.value)
    if cell.ctype == xlrd.XL_CELL_ERROR:
        info.errors[place] = xlrd.error_text_from_code.get(cell.value, "#ERROR!")
        return ""
    return cell.value


def _date_or_time(value: float, code: str, datemode: int) -> date | time | timedelta | float:
    """Return a date number as what its format shows: a duration, a time of day, a day, or both; a number if none."""
    try:
        if code.startswith(("[h", "[m", "[s")):
            return timedelta(days=value)
        shown: datetime = xlrd.xldate.xldate_as_datetime(max(value, 0.0), datemode)
    except (ValueError, OverflowError):
        return value
    if 0 <= value < 1:
        return (datetime(2000, 1, 1) + timedelta(days=value)).time()
    return shown.date() if float(value).is_integer() else shown
