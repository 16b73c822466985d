"""Open a paced connection to the platform for one run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from pydantic import SecretStr

from usersync.context import Context, SystemClock
from usersync.dispatch.rate_limit import RateLimiter, RateStore
from usersync.dispatch.retry import backoff
from usersync.dispatch.sender import Sender
from usersync.dispatch.shared_rate import LocalRate, SharedRate
from usersync.dispatch.timeline import ResponseKind
from usersync.errors import StoppedError
from usersync.models import Code
from usersync.platform.api import NoResponse, Response
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
    with _rate_store(settings, context) as store:
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


async def read_list(
    settings: Settings, context: Context, token: SecretStr, path: str, *, max_bytes: int
) -> Response | NoResponse:
    """Read a list of the platform, paced as all requests, and repeated where that may help; return the last answer.

    Raises Stopping where the run stops.
    """
    request = settings.request
    context.on_start(context.stop)
    with _rate_store(settings, context) as store:
        async with HttpClient(settings, token) as client:
            limiter = RateLimiter(request, context.clock, context.stop, store)
            attempt = 0
            while True:
                started = await limiter.acquire()
                response = await client.get(path, max_bytes=max_bytes)
                attempt += 1
                limiter.record(started, _kind(response))
                if attempt > request.retries or not _may_help_to_repeat(response):
                    return response
                await context.stop.wait(context.clock.sleep(backoff(attempt, None, context.random)))


def _kind(response: Response | NoResponse) -> ResponseKind:
    if isinstance(response, NoResponse) or response.status >= 500:
        return ResponseKind.TROUBLE
    return ResponseKind.THROTTLED if response.status == 429 else ResponseKind.GOOD


def _may_help_to_repeat(response: Response | NoResponse) -> bool:
    """Tell whether another try may end otherwise: a list that is too large or too slow remains so."""
    if isinstance(response, NoResponse):
        return response.code is Code.CONNECTION and not response.permanent
    return response.status == 429 or response.status >= 500


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
def _rate_store(settings: Settings, context: Context) -> Iterator[RateStore]:
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
