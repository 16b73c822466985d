"""Pass a run its clock, randomness, progress display, stop switch and options.

Core logic takes these as parameters, so that tests control them.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeVar

from usersync.models import Json, Row, Status

Item = TypeVar("Item")
Value = TypeVar("Value")


class Clock(Protocol):
    """The time, for a run."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        ...

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)


def iso(time: datetime) -> str:
    """Format a time as reports do: ISO 8601, UTC, milliseconds."""
    utc = time if time.tzinfo is UTC else time.astimezone(UTC)
    return f"{utc.isoformat('T', 'milliseconds')[:-6]}Z"


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why a run ends early, and its exit code."""

    exit_code: int
    message: str


class Stopping(Exception):  # noqa: N818 - not an error: it unwinds a waiting task
    """Raised in a waiting task when the run stops."""


class Stop:
    """The stop switch of a run: once it is asked to stop, no new request starts, and those in flight finish."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self._waiting: set[asyncio.Task[object]] = set()

    def __bool__(self) -> bool:
        return self.reason is not None

    def ask(self, exit_code: int, message: str) -> None:
        """Stop the run; the first reason counts. Waiting tasks are woken."""
        if self.reason is None:
            self.reason = StopReason(exit_code, message)
        for task in list(self._waiting):
            task.cancel()

    async def wait(self, sleep: Coroutine[object, object, None]) -> None:
        """Await `sleep`, which has nothing in flight. Raises Stopping where the run has stopped or stops meanwhile."""
        if self:
            sleep.close()
            raise Stopping
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - coroutines run in tasks
        self._waiting.add(task)
        try:
            await sleep
        except asyncio.CancelledError:
            if not self:
                raise
            task.uncancel()
            raise Stopping from None
        finally:
            self._waiting.discard(task)
        if self:
            raise Stopping


class Progress:
    """How far a run is; this one shows nothing."""

    def begin(self, phase: str, total: int) -> None:
        """Start a phase, `reading`, `sending` or `writing`, of so many rows."""

    def row(self, status: Status) -> None:
        """Count a finished row of this phase."""

    def tick(self) -> None:
        """Refresh the display; called every second."""

    def end(self) -> None:
        """End the phase."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of one run."""

    where: tuple[str, ...] = ()
    """Only rows in which all of these hold, each `COLUMN=VALUE`."""
    skip: int = 0
    """Leave out the first rows."""
    limit: int | None = None
    """Send only the first `limit` changes."""
    overrides: tuple[str, ...] = ()
    """Rules of `limits:` that do not refuse this run."""
    max_duration: float | None = None
    """Seconds after which the run stops (exit code 4)."""
    lock_wait: float = 0.0
    """Seconds to wait for another run of this platform to finish."""
    base: Path | None = None
    """The base of an export (see `loader.export_base`), where the input neither contains it nor has it beside it."""

    def recorded(self) -> dict[str, Json]:
        """Return the options that decide which rows a run has, as the ledger keeps them."""
        base = {"base": str(self.base)} if self.base else {}
        return {"where": self.where, "skip": self.skip, "limit": self.limit, **base}


@dataclass(slots=True)
class Context:
    """What a run depends on besides its settings and its rows; tests pass their own."""

    clock: Clock = field(default_factory=SystemClock)
    random: Callable[[], float] = random.random
    """Returns numbers from 0 to 1, for the jitter of retries."""
    progress: Progress = field(default_factory=Progress)
    stop: Stop = field(default_factory=Stop)
    on_result: Callable[[Row], None] | None = None
    """Called with each row that was sent, once its result is known; an error that it raises ends the run."""
    on_start: Callable[[Stop], None] = lambda _: None
    """Called inside the running event loop before the first request; connect signals here."""
    waited: float = 0.0
    """Seconds spent waiting for confirmation; they count neither as run time nor towards `max_duration`."""


async def run_concurrently(
    jobs: Iterable[Item], work: Callable[[Item], Awaitable[object]], *, concurrency: int, stop: Stop
) -> None:
    """Do `work` for each job, `concurrency` at a time, until no job is left or the run stops.

    After a stop, iterating `jobs` yields those that were not started.
    """
    supply = iter(jobs)

    async def worker() -> None:
        while not stop:
            try:
                job = next(supply)
            except StopIteration:
                return
            await work(job)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None


def first_error(error: BaseException) -> BaseException:
    """Return the first error of a group, because callers handle errors and not groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def run_async(work: Coroutine[Any, Any, Value]) -> Value:
    """Run a coroutine to its end, even if an event loop is already running, as in a notebook.

    Uses uvloop where it is installed (extra `fast`).
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(work)
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(contextvars.copy_context().run, _run, work).result()


def _run(work: Coroutine[Any, Any, Value]) -> Value:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if find_spec("uvloop") is None:
        return None
    import uvloop  # an extra

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
