"""Fit a header and rows of different widths where the cause is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from usersync.errors import SourceError
from usersync.loader.csv_dialect import DialectMatch
from usersync.loader.csv_parser import DELIMITERS, RecordParser
from usersync.loader.csv_records import is_remark, parsed_records

#: Rows that are looked at; one of another width among them, and the header stays as it is.
_SAMPLE = 1000
#: Rows for which Excel decides together how many cells it writes.
_EXCEL_BLOCK = 16


def fit_width(match: DialectMatch, file: str) -> tuple[DialectMatch, tuple[str, ...]]:
    """Add or drop blank headings at the end where all rows have, or lack, the cells below them; with a note.

    Raises SourceError where all rows begin with a number that has no heading, as R writes them.
    """
    rows = list(islice(_rows(match), _SAMPLE))
    width = len(match.header)
    widths = {len(row) for row in rows}
    if len(rows) < 2 or len(widths) != 1 or width in widths:
        return match, ()
    (found,) = widths
    delimiter = DELIMITERS.get(match.dialect.delimiter, match.dialect.delimiter)
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


def excel_fills(rows: Sequence[int], short: Mapping[int, int], *, header_row: int) -> bool:
    """Whether short rows lack blank cells at their ends only because Excel leaves those off, in blocks of 16 rows.

    `rows` has the row numbers of all data rows, `short` the widths of the short ones by their positions. Within each
    block all rows are of one width, since Excel writes as many cells as the longest row of the block has.
    """
    blocks = {(header_row - 1) // _EXCEL_BLOCK: [0]}
    for at, row in enumerate(rows):
        blocks.setdefault((row - 1) // _EXCEL_BLOCK, []).append(short.get(at, 0))
    short_blocks = [widths for widths in blocks.values() if any(widths)]
    return all(len(set(widths)) == 1 for widths in short_blocks) and any(len(widths) > 1 for widths in short_blocks)
