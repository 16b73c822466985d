"""Read the rows of a text file.

Clean lines are parsed by pandas, block by block, all others one by one.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from usersync.errors import SourceError
from usersync.loader.csv_dialect import DialectMatch, describe, detect_dialect
from usersync.loader.csv_parser import RecordParser
from usersync.loader.csv_records import Block, Record, is_remark, parsed_records
from usersync.loader.encoding import DecodedText, to_utf8
from usersync.loader.headings import Headings
from usersync.loader.raw_sheet import CellError, RawSheet, first_few
from usersync.models import Code
from usersync.settings import SourceSettings

#: Bytes that are read as one block.
_BLOCK = 1 << 21
#: Bytes of the longest line that is read.
_LONGEST_LINE = 16 << 20
#: Ctrl-Z ended text files under DOS; NULs fill a block that was never written.
_END_MARKS = b"\x1a\0"
_REPLACEMENT = "\ufffd"
#: Characters of a cell, and of a row, that an error quotes.
_CELL_SHOWN = 80
_ROW_SHOWN = 300
#: Rows that are looked at; one of another width than the others, and the header stays as it is.
_WIDTH_SAMPLE = 1000
#: Rows for which Excel decides together how many cells it writes.
_EXCEL_BLOCK = 16


def read_text(
    data: bytes, *, file: str, headings: Headings, options: SourceSettings, exported: bool = False
) -> RawSheet:
    """Read a delimited text file; malformed rows are in `errors`.

    An `exported` file was written by usersync, and perhaps saved by a spreadsheet since: its quotes are known. Raises
    SourceError where the file as a whole cannot be read: it is empty, its encoding or delimiter is in doubt, or no row
    has an id column.
    """
    _check_line_length(data, file)
    text = to_utf8(data, file=file, encoding=options.encoding)
    content, notes = _without_end_marks(text)
    if not content[text.start :][:4096].strip() and not content[text.start :].strip():
        raise SourceError(file, "the file is empty")
    match = detect_dialect(content, text.start, file=file, headings=headings, options=options, exported=exported)
    match, width_notes = _fit_width(match, file)
    body = _BodyReader(match)
    cells, rows = body.read()
    if match.row > 1:
        notes += (f"the header is row {match.row}; the rows above it are not read",)
    why = "; ".join((text.why, *match.why))
    return RawSheet(
        header=match.header,
        header_row=match.row,
        cells=cells,
        rows=rows,
        errors=tuple(body.errors),
        notes=(*notes, *width_notes, *body.notes()),
        dialect={"encoding": text.encoding, **describe(match), "why": why},
    )


def _check_line_length(data: bytes, file: str) -> None:
    """Raise SourceError for a line that is far longer than any row, before it takes memory and time."""
    position = 0
    while len(data) - position > _LONGEST_LINE:
        end = position + _LONGEST_LINE
        line_end = max(data.rfind(b"\n", position, end), data.rfind(b"\r", position, end))
        if line_end < 0:
            raise SourceError(file, f"has a line of more than {_LONGEST_LINE >> 20} MB; it is not a table, or damaged")
        position = line_end + 1


def _without_end_marks(text: DecodedText) -> tuple[bytes, tuple[str, ...]]:
    """Drop the Ctrl-Z and NUL characters that old programs and broken downloads leave at the end of a file."""
    marks = [mark for mark in (b"\0", b"\x1a") if mark in text.data]
    content = text.data.rstrip(_END_MARKS + b" \t\r\n") if marks else text.data
    if not any(mark in text.data[len(content) :] for mark in marks):
        return text.data, text.notes
    return content + b"\n", (*text.notes, "left out the control characters at the end of the file")


def _fit_width(match: DialectMatch, file: str) -> tuple[DialectMatch, tuple[str, ...]]:
    """Add or drop blank headings at the end where all rows have, or lack, the cells below them; with a note.

    Raises SourceError where all rows begin with a number that has no heading, as R writes them.
    """
    rows = list(islice(_rows(match), _WIDTH_SAMPLE))
    width = len(match.header)
    widths = {len(row) for row in rows}
    if len(rows) < 2 or len(widths) != 1 or width in widths:
        return match, ()
    (found,) = widths
    delimiter = match.dialect.delimiter_name
    if found < width and not any(heading.strip() for heading in match.header[found:]):
        note = f"the header ends with a {delimiter} that the rows do not have: ignored"
        return replace(match, header=match.header[:found]), (note,)
    if found > width and not any(cell.strip() for row in rows for cell in row[width:]):
        note = f"all rows end with a {delimiter} that the header does not have: ignored"
        return replace(match, header=match.header + ("",) * (found - width)), (note,)
    if found == width + 1 and all(r[0] == str(i) and r[match.key + 1].isdecimal() for i, r in enumerate(rows, 1)):
        raise SourceError(
            file,
            "all rows begin with a row number that has no heading, as R writes them; "
            "write the file with row.names = FALSE, or add a heading for the first column",
        )
    return match, ()


def _rows(match: DialectMatch) -> Iterator[tuple[str, ...]]:
    data = match.data
    for start, stop, parsed in parsed_records(data, match.stop, RecordParser(match.dialect)):
        if parsed.cells and any(cell.strip() for cell in parsed.cells) and not is_remark(data[start:stop]):
            yield parsed.cells


class _BodyReader:
    """Reads the rows below a header."""

    def __init__(self, match: DialectMatch) -> None:
        self._match = match
        self._reader = match.reader()
        self._width = len(match.header)
        self.errors: list[CellError] = []
        self._remarks: list[int] = []
        self._last_is_bad = False
        self._short: dict[int, tuple[str, ...]] = {}
        self._filled_rows = 0

    def read(self) -> tuple[pd.DataFrame, NDArray[np.int64]]:
        """Return the cells of all rows, and their row numbers."""
        frames, numbers = [], []
        at, row = 0, self._match.row + 1
        for block in self._blocks():
            special = {i: record for i, record in block.special if record.is_row}
            kept = block.clean.copy()
            kept[list(special)] = True
            places = np.flatnonzero(kept)
            frames.append(self._cells(block, special, places, at))
            self._last_is_bad = bool(block.special) and bool(block.special[-1][1].error) and not block.clean[-1]
            numbers.append(places + row)
            self._remarks.extend(row + i for i, record in block.special if record.is_remark)
            at += len(places)
            row += len(block.starts)
        if not frames:
            return pd.DataFrame(columns=range(self._width), dtype=object), np.empty(0, np.int64)
        rows = np.concatenate(numbers).astype(np.int64)
        return self._filled(pd.concat(frames, ignore_index=True), rows), rows

    def _filled(self, cells: pd.DataFrame, rows: NDArray[np.int64]) -> pd.DataFrame:
        """Add the blank cells that Excel leaves off at the ends of rows."""
        short = {at: len(found) for at, found in self._short.items()}
        if not short or not _excel_fills(rows.tolist(), short, header_row=self._match.row):
            return cells
        table = cells.to_numpy(object, copy=True)
        for at, found in self._short.items():
            table[at, : len(found)] = found
        self.errors = [e for e in self.errors if e.at not in short or e.code != Code.ROW_RAGGED]
        self._filled_rows = len(short)
        return pd.DataFrame(table, dtype=object)

    def notes(self) -> Iterator[str]:
        """Return what the author should know about the lines read."""
        if self._remarks:
            yield f"left out lines that are comments, rulers or row counts: row {first_few(self._remarks)}"
        if self._filled_rows:
            yield f"added the blank cells that Excel left off at the ends of {self._filled_rows} rows"
        if self._match.data[-1:] not in b"\r\n" and self._last_is_bad:
            yield "the last line is incomplete and has no line end: the file may have been cut off"

    def _blocks(self) -> Iterator[Block]:
        start = self._match.stop
        while start < len(self._match.data):
            block = self._reader.block(start, _BLOCK)
            start = block.stop
            yield block

    def _cells(self, block: Block, special: Mapping[int, Record], places: NDArray[np.int64], at: int) -> pd.DataFrame:
        """Combine the cells of one block, whose first row has position `at` in the sheet."""
        clean = self._clean_rows(block)
        if not special:
            return clean
        table = np.full((len(places), self._width), "", object)
        table[block.clean[places]] = clean.to_numpy(object)
        positions = np.searchsorted(places, list(special)).tolist()
        for position, record in zip(positions, special.values(), strict=True):
            table[position] = self._check(record, at + position)
        return pd.DataFrame(table, dtype=object)

    def _clean_rows(self, block: Block) -> pd.DataFrame:
        """Parse the clean lines of a block with pandas; line by line if pandas returns another number of rows."""
        data = self._match.data
        count = int(block.clean.sum())
        if not count:
            return pd.DataFrame(columns=range(self._width), dtype=object)
        start, stop = int(block.starts[0]), int(block.stops[-1])
        view: Any = memoryview(data)[start:stop]
        if count < len(block.clean):
            lines = np.repeat(block.clean, block.stops - block.starts)
            view = np.frombuffer(data, np.uint8, stop - start, start)[lines]
        frame = self._parse(view)
        if frame.shape == (count, self._width):
            return frame
        places = block.starts[block.clean].tolist()
        return pd.DataFrame([self._reader.read_records(place)[0].cells for place in places], dtype=object)

    def _parse(self, view: Any) -> pd.DataFrame:
        dialect = self._match.dialect
        return pd.read_csv(
            io.BytesIO(view),
            sep=dialect.delimiter,
            header=None,
            names=range(self._width),
            index_col=False,
            dtype=object,
            quotechar=dialect.quote or '"',
            quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            na_filter=False,
            skip_blank_lines=False,
            low_memory=False,
            encoding="utf-8",
            engine="c",
        )

    def _check(self, record: Record, at: int) -> Sequence[str]:
        """Return the cells of a row that was read on its own, and record its errors."""
        if record.cells is None:
            if record.short:
                self._short[at] = record.short
            raw = self._match.data[record.start : record.stop]
            written = raw.decode("utf-8").strip()[:_ROW_SHOWN]
            self.errors.append(CellError(at, Code.ROW_RAGGED, sys.intern(record.error), value=written))
            if (found := _unreadable(raw.decode("utf-8"))) is not None:
                self.errors.append(CellError(at, Code.ENCODING, f"the row holds {found}"))
            return [""] * self._width
        for column, cell in enumerate(record.cells):
            if (found := _unreadable(cell)) is not None:
                message = f"the cell holds {found}; type the text again, or export the file again as UTF-8"
                shown = cell.replace("\0", _REPLACEMENT)[:_CELL_SHOWN]
                self.errors.append(CellError(at, Code.ENCODING, message, column, shown))
        return [cell.replace("\0", _REPLACEMENT) for cell in record.cells]


def _excel_fills(rows: Sequence[int], short: Mapping[int, int], *, header_row: int) -> bool:
    """Whether short rows lack blank cells at their ends only because Excel leaves those off, in blocks of 16 rows.

    `rows` has the row numbers of all data rows, `short` the widths of the short ones by their positions. Within each
    block all rows are of one width, since Excel writes as many cells as the longest row of the block has.
    """
    blocks = {(header_row - 1) // _EXCEL_BLOCK: [0]}
    for at, row in enumerate(rows):
        blocks.setdefault((row - 1) // _EXCEL_BLOCK, []).append(short.get(at, 0))
    short_blocks = [widths for widths in blocks.values() if any(widths)]
    return all(len(set(widths)) == 1 for widths in short_blocks) and any(len(widths) > 1 for widths in short_blocks)


def _unreadable(text: str) -> str | None:
    if "\0" in text:
        return "a NUL character"
    if _REPLACEMENT in text:
        return f"a character that cannot be decoded ({_REPLACEMENT})"
    return None
