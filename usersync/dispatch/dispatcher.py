"""Send the planned rows of a run, wave by wave and in canary stages."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import islice
from logging import INFO
from typing import TYPE_CHECKING

from usersync.context import Context, Item, run_concurrently
from usersync.diff.verification import dropped_attributes, stale_fields
from usersync.dispatch.canary import CanaryStages
from usersync.dispatch.dask_engine import joined
from usersync.dispatch.dask_worker import UpdateJob
from usersync.dispatch.email_swaps import EmailSwaps, has_moved
from usersync.dispatch.sender import Sender
from usersync.errors import StoppedError
from usersync.ledger import LedgerRun, Waves
from usersync.ledger.run import SENT_BEFORE
from usersync.logs import EVENTS, event
from usersync.models import SECRET_FIELDS, Code, Json, Result, Row, Status, User
from usersync.settings import Settings

if TYPE_CHECKING:
    from pandas import DataFrame

#: Seconds that a result may wait to be written to the disk.
FLUSH_EVERY = 0.2
#: Rows that are claimed in one durable step: about as many as are sent in half a second.
FEWEST_CLAIMED, MOST_CLAIMED = 32, 4096
_FAST, _SLOW = 0.25, 1.0
#: New objects after which the garbage collector runs while rows are sent: more than wait to be written at once.
_OBJECTS_PER_COLLECTION = 50_000

SendRows = Callable[[Iterable[Row]], Awaitable[None]]
"""Sends rows, and records the result of each."""


class Dispatcher:
    """Sends the unsent rows of one run."""

    def __init__(
        self, settings: Settings, context: Context, run: LedgerRun, sender: Sender, desired: DataFrame | None
    ) -> None:
        """`desired` are the values of the input: the only place that holds the secrets of the rows."""
        self._settings, self._context, self._run, self._sender = settings, context, run, sender
        self._secrets = {name: desired[name] for name in SECRET_FIELDS if desired is not None and name in desired}
        self._stages = CanaryStages(settings.request.ramp, settings.request.ramp_max_failures)

    async def send_all(self, users: int) -> None:
        """Send everything that would change so many users, unless the run stops."""
        waves, swaps = Waves(self._run), EmailSwaps(self._run, self._sender)
        self._context.progress.begin("sending", users)
        with _garbage_collected_seldom():
            await self._send_waves(waves, swaps)

    async def _send_waves(self, waves: Waves, swaps: EmailSwaps) -> None:
        async with self._flush_regularly(), self._engine() as send:
            swaps.hold_back()
            await self._concurrently(swaps.ready(), swaps.park)
            for wave in range(waves.last() + 1):
                if self._context.stop:
                    break
                self._run.flush()
                waves.block(wave)
                await self._send_wave(wave, send)

    async def _send_wave(self, wave: int, send: SendRows) -> None:
        claimed = ClaimedRows(self._run, self._context.clock.monotonic, wave=wave)
        try:
            await self._send_in_stages(claimed, send)
        finally:
            claimed.release()

    async def _send_in_stages(self, rows: Iterator[Row], send: SendRows) -> None:
        while (room := self._stages.room) is not None:
            await send(islice(rows, room))
            if self._stages.room or self._context.stop:
                return
            if refusal := self._stages.check():
                self._context.stop.ask(StoppedError.exit_code, refusal)
                return
        await send(rows)

    @asynccontextmanager
    async def _engine(self) -> AsyncIterator[SendRows]:
        """Return the way to send rows: by this process, or by the workers of a cluster."""
        if self._settings.engine == "local":
            update = self._update_and_log if EVENTS.isEnabledFor(INFO) else self._update
            yield lambda rows: self._concurrently(rows, update)
            return
        in_flight: dict[int, Row] = {}

        def jobs(rows: Iterable[Row]) -> Iterator[UpdateJob]:
            for row in rows:
                in_flight[row.key] = row
                yield UpdateJob(row.key, row.user_id, self._values(row))

        def take(job: UpdateJob, result: Result) -> None:
            row = in_flight.pop(job.key)
            self._take(row, result)
            log_result(self._run.info.run, row, result)

        async with joined(self._settings, self._context, self._sender, take) as cluster:
            yield lambda rows: cluster.send(jobs(rows))

    async def _concurrently(self, jobs: Iterable[Item], work: Callable[[Item], Awaitable[object]]) -> None:
        concurrency = self._settings.request.concurrency
        await run_concurrently(jobs, work, concurrency=concurrency, stop=self._context.stop)

    async def _update(self, row: Row) -> Result:
        result = await self._sender.update(row.user_id, self._values(row))
        self._take(row, result)
        return result

    async def _update_and_log(self, row: Row) -> None:
        began = self._context.clock.monotonic()
        result = await self._update(row)
        log_result(self._run.info.run, row, result, seconds=round(self._context.clock.monotonic() - began, 3))

    def _values(self, row: Row) -> dict[str, Json]:
        """Return the new values of a row with the secrets, which plan and ledger do not hold."""
        values = row.new_values
        for name, secrets in self._secrets.items():
            if name in values:
                values[name] = secrets[row.key]
        return values

    def _take(self, row: Row, result: Result) -> None:
        if result.user:
            self._compare(row, result, result.user)
        elif result.status is Status.FAILED and row.was_sent_before:
            result.code, result.message = Code.ECHO_DIFFERS, f"{SENT_BEFORE}{result.message}"
        if result.status is Status.NOT_SENT:
            self._run.set_status([row])  # as before it was claimed
        elif result.status is Status.FAILED and row.status is Status.PARKED and not has_moved(row, result.user):
            self._run.record(row.key, replace(result, status=Status.REVERTING))  # the user holds the placeholder
        else:
            self._run.record(row.key, result)
        self._stages.record(result.status)
        self._context.progress.row(result.status)
        if self._context.on_result:
            self._context.on_result(replace(row, status=result.status, code=result.code, message=result.message))

    def _compare(self, row: Row, result: Result, user: User) -> None:
        """Find what else the platform made of a row than what was sent, so that an undo can restore it."""
        if result.status is Status.FAILED and stale_fields(row.changes, user):
            result.code = Code.ECHO_DIFFERS  # neither old nor new: perhaps what the platform made of the new values
        if result.status is Status.UPDATED and (dropped := dropped_attributes(row, user)):
            names = ", ".join(change.field for change in dropped)
            result.status, result.code = Status.FAILED, Code.ECHO_DIFFERS
            result.message = f"the platform dropped attributes that were not sent: {names}"
            self._run.revise([replace(row.with_changes((*row.changes, *dropped)), status=Status.SENDING)])
            self._context.stop.ask(
                StoppedError.exit_code,
                f"row {row.row}: {result.message}; it replaces attributes instead of merging them, so that usersync "
                f"cannot change single ones. `usersync undo {self._run.info.run}` restores what it dropped",
            )

    @asynccontextmanager
    async def _flush_regularly(self) -> AsyncIterator[None]:
        async def flush() -> None:
            while True:
                await self._context.clock.sleep(FLUSH_EVERY)
                try:
                    self._run.flush()
                except StoppedError as error:  # nobody awaits this task
                    self._context.stop.ask(error.exit_code, str(error))
                    return

        flusher = asyncio.create_task(flush())
        try:
            yield
        finally:
            flusher.cancel()
            self._context.progress.end()


@contextmanager
def _garbage_collected_seldom() -> Iterator[None]:
    """Keep the garbage collector from walking over files and plan, and over rows that wait to be written."""
    if gc.get_freeze_count():  # the calling program froze it, and unfreezing would undo that
        yield
        return
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_OBJECTS_PER_COLLECTION, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


class ClaimedRows:
    """The unsent rows of one wave, each claimed in the ledger before it is handed out."""

    def __init__(self, run: LedgerRun, monotonic: Callable[[], float], *, wave: int) -> None:
        self._run, self._monotonic, self._wave = run, monotonic, wave
        self._rows: list[Row] = []
        self._size = FEWEST_CLAIMED
        self._claimed_at = float("-inf")

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        if not self._rows:
            self._adjust_size()
            self._rows = self._run.claim(self._size, wave=self._wave)[::-1]
            if not self._rows:
                raise StopIteration
        return self._rows.pop()

    def _adjust_size(self) -> None:
        """Claim more at once where rows go fast; what is claimed when the power fails has to be looked up."""
        now = self._monotonic()
        if now - self._claimed_at < _FAST:
            self._size = min(2 * self._size, MOST_CLAIMED)
        elif now - self._claimed_at > _SLOW:
            self._size = max(self._size // 2, FEWEST_CLAIMED)
        self._claimed_at = now

    def release(self) -> None:
        """Give back what was claimed and never handed out."""
        if self._rows:
            self._run.release(self._rows)


def log_result(run: str, row: Row, result: Result, *, seconds: float | None = None) -> None:
    """Log that a row was sent; neither names nor addresses are part of it."""
    status, code = result.status.value, result.code
    event("row", run=run, row=row.row, user=row.user_id, status=status, code=code, seconds=seconds)
