"""Read the cell info of an .xlsx: what calamine does not give.

A sheet is searched once for anything suspicious; only the rows that hold something are parsed.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from typing import Final
from xml.parsers import expat

from usersync.errors import SourceError
from usersync.loader.workbook_cell_info import (
    MAX_COLUMNS,
    MAX_ROWS,
    CellInfo,
    column_letters,
    column_number,
    parse_reference,
)
from usersync.loader.workbook_package import damaged

#: Cells of a sheet's used area; a larger one has a stray cell far from the table, and would not fit in memory.
CELLS: Final = 50_000_000
#: The errors that calamine reads; it refuses the whole sheet for any other.
KNOWN_ERRORS: Final = frozenset({"#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"})

#: Patterns searched for, each only where its hint occurs in the sheet, in XML written as Excel writes it.
_SUSPECTS: Final = tuple(
    (hint, re.compile(pattern))
    for hint, pattern in (
        (b't="e', rb't="e"'),
        (b"hidden", rb"hidden="),
        (b'ht="0', rb'ht="0(?:\.0*)?"'),
        (b"<f", rb"</f>\s*(?:<v\s*/>|<v>\s*</v>|</c>)"),
        (b"<f", rb"<f\b[^>]*/>\s*(?:<v\s*/>|<v>\s*</v>|</c>)"),
        (b"<v>-", rb"<v>-"),
        (b"<v>0.0<", rb"(?:</f>|<f\b[^>]*/>)\s*<v>0\.0</v>"),
    )
)
#: Formulas whose result is 0, and those whose result is 0.0, which a spreadsheet writes as 0: POI's streams write that
#: for formulas that nobody calculated.
_ZERO_RESULT: Final = (b"<f", re.compile(rb"(?:</f>|<f\b[^>]*/>)\s*<v>0</v>"))
#: Signs of XML written in another way, which is parsed as a whole.
_ODD_XML: Final = (b"='", b"= ", b" =", b"<!", b"<?", b":row")
#: The view of a sheet that shows zeros as blank cells.
_NO_ZEROS: Final = re.compile(rb"""\bshowZeros\s*=\s*["'](?:0|false)""")
_ZERO: Final = (b"<v>0", re.compile(rb"<v>0(?:\.0*)?</v>"))
_WIDE: Final = re.compile(rb"""r ?= ?["']([A-Za-z]{2,})\d""")
_REF: Final = re.compile(rb"""r ?= ?["']([A-Za-z]+)(\d+)["']""")
#: A cell with a style, and whether it holds something other than a number (`t="n"`, as openpyxl writes it).
_STYLED: Final = re.compile(rb'<c r="([A-Z]{1,3})(\d+)" s="(\d+)"( t="(?!n"))?')
#: References to rows of seven digits and more.
_HIGH_ROW: Final = re.compile(rb"""r\s*=\s*["'][A-Za-z]*(\d{7,})""")
_HIDDEN_COLUMN: Final = re.compile(
    rb"""<(?:\w+:)?col\b[^>]*\b(?:hidden\s*=\s*["'](?:1|true)|width\s*=\s*["']0(?:\.0*)?)["'][^>]*>"""
)
_SPAN: Final = re.compile(rb"""\b(min|max)\s*=\s*["'](\d{1,7})["']""")
_ROW_NUMBER: Final = re.compile(rb"""<(?:\w+:)?row\b[^>]*?\br\s*=\s*["'](\d{1,9})["']""")
_PLAIN_ROW: Final = re.compile(rb'<row r="(\d{1,9})"')
_ROW_START: Final = b'<row r="'
_ROW_END: Final = b"</row>"


def check_area(xml: bytes, file: str) -> None:
    """Raise SourceError for a sheet whose used area would not fit in memory."""
    if any(len(row) > 7 or int(row) > MAX_ROWS for row in _HIGH_ROW.findall(xml)):
        raise SourceError(file, f"is damaged: it has a row beyond {MAX_ROWS:,}; open it and save it again")
    wide = max((column_number(letters[:8]) + 1 for letters in set(_WIDE.findall(xml))), default=26)
    if wide * MAX_ROWS <= CELLS:
        return
    rows = max((int(row[-8:]) for _, row in _REF.findall(xml)), default=0)
    cells = max(xml.count(b"<c "), xml.count(b":c "))
    if wide > MAX_COLUMNS or rows * wide > max(CELLS, 4 * cells):
        raise SourceError(
            file,
            f"has a cell as far out as {column_letters(wide - 1)}{rows}; delete the empty rows and columns beyond "
            "the table, or copy the table into a new workbook",
        )


def scan_sheet(xml: bytes, formats: dict[str, str], file: str, *, is_calculated: bool) -> CellInfo:
    """Read the cell info of a sheet. Raises SourceError where its XML is broken.

    In a workbook that is not calculated, the 0 of a formula stands for a result that is not there.
    """
    info = CellInfo(filtered=b"autoFilter" in xml)
    at = max(xml.find(b"<sheetData"), 0)
    info.hidden_columns = _hidden_columns(xml[:at])
    stop = xml.find(b"</sheetData", at)
    stop = len(xml) if stop < 0 else stop
    canonical = xml.count(b"<row", at, stop) == xml.count(_ROW_START, at, stop)
    rows = list(map(int, (_PLAIN_ROW if canonical else _ROW_NUMBER).findall(xml, at, stop)))
    if any(map(operator.ge, rows, rows[1:])):
        raise SourceError(file, "holds a row twice, or rows out of order; open it and save it again")
    plain = at > 0 and canonical and all(xml.find(odd, at, stop) < 0 for odd in _ODD_XML)
    if plain and formats:
        plain = _read_formats(xml, at, stop, formats, info)
    hides_zeros = _NO_ZEROS.search(xml, 0, at) is not None
    suspects = [*_SUSPECTS, *([] if is_calculated else [_ZERO_RESULT]), *([_ZERO] if hides_zeros else [])]
    slices = _suspect_rows(xml, at, stop, suspects) if plain else [xml]
    if slices:
        try:
            _RowParser(info, formats, is_calculated=is_calculated, hides_zeros=hides_zeros).feed(slices)
        except expat.ExpatError as error:
            raise damaged(file, error) from None
    return info


def _hidden_columns(head: bytes) -> set[int]:
    hidden: set[int] = set()
    for tag in _HIDDEN_COLUMN.findall(head):
        span = {name: int(number) for name, number in _SPAN.findall(tag)}
        first = span.get(b"min", 1)
        hidden.update(range(first - 1, min(span.get(b"max", first), MAX_COLUMNS)))
    return hidden


def _read_formats(xml: bytes, at: int, stop: int, formats: dict[str, str], info: CellInfo) -> bool:
    """Record the format of each number; False where cells are not written as Excel writes them."""
    codes = {style.encode(): code for style, code in formats.items()}
    columns: dict[bytes, int] = {}
    styles = 0
    for column, row, style, typed in _STYLED.findall(xml, at, stop):
        styles += 1
        if style in codes and not typed:
            if column not in columns:
                columns[column] = column_number(column)
            info.formats[int(row) - 1, columns[column]] = codes[style]
    return styles == xml.count(b' s="', at, stop)


def _suspect_rows(xml: bytes, at: int, stop: int, suspects: Sequence[tuple[bytes, re.Pattern[bytes]]]) -> list[bytes]:
    found = sorted(
        match.end()
        for hint, pattern in suspects
        if xml.find(hint, at, stop) >= 0
        for match in pattern.finditer(xml, at, stop)
    )
    slices = []
    for suspect in found:
        if suspect <= at:
            continue
        begin = xml.rfind(_ROW_START, at, suspect)
        if begin >= 0:
            end = xml.find(_ROW_END, suspect, stop)
            at = stop if end < 0 else end + len(_ROW_END)
            slices.append(xml[begin:at])
    return slices


class _RowParser:
    """Reads the cell info of `<row>` elements, alone or in their sheet."""

    def __init__(self, info: CellInfo, formats: dict[str, str], *, is_calculated: bool, hides_zeros: bool) -> None:
        self._info = info
        self._hides_zeros = hides_zeros
        self._formats = formats
        self._no_result = ("", "0.0") if is_calculated else ("", "0.0", "0")
        self._row = self._column = -1
        self._type = self._style = ""
        self._formula = self._in_value = False
        self._value: list[str] = []

    def feed(self, slices: list[bytes]) -> None:
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        if len(slices) == 1 and not slices[0].startswith(_ROW_START):
            parser.Parse(slices[0], True)
            return
        parser.Parse(b"<rows>", False)
        for piece in slices:
            parser.Parse(piece, False)
        parser.Parse(b"</rows>", True)

    def _start(self, tag: str, a: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        if tag == "c":
            self._cell(a)
        elif tag == "v":
            self._in_value = True
        elif tag == "f":
            self._formula = True
        elif tag == "row":
            self._row = int(a["r"]) - 1 if a.get("r", "").isdecimal() else self._row + 1
            self._column = -1
            if a.get("hidden", "0") not in ("0", "false") or _is_zero(a.get("ht", "")):
                self._info.hidden.add(self._row)

    def _cell(self, a: dict[str, str]) -> None:
        here = parse_reference(a.get("r", ""))
        if here:
            self._row, self._column = here
        else:
            self._column += 1
        self._type, self._style = a.get("t", "n"), a.get("s", "")
        self._formula = self._in_value = False
        self._value.clear()

    def _text(self, text: str) -> None:
        if self._in_value:
            self._value.append(text)

    def _end(self, tag: str) -> None:
        tag = tag.rpartition(":")[2]
        if tag == "v":
            self._in_value = False
        elif tag == "c":
            self._close()

    def _close(self) -> None:
        here, value = (self._row, self._column), "".join(self._value).strip()
        if self._type == "e":
            self._info.errors[here] = value or "#ERROR!"
        elif self._formula and value in self._no_result and self._type != "str":
            self._info.unsaved.add(here)
        elif self._type == "n" and value:
            if value.startswith("-"):
                self._info.negative.add(here)
            if self._hides_zeros and not value.strip("0."):
                self._info.unseen_zeros.add(here)
            if self._style in self._formats:
                self._info.formats[here] = self._formats[self._style]


def _is_zero(height: str) -> bool:
    return bool(height) and not height.strip("0.")
