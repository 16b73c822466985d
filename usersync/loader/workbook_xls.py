"""The records of an .xls in, `Marks` out: errors, hidden rows and number formats.

Sources: [MS-CFB] for the file that holds the stream, [MS-XLS] section 2.4 for its records.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from usersync.errors import SourceError
from usersync.loader.workbook_marks import Marks
from usersync.loader.workbook_xlsb import ERRORS
from usersync.loader.workbook_xlsx import BUILT_IN, SHOWN

_END: Final = 0xFFFFFFFA
"""Sector numbers from here on are no sectors."""
_BOF, _EOF, _BOUNDSHEET, _FORMAT, _XF, _PASSWORD = 0x809, 0x0A, 0x85, 0x41E, 0xE0, 0x2F
_ROW, _FORMULA, _STRING, _BOOL_OR_ERROR, _NUMBER, _RK, _MULTIPLE = 0x208, 0x06, 0x207, 0x205, 0x203, 0x27E, 0xBD
_FILTER, _DIMENSIONS, _STREAM = 0x9D, 0x200, 2
_CELL_KINDS: Final = frozenset({0x06, 0x203, 0x204, 0x205, 0xD6, 0xFD, 0x27E, 0xBD})
_CELLS: Final = 20_000_000
"""Cells that the used parts of all sheets may span."""


def scan(data: bytes, file: str) -> dict[str, Marks]:
    """Read what calamine does not tell, sheet by sheet.

    Raises SourceError where the file is encrypted, or broken in a way that would send calamine round in circles
    or make it claim memory without end.
    """
    try:
        stream = _workbook_stream(data)
        places, formats = _globals(stream, file)
        scanned = {name: _scan(stream, place, formats) for name, place in places.items()}
    except (struct.error, IndexError) as error:
        raise SourceError(file, f"is damaged ({error}); open it and save it again") from None
    if sum(area for _, area in scanned.values()) > _CELLS:
        raise SourceError(file, "has a cell far outside the table; delete the empty rows and columns beyond it")
    return {name: marks for name, (marks, _) in scanned.items()}


def _workbook_stream(data: bytes) -> bytes:
    shift, small_shift = struct.unpack_from("<2H", data, 30)
    if not 7 <= shift <= 16 or not 4 <= small_shift <= shift:
        raise struct.error("its sector size is impossible")
    directory, cutoff, small_start = (struct.unpack_from("<I", data, at)[0] for at in (48, 56, 60))
    size = 1 << shift

    def chain(start: int, table: list[int], unit: int, source: bytes, base: int) -> bytes:
        parts, seen, at = [], 0, start
        while at < _END:
            if at >= len(table) or seen > len(table):
                raise struct.error("its sectors do not form a chain")
            parts.append(source[base + at * unit : base + (at + 1) * unit])
            at, seen = table[at], seen + 1
        return b"".join(parts)

    most = len(data) // size + 1
    if max(struct.unpack_from("<I", data, at)[0] for at in (44, 64)) > most:
        raise struct.error("it counts more sectors than it has")
    sectors = list(struct.unpack_from("<109I", data, 76))
    more, turns = struct.unpack_from("<I", data, 68)[0], 0
    while more < _END:
        block = struct.unpack_from(f"<{size // 4}I", data, (more + 1) << shift)
        sectors, more, turns = sectors + list(block[:-1]), block[-1], turns + 1
        if turns > most:
            raise struct.error("its sectors go round in circles")
    table: list[int] = []
    for sector in sectors:
        if sector < _END:
            table.extend(struct.unpack_from(f"<{size // 4}I", data, (sector + 1) << shift))
    entries = chain(directory, table, size, data, size)
    packed = chain(small_start, table, size, data, size)
    links = list(struct.unpack(f"<{len(packed) // 4}I", packed))
    small = chain(struct.unpack_from("<I", entries, 116)[0], table, size, data, size)
    found = None
    for at in range(0, len(entries), 128):
        entry = entries[at : at + 128]
        if entry[66] != _STREAM:
            continue
        label = entry[: max(struct.unpack_from("<H", entry, 64)[0] - 2, 0)].decode("utf-16-le", "replace").lower()
        start, length = struct.unpack_from("<2I", entry, 116)
        if length == 0:
            continue
        if length >= cutoff:
            content = chain(start, table, size, data, size)
        else:
            content = chain(start, links, 1 << small_shift, small, 0)
        if label in ("workbook", "book") and (found is None or label == "workbook"):
            found = content[:length]
    if found is None:
        raise struct.error("it holds no workbook")
    return found


def _records(stream: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """List (type, content) of one substream; charts within it are stepped over."""
    depth = 0
    while at + 4 <= len(stream):
        kind, size = struct.unpack_from("<2H", stream, at)
        content = stream[at + 4 : at + 4 + size]
        at += 4 + size
        if kind == _BOF:
            depth += 1
        elif kind == _EOF:
            depth -= 1
            if depth <= 0:
                return
        if depth == 1:
            yield kind, content
    raise struct.error("it is cut short")


def _text(content: bytes, at: int, wide_count: bool, old: bool) -> str:
    count = struct.unpack_from("<H", content, at)[0] if wide_count else content[at]
    at += 2 if wide_count else 1
    if old:
        return content[at : at + count].decode("cp1252", "replace")
    if content[at] & 1:
        return content[at + 1 : at + 1 + 2 * count].decode("utf-16-le", "replace")
    return content[at + 1 : at + 1 + count].decode("latin-1")


def _globals(stream: bytes, file: str) -> tuple[dict[str, int], dict[int, str]]:
    """Where each sheet begins, and the number format of each style."""
    places: dict[str, int] = {}
    codes = {int(number): code for number, code in BUILT_IN.items()}
    styles: list[int] = []
    old = False
    for kind, content in _records(stream, 0):
        if kind == _BOF:
            old = struct.unpack_from("<H", content)[0] < 0x600
        elif kind == _PASSWORD:
            raise SourceError(file, "is protected by a password; save it without one and try again")
        elif kind == _BOUNDSHEET:
            places[_text(content, 6, False, old).replace("\0", "")] = struct.unpack_from("<I", content)[0]
        elif kind == _FORMAT:
            codes[struct.unpack_from("<H", content)[0]] = _text(content, 2, not old, old)
        elif kind == _XF:
            styles.append(struct.unpack_from("<2H", content)[1])
    shown = {i: codes.get(style, "") for i, style in enumerate(styles)}
    return places, {i: code for i, code in shown.items() if SHOWN.fullmatch(code) and code != "0"}


def _scan(stream: bytes, begin: int, formats: dict[int, str]) -> tuple[Marks, int]:
    """The marks of one sheet, and how many cells its used part spans."""
    marks = Marks()
    rows = columns = 0
    awaited: tuple[int, int] | None = None
    """A formula whose text is to follow."""
    for kind, content in _records(stream, begin):
        if kind in _CELL_KINDS:
            row, column = struct.unpack_from("<2H", content)
            if kind == _MULTIPLE:
                column = struct.unpack_from("<H", content, len(content) - 2)[0]
            rows, columns = max(rows, row + 1), max(columns, column + 1)
        if kind == _DIMENSIONS:
            top, bottom, left, right = struct.unpack_from("<2I2H" if len(content) == 14 else "<4H", content)
            if not (top <= bottom <= 65_536 and left <= right <= 256):
                raise struct.error("its dimensions are impossible")
        elif kind == _STRING and awaited:
            marks.unsaved.discard(awaited)
            awaited = None
        elif kind == _ROW:
            if struct.unpack_from("<H", content, 12)[0] & 0x20:
                marks.hidden.add(struct.unpack_from("<H", content)[0])
        elif kind == _FILTER:
            marks.filtered = True
        elif kind in (_FORMULA, _BOOL_OR_ERROR, _NUMBER, _RK):
            row, column, style = struct.unpack_from("<3H", content)
            awaited = _formula(marks, (row, column), content) if kind == _FORMULA else None
            if kind == _BOOL_OR_ERROR and content[7]:
                marks.errors[row, column] = ERRORS.get(content[6], "#ERROR!")
            elif style in formats:
                marks.formats[row, column] = formats[style]
        elif kind == _MULTIPLE:
            row, column = struct.unpack_from("<2H", content)
            for n in range((len(content) - 6) // 6):
                style = struct.unpack_from("<H", content, 4 + 6 * n)[0]
                if style in formats:
                    marks.formats[row, column + n] = formats[style]
    return marks, rows * columns


def _formula(marks: Marks, here: tuple[int, int], content: bytes) -> tuple[int, int] | None:
    result = content[6:14]
    if result[6:8] != b"\xff\xff":
        return None
    if result[0] == 2:
        marks.errors[here] = ERRORS.get(result[2], "#ERROR!")
    elif result[0] == 0:
        marks.unsaved.add(here)
        return here
    return None
