"""Read the cell info of an .xlsb, and check its records before calamine does.

Source: [MS-XLSB], section 2.4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final

from usersync.errors import SourceError
from usersync.loader.workbook_cell_info import BUILT_IN_FORMATS, MAX_COLUMNS, MAX_ROWS, CellInfo, relevant_format
from usersync.loader.workbook_package import Package, damaged
from usersync.loader.workbook_parts import relationships
from usersync.loader.workbook_xlsx import CELLS

#: Errors by their numbers in binary formats.
_ERRORS: Final = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
    0x2B: "#GETTING_DATA",
}
#: Record types of cells, and the fewest bytes of each; texts (6, 8) say their own length.
_CELLS: Final = {1: 8, 2: 12, 3: 9, 4: 9, 5: 16, 6: 12, 7: 12, 8: 12, 9: 16, 10: 9, 11: 9}
_NUMBERS: Final = (2, 5, 9)
_ERROR_CELLS: Final = (3, 11)
_TEXTS: Final = (6, 8)
#: Other record types.
_ROW: Final = 0
_FORMAT: Final = 44
_XF: Final = 47
_COLUMN_INFO: Final = 60
_BUNDLE: Final = 156
_FILTER: Final = 161
_MERGED: Final = 176
_XFS: Final = 617
_XFS_END: Final = 618


def records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Split a part into records (type, content); struct.error where one is cut short."""
    at, end = 0, len(data)
    while at < end:
        kind, at = _variable(data, at, 2)
        size, at = _variable(data, at, 4)
        if at + size > end:
            raise struct.error("a record is cut short")
        yield kind, data[at : at + size]
        at += size


def _variable(data: bytes, at: int, most: int) -> tuple[int, int]:
    value = 0
    for n in range(most):
        if at >= len(data):
            raise struct.error("a record is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << 7 * n
        if byte < 0x80:
            break
    return value, at


def _wide(data: bytes, at: int) -> tuple[str, int]:
    (count,) = struct.unpack_from("<I", data, at)
    count = 0 if count == 0xFFFFFFFF else count
    end = at + 4 + 2 * count
    if end > len(data):
        raise struct.error("a text is cut short")
    return data[at + 4 : end].decode("utf-16-le", "replace"), end


def sheet_parts(package: Package, file: str) -> dict[str, str]:
    """Map the name of each sheet to the member that holds it; SourceError where calamine would panic."""
    targets = {a.get("Id", ""): target for a, target in relationships(package, "xl/workbook.bin")}
    parts = []
    try:
        for kind, content in records(package.read("xl/workbook.bin")):
            if kind == _BUNDLE:
                link, at = _wide(content, 8)
                parts.append((_wide(content, at)[0], targets.get(link, "")))
    except (struct.error, IndexError) as error:
        raise damaged(file, error) from None
    for name, part in parts:
        if not part:
            raise SourceError(file, f"sheet {name!r} is not in the file; open it and save it again")
    return dict(parts)


def scan_sheet(package: Package, parts: Mapping[str, str], name: str, file: str) -> CellInfo:
    """Read the cell info of one sheet. Raises SourceError where its records are broken."""
    try:
        return _scan(package.read(parts[name]), _number_formats(package), file)
    except (struct.error, KeyError, IndexError) as error:
        raise damaged(file, error, f"sheet {name!r} ") from None


def _number_formats(package: Package) -> dict[int, str]:
    if "xl/styles.bin" not in package.names:
        return {}
    codes = dict(BUILT_IN_FORMATS)
    shown: dict[int, str] = {}
    number, inside = 0, False
    for kind, content in records(package.read("xl/styles.bin")):
        if kind == _FORMAT:
            codes[struct.unpack_from("<H", content)[0]] = _wide(content, 2)[0]
        elif kind in (_XFS, _XFS_END):
            inside = kind == _XFS
        elif kind == _XF and inside:
            if code := relevant_format(codes.get(struct.unpack_from("<2H", content)[1], "")):
                shown[number] = code
            number += 1
    return shown


def _scan(data: bytes, formats: dict[int, str], file: str) -> CellInfo:
    info = CellInfo()
    row = rows = columns = 0
    for kind, content in records(data):
        if kind == _ROW:
            row = struct.unpack_from("<I", content)[0]
            if content[11] & 0x10:
                info.hidden.add(row)
        elif kind in _CELLS:
            if len(content) < _CELLS[kind]:
                raise struct.error("a cell is cut short")
            column, style = struct.unpack_from("<2I", content)
            if kind in _TEXTS:
                _wide(content, 8)
            if kind != 1:
                rows, columns = max(rows, row + 1), max(columns, column + 1)
            if kind in _ERROR_CELLS:
                info.errors[row, column] = _ERRORS.get(content[8], "#ERROR!")
            elif kind in _NUMBERS and style & 0xFFFFFF in formats:
                info.formats[row, column] = formats[style & 0xFFFFFF]
        elif kind == _MERGED:
            top, bottom, left, right = struct.unpack_from("<4I", content)
            info.merged.append(((top, left), (bottom, right)))
        elif kind == _FILTER:
            info.filtered = True
        elif kind == _COLUMN_INFO:
            first, last, _, _, flags = struct.unpack_from("<4IH", content)
            if flags & 1:
                info.hidden_columns.update(range(first, min(last + 1, MAX_COLUMNS)))
    if rows * columns > CELLS or rows > MAX_ROWS or columns > MAX_COLUMNS:
        raise SourceError(file, "has a cell far outside the table; delete the empty rows and columns beyond it")
    return info
