"""Send batches of updates on a worker of a Dask cluster.

A worker keeps no plan and no ledger: it gets batches and returns results. Connections, rate and retries last from
batch to batch of a run. Token and passwords are in no key, and are left out where Dask logs what it was given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

from pydantic import SecretStr

from usersync.context import Context, StopReason, run_concurrently
from usersync.dispatch.connection import make_sender
from usersync.dispatch.rate_limit import RateLimiter
from usersync.dispatch.sender import RequestCounts
from usersync.dispatch.shared_rate import LocalRate
from usersync.errors import UsersyncError
from usersync.models import Json, Result
from usersync.platform.client import HttpClient
from usersync.settings import Request, Settings


@dataclass(frozen=True, slots=True)
class UpdateJob:
    """The change of one user, field -> value; `key` is the row's."""

    key: int
    user_id: int
    values: dict[str, Json] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs for one worker."""

    run: str
    jobs: tuple[UpdateJob, ...] = field(repr=False)
    #: Workers that were lost with it: what they may have sent is looked up first.
    tries: int = 0


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How a batch ended."""

    #: Row key -> result; a job without one was not begun.
    results: dict[int, Result]
    counts: RequestCounts
    #: How long it took.
    seconds: float
    #: Why the worker ends the run, if it does.
    stop: StopReason | None


class _RunOnWorker:
    """What a worker keeps for one run."""

    def __init__(self, settings: Settings, token: SecretStr) -> None:
        request = settings.request
        self.context = Context()
        self.client = HttpClient(settings, token)
        self._share = request
        self._limiter = RateLimiter(request, self.context.clock, self.context.stop, LocalRate())
        self._sender = make_sender(self.client, self._limiter, request, self.context, token)

    async def send(self, batch: Batch, share: Request) -> BatchResult:
        if share != self._share:
            self._share = share
            self._limiter.follow(share)
        began = monotonic()
        results: dict[int, Result] = {}

        async def update(job: UpdateJob) -> None:
            found = await self._sender.look_up(job.user_id, job.values) if batch.tries else None
            results[job.key] = found or await self._sender.update(job.user_id, job.values)

        await run_concurrently(batch.jobs, update, concurrency=share.concurrency, stop=self.context.stop)
        counts = self._sender.counts
        self._sender.counts = RequestCounts()
        return BatchResult(results, counts, monotonic() - began, self.context.stop.reason)


_runs: dict[str, _RunOnWorker] = {}


async def open_run(run: str, settings: Settings, token: SecretStr) -> str:
    """Prepare for the batches of a run; returns why that is not possible, or ""."""
    try:
        opened = _RunOnWorker(settings, token)
    except UsersyncError as error:
        return str(error)
    _runs[run] = opened
    await opened.client.__aenter__()
    return ""


async def send_batch(batch: Batch, share: Request) -> BatchResult | None:
    """Send a batch at a share of the rate; None where the run is unknown: this process replaced a lost one."""
    opened = _runs.get(batch.run)
    return await opened.send(batch, share) if opened else None


async def stop_run(run: str) -> None:
    """Begin nothing new for a run; what is in flight finishes."""
    opened = _runs.get(run)
    if opened:
        opened.context.stop.ask(0, "")


async def close_run(run: str) -> None:
    """Forget a run, and its token."""
    opened = _runs.pop(run, None)
    if opened:
        await opened.client.__aexit__(None, None, None)
