"""A text in, its dialect and its header row out: settled by what the header and the rows under it bear out.

The header is the first row that names an id column. Lines above it are stepped over and may look like anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from usersync.errors import SourceError
from usersync.loader.csv_grammar import Dialect, Grammar
from usersync.loader.csv_records import Reader, line_content, line_stop, read_on

if TYPE_CHECKING:
    from usersync.loader.raw_sheet import FindsId
    from usersync.settings import SourceSettings

DELIMITERS = {",": ",", ";": ";", "\t": "tab", "|": "|"}
_SWAP = bytes.maketrans(b"\r\n", b"\n\r")
_DOUBLED = b"\r\r\n"
"""Every line end of a file that was written twice as text on Windows."""
_TOP = 100
"""Records among which the header is looked for."""
_SAMPLE = 1 << 20
_WINDOW = 1 << 18
"""Bytes that are read to see whether a dialect fits: below the header, and around a first doubt further down."""
_DECLARED = re.compile(rb"\"?sep=(.)\"?\r?\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """A header found under a dialect, and how well the rows under it fit."""

    dialect: Dialect
    data: bytes
    header: tuple[str, ...]
    row: int
    """The header's number."""
    stop: int
    """Where the first data row starts in `data`."""
    key: int
    """Position of the id column."""
    good: int = 0
    bad: int = 0
    why: tuple[str, ...] = ()

    def fits(self) -> bool:
        """Whether most rows bear the dialect out."""
        return self.good >= self.bad

    def reader(self) -> Reader:
        """Give the reader of the rows."""
        return Reader(self.data, Grammar(self.dialect), width=len(self.header), key=self.key)


def find_layout(data: bytes, start: int, *, file: str, finds_id: FindsId, options: SourceSettings) -> Layout:
    """Find dialect and header of the text that starts at `start`.

    Raises SourceError where no row names an id column, or two delimiters fit alike.
    """
    _check_delimiter(file, options)
    finder = _Finder(start, finds_id, options)
    doubled = data.count(_DOUBLED) if data.find(b"\r\r", start) >= 0 else 0
    if doubled and doubled == data.count(b"\n"):
        data = data.replace(_DOUBLED, b"\r\n")
    found = finder.find(data, swapped=False)
    if not found and re.search(rb"\r(?!\n)", data):
        found = finder.find(data.translate(_SWAP), swapped=True)
    if not found:
        raise SourceError(file, finder.nearly or _no_header(options))
    fitting = [layout for layout in found if layout.fits()] or found
    most = max(len(layout.header) for layout in fitting)
    if len(fitting) > 1 and most > 1:
        names = " and ".join(f"{_name(x.dialect.delimiter)} ({len(x.header)} columns)" for x in fitting)
        raise SourceError(
            file, f"the delimiter is in doubt: {names} both find an id column; settle it with source.delimiter"
        )
    return fitting[0]


def describe(layout: Layout) -> dict[str, str]:
    """Give the dialect in words."""
    dialect, sample = layout.dialect, layout.data[: layout.stop + _SAMPLE]
    if dialect.swapped:
        ends = "CR"
    else:
        pairs = sample.count(b"\r\n")
        single = sample.count(b"\n") > pairs
        ends = " and ".join(name for name, is_there in (("LF", single), ("CRLF", pairs)) if is_there) or "none"
    return {
        "delimiter": _name(dialect.delimiter),
        "quote": dialect.quote or "none",
        "escape": "backslash" if dialect.backslash else "doubled" if dialect.quote else "none",
        "line_end": ends,
    }


class _Finder:
    def __init__(self, start: int, finds_id: FindsId, options: SourceSettings) -> None:
        self._start, self._finds_id, self._options = start, finds_id, options
        self.nearly = ""
        """What keeps a row from being the header, where one looks like it."""

    def find(self, data: bytes, *, swapped: bool) -> list[Layout]:
        """Find a layout for every delimiter under which some row names an id column."""
        given = self._options.quote
        quotes = ['"', "'"] if given is None else [None if given == "none" else given]
        for delimiters in self._delimiters(data):
            for quote in quotes:
                dialects = (Dialect(d, quote, swapped=swapped) for d in delimiters)
                found = [layout for dialect in dialects if (layout := self._anchor(data, dialect))]
                if quote == "'" and given is None:
                    found = [layout for layout in found if b"'" in data[: layout.stop].rstrip().rpartition(b"\n")[2]]
                if found:
                    return [self._escaped(self._quoted(self._weigh(layout))) for layout in found]
        return []

    def _delimiters(self, data: bytes) -> Iterator[Sequence[str]]:
        if self._options.delimiter:
            yield self._options.delimiter
            return
        declared = _DECLARED.match(data, self._start)
        if declared and declared[1].decode("latin-1") in DELIMITERS:
            yield declared[1].decode("ascii")
        yield tuple(DELIMITERS)

    def _anchor(self, data: bytes, dialect: Dialect) -> Layout | None:
        """Find the header: the first row that names an id column, or the one that settings name."""
        grammar, wanted = Grammar(dialect), self._options.header_row
        position, row = self._start, 0
        while position < len(data) and row < max(_TOP, wanted or 0):
            row += 1
            stop = line_stop(data, position)
            reading = grammar.read(data, position, line_content(data, position, stop, grammar))
            if reading.unclosed and (longer := read_on(data, position, stop, grammar=grammar)):
                reading, stop = longer, line_stop(data, longer.end)
            if reading.cells and (wanted or row) == row and self._finds_id(reading.cells):
                key = next((i for i, c in enumerate(reading.cells) if self._finds_id((c,))), 0)
                return Layout(dialect, data, reading.cells, row, stop, key)
            if reading.flaw and not self.nearly and self._looks_it(data[position:stop], dialect):
                self.nearly = f"row {row} looks like the header, but {reading.flaw}"
            position = stop
        return None

    def _looks_it(self, line: bytes, dialect: Dialect) -> bool:
        parts = line.decode("utf-8").strip().split(dialect.delimiter)
        return len(parts) > 1 and self._finds_id([part.strip("\"' ") for part in parts])

    def _weigh(self, layout: Layout, doubt: int = -1) -> Layout:
        good, bad = _count(layout, layout.stop, _SAMPLE)
        if doubt >= layout.stop + _SAMPLE:
            more = _count(layout, layout.data.rfind(b"\n", 0, doubt) + 1, _WINDOW)
            good, bad = good + more[0], bad + more[1]
        return replace(layout, good=good, bad=bad)

    def _quoted(self, layout: Layout) -> Layout:
        """Take the apostrophe for a quote only on evidence."""
        dialect = layout.dialect
        if dialect.quote == "'" and self._options.quote is None:
            return replace(layout, why=("the header is wrapped in '",))
        if self._options.quote or layout.data.find(b"'", layout.stop) < 0:
            return layout
        edges = (dialect.delimiter.encode("ascii"), b"\n")
        places = [place for edge in edges if (place := layout.data.find(edge + b"'", layout.stop - 1)) >= 0]
        other = self._anchor(layout.data, replace(dialect, quote="'")) if places else None
        sample = layout.data[layout.stop - 1 : layout.stop + _SAMPLE]
        if other is None or len(other.header) != len(layout.header) or any(e + b'"' in sample for e in edges):
            return layout
        mine, other = self._weigh(layout, min(places)), self._weigh(other, min(places))
        if other.bad < mine.bad:
            return replace(other, why=(f"with ' as quote {other.bad} rows do not fit, else {mine.bad}",))
        if other.bad == mine.bad and _wrapped(layout):
            return replace(other, why=("a whole column is wrapped in '",))
        return layout

    def _escaped(self, layout: Layout) -> Layout:
        """Take the backslash for an escape only where that makes more rows fit."""
        if layout.data.find(b"\\", layout.stop) < 0:
            return layout
        quote, delimiter = (layout.dialect.quote or "").encode(), layout.dialect.delimiter.encode()
        places = [layout.data.find(b"\\" + c, layout.stop) for c in (quote, delimiter) if c]
        places = [place for place in places if place >= 0]
        if not places:
            return layout
        other = self._anchor(layout.data, replace(layout.dialect, backslash=True))
        if other is None:
            return layout
        mine, other = self._weigh(layout, min(places)), self._weigh(other, min(places))
        if other.bad < mine.bad:
            why = f"with \\ as escape {other.bad} rows do not fit, else {mine.bad}"
            return replace(other, why=(*layout.why, why))
        return layout


def _count(layout: Layout, start: int, size: int) -> tuple[int, int]:
    """Count rows that fit and rows that do not."""
    block = layout.reader().block(start, size) if start < len(layout.data) else None
    if block is None:
        return 0, 0
    read = [record for _, record in block.others]
    bad = sum(bool(record.flaw) for record in read)
    return int(block.sound.sum()) + sum(record.cells is not None for record in read), bad


def _wrapped(layout: Layout) -> bool:
    """Whether all cells of some column stand in apostrophes, or one does that holds a doubled one."""
    reader, position = layout.reader(), layout.stop
    rows: list[tuple[str, ...]] = []
    while position < len(layout.data) and len(rows) < 1000:
        for record in reader.records(position):
            position = record.stop
            rows += [record.cells] if record.cells else []
    for column in zip(*rows, strict=True):
        cells = [cell for cell in column if cell]
        inside = [cell[1:-1] for cell in cells if len(cell) > 1 and cell[0] == cell[-1] == "'"]
        if inside and (len(inside) == len(cells) or any("''" in text for text in inside)):
            return True
    return False


def _check_delimiter(file: str, options: SourceSettings) -> None:
    delimiter = options.delimiter
    if delimiter and (not delimiter.isascii() or delimiter in "\"'\\\r\n\0"):
        raise SourceError(file, f"source.delimiter cannot be {delimiter!r}; name one character of ASCII, like ;")


def _name(delimiter: str) -> str:
    return DELIMITERS.get(delimiter, delimiter)


def _no_header(options: SourceSettings) -> str:
    if options.header_row:
        return (
            f"row {options.header_row} names no id column; set source.header_row to the row of the headings, "
            "or map one of them under columns: {Your heading: id}"
        )
    return (
        f"none of the first {_TOP} rows names an id column; head the column with id, "
        "or map its heading under columns: {Your heading: id}"
    )
