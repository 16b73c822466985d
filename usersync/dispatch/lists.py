"""Read a list of the platform, paced like all other requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from pydantic import SecretStr

from usersync.context import Context
from usersync.dispatch.connection import rate_store
from usersync.dispatch.rate_limit import RateLimiter
from usersync.dispatch.retry import backoff
from usersync.dispatch.timeline import ResponseKind
from usersync.models import Code
from usersync.platform.api import NoResponse, Response
from usersync.platform.client import HttpClient
from usersync.settings import Settings

#: Sends the request for a list once.
SendListRequest: TypeAlias = Callable[[HttpClient], Awaitable[Response | NoResponse]]


async def read_list(
    settings: Settings, context: Context, token: SecretStr, send: SendListRequest
) -> Response | NoResponse:
    """Read a list, again where that may help, and return the last answer. Raises Stopping where the run stops."""
    request = settings.request
    context.on_start(context.stop)
    with rate_store(settings, context) as store:
        async with HttpClient(settings, token) as client:
            limiter = RateLimiter(request, context.clock, context.stop, store)
            attempt = 0
            while True:
                started = await limiter.acquire()
                response = await send(client)
                attempt += 1
                limiter.record(started, _kind(response))
                if attempt > request.retries or not _may_help_to_repeat(response):
                    return response
                await context.stop.wait(context.clock.sleep(backoff(attempt, None, context.random)))


def _kind(response: Response | NoResponse) -> ResponseKind:
    if isinstance(response, NoResponse) or response.status >= 500:
        return "error"
    return "throttled" if response.status == 429 else "good"


def _may_help_to_repeat(response: Response | NoResponse) -> bool:
    """Tell whether another try may end otherwise: a list that is too large or too slow remains so."""
    if isinstance(response, NoResponse):
        return response.code is Code.CONNECTION and not response.permanent
    return response.status == 429 or response.status >= 500
