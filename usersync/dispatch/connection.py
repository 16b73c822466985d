"""Open a rate-limited connection to the platform for one run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec

from pydantic import SecretStr

from usersync.context import Context, SystemClock
from usersync.dispatch.list_reader import ListReader
from usersync.dispatch.rate_limit import RateLimiter
from usersync.dispatch.sender import Sender
from usersync.dispatch.shared_rate import LocalRate, SharedRate
from usersync.errors import SettingsError, StoppedError
from usersync.platform.client import HttpClient
from usersync.settings import Request, Settings

#: Open files that a run needs beside its connections: ledger, lock, logs, report, what Python imports.
OTHER_FILES = 32


@asynccontextmanager
async def connected(settings: Settings, context: Context, max_duration: float | None = None) -> AsyncIterator[Sender]:
    """Yield a sender; after `max_duration` seconds the run is asked to stop (exit code 4).

    Raises SettingsError where a token or `request.ca_file` cannot be read, or where the system allows too few open
    files.
    """
    request = settings.request
    _require_open_files(request.concurrency)
    context.on_start(context.stop)
    token = settings.platform.token()
    account, account_token = settings.platform.account, settings.platform.account_token()
    with rate_limiter(settings, context) as limiter:
        async with HttpClient(settings, token) as client:
            sender = make_sender(client, limiter, request, context, token)
            if account is not None and account_token is not None:
                lists = ListReader(settings, context, limiter=limiter, counts=sender.counts)
                sender.read_directory = partial(lists.read_directory, account, account_token)
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


def _require_open_files(concurrency: int) -> None:
    """Raise SettingsError where so many connections leave no files for the ledger and the report."""
    if find_spec("resource") is None:  # Windows has no such limit
        return
    import resource  # Windows has none

    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = concurrency + OTHER_FILES
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        problem = (
            f"{concurrency} connections need {needed} open files, and the system allows {allowed}; lower it, or raise"
            f" that limit (ulimit -n {needed})"
        )
        raise SettingsError("request.concurrency", (problem,))


@contextmanager
def rate_limiter(settings: Settings, context: Context) -> Iterator[RateLimiter]:
    """Yield a limiter whose rate is shared with other processes; not without a rate or with a test clock."""
    is_shared = settings.request.rate is not None and isinstance(context.clock, SystemClock)
    with SharedRate(settings.platform.url) if is_shared else nullcontext(LocalRate()) as store:
        yield RateLimiter(settings.request, context.clock, context.stop, store)


async def _tick(context: Context) -> None:
    while True:
        await asyncio.sleep(1)  # real seconds, also with a test clock: people watch the display
        context.progress.tick()


async def _stop_after(context: Context, seconds: float) -> None:
    waited = context.waited
    await context.clock.sleep(seconds)
    while context.waited > waited:
        more, waited = context.waited - waited, context.waited
        await context.clock.sleep(more)
    context.stop.ask(StoppedError.exit_code, f"the time limit of {seconds:g} s is reached")
