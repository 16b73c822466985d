"""Give `undo` its rows: the updated ones of an earlier run, inverted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from usersync.context import Clock
from usersync.diff.inversion import invert_row
from usersync.ledger import Ledger, LedgerRun, RunInfo
from usersync.ledger.run import IN_FLIGHT
from usersync.models import Code, Json, Row, Status
from usersync.planning.earlier_run import find_run
from usersync.planning.sources import RowSource
from usersync.planning.users import UserLookup
from usersync.planning.verify import overtaken_fields
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
        self._undos = frozenset(info.run for info in ledger.runs() if info.kind == "undo")
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
        newer = self._former.snapshots.last_written([row.user_id for row in rows], by_newer_runs=True)
        run.insert(self._inverted_row(row, newer.get(row.user_id, {})) for row in rows)
        await self.verify_rows(run, users)
        reverted = {
            row.key: row for row in rows if row.status is Status.FAILED and self._statuses[row.key] is not Status.FAILED
        }
        run.revise(
            _restored_row(row, self._inverted_row(reverted[row.key], {}), reverted[row.key])
            for row in run.by_key(reverted)
            if row.status is Status.UNCHANGED
        )

    def _inverted_row(self, row: Row, newer: Mapping[str, Json]) -> Row:
        """Return the row that restores what an updated row changed, or one of which the platform altered the values.

        A value that a later run wrote stays, even if it is the same; not so one that a later undo restored. `newer` are
        the values that later runs wrote last, by field.
        """
        changes, kept = invert_row(row)
        writers = {
            name: self._former.snapshots.last_writer(row.user_id, name)[0] for name in overtaken_fields(changes, newer)
        }
        overtaken = {name: run for name, run in writers.items() if run and run not in self._undos}
        changes = tuple(change for change in changes if change.field not in overtaken)
        kept += tuple(f"{name} (run {run} changed it since)" for name, run in overtaken.items())
        note = f"undo of run {self._name}"
        if kept:
            note += f"; kept: {', '.join(kept)}"
        status = Status.PLANNED if changes else Status.CONFLICT
        inverted = Row(row.key, row.source, row.row, row.id, status, note=note)
        return inverted.with_changes(changes) if changes else inverted

    def row_count(self, run: LedgerRun) -> int:
        """Return the rows whose users may have been changed."""
        return len(self._statuses)


def _restored_row(row: Row, inverted: Row, reverted: Row) -> Row:
    """Return the row of an undo whose user got the old values back when an interrupted e-mail swap was reverted."""
    return replace(
        row, status=Status.UPDATED, changed=inverted.changed, old=inverted.old, new=inverted.new,
        message=reverted.message, http_status=reverted.http_status, finished_at=reverted.finished_at,
    )  # fmt: skip
