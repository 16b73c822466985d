"""Read the lines of a report from the ledger, some thousand at a time.

SQLite makes the cells: a Row for each line would take several times as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from usersync.ledger.database import Database
from usersync.ledger.schema import READ_ROWS
from usersync.models import OWNERS, Owner

Cells: TypeAlias = tuple[Any, ...]
"""One line: the cells of `report.columns.COLUMNS`, and the row's key."""

#: Lines that are read at once.
LINES_AT_ONCE = 5_000
_REASON = "message || iif(message <> '' AND note <> '', '; ', '') || note"
_FIRST_CODE = "iif(instr(code, ';'), substr(code, 1, instr(code, ';') - 1), code)"
_OWNERS = " ".join(f"WHEN '{code}' THEN '{owner}'" for code, owner in OWNERS.items())
_OWNER = f"CASE {_FIRST_CODE} WHEN '' THEN '{Owner.NOBODY}' {_OWNERS} ELSE '{Owner.SHEET}' END"


def read_cells(database: Database, run: int, places: Sequence[Sequence[str]]) -> Iterator[list[Cells]]:
    """Yield the lines of a run in input order, with their public status; `places` are file and sheet by source."""
    file, sheet = (_by_source(len(places)) for _ in range(2))
    query = (
        f"SELECT {file}, {sheet}, row, id, status, changed, old, new, http_status, attempts, code, {_REASON}, {_OWNER},"
        " coalesce(name, ''), coalesce(email, ''), custom_attributes, finished_at, key"
        f" FROM ({READ_ROWS}) WHERE run = ? AND key BETWEEN ? AND ? ORDER BY key"
    )
    values = [place[i] for i in range(2) for place in places]
    last = database.first("SELECT max(key) FROM row WHERE run = ?", (run,))[0]
    for key in range(0, -1 if last is None else last + 1, LINES_AT_ONCE):
        yield database.all(query, (*values, run, key, key + LINES_AT_ONCE - 1))


def _by_source(sources: int) -> str:
    """Return an SQL expression for one value of each source."""
    return f"CASE source {' '.join(f'WHEN {n} THEN ?' for n in range(sources))} ELSE '' END" if sources else "''"
