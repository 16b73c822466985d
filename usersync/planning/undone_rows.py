"""Give `undo` its rows: the updated ones of an earlier run, inverted."""

from __future__ import annotations

from dataclasses import replace

from usersync.context import Clock
from usersync.diff.inversion import invert_row
from usersync.ledger import Ledger, LedgerRun, RunInfo
from usersync.ledger.run import IN_FLIGHT
from usersync.models import Code, Row, Status
from usersync.planning.earlier_run import find_run
from usersync.planning.sources import RowSource
from usersync.planning.users import UserLookup
from usersync.settings import Settings


class UndoneRows(RowSource):
    """The updated rows of an earlier run, with old and new values exchanged: `undo`."""

    def __init__(self, name: str, ledger: Ledger, settings: Settings) -> None:
        """Find the run to undo, and its rows whose users may hold new values, or a placeholder.

        An e-mail swap that was interrupted is reverted before rows are planned; its rows count all the same. So do
        rows of which the platform kept some values only, as far as is known.
        """
        super().__init__("undo", settings)
        self._name = name
        self._former = find_run(ledger, name, settings)
        changed = (Status.UPDATED, Status.PARKED, Status.REVERTING, *IN_FLIGHT)
        in_part = (Status.FAILED, Status.PLANNED, Status.NOT_SENT)
        self._statuses = {
            row.key: row.status
            for row in self._former.with_status(*changed, *in_part)
            if row.status in changed
            or (row.status is Status.FAILED and row.code == Code.ECHO_DIFFERS)
            or row.was_sent_before
        }

    def start(self, ledger: Ledger, info: RunInfo) -> LedgerRun:
        """Start the undo."""
        return ledger.start(replace(info, parent=self._name, sources=self._former.info.sources))

    async def insert_rows(self, run: LedgerRun, users: UserLookup, clock: Clock) -> None:
        """Insert the inverted rows, and leave alone what somebody else changed since.

        Rows whose answer never came in are looked at as well: their users may hold the new values. So are those of an
        e-mail swap that could not be reverted: they count, and are reported.
        """
        rows = self._former.by_key(self._statuses)
        run.insert(_inverted_row(row, self._name) for row in rows)
        await self.verify_rows(run, users)
        reverted = {
            row.key: row for row in rows if row.status is Status.FAILED and self._statuses[row.key] is not Status.FAILED
        }
        run.revise(
            _restored_row(row, reverted[row.key], self._name)
            for row in run.by_key(reverted)
            if row.status is Status.UNCHANGED
        )

    def row_count(self, run: LedgerRun) -> int:
        """Return the rows whose users may have been changed."""
        return len(self._statuses)


def _inverted_row(row: Row, run: str) -> Row:
    """Return the row that restores what an updated row changed, or one of which the platform altered the values."""
    changes, kept = invert_row(row)
    note = f"undo of run {run}"
    if kept:
        note += f"; kept: {', '.join(kept)}"
    status = Status.PLANNED if changes else Status.CONFLICT
    inverted = Row(row.key, row.source, row.row, row.id, status, note=note)
    return inverted.with_changes(changes) if changes else inverted


def _restored_row(row: Row, reverted: Row, run: str) -> Row:
    """Return the row of an undo whose user got the old values back when an interrupted e-mail swap was reverted."""
    changed = _inverted_row(reverted, run)
    return replace(
        row, status=Status.UPDATED, changed=changed.changed, old=changed.old, new=changed.new,
        message=reverted.message, http_status=reverted.http_status, finished_at=reverted.finished_at,
    )  # fmt: skip
