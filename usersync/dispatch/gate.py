"""What all workers share: the gate that every request passes, and the switch that ends the run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TypeVar

from usersync.clock import Clock
from usersync.dispatch.pace import Pace
from usersync.settings import Request

Job = TypeVar("Job")


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why a run ends early, and the exit code of that."""

    exit_code: int
    message: str


class Stop:
    """Ask once, and no new request starts; those in flight finish."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self._waiting: set[asyncio.Task[object]] = set()

    def __bool__(self) -> bool:
        return self.reason is not None

    def ask(self, exit_code: int, message: str) -> None:
        """End the run; the first reason counts. Whoever only waits is woken by a cancellation."""
        if self.reason is None:
            self.reason = StopReason(exit_code, message)
        for task in list(self._waiting):
            task.cancel()

    async def wait(self, sleep: Coroutine[object, object, None]) -> None:
        """Wait with nothing in flight; `Stopping` where the run ends, before or meanwhile."""
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


class Stopping(Exception):  # noqa: N818 - no error: the way out of a wait
    """The run ends; whoever waits lets go of its row."""


class Gate:
    """Lets one request after another through, at the pace of the run."""

    def __init__(self, pace: Pace, clock: Clock, stop: Stop) -> None:
        self.pace = pace
        self._clock = clock
        self._stop = stop
        self._line = asyncio.Lock()

    async def turn(self) -> float:
        """Wait for one's turn; returns the time of the start (seconds, monotonic)."""
        now = self._clock.monotonic()
        if not self._stop and not self._line.locked() and self.pace.delay(now) == 0.0:
            self.pace.start(now)
            return now
        await self._stop.wait(self._in_line())
        return self._clock.monotonic()

    async def _in_line(self) -> None:
        async with self._line:
            while (delay := self.pace.delay(self._clock.monotonic())) > 0.0:
                await self._clock.sleep(delay)
            self.pace.start(self._clock.monotonic())


def make_pace(request: Request) -> Pace:
    """Give the pace that the settings ask for."""
    return Pace(
        count=request.rate.count if request.rate else None,
        seconds=request.rate.seconds if request.rate else 1.0,
        burst=request.concurrency,
        batch_size=request.batch_size if request.batch_interval else None,
        batch_interval=request.batch_interval / 1000,
    )


async def each(
    jobs: Iterable[Job], work: Callable[[Job], Awaitable[None]], *, concurrency: int, stop: Stop
) -> None:
    """Do `work` for each job, `concurrency` at a time, until the jobs or the run end."""
    supply = iter(jobs)

    async def worker() -> None:
        while not stop:  # asked before a job is taken: whatever is left in `jobs` has not begun
            try:
                job = next(supply)
            except StopIteration:
                return
            await work(job)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())
