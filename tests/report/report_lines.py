"""Turn rows into the lines of a report, by way of a ledger, as a run does."""

from collections.abc import Iterable

from usersync.ledger import Cells, Ledger, RunInfo
from usersync.models import Row


def lines_of(rows: Iterable[Row]) -> list[list[Cells]]:
    """Return the lines, some at a time, of rows, which stand in one file and sheet for each source."""
    rows = list(rows)
    places = {row.source: {"file": row.file, "sheet": row.sheet} for row in rows}
    sources = tuple(places[n] for n in sorted(places))
    with Ledger(None) as ledger:
        run = ledger.start(RunInfo("R1", "run", "https://chat.example.org", "", "", sources=sources))
        run.insert(rows)
        return list(run.report_cells())
