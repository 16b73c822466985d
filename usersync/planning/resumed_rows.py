"""Give `resume` its rows: those of an interrupted run that were not sent."""

from __future__ import annotations

from dataclasses import replace

from usersync.context import Clock, RunOptions
from usersync.diff.limits import check_overrides
from usersync.errors import RefusedError, SourceError, UsageError
from usersync.ledger import Ledger, LedgerRun, RunInfo
from usersync.ledger.resumption import delete_rows, keep_compared, reopen
from usersync.planning.earlier_run import find_run, read_again
from usersync.planning.email_index import email_index
from usersync.planning.matching import STAND_IN, EmailIndex, Matching, index_of_rows
from usersync.planning.row_comparison import RowComparison
from usersync.planning.sources import RowSource
from usersync.planning.undone_rows import UndoneRows
from usersync.planning.users import UserLookup
from usersync.planning.verify import reject_confirmed_rows, reject_overtaken_rows
from usersync.settings import Settings


class ResumedRows(RowSource):
    """The rows of an interrupted run that were not sent: `resume`."""

    def __init__(self, name: str | None, ledger: Ledger, settings: Settings, options: RunOptions) -> None:
        """Find the run, and read its sources again; where that is not possible, `refusal` says why."""
        name = name or next(iter(ledger.resumable(settings.platform.url)), None)
        if name is None:
            raise UsageError("no interrupted run to resume; `usersync runs` lists all runs")
        self._run = find_run(ledger, name, settings)
        if undo := ledger.undone().get(name):
            raise UsageError(f"run {name} was undone by run {undo}; to send its rows after all, run its files again")
        check_overrides(options.overrides, settings.limits)
        info = self._run.info
        self._run.info = replace(info, overrides=(*info.overrides, *options.overrides))
        super().__init__(info.kind, settings)
        self._undone: UndoneRows | None = None
        if info.kind == "undo":
            if info.planned_at is None:
                self._undone = UndoneRows(info.parent or "", ledger, settings)
            return
        try:
            self.given = read_again(info, settings, self._run.rows())
        except (RefusedError, SourceError) as refusal:
            self.refusal = refusal

    def start(self, ledger: Ledger, info: RunInfo) -> LedgerRun:
        """Reopen the run, unless its sources cannot be read; it keeps its head."""
        ledger.remember_interrupted(self._run.info.platform)
        if not isinstance(self.refusal, SourceError):
            reopen(self._run)
        return self._run

    async def insert_rows(self, run: LedgerRun, users: UserLookup, clock: Clock) -> None:
        """Plan again what was not sent; a plan that was never complete is completed first."""
        if run.info.planned_at is None:
            await self._complete_plan(run, users, clock)
        else:
            await self.verify_rows(run, users)
        if self.kind != "undo":
            reject_confirmed_rows(run)

    async def _complete_plan(self, run: LedgerRun, users: UserLookup, clock: Clock) -> None:
        if self._undone:
            delete_rows(run)
            await self._undone.insert_rows(run, users, clock)
            return
        if self.kind == "apply" and not run.counts():
            raise UsageError(f"run {run.info.run} ended before its plan was read; apply the plan again")
        compared = keep_compared(run) if self.kind == "run" else []
        await self.verify_rows(run, users)
        if self.kind == "run":
            if self.given.needs_index:
                index = await email_index(self.settings, users, run.snapshots, clock)
                self.given = self.given.matched(_with_compared(index, self.given.matching, run))
            comparison = RowComparison(self.given, run, self.settings, clock, users)
            self.notes = await comparison.insert_rows(compared=compared)
            reject_overtaken_rows(run)

    def row_count(self, run: LedgerRun) -> int:
        """Return the rows of the files; where `--limit` left out some, the ledger alone knows how many."""
        is_whole = self.kind == "run" and run.info.options.get("limit") is None and not self.refusal
        return len(self.given.table.cells) if is_whole else sum(run.counts().values())


def _with_compared(index: EmailIndex, matching: Matching, run: LedgerRun) -> EmailIndex:
    """Return the index with the users that rows already compared were matched with."""
    then = index_of_rows(matching, run.rows(), index.origin)
    compared = {address: number for address, number in then.ids.items() if number < STAND_IN}
    return replace(index, ids={**index.ids, **compared})
