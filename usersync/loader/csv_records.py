"""Read the records of a block of lines, and recover after damaged ones.

A line that is well-formed and has the right number of cells is a row. Any other line is tried as the first line of
a longer record, which must be well-formed as a whole; if it is not, the line alone is a bad row, and reading goes on
at the next line. So damage never reaches beyond the record it is in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from usersync.loader.csv_parser import ParsedRecord, RecordParser
from usersync.loader.csv_scan import Flags, Lines, scan

#: Bytes that a record may have after its first line; no cell of a spreadsheet is longer.
_MAX_RECORD = 1 << 18
#: Lines of a cell that has lost its first quote.
_MAX_TORN_LINES = 1000
#: What is wrong with a row that ends with a lone LF before a bad line: that may be the rest of its last cell.
_CUT_ROW = "the row ends with LF where others end with CRLF, and the next line is not a row; put its cells in quotes"
#: Lines that programs write into tables: comments, rulers, row counts.
_REMARK = re.compile(
    rb"#.*|[-=+| ]*(?:--|==)[-=+| ]*|\(?\d[\d.,]* (?:rows?|records?|lines?|Zeilen?)"
    rb"(?: selected| affected| returned| in set[^,;\t|]*)?\)?[.]?",
    re.IGNORECASE,
)
#: What a cell that says who a row is about looks like: an id, or an e-mail address.
_KEY = re.compile(r"\s*'?[+-]?\d+(?:[.,]0+)?\s*|\s*[^\s@]+@[^\s@]+\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read on its own: cells, or an error, or neither (all cells are blank)."""

    start: int
    stop: int
    """Where the next line starts."""
    cells: tuple[str, ...] | None = None
    error: str = ""
    is_remark: bool = False
    """A comment, a ruler or a row count, which is not data."""
    short: tuple[str, ...] = ()
    """The cells of a record that lacks some at its end."""

    @property
    def is_row(self) -> bool:
        """Whether it is data, readable or not."""
        return self.cells is not None or bool(self.error)


@dataclass(frozen=True, slots=True)
class Block:
    """The records of one block, in order."""

    starts: NDArray[np.int64]
    """Offsets of all records, blank ones too."""
    stops: NDArray[np.int64]
    clean: NDArray[np.bool_]
    """Whether the record is a line with the right number of cells, some of them not blank."""
    special: tuple[tuple[int, Record], ...]
    """The other records, by their positions in `starts`."""
    stop: int
    """Where the next block starts."""


class RecordReader:
    """Reads records of `width` cells; cell `key` holds the id or the e-mail address."""

    def __init__(self, data: bytes, parser: RecordParser, *, width: int, key: int, ends_in_crlf: bool) -> None:
        self._data = data
        self._parser = parser
        self.width = width
        self._key = key
        self._ends_in_crlf = ends_in_crlf

    def block(self, start: int, size: int) -> Block:
        """Read all records that start within about `size` bytes from `start`, the start of a line."""
        stop = line_stop(self._data, min(start + size, len(self._data)) - 1)
        for _ in range(_MAX_TORN_LINES if self.width > 1 else 0):  # a single cell may belong to the row above it
            following = line_stop(self._data, stop)
            if not self._is_single_cell(stop, following) and not self._ends_in_lone_lf(stop):
                break
            stop = following
        lines = scan(self._data, start, stop, dialect=self._parser.dialect, width=self.width)
        inner = np.zeros(len(lines.starts), bool)
        special: dict[int, Record] = {}
        free = start
        for line in np.flatnonzero(lines.suspect).tolist():
            at = int(lines.starts[line])
            if at < free:
                continue
            records = self.read_records(at)
            free = records[-1].stop
            covered = int(np.searchsorted(lines.starts, free))
            if len(records) == 1:
                inner[line + 1 : covered] = True
                lines.stops[line] = free
            special |= {line + i: record for i, record in enumerate(records)}
            lines.suspect[line:covered] = True
            if records[0].error and line and self._ends_in_lone_lf(at):
                self._reject_row(lines, line - 1, special, _CUT_ROW)
            if records[0].error and self._is_torn_tail(at, free):
                self._reject_torn_row(lines, line, special)
        return _compact(lines, inner, sorted(special.items()), max(stop, free))

    def _ends_in_lone_lf(self, stop: int) -> bool:
        """Return whether a line that ends before `stop` does so with LF, where the header ends with CRLF."""
        return self._ends_in_crlf and stop > 1 and self._data[stop - 2 : stop] != b"\r\n"

    @staticmethod
    def _reject_row(lines: Lines, line: int, special: dict[int, Record], error: str) -> None:
        """Reject a line if it is a row."""
        row = special.get(line)
        is_row = row.cells is not None if row else not lines.suspect[line]
        if is_row:
            special[line] = Record(int(lines.starts[line]), int(lines.stops[line]), None, error)
            lines.suspect[line] = True

    def _is_torn_tail(self, start: int, stop: int) -> bool:
        """Return whether a bad line looks like the end of a quoted cell that lost its first quote."""
        quote = self._parser.quote
        if not quote or self.width == 1:
            return False
        return self._data[start:stop].strip().endswith(quote) and self._is_single_cell(start, stop)

    def _reject_torn_row(self, lines: Lines, line: int, special: dict[int, Record]) -> None:
        """Reject the row that such a tail belongs to: its last cell was cut short."""
        line -= 1
        while (bad := special.get(line)) and bad.error and self._is_single_cell(bad.start, bad.stop):
            if self._is_torn_tail(bad.start, bad.stop):
                return
            line -= 1
        if line >= 0 and not self._data[lines.starts[line] : lines.stops[line]].strip().endswith(self._parser.quote):
            error = (
                "the last cell seems to go on in the next line, which ends in a stray "
                f"{self._parser.dialect.quote}; put the cell in quotes"
            )
            self._reject_row(lines, line, special, error)

    def _is_single_cell(self, start: int, stop: int) -> bool:
        return self._parser.bare.fullmatch(self._data[start:stop].strip()) is not None

    def read_records(self, start: int) -> list[Record]:
        """Read the record at `start`; if it can be read in two ways, each of its lines as a bad record."""
        data, parser = self._data, self._parser
        stop = line_stop(data, start)
        parsed = _parse_line(data, start, stop, parser)
        if parsed.cells is not None:
            if not any(map(str.strip, parsed.cells)):
                return [Record(start, stop)]
            if len(parsed.cells) == self.width:
                return [Record(start, stop, parsed.cells)]
            has_key = len(parsed.cells) > self._key and _KEY.fullmatch(parsed.cells[self._key])
            if is_remark(data[start:stop]) and not has_key:
                return [Record(start, stop, is_remark=True)]
            short = parsed.cells if len(parsed.cells) < self.width else ()
            return [Record(start, stop, None, self._miscount(parsed.cells), short=short)]
        longer = _read_on(data, start, stop, parser=parser) if parsed.unclosed else None
        if longer and longer.cells and len(longer.cells) == self.width:
            return self._resolve_ambiguous(start, stop, longer=longer, cells_before=parsed.cells_before)
        return [Record(start, stop, None, parsed.error)]

    def _resolve_ambiguous(self, start: int, stop: int, *, longer: ParsedRecord, cells_before: int) -> list[Record]:
        """Accept a record of several lines, unless it may be rows between two stray quotes."""
        cells, end = longer.cells or (), line_stop(self._data, longer.end)
        lines = [(start, stop)]
        while lines[-1][1] < end:
            begin = lines[-1][1]
            lines.append((begin, line_stop(self._data, begin)))
        only_lone_lf = self._ends_in_crlf and all(self._ends_in_lone_lf(stop) for _, stop in lines[:-1])
        inside = lines[1:] if cells_before else lines[1:-1]  # the last line may hold all cells but the first
        if self.width > 1 and not only_lone_lf and any(self._could_be_row(*line) for line in inside):
            error = (
                f"the {len(lines)} lines from here could be one row with line breaks, or several rows with a stray "
                f"{self._parser.dialect.quote}; remove the stray {self._parser.dialect.quote}, or the line breaks"
            )
            return [Record(*line, None, error) for line in lines]
        return [Record(start, end, cells) if any(map(str.strip, cells)) else Record(start, end)]

    def _could_be_row(self, start: int, stop: int) -> bool:
        """Return whether a line inside a longer record could be a row of its own."""
        parsed = _parse_line(self._data, start, stop, self._parser)
        if parsed.cells and len(parsed.cells) == self.width and _KEY.fullmatch(parsed.cells[self._key]):
            return True
        parts = self._split(start, stop)
        return bool(parts and _KEY.fullmatch(parts[self._key].strip().strip(self._parser.dialect.quote)))

    def _split(self, start: int, stop: int) -> list[str] | None:
        text = self._data[start:stop].decode("utf-8")
        parts = text.split(self._parser.dialect.delimiter)
        return parts if len(parts) == self.width else None

    def _miscount(self, found: Sequence[str]) -> str:
        cells = "1 cell" if len(found) == 1 else f"{len(found)} cells"
        delimiter = self._parser.dialect.delimiter_name
        remedy = f"add the missing cells, or their {delimiter}"
        if len(found) > self.width:
            remedy = f"put the cell that holds a {delimiter} in quotes"
            if not any(found[self.width :]):
                remedy += f", or remove the {delimiter} at the end if none does"
        return f"{cells} where the header has {self.width}; {remedy}"


def _compact(lines: Lines, inner: Flags, special: list[tuple[int, Record]], stop: int) -> Block:
    """Drop the inner lines of longer records, and add the records that start after the block's last line."""
    outer = ~inner
    starts, stops = lines.starts[outer], lines.stops[outer]
    clean = ~lines.suspect[outer]
    after = [record for line, record in special if line >= len(inner)]
    if after:
        starts = np.append(starts, [record.start for record in after])
        stops = np.append(stops, [record.stop for record in after])
        clean = np.append(clean, np.zeros(len(after), bool))
    position = np.append(np.cumsum(outer) - 1, int(outer.sum()) + np.arange(len(after)))
    return Block(starts, stops, clean, tuple((int(position[line]), record) for line, record in special), stop)


def is_remark(line: bytes) -> bool:
    """Return whether a line that is not a row is a comment, a ruler or a row count."""
    return _REMARK.fullmatch(line.strip()) is not None


def line_stop(data: bytes, start: int) -> int:
    """Return the offset of the line after the one that holds `start`."""
    return data.find(b"\n", start) + 1 or len(data)


def _parse_line(data: bytes, start: int, stop: int, parser: RecordParser) -> ParsedRecord:
    """Parse the line data[start:stop] without its line end."""
    if stop > start and data[stop - 1] == 10:
        stop -= 1
        if stop > start and data[stop - 1] == 13 and not parser.dialect.swapped:
            stop -= 1
    return parser.parse(data, start, stop)


def parsed_records(data: bytes, start: int, parser: RecordParser) -> Iterator[tuple[int, int, ParsedRecord]]:
    """Yield start, stop and cells (or error) of each record from `start` on, those with line breaks included."""
    while start < len(data):
        stop = line_stop(data, start)
        parsed = _parse_line(data, start, stop, parser)
        longer = _read_on(data, start, stop, parser=parser) if parsed.unclosed else None
        if longer:
            parsed, stop = longer, line_stop(data, longer.end)
        yield start, stop, parsed
        start = stop


def _read_on(data: bytes, start: int, stop: int, *, parser: RecordParser) -> ParsedRecord | None:
    """Parse a record that starts in one line and closes its quotes in a later one; None if there is none."""
    reach = line_stop(data, min(stop + _MAX_RECORD, len(data)))
    parsed = parser.parse(data, start, reach)
    return parsed if parsed.cells is not None else None
