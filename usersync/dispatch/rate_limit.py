"""Limit the rate and the concurrency of requests."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from math import inf, isfinite
from typing import Protocol

from usersync.context import Clock, Stop
from usersync.dispatch.circuit_breaker import CircuitBreaker
from usersync.dispatch.concurrency_limit import ConcurrencyLimit
from usersync.dispatch.gcra import Gcra, RateState
from usersync.dispatch.timeline import ResponseKind, Timeline
from usersync.errors import StoppedError
from usersync.platform.quota import Quota
from usersync.settings import Rate, Request

#: The longest wait for the next request, in seconds; a run stops if the platform asks for a longer one.
LONGEST_REQUEST_WAIT = 3600.0
#: Seconds between two checks of whether another process has received an answer.
POLL_INTERVAL = 0.02
#: Seconds by which the platform's minutes may end later than ours.
CLOCK_TOLERANCE = 0.1


class RateStore(Protocol):
    """Where the state of the rate is kept: in this process, or in a file that processes share."""

    def locked(self) -> AbstractContextManager[RateState]:
        """Yield the state, to be read and changed while nobody else does."""
        ...


class RateLimiter:
    """Lets requests start at the allowed rate and concurrency, in batches if configured, unless the breaker is open."""

    def __init__(self, request: Request, clock: Clock, stop: Stop, store: RateStore) -> None:
        self.breaker = CircuitBreaker()
        self.concurrency = ConcurrencyLimit(request.concurrency)
        self.timeline = Timeline(clock.monotonic())
        self._clock = clock
        self._stop = stop
        self._store = store
        self._gcra = Gcra(request.rate)
        self._batches = _Batches(request.batch_size, request.batch_interval / 1000)
        self._longest_wait = LONGEST_REQUEST_WAIT
        if isinstance(request.rate, Rate):
            self._longest_wait = max(LONGEST_REQUEST_WAIT, 1.1 * request.rate.seconds / request.rate.count)
        self._in_flight = 0
        self._answered = asyncio.Event()
        self._queue = asyncio.Lock()

    def follow(self, request: Request) -> None:
        """Switch to another rate and concurrency."""
        self._gcra = Gcra(request.rate)
        self.concurrency.most = request.concurrency
        self.concurrency.limit = min(self.concurrency.limit, request.concurrency)

    async def acquire(self) -> float:
        """Wait until a request may start; returns that time (seconds, monotonic). Raises Stopping."""
        now = self._clock.monotonic()
        if self._queue.locked() or self._stop or self._try_start(now):
            await self._stop.wait(self._wait_in_queue())
            now = self._clock.monotonic()
        return now

    async def _wait_in_queue(self) -> None:
        async with self._queue:
            while wait := self._try_start(self._clock.monotonic()):
                if isfinite(wait):
                    if wait > self._longest_wait:
                        message = f"the platform allows the next request in {wait:.0f} s; run `usersync resume` then"
                        self._stop.ask(StoppedError.exit_code, message)
                    await self._clock.sleep(wait)
                elif self._in_flight:
                    self._answered.clear()
                    await self._answered.wait()
                else:
                    await self._clock.sleep(POLL_INTERVAL)

    def _try_start(self, now: float) -> float:
        """Start a request and return 0.0; or return the seconds until the next try, infinite: after a response."""
        if self._in_flight >= int(self.concurrency.limit):
            return inf
        wait = max(self.breaker.delay(now), self._batches.due - now)
        if wait > 0:
            return wait
        with self._store.locked() as state:
            wait = self._gcra.delay(state, now)
            if wait:
                return wait
            self._gcra.start(state, now)
        self._batches.start(now)
        self.breaker.start()
        self._in_flight += 1
        return 0.0

    def record(self, started: float, kind: ResponseKind, *, after: float = 0.0, quota: Quota | None = None) -> None:
        """Record how the request that started at `started` ended; `after`: the seconds that the platform asks for."""
        now = self._clock.monotonic()
        self._in_flight -= 1
        if self._queue.locked():
            self._answered.set()
        self._record_health(now, started, kind, after)
        with self._store.locked() as state:
            if quota:
                state.limit.set_quota(now, quota, self._in_flight)
            if kind == "throttled":
                to_minute = 60.0 - self._clock.now().timestamp() % 60.0
                state.limit.refuse(now, started, after, to_minute=to_minute + CLOCK_TOLERANCE)
            elif kind == "error":
                state.limit.record_failure()
            else:
                self._gcra.accept(state, now, started)
            rate = self._gcra.rate(state)
        self.timeline.record(started, now, kind, rate)

    def _record_health(self, now: float, started: float, kind: ResponseKind, after: float) -> None:
        if kind == "error":
            self.breaker.record_failure(now, started, after)
            self.concurrency.record_failure(now, started)
        elif self.breaker.record_success(started):
            self.concurrency.restart()
        elif kind == "good":
            self.concurrency.record_success()


class _Batches:
    """Pauses of `interval` seconds after every `size` requests."""

    def __init__(self, size: int | None, interval: float) -> None:
        self._size = size if interval else None
        self._interval = interval
        self._started = 0
        #: When the next request may start.
        self.due = 0.0

    def start(self, now: float) -> None:
        if self._size is not None:
            self._started += 1
            if self._started % self._size == 0:
                self.due = now + self._interval
