"""Open a paced connection to the platform for one run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from pydantic import SecretStr

from usersync.context import Context, SystemClock
from usersync.dispatch.rate_limit import RateLimiter, RateStore
from usersync.dispatch.sender import Sender
from usersync.dispatch.shared_rate import LocalRate, SharedRate
from usersync.errors import StoppedError
from usersync.platform.client import HttpClient
from usersync.settings import Request, Settings


@asynccontextmanager
async def connected(settings: Settings, context: Context, max_duration: float | None = None) -> AsyncIterator[Sender]:
    """Yield a sender; after `max_duration` seconds the run is asked to stop (exit code 4).

    Raises SettingsError where the token or `request.ca_file` cannot be read.
    """
    request = settings.request
    context.on_start(context.stop)
    token = settings.platform.token()
    with rate_store(settings, context) as store:
        async with HttpClient(settings, token) as client:
            limiter = RateLimiter(request, context.clock, context.stop, store)
            sender = make_sender(client, limiter, request, context, token)
            timers = [asyncio.create_task(_tick(context))]
            if max_duration is not None:
                timers.append(asyncio.create_task(_stop_after(context, max_duration)))
            try:
                yield sender
            finally:
                for timer in timers:
                    timer.cancel()


def make_sender(
    client: HttpClient, limiter: RateLimiter, request: Request, context: Context, token: SecretStr
) -> Sender:
    """Return a sender over a client and a limiter."""
    return Sender(
        client,
        limiter,
        clock=context.clock,
        stop=context.stop,
        retries=request.retries,
        stop_after=request.stop_after,
        random=context.random,
        token=token.get_secret_value(),
    )


@contextmanager
def rate_store(settings: Settings, context: Context) -> Iterator[RateStore]:
    """Share the rate with other processes, where there is one, and where time is everybody's."""
    if settings.request.rate is None or not isinstance(context.clock, SystemClock):
        yield LocalRate()
        return
    with SharedRate(settings.platform.url) as shared:
        yield shared


async def _tick(context: Context) -> None:
    while True:
        await asyncio.sleep(1)  # whoever looks on lives in real time, whatever the run's clock says
        context.progress.tick()


async def _stop_after(context: Context, seconds: float) -> None:
    await context.clock.sleep(seconds)
    context.stop.ask(StoppedError.exit_code, f"the time allowed ({seconds:g} s) is over")
