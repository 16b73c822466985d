"""Let one request after another through, at the allowed rate and concurrency."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from math import inf, isfinite
from typing import Final

from usersync.context import Clock, Stop
from usersync.dispatch.cells import Cells
from usersync.dispatch.concurrency_limit import ConcurrencyLimit
from usersync.dispatch.pace import Pace
from usersync.dispatch.retry import CircuitBreaker
from usersync.dispatch.timeline import ResponseKind, Timeline
from usersync.errors import StoppedError
from usersync.platform.quota import Quota
from usersync.settings import Rate, Request

ALONE: Final = nullcontext()
"""What stands for the lock of a pace that no other process shares."""
_POLL = 0.02
"""Seconds after which one looks again whether another process has heard from the platform."""


class RateLimiter:
    """Lets one request after another through: at the pace of the run, and as the platform's health allows."""

    def __init__(
        self,
        pace: Pace,
        clock: Clock,
        stop: Stop,
        *,
        concurrency: ConcurrencyLimit,
        shared: AbstractContextManager[object] = ALONE,
    ) -> None:
        self.breaker = CircuitBreaker()
        self.concurrency = concurrency
        self.timeline = Timeline(clock.monotonic())
        self._pace, self._clock, self._stop, self._shared = pace, clock, stop, shared
        self._in_flight = 0
        self._answered = asyncio.Event()
        self._line = asyncio.Lock()

    def follow(self, pace: Pace, most: int) -> None:
        """Keep another pace from now on, with `most` requests in flight at most."""
        self._pace = pace
        self.concurrency.most, self.concurrency.limit = most, min(self.concurrency.limit, most)

    async def acquire(self) -> float:
        """Wait for one's turn; returns the time of the start (seconds, monotonic)."""
        if not self._stop and not self._line.locked() and not self._take():
            return self._clock.monotonic()
        await self._stop.wait(self._in_line())
        return self._clock.monotonic()

    async def _in_line(self) -> None:
        async with self._line:
            while wait := self._take():
                if isfinite(wait) and wait > self._pace.patience:
                    asked = f"the platform allows the next request in {wait:.0f} s; come back then"
                    self._stop.ask(StoppedError.exit_code, f"{asked} with `usersync resume`")
                if isfinite(wait):
                    await self._clock.sleep(wait)
                elif self._in_flight:
                    self._answered.clear()
                    await self._answered.wait()
                else:
                    await self._clock.sleep(_POLL)

    def _take(self) -> float:
        """Go through, or give the seconds until one may try again; infinite: as soon as an answer is in."""
        if self._in_flight >= int(self.concurrency.limit):
            return inf
        if not (self.breaker.open or self._shared is not ALONE) and self._pace.free:
            self._in_flight += 1
            return 0.0
        with self._shared:
            now = self._clock.monotonic()
            if wait := max(self.breaker.delay(now), self._pace.delay(now)):
                return wait
            self._pace.start(now)
        self.breaker.start()
        self._in_flight += 1
        return 0.0

    def record(
        self, started: float, kind: ResponseKind, *, method: str = "", after: float = 0.0, quota: Quota | None = None
    ) -> None:
        """Take note of how a request (of a `kind`: GET, PATCH) went that started at `started`.

        `after` is the wait that the platform asks for (seconds).
        """
        now = self._clock.monotonic()
        self._in_flight -= 1
        self._answered.set()
        self.timeline.record(started, now, kind, self._pace.per_second)
        if kind is ResponseKind.TROUBLE:
            self.breaker.bad(now, started, after)
            self.concurrency.bad(now, started)
        elif self.breaker.good(started):
            self.concurrency.begin_again()
        elif kind is ResponseKind.GOOD:
            self.concurrency.good(now, started, method)
        with self._shared:
            if quota:
                self._pace.learned.told(now, quota, self._in_flight)
            if kind is ResponseKind.THROTTLED:
                to_minute = 60.0 - self._clock.now().timestamp() % 60.0
                self._pace.learned.throttled(now, started, after or None, to_minute=to_minute)
            elif kind is ResponseKind.TROUBLE:
                self._pace.learned.lost()
            else:
                self._pace.accepted(now, started)


def make_pace(request: Request, cells: Cells | None = None) -> Pace:
    """Give the pace that the settings ask for; `cells` are those of other processes, too."""
    rate = request.rate
    return Pace(
        rate.count if isinstance(rate, Rate) else None,
        rate.seconds if isinstance(rate, Rate) else 1.0,
        burst=request.concurrency,
        seeking=rate == "auto",
        batch_size=request.batch_size if request.batch_interval else None,
        batch_interval=request.batch_interval / 1000,
        cells=cells,
    )
