"""Detect the dialect and the header row of a text file.

The header is the first row that names an id column; lines above it may look like anything. Of the dialects that find
one, the rows below it decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from usersync.errors import SourceError
from usersync.loader.csv_hints import TOP, explain_missing_header, no_header
from usersync.loader.csv_parser import DELIMITERS, Dialect, RecordParser
from usersync.loader.csv_records import RecordReader, line_stop, parsed_records
from usersync.loader.headings import CONTACTS, Headings
from usersync.loader.workbook_cell_info import MAX_COLUMNS
from usersync.settings import SourceSettings

_SWAP = bytes.maketrans(b"\r\n", b"\n\r")
#: The line end of a file that was written twice in text mode on Windows.
_DOUBLED = b"\r\r\n"
#: Bytes below the header on which dialects are compared.
_SAMPLE = 1 << 20
#: Bytes around a first unusual quote or escape further down that are compared as well.
_WINDOW = 1 << 18
_PATH = re.compile(rb"\b[A-Za-z]:\\[A-Za-z]")
_DECLARED = re.compile(rb"\"?sep=(.)\"?\r?\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DialectMatch:
    """A header found under a dialect, and how well the rows below it fit."""

    dialect: Dialect
    data: bytes
    header: tuple[str, ...]
    row: int
    """Row number of the header."""
    stop: int
    """Where the first data row starts in `data`."""
    key: int
    """Position of the id column, or of the e-mail column where rows are matched by e-mail."""
    well_formed: int = 0
    """Rows of the sample that can be read; `malformed`: that cannot."""
    malformed: int = 0
    why: tuple[str, ...] = ()

    def fits(self) -> bool:
        """Return whether most rows can be read."""
        return self.well_formed >= self.malformed

    def reader(self) -> RecordReader:
        """Return a reader of the data rows."""
        ends_in_crlf = not self.dialect.swapped and self.data[self.stop - 2 : self.stop] == b"\r\n"
        parser = RecordParser(self.dialect)
        return RecordReader(self.data, parser, width=len(self.header), key=self.key, ends_in_crlf=ends_in_crlf)


def detect_dialect(
    data: bytes, start: int, *, file: str, headings: Headings, options: SourceSettings, exported: bool = False
) -> DialectMatch:
    """Find dialect and header of the text that starts at `start`.

    In an `exported` file, apostrophes and backslashes are text; elsewhere the rows decide. Raises SourceError where no
    row names an id column, or several delimiters fit.
    """
    _check_delimiter(file, options)
    finder = _Finder(file, start, headings, options, exported=exported)
    doubled = data.count(_DOUBLED) if data.find(b"\r\r", start) >= 0 else 0
    if doubled and doubled == data.count(b"\n"):
        data = data.replace(_DOUBLED, b"\r\n")
    found = finder.find(data, swapped=False)
    if not found and re.search(rb"\r(?!\n)", data):
        found = finder.find(data.translate(_SWAP), swapped=True)
    if not found:
        hint = finder.damaged_header or explain_missing_header(data, start, headings)
        raise SourceError(file, hint or finder.missing_id or no_header(options))
    fitting = [match for match in found if match.fits()] or found
    most = max(len(match.header) for match in fitting)
    if len(fitting) > 1 and most > 1:
        names = " and ".join(f"{x.dialect.delimiter_name} ({len(x.header)} columns)" for x in fitting)
        raise SourceError(file, f"the delimiter is in doubt: {names} both find an id column; set source.delimiter")
    return fitting[0]


def describe(match: DialectMatch) -> dict[str, str]:
    """Return the dialect in words."""
    dialect, sample = match.dialect, match.data[: match.stop + _SAMPLE]
    if dialect.swapped:
        ends = "CR"
    else:
        pairs = sample.count(b"\r\n")
        single = sample.count(b"\n") > pairs
        ends = " and ".join(name for name, is_there in (("LF", single), ("CRLF", pairs)) if is_there) or "none"
    return {
        "delimiter": dialect.delimiter_name,
        "quote": dialect.quote or "none",
        "escape": "backslash" if dialect.backslash else "doubled" if dialect.quote else "none",
        "line_end": ends,
    }


class _Finder:
    def __init__(self, file: str, start: int, headings: Headings, options: SourceSettings, *, exported: bool) -> None:
        self._file = file
        self._exported = exported
        self._start = start
        self._headings = headings
        self._options = options
        #: What is wrong with a row that looks like the header.
        self.damaged_header = ""
        #: What to do about a row that looks like the header and has no id column.
        self.missing_id = ""
        self._fields = 0
        self._most_cells = 0

    def find(self, data: bytes, *, swapped: bool) -> list[DialectMatch]:
        """Return a match for every delimiter under which some row names an id column."""
        given = self._options.quote
        quotes = ['"', "'"] if given is None else [None if given == "none" else given]
        for delimiters in self._delimiters(data):
            for quote in quotes:
                dialects = (Dialect(d, quote, swapped=swapped) for d in delimiters)
                found = [match for dialect in dialects if (match := self._find_header(data, dialect))]
                if quote == "'" and given is None:
                    found = [match for match in found if b"'" in data[: match.stop].rstrip().rpartition(b"\n")[2]]
                found = [match for match in found if self._headings.is_final(match.header)] or found
                if found:
                    counted = map(self._count_rows, found)
                    if self._exported:
                        return list(counted)
                    return [self._try_backslash(self._try_apostrophe(match)) for match in counted]
        return []

    def _delimiters(self, data: bytes) -> Iterator[Sequence[str]]:
        if self._options.delimiter:
            yield self._options.delimiter
            return
        declared = _DECLARED.match(data, self._start)
        if declared and declared[1].decode("latin-1") in DELIMITERS:
            yield declared[1].decode("ascii")
        yield tuple(DELIMITERS)

    def _find_header(self, data: bytes, dialect: Dialect) -> DialectMatch | None:
        """Find the first row that names an id column, or else an e-mail column; or check the row that settings name."""
        parser = RecordParser(dialect)
        named = self._options.header_row
        without_id: DialectMatch | None = None
        addresses = 0  # rows below that one with an address
        first: tuple[int, Sequence[str]] | None = None  # the first row of several cells
        records = islice(parsed_records(data, self._start, parser), max(TOP, named or 0))
        for row, (start, stop, parsed) in enumerate(records, 1):
            self._check_columns(row, data.count(parser.delimiter, start, line_stop(data, start)))
            if parsed.cells and (named or row) == row:
                key = self._headings.key_column(parsed.cells)
                if key is not None and not without_id:
                    without_id = DialectMatch(dialect, data, parsed.cells, row, stop, key)
                if key is not None and self._headings.is_final(parsed.cells):
                    return DialectMatch(dialect, data, parsed.cells, row, stop, key)
                if without_id and "@" in "".join(parsed.cells[without_id.key : without_id.key + 1]):
                    addresses += 1
                    if addresses > CONTACTS:
                        return without_id  # with rows that would be lost above a header further down
                self._remember_candidate(row, parsed.cells)
                if first is None and len(list(filter(str.strip, parsed.cells))) > 1:
                    first = row, parsed.cells
            if parsed.error and not self.damaged_header and self._looks_like_header(data[start:stop], dialect):
                self.damaged_header = f"row {row} looks like the header, but {parsed.error}"
        if first and not named and not self._fields and len(first[1]) > self._most_cells:
            self._most_cells = len(first[1])
            self.missing_id = self._headings.explain_missing_id(*first)
        return without_id

    def _check_columns(self, row: int, delimiters: int) -> None:
        if delimiters >= MAX_COLUMNS:
            raise SourceError(self._file, f"row {row} has {delimiters + 1:,} cells; no table of users is that wide")

    def _looks_like_header(self, line: bytes, dialect: Dialect) -> bool:
        parts = line.decode("utf-8").strip().split(dialect.delimiter)
        return len(parts) > 1 and self._headings.key_column([part.strip("\"' ") for part in parts]) is not None

    def _remember_candidate(self, row: int, cells: Sequence[str]) -> None:
        fields = self._headings.resemblance(cells)
        if fields > self._fields:
            self._fields = fields
            self.missing_id = self._headings.explain_missing_id(row, cells)

    def _count_rows(self, match: DialectMatch, unusual: int = -1) -> DialectMatch:
        """Count well-formed and malformed rows below the header, and around the offset `unusual` further down."""
        well_formed, malformed = _count(match, match.stop, _SAMPLE)
        if unusual >= match.stop + _SAMPLE:
            more = _count(match, match.data.rfind(b"\n", 0, unusual) + 1, _WINDOW)
            well_formed, malformed = well_formed + more[0], malformed + more[1]
        return replace(match, well_formed=well_formed, malformed=malformed)

    def _try_apostrophe(self, match: DialectMatch) -> DialectMatch:
        """Take the apostrophe for the quote only if more rows fit."""
        dialect = match.dialect
        if dialect.quote == "'" and self._options.quote is None:
            return replace(match, why=("the header is wrapped in '",))
        if self._options.quote or match.data.find(b"'", match.stop) < 0:
            return match
        edges = (dialect.delimiter.encode("ascii"), b"\n")
        places = [place for edge in edges if (place := match.data.find(edge + b"'", match.stop - 1)) >= 0]
        other = self._find_header(match.data, replace(dialect, quote="'")) if places else None
        sample = match.data[match.stop - 1 : match.stop + _SAMPLE]
        if other is None or len(other.header) != len(match.header) or any(e + b'"' in sample for e in edges):
            return match
        tie = "a whole column is wrapped in '" if _has_wrapped_column(match) else ""
        return self._better(match, other, min(places), reading="' as quote", tie=tie)

    def _try_backslash(self, match: DialectMatch) -> DialectMatch:
        """Take the backslash for an escape only if more rows fit."""
        if match.data.find(b"\\", match.stop) < 0:
            return match
        quote, delimiter = (match.dialect.quote or "").encode(), match.dialect.delimiter.encode()
        places = [match.data.find(b"\\" + c, match.stop) for c in {quote, delimiter, b"'"} if c]
        places = [place for place in places if place >= 0]
        if not places:
            return match
        letters = _has_letter_escapes(match)
        other = self._find_header(match.data, replace(match.dialect, backslash=True, letter_escapes=letters))
        if other is None:
            return match
        sample = match.data[match.stop : match.stop + _SAMPLE]
        escapes_only = b"\\'" in sample and _escapes_only(sample, quote + delimiter)
        tie = "every \\ stands before a character that it escapes" if escapes_only else ""
        return self._better(match, other, min(places), reading="\\ as escape", tie=tie)

    def _better(self, match: DialectMatch, other: DialectMatch, at: int, *, reading: str, tie: str) -> DialectMatch:
        """Return the other match if more rows fit, or if as many do and `tie` says why."""
        plain, other = self._count_rows(match, at), self._count_rows(other, at)
        if other.malformed < plain.malformed:
            tie = f"with {reading} {other.malformed} rows do not fit, otherwise {plain.malformed}"
        elif other.malformed > plain.malformed or not tie:
            return match
        return replace(other, why=(*match.why, tie))


def _has_letter_escapes(match: DialectMatch) -> bool:
    r"""Whether \n may stand for a line break: if no cell has a real one, and nothing looks like a path (C:\new)."""
    sample = match.data[match.stop : match.stop + _SAMPLE]
    if _PATH.search(sample):
        return False
    dialect = replace(match.dialect, backslash=True)
    block = replace(match, dialect=dialect).reader().block(match.stop, _SAMPLE) if sample else None
    records = [record for _, record in block.special if record.cells] if block else []
    return not any("\n" in cell for record in records for cell in record.cells or ())


def _escapes_only(sample: bytes, special: bytes) -> bool:
    """Return whether every backslash stands before a quote, an apostrophe, a delimiter or another backslash."""
    return not re.search(rb"\\[^'\"\\" + re.escape(special) + b"]", sample.replace(rb"\\", b""))


def _count(match: DialectMatch, start: int, size: int) -> tuple[int, int]:
    block = match.reader().block(start, size) if start < len(match.data) else None
    if block is None:
        return 0, 0
    read = [record for _, record in block.special]
    malformed = sum(bool(record.error) for record in read)
    return int(block.clean.sum()) + sum(record.cells is not None for record in read), malformed


def _has_wrapped_column(match: DialectMatch) -> bool:
    """Return whether all cells of a column are wrapped in apostrophes, or one of them holds a doubled one."""
    reader, position = match.reader(), match.stop
    rows: list[tuple[str, ...]] = []
    while position < len(match.data) and len(rows) < 1000:
        for record in reader.read_records(position):
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
