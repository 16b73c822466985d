"""A block of lines in, its records out: the doubtful ones read one by one, and cut loose where they are broken.

A line that is well-formed on its own and has the right number of cells is a row. Another one is tried as the first
line of a longer record, which must be well-formed as a whole; else it is a bad row, alone, and reading goes on at
the next line. So no damage reaches further than the record it is in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from usersync.loader.csv_grammar import Grammar, Reading
from usersync.loader.csv_scan import scan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from usersync.loader.csv_scan import Flags, Lines

_REACH = 1 << 18
"""Bytes that a record may run on for behind its first line; no cell of a spreadsheet is that long."""
_TORN = 1000
"""Lines that a cell may have that has lost its first quote."""
_WHOLE = re.compile(r"\s*'?[+-]?\d+(?:[.,]0+)?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Record:
    """One record that was read one by one: cells, or a flaw, or neither (all cells are blank)."""

    start: int
    stop: int
    """Where the next line starts."""
    cells: tuple[str, ...] | None = None
    flaw: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """The records of one block, in order."""

    starts: NDArray[np.int64]
    """Offsets of all records, blank ones too."""
    stops: NDArray[np.int64]
    sound: NDArray[np.bool_]
    """Surely a line with the right number of cells, some of them not blank."""
    others: tuple[tuple[int, Record], ...]
    """Position in `starts` -> what was read there."""
    stop: int
    """Where the next block starts."""


class Reader:
    """Reads records of `width` cells; the one numbered `key` holds the id."""

    def __init__(self, data: bytes, grammar: Grammar, *, width: int, key: int = 0) -> None:
        self._data, self._grammar = data, grammar
        self.width, self._key = width, key

    def block(self, start: int, size: int) -> Block:
        """Read all records that start in about `size` bytes from `start`, where a line starts."""
        stop = line_stop(self._data, min(start + size, len(self._data)) - 1)
        for _ in range(_TORN if self.width > 1 else 0):  # such a line may belong to the row above it
            following = line_stop(self._data, stop)
            if not self._bare(stop, following):
                break
            stop = following
        lines = scan(self._data, start, stop, dialect=self._grammar.dialect, width=self.width)
        inner = np.zeros(len(lines.starts), bool)
        others: dict[int, Record] = {}
        free = start
        for line in np.flatnonzero(lines.suspect).tolist():
            at = int(lines.starts[line])
            if at < free:
                continue
            records = self.records(at)
            free = records[-1].stop
            covered = int(np.searchsorted(lines.starts, free))
            if len(records) == 1:
                inner[line + 1 : covered] = True
                lines.stops[line] = free
            others |= {line + i: record for i, record in enumerate(records)}
            lines.suspect[line:covered] = True
            if records[0].flaw and self._tail(at, free):
                self._tear(lines, line, others)
        return _compact(lines, inner, sorted(others.items()), max(stop, free))

    def _tail(self, start: int, stop: int) -> bool:
        """Whether a bad line looks like the end of a quoted cell that has lost its first quote."""
        quote = self._grammar.quote
        if not quote or self.width == 1:
            return False
        return self._data[start:stop].strip().endswith(quote) and self._bare(start, stop)

    def _tear(self, lines: Lines, line: int, others: dict[int, Record]) -> None:
        """Take back the row whose last cell such a tail belongs to: that cell is cut short."""
        line -= 1
        while line in others and others[line].flaw and self._bare(others[line].start, others[line].stop):
            if self._tail(others[line].start, others[line].stop):
                return
            line -= 1
        row = others.get(line)
        if line < 0 or (row and row.cells is None) or (row is None and lines.suspect[line]):
            return
        start, stop = int(lines.starts[line]), int(lines.stops[line])
        if not self._data[start:stop].strip().endswith(self._grammar.quote):
            flaw = (
                "the last cell seems to go on in the next line, which ends in a stray "
                f"{self._grammar.dialect.quote}; put the cell in quotes"
            )
            others[line] = Record(start, stop, None, flaw)
            lines.suspect[line] = True

    def _bare(self, start: int, stop: int) -> bool:
        return self._grammar.bare.fullmatch(self._data[start:stop].strip()) is not None

    def records(self, start: int) -> list[Record]:
        """Read what starts at `start`: one record, or the lines of one that can be read in two ways."""
        data, grammar = self._data, self._grammar
        stop = line_stop(data, start)
        reading = grammar.read(data, start, line_content(data, start, stop, grammar))
        if reading.cells is not None:
            if not any(map(str.strip, reading.cells)):
                return [Record(start, stop)]
            if len(reading.cells) == self.width:
                return [Record(start, stop, reading.cells)]
            return [Record(start, stop, None, self._miscount(reading.cells))]
        longer = read_on(data, start, stop, grammar=grammar) if reading.unclosed else None
        if longer and longer.cells and len(longer.cells) == self.width:
            return self._told_apart(start, stop, longer=longer, before=reading.before)
        return [Record(start, stop, None, reading.flaw)]

    def _told_apart(self, start: int, stop: int, *, longer: Reading, before: int) -> list[Record]:
        """Take the longer record, unless rows may have been swallowed between two stray quotes."""
        cells, end = longer.cells or (), line_stop(self._data, longer.end)
        lines = [(start, stop)]
        while lines[-1][1] < end:
            begin = lines[-1][1]
            lines.append((begin, line_stop(self._data, begin)))
        inside = lines[1:] if before else lines[1:-1]  # the last line may hold all cells but the first
        if self.width > 1 and any(self._row_like(*line) for line in inside):
            flaw = (
                f"{len(lines)} lines from here could be one row with line breaks in it, or rows with a stray "
                f"{self._grammar.dialect.quote}; take the stray one away, or the line breaks"
            )
            return [Record(*line, None, flaw) for line in lines]
        return [Record(start, end, cells) if any(map(str.strip, cells)) else Record(start, end)]

    def _row_like(self, start: int, stop: int) -> bool:
        """Whether a line inside a longer record would pass for a row."""
        reading = self._grammar.read(self._data, start, line_content(self._data, start, stop, self._grammar))
        if reading.cells and len(reading.cells) == self.width and _WHOLE.fullmatch(reading.cells[self._key]):
            return True
        parts = self._split(start, stop)
        return bool(parts and _WHOLE.fullmatch(parts[self._key].strip().strip(self._grammar.dialect.quote)))

    def _split(self, start: int, stop: int) -> list[str] | None:
        text = self._data[start:stop].decode("utf-8")
        parts = text.split(self._grammar.dialect.delimiter)
        return parts if len(parts) == self.width else None

    def _miscount(self, found: Sequence[str]) -> str:
        cells = "1 cell" if len(found) == 1 else f"{len(found)} cells"
        delimiter = {"\t": "tab"}.get(self._grammar.dialect.delimiter, self._grammar.dialect.delimiter)
        remedy = f"add the cells that are missing, or their {delimiter}"
        if len(found) > self.width:
            remedy = f"put the cell that holds a {delimiter} in quotes"
            if not any(found[self.width :]):
                remedy += f", or take the {delimiter} at the end away if no cell does"
        return f"{cells} where the header has {self.width}; {remedy}"


def _compact(lines: Lines, inner: Flags, others: list[tuple[int, Record]], stop: int) -> Block:
    """Leave out the inner lines of longer records, and take in the lines that lie behind the block."""
    outer = ~inner
    starts, stops, sound = lines.starts[outer], lines.stops[outer], ~lines.suspect[outer]
    behind = [record for line, record in others if line >= len(inner)]
    if behind:
        starts = np.append(starts, [record.start for record in behind])
        stops = np.append(stops, [record.stop for record in behind])
        sound = np.append(sound, np.zeros(len(behind), bool))
    position = np.append(np.cumsum(outer) - 1, int(outer.sum()) + np.arange(len(behind)))
    return Block(starts, stops, sound, tuple((int(position[line]), record) for line, record in others), stop)


def line_stop(data: bytes, start: int) -> int:
    """Offset of the line behind the one that `start` is in."""
    return data.find(b"\n", start) + 1 or len(data)


def line_content(data: bytes, start: int, stop: int, grammar: Grammar) -> int:
    """Where the line data[start:stop] ends, without its line end."""
    if stop > start and data[stop - 1] == 10:
        stop -= 1
        if stop > start and data[stop - 1] == 13 and not grammar.dialect.swapped:
            stop -= 1
    return stop


def read_on(data: bytes, start: int, stop: int, *, grammar: Grammar) -> Reading | None:
    """Read the record that starts in a line and closes its quotes in a later one; None if there is none."""
    reach = line_stop(data, min(stop + _REACH, len(data)))
    reading = grammar.read(data, start, reach)
    return reading if reading.cells is not None else None
