"""Read the lines of a report from the ledger, some thousand at a time.

SQLite makes the cells: a Row for each line would take several times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from usersync.ledger.database import Database
from usersync.ledger.schema import READ_ROWS
from usersync.ledger.unchanged import UnchangedRange
from usersync.masking import mask_secrets_in, may_hold_secrets
from usersync.models import OWNERS, Owner, Status

Cells: TypeAlias = tuple[Any, ...]
"""One line: the cells of `report.columns.COLUMNS`, and the row's key."""

#: Lines that are read at once.
LINES_AT_ONCE = 5_000
#: Where old values stand in a line, and beside them new ones.
_OLD = 6
_NEW = _OLD + 1
_REASON = "message || iif(message <> '' AND note <> '', '; ', '') || note"
_FIRST_CODE = "iif(instr(code, ';'), substr(code, 1, instr(code, ';') - 1), code)"
_OWNERS = " ".join(f"WHEN '{code}' THEN '{owner}'" for code, owner in OWNERS.items())
_OWNER = f"iif(code = '', '{Owner.NOBODY}', CASE {_FIRST_CODE} {_OWNERS} ELSE '{Owner.SHEET}' END)"


def read_cells(
    database: Database, run: int, places: Sequence[Sequence[str]], unchanged: Iterable[UnchangedRange]
) -> Iterator[list[Cells]]:
    """Yield the lines of a run in input order, with their public status.

    `places` are file and sheet by source, `unchanged` the rows that are kept in ranges.
    """
    file, sheet = (_by_source(len(places)) for _ in range(2))
    query = (
        f"SELECT {file}, {sheet}, row, id, status, changed, old, new, http_status, attempts, code, {_REASON}, {_OWNER},"
        " coalesce(name, ''), coalesce(email, ''), custom_attributes, finished_at, key"
        f" FROM ({READ_ROWS}) WHERE run = ? AND key BETWEEN ? AND ? ORDER BY key"
    )
    values = [place[i] for i in range(2) for place in places]
    others = (line for span in unchanged for line in _lines(span, *places[span.source]))
    other = next(others, None)
    last = database.first("SELECT coalesce(max(key), -1) FROM row WHERE run = ?", (run,))[0]
    start = 0
    while start <= last or other:
        lines = database.all(query, (*values, run, start, start + LINES_AT_ONCE - 1))
        start += LINES_AT_ONCE
        while other and other[-1] < start:
            lines.append(other)
            other = next(others, None)
        lines.sort(key=itemgetter(-1))
        if lines:
            yield _without_secrets(lines)


def _without_secrets(lines: list[Cells]) -> list[Cells]:
    """Return the lines with `***` for secrets in old and new values, which the ledger keeps for `undo`."""
    if not may_hold_secrets("".join([line[_OLD] + line[_NEW] for line in lines])):
        return lines
    return [(*line[:_OLD], *map(mask_secrets_in, line[_OLD : _NEW + 1]), *line[_NEW + 1 :]) for line in lines]


def _lines(span: UnchangedRange, file: str, sheet: str) -> Iterator[Cells]:
    """Yield the lines of unchanged rows."""
    key, _, row, note, _ = span
    middle = (Status.UNCHANGED.value, "", "", "", None, 0, "", note, Owner.NOBODY.value, "", "", "", "")
    for n, user_id in span.numbered_ids():
        yield (file, sheet, row + n, user_id, *middle, key + n)


def _by_source(sources: int) -> str:
    """Return an SQL expression for one value of each source."""
    return f"CASE source {' '.join(f'WHEN {n} THEN ?' for n in range(sources))} ELSE '' END" if sources else "''"
