"""A run that has ended in, its report out; and the proof that every row of the input has one line of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from usersync.dispatch.rate_limit import StopReason
from usersync.dispatch.sender import Sender, Tally
from usersync.errors import RowCountError
from usersync.ledger import LedgerRun
from usersync.models import DesiredValues, Line, Table
from usersync.planning.plan import Plan
from usersync.report import Summary, write_report
from usersync.report.files import Facts
from usersync.report.rejects import write_rejects
from usersync.settings import Settings


class Accounts:
    """Gives account of one run, `seconds` long."""

    def __init__(self, settings: Settings, book: LedgerRun, seconds: float) -> None:
        self._settings, self._book, self._seconds = settings, book, seconds

    def write(
        self,
        plan: Plan,
        sender: Sender | None,
        stop: StopReason | None,
        *,
        rejects: Callable[[Iterable[Line], Path], Path | None],
    ) -> Summary:
        """Write the files of the run."""
        overrides = self._book.info.overrides
        facts = Facts(
            requests=sender.tally if sender else Tally(),
            seconds=self._seconds,
            stop=(stop.exit_code, stop.message) if stop else None,
            problems=plan.problems,
            left_out=plan.left_out,
            limits=[
                {"rule": r.rule, "sentence": r.sentence(), "overridden": r.rule in overrides} for r in plan.refusals
            ],
            head=asdict(self._book.info),
            timeline=list(sender.slices()) if sender else [],
        )
        report = self._settings.report
        return write_report(self._book, report.dir, facts, formats=report.formats, rejects=rejects)

    def rejects(self, table: Table, wanted: DesiredValues) -> Callable[[Iterable[Line], Path], Path | None]:
        """Give the way to write the file of the rows that need a person."""
        from usersync.loader import load

        if not table.sheets:  # an undo: its rows are no sheet's
            return lambda _lines, _folder: None
        source = self._settings.source
        return partial(
            write_rejects,
            table=table,
            problems=wanted.problems,
            header_row=source.header_row or 1,
            reread=partial(load, options=source, columns=self._settings.columns),
        )


def prove(rows_in: int, summary: Summary) -> None:
    """See that every row has exactly one line; a miscount is our defect, and said loudly."""
    total = sum(n for name, n in summary.counts.items() if name != "rows")
    if not rows_in == summary.lines == summary.counts["rows"] == total:
        raise RowCountError(
            f"the accounts do not add up: {rows_in} rows in, {summary.lines} lines out, {total} counted. "
            f"This is a defect of usersync; the ledger holds the truth (run {summary.run}). Please report it"
        )
