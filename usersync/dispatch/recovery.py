"""Resolve what interrupted runs left behind: requests in flight and e-mail swaps."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar

from usersync.context import Context, iso, run_concurrently
from usersync.diff.verification import are_applied, may_hold_new_values
from usersync.dispatch.email_swaps import EmailSwaps, parked
from usersync.dispatch.sender import Sender, undecided
from usersync.ledger import LedgerRun
from usersync.ledger.run import IN_FLIGHT
from usersync.models import Result, Row, Status
from usersync.values import same_email

log = logging.getLogger(__name__)
Item = TypeVar("Item")


class Recovery:
    """Brings rows of interrupted runs to an end, `concurrency` requests at a time."""

    def __init__(self, run: LedgerRun, sender: Sender, context: Context, *, concurrency: int) -> None:
        self._run, self._sender, self._context = run, sender, context
        self._concurrency = concurrency

    async def resolve_in_flight(self) -> None:
        """Find out what became of the rows of this run that were in flight when it was interrupted."""
        await self._resolve(self._run, self._run.with_status(*IN_FLIGHT))
        await self.revert_broken_swaps()

    async def revert_broken_swaps(self) -> None:
        """Restore the addresses of users whose e-mail swap cannot be completed, even if nothing else is sent."""
        swaps = EmailSwaps(self._run, self._sender)
        await self._each(swaps.broken(), swaps.revert)

    async def revert_interrupted_swaps(self, runs: Iterable[LedgerRun]) -> None:
        """Restore the addresses of users whom these interrupted runs left with a placeholder."""
        for run in runs:
            swaps = EmailSwaps(run, self._sender)
            begun = [row for swap in swaps.open() for row in swap if row.status is not Status.FAILED]
            await self._resolve(run, [row for row in begun if row.status in IN_FLIGHT])
            run.flush()
            by = "" if run.number == self._run.number else f" by run {self._run.info.run}"
            reason = f"reverted{by}, because run {run.info.run} was interrupted"
            await self._each(swaps.open(), partial(swaps.revert, reason=reason))
            run.snapshots.remember()
            for row in run.by_key(row.key for row in begun):
                if row.status in (Status.FAILED, Status.REVERTING):
                    log.warning("row %s of run %s, user %s: %s", row.row, run.info.run, row.id, row.message)

    async def _resolve(self, run: LedgerRun, rows: Iterable[Row]) -> None:
        await self._each(list(rows), partial(self._resolve_row, run))

    async def _resolve_row(self, run: LedgerRun, row: Row) -> None:
        """Read what became of a row whose answer never came in."""
        seen_at = iso(self._context.clock.now())
        found = await self._sender.read(row.user_id)
        if isinstance(found, Result):
            if found.status is not Status.NOT_SENT:
                run.record(row.key, undecided(found))
        elif row.placeholder and same_email(found.email, row.placeholder):
            run.record(row.key, parked(row, Result(Status.UPDATED, "", "", 200, 1, found)))
        elif are_applied(row.changes, found):
            message = "the answer was lost; a later check found the new values"
            run.record(row.key, Result(Status.UPDATED, "", message, 200, 1, found, seen_at))
        else:
            sent = may_hold_new_values(row.changes, found)
            run.record(row.key, Result(Status.PLANNED, attempts=int(sent), user=found))

    async def _each(self, items: Iterable[Item], work: Callable[[Item], Awaitable[object]]) -> None:
        await run_concurrently(items, work, concurrency=self._concurrency, stop=self._context.stop)
