"""Settings in, an open way to the platform out: paced together with other processes, stopped in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager

from pydantic import SecretStr

from usersync.clock import SystemClock
from usersync.dispatch.breadth import Breadth
from usersync.dispatch.cells import Cells
from usersync.dispatch.client import Door
from usersync.dispatch.gate import ALONE, Gate, make_pace
from usersync.dispatch.sender import Sender
from usersync.errors import StoppedError
from usersync.settings import Request, Settings
from usersync.surroundings import Surroundings


@asynccontextmanager
async def connected(settings: Settings, around: Surroundings) -> AsyncIterator[Sender]:
    """Open the door to the platform, and hold the clock against the time that the run may take."""
    request = settings.request
    around.on_start(around.stop)
    token = settings.platform.token()
    async with Door(settings, token) as door:
        with _cells(settings, around) as (cells, shared):
            breadth = Breadth(request.concurrency, heeds_slowness=request.rate == "auto")
            gate = Gate(make_pace(request, cells), around.clock, around.stop, breadth=breadth, shared=shared)
            sender = make_sender(door, gate, request, around, token)
            timers = [asyncio.create_task(timer) for timer in (_time_out(around), _tick(around))]
            try:
                yield sender
            finally:
                for timer in timers:
                    timer.cancel()


def make_sender(door: Door, gate: Gate, request: Request, around: Surroundings, token: SecretStr) -> Sender:
    """Give who sends through a door and a gate."""
    return Sender(
        door,
        gate,
        clock=around.clock,
        stop=around.stop,
        retries=request.retries,
        stop_after=request.stop_after,
        chance=around.chance,
        secret=token.get_secret_value(),
    )


@contextmanager
def _cells(
    settings: Settings, around: Surroundings
) -> Iterator[tuple[Cells | None, AbstractContextManager[object]]]:
    """Give what the pace is kept in: with a rate, other processes of this machine look at it as well."""
    if settings.request.rate is None or not isinstance(around.clock, SystemClock):
        yield None, ALONE
        return
    from usersync.dispatch.share import shared

    with shared(settings.platform.url) as found:
        yield found


async def _tick(around: Surroundings) -> None:
    while True:
        await asyncio.sleep(1)  # who looks on lives in real time, whatever the run's clock says
        around.watch.tick()


async def _time_out(around: Surroundings) -> None:
    if (seconds := around.max_duration) is not None:
        await around.clock.sleep(seconds)
        around.stop.ask(StoppedError.exit_code, f"the time allowed ({seconds:g} s) is over")
