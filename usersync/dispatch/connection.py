"""Settings in, an open way to the platform out: paced together with other processes, stopped in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager

from pydantic import SecretStr

from usersync.context import Context, SystemClock
from usersync.dispatch.cells import Cells
from usersync.dispatch.concurrency_limit import ConcurrencyLimit
from usersync.dispatch.rate_limit import ALONE, RateLimiter, make_pace
from usersync.dispatch.sender import Sender
from usersync.errors import StoppedError
from usersync.platform.client import HttpClient
from usersync.settings import Request, Settings


@asynccontextmanager
async def connected(settings: Settings, context: Context) -> AsyncIterator[Sender]:
    """Open the door to the platform, and hold the clock against the time that the run may take."""
    request = settings.request
    context.on_start(context.stop)
    token = settings.platform.token()
    async with HttpClient(settings, token) as door:
        with _cells(settings, context) as (cells, shared):
            breadth = ConcurrencyLimit(request.concurrency, heeds_slowness=request.rate == "auto")
            gate = RateLimiter(make_pace(request, cells), context.clock, context.stop, breadth=breadth, shared=shared)
            sender = make_sender(door, gate, request, context, token)
            timers = [asyncio.create_task(timer) for timer in (_time_out(context), _tick(context))]
            try:
                yield sender
            finally:
                for timer in timers:
                    timer.cancel()


def make_sender(door: HttpClient, gate: RateLimiter, request: Request, context: Context, token: SecretStr) -> Sender:
    """Give who sends through a door and a gate."""
    return Sender(
        door,
        gate,
        clock=context.clock,
        stop=context.stop,
        retries=request.retries,
        stop_after=request.stop_after,
        chance=context.chance,
        secret=token.get_secret_value(),
    )


@contextmanager
def _cells(settings: Settings, context: Context) -> Iterator[tuple[Cells | None, AbstractContextManager[object]]]:
    """Give what the pace is kept in: with a rate, other processes of this machine look at it as well."""
    if settings.request.rate is None or not isinstance(context.clock, SystemClock):
        yield None, ALONE
        return
    from usersync.dispatch.shared_rate import shared

    with shared(settings.platform.url) as found:
        yield found


async def _tick(context: Context) -> None:
    while True:
        await asyncio.sleep(1)  # who looks on lives in real time, whatever the run's clock says
        context.watch.tick()


async def _time_out(context: Context) -> None:
    if (seconds := context.max_duration) is not None:
        await context.clock.sleep(seconds)
        context.stop.ask(StoppedError.exit_code, f"the time allowed ({seconds:g} s) is over")
