"""The records of an .xlsb in, `Marks` out: errors, hidden rows, merged cells and number formats.

Source: [MS-XLSB], section 2.4.
"""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Iterator
from typing import Final

from usersync.errors import SourceError
from usersync.loader.workbook_marks import Marks
from usersync.loader.workbook_package import Package
from usersync.loader.workbook_xlsx import BUILT_IN, CELLS, SHOWN, elements

ERRORS: Final = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
    0x2B: "#GETTING_DATA",
}
"""How the binary formats number the errors."""
_ROW, _NUMBERS, _ERROR_CELLS, _CELLS = 0, (2, 5, 9), (3, 11), range(1, 12)
_MERGED, _FILTER, _BUNDLE, _FORMAT, _XF, _XFS, _XFS_END = 176, 161, 156, 44, 47, 617, 618


def records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut a part into (type, content); a record that is cut short ends it."""
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
    return data[at + 4 : end].decode("utf-16-le", "replace"), end


def sheet_parts(package: Package) -> dict[str, str]:
    """Map the name of each sheet to the member that holds it."""
    targets = {
        a.get("Id", ""): posixpath.normpath(posixpath.join("/xl", a.get("Target", ""))).lstrip("/")
        for tag, a in elements(package.read("xl/_rels/workbook.bin.rels"))
        if tag == "Relationship"
    }
    parts = {}
    for kind, content in records(package.read("xl/workbook.bin")):
        if kind == _BUNDLE:
            link, at = _wide(content, 8)
            parts[_wide(content, at)[0]] = targets.get(link, "")
    return parts


def scan_sheet(package: Package, name: str, file: str) -> Marks:
    """Read what calamine does not tell of one sheet. Raises SourceError where its records are broken."""
    try:
        part = sheet_parts(package)[name]
        return _scan(package.read(part), _number_formats(package), file)
    except (struct.error, KeyError, IndexError) as error:
        raise SourceError(file, f"sheet {name!r} is damaged ({error}); open it and save it again") from None


def _number_formats(package: Package) -> dict[int, str]:
    if "xl/styles.bin" not in package.names:
        return {}
    codes = {int(number): code for number, code in BUILT_IN.items()}
    shown: dict[int, str] = {}
    number, inside = 0, False
    for kind, content in records(package.read("xl/styles.bin")):
        if kind == _FORMAT:
            codes[struct.unpack_from("<H", content)[0]] = _wide(content, 2)[0]
        elif kind in (_XFS, _XFS_END):
            inside = kind == _XFS
        elif kind == _XF and inside:
            code = codes.get(struct.unpack_from("<2H", content)[1], "")
            if SHOWN.fullmatch(code) and code != "0":
                shown[number] = code
            number += 1
    return shown


def _scan(data: bytes, formats: dict[int, str], file: str) -> Marks:
    marks = Marks()
    row = rows = columns = 0
    for kind, content in records(data):
        if kind == _ROW:
            row = struct.unpack_from("<I", content)[0]
            if content[11] & 0x10:
                marks.hidden.add(row)
        elif kind in _CELLS:
            column, style = struct.unpack_from("<2I", content)
            if kind != 1:
                rows, columns = max(rows, row + 1), max(columns, column + 1)
            if kind in _ERROR_CELLS:
                marks.errors[row, column] = ERRORS.get(content[8], "#ERROR!")
            elif kind in _NUMBERS and style & 0xFFFFFF in formats:
                marks.formats[row, column] = formats[style & 0xFFFFFF]
        elif kind == _MERGED:
            top, bottom, left, right = struct.unpack_from("<4I", content)
            marks.merged.append(((top, left), (bottom, right)))
        elif kind == _FILTER:
            marks.filtered = True
    if rows * columns > CELLS or rows > 1_048_576 or columns > 16_384:
        raise SourceError(file, "has a cell far outside the table; delete the empty rows and columns beyond it")
    return marks
