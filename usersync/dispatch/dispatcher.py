"""The ledger's planned rows in, outcomes in the ledger out: in turns, in steps where a ramp is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from logging import INFO
from typing import TYPE_CHECKING

from usersync.context import Context
from usersync.dispatch.canary import CanaryStages
from usersync.dispatch.claims import Claims, Passwords
from usersync.dispatch.dask_engine import joined
from usersync.dispatch.email_swaps import Rings
from usersync.dispatch.rate_limit import Job, each
from usersync.dispatch.sender import Sender
from usersync.errors import StoppedError
from usersync.ledger import LedgerRun
from usersync.logs import EVENTS, event
from usersync.models import Change, Outcome
from usersync.settings import Settings

if TYPE_CHECKING:
    from pandas import Series

FLUSH_EVERY = 0.2
"""Seconds that an answer may wait for its place on the disk."""


Way = Callable[[Iterable[Change]], Awaitable[None]]
"""Sends changes, and settles what becomes of each."""


class Sending:
    """Sends what one run has planned."""

    def __init__(
        self, settings: Settings, context: Context, book: LedgerRun, sender: Sender, passwords: Passwords
    ) -> None:
        self._settings, self._around, self._book = settings, context, book
        self._sender, self._passwords = sender, passwords
        self._concurrency = settings.request.concurrency
        self._ramp = CanaryStages(settings.request.ramp, settings.request.ramp_max_failures)

    async def all(self, total: int, numbers: Series[int]) -> None:
        """Send everything; `total` users would be changed, and `numbers` are the rows' numbers by key."""
        rings = Rings(self._book, self._sender)
        self._around.watch.begin("sending", total)
        async with self._flushing(), self._way(numbers) as send:
            await self._each(rings.closed(), rings.open)
            for turn in range(self._book.turns.last() + 1):
                if self._around.stop:
                    break
                self._book.flush()
                self._book.turns.block(turn)
                claims = Claims(self._book, self._around.clock.monotonic, turn=turn)
                await self._in_steps(claims, send)
                claims.release()
            await self._each(rings.broken(), rings.restore)

    async def _in_steps(self, claims: Claims, send: Way) -> None:
        while (size := self._ramp.room) is not None:
            await send(islice(claims, size))
            if self._ramp.room or self._around.stop:
                return
            if refusal := self._ramp.refusal():
                self._around.stop.ask(StoppedError.exit_code, refusal)
                return
        await send(claims)

    @asynccontextmanager
    async def _way(self, numbers: Series[int]) -> AsyncIterator[Way]:
        """Give the way from claimed changes to settled outcomes: through this process, or a cluster."""
        if self._settings.engine == "local":
            update = self._logged(numbers) if EVENTS.isEnabledFor(INFO) else self._update
            yield lambda changes: self._each(changes, update)
            return

        def take(change: Change, outcome: Outcome) -> None:
            self._take(outcome)
            _log(int(numbers[change.key]), change, outcome)

        async with joined(self._settings, self._around, self._sender, take) as cluster:
            yield lambda changes: cluster.send(map(self._passwords.fill, changes))

    async def _each(self, jobs: Iterable[Job], work: Callable[[Job], Awaitable[object]]) -> None:
        await each(jobs, work, concurrency=self._concurrency, stop=self._around.stop)

    async def _update(self, change: Change) -> Outcome:
        outcome = await self._sender.update(self._passwords.fill(change))
        self._take(outcome)
        return outcome

    def _take(self, outcome: Outcome) -> None:
        self._book.settle(outcome)
        self._ramp.note(outcome.status)
        self._around.watch.row(outcome.status)

    def _logged(self, numbers: Series[int]) -> Callable[[Change], Awaitable[object]]:
        clock = self._around.clock

        async def logged(change: Change) -> None:
            began = clock.monotonic()
            outcome = await self._update(change)
            _log(int(numbers[change.key]), change, outcome, seconds=round(clock.monotonic() - began, 3))

        return logged

    @asynccontextmanager
    async def _flushing(self) -> AsyncIterator[None]:
        async def flush() -> None:
            while True:
                await self._around.clock.sleep(FLUSH_EVERY)
                self._book.flush()

        flusher = asyncio.create_task(flush())
        try:
            yield
        finally:
            flusher.cancel()
            self._around.watch.end()


def _log(row: int, change: Change, outcome: Outcome, *, seconds: float | None = None) -> None:
    status = outcome.status.value
    event("row", row=row, user=change.user_id, status=status, code=outcome.code, seconds=seconds)
