"""Send updates through the workers of a Dask cluster, which share the rate.

A worker has a batch of about one second's work, and another one waiting. The batch of a lost worker goes to another,
which first looks up what was carried out. `usersync.dispatch.dask_worker` is what runs on a worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import islice
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from usersync.context import Context, Stopping
from usersync.dispatch.dask_worker import Batch, BatchResult, UpdateJob, close_run, open_run, send_batch, stop_run
from usersync.dispatch.sender import Sender
from usersync.errors import SettingsError, StoppedError
from usersync.ledger.run import NOT_SENT
from usersync.models import Result, Status
from usersync.settings import Rate, Request, Settings

#: Batches that a worker has at most: one that it sends, one that waits.
BATCHES_PER_WORKER = 2
#: Jobs of a batch, at most.
LARGEST_BATCH = 2000
#: Workers that may be lost with the same batch before the run stops.
MOST_TRIES = 3
#: Seconds without any worker after which the run stops.
WORKER_TIMEOUT = 60.0
#: Seconds between two looks for workers that came or went.
WORKER_INTERVAL = 0.5
#: Seconds between two looks for batches that are done.
BATCH_INTERVAL = 0.02

Take = Callable[[UpdateJob, Result], None]


def scheduler_of(settings: Settings) -> str:
    """Return the address of the cluster. Raises SettingsError where `engine: dask` lacks something."""
    address = settings.scheduler or os.environ.get("DASK_SCHEDULER_ADDRESS", "")
    if find_spec("distributed") is None:
        raise SettingsError("engine", ("dask needs an extra: pip install 'usersync[dask]'",))
    if settings.request.batch_size and settings.request.batch_interval:
        message = "engine: dask does not pause between batches; set request.rate instead"
        raise SettingsError("request.batch_interval", (message,))
    if not address:
        message = "name the Dask cluster, like tcp://host:8786, here, with --scheduler or in $DASK_SCHEDULER_ADDRESS"
        raise SettingsError("scheduler", (message,))
    return address


@asynccontextmanager
async def joined(settings: Settings, context: Context, sender: Sender, take: Take) -> AsyncIterator[Cluster]:
    """Yield the cluster; `take(job, result)` is called for every job that ended.

    Where the scheduler cannot be reached, the run is asked to stop (exit code 4).
    """
    from distributed import Client  # an extra

    client: Any = None
    address = scheduler_of(settings)
    join: Callable[..., Any] = Client
    with _quiet_distributed():
        try:
            client = await join(address, asynchronous=True, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            reason = f"the Dask scheduler {address} cannot be reached ({type(error).__name__})"
            context.stop.ask(StoppedError.exit_code, f"{reason}; start it, then run `usersync resume`")
        cluster = Cluster(client, settings, context, sender, take)
        following = asyncio.create_task(cluster.follow_workers())
        try:
            yield cluster
        finally:
            following.cancel()
            with suppress(Exception):  # those workers that are still there forget the run
                await cluster.call_workers(close_run)
            with suppress(Exception):
                await client.close()


@contextmanager
def _quiet_distributed() -> Iterator[None]:
    """Drop Dask's own log lines below CRITICAL for a while: a lost worker is reported by its rows."""

    def only_critical(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.CRITICAL

    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "distributed.core")]
    handlers = {handler for logger in loggers for handler in logger.handlers}
    for handler in handlers:
        handler.addFilter(only_critical)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(only_critical)


@dataclass(frozen=True, slots=True)
class _SentBatch:
    """A batch that a worker has, and the share of rate and concurrency that it was given."""

    worker: str
    future: Any
    batch: Batch
    share: Request


class Cluster:
    """The workers, and the batches of one run that they have."""

    def __init__(self, client: Any, settings: Settings, context: Context, sender: Sender, take: Take) -> None:
        self._client = client
        self._settings = settings
        self._stop = context.stop
        self._sender = sender
        self._take = take
        self._run = f"usersync-{secrets.token_hex(8)}"
        self._batches = 0
        self._workers: set[str] = set()
        #: Worker -> why it cannot be used.
        self._unfit: dict[str, str] = {}
        #: Worker -> jobs per second of its last batch.
        self._speeds: dict[str, float] = {}
        self._sent: list[_SentBatch] = []
        self._lost: list[Batch] = []

    async def follow_workers(self) -> None:
        """Follow workers as they come and go, and pass a stop on to them."""
        while self._client:
            with suppress(Exception):  # a scheduler that does not answer may do so in a moment
                present = {*await asyncio.wait_for(self._client.nthreads(), WORKER_TIMEOUT / 2)}
                self._workers &= present
                await self._enlist(present - self._workers - self._unfit.keys())
                if self._stop:
                    await self.call_workers(stop_run)
            await asyncio.sleep(WORKER_INTERVAL)

    async def call_workers(self, function: Callable[..., Any], *args: Any, to: Iterable[str] = ()) -> dict[str, Any]:
        """Call `function(run, *args)` on workers, by default all; returns worker -> what it returned, or its error."""
        call = self._client.run(function, self._run, *args, workers=[*(to or self._workers)], on_error="return")
        answers: dict[str, Any] = await asyncio.wait_for(call, WORKER_TIMEOUT / 2)
        return answers

    async def _enlist(self, fresh: set[str]) -> None:
        if fresh:
            settings = Settings(platform=self._settings.platform, request=self._settings.request)
            answers = await self.call_workers(open_run, settings, SecretStr(self._sender.token), to=fresh)
            self._unfit |= {worker: str(why) for worker, why in answers.items() if why}
            self._workers |= {worker for worker, why in answers.items() if not why}

    async def send(self, jobs: Iterable[UpdateJob]) -> None:
        """Send jobs, until they or the run end and every batch is back."""
        supply = iter(jobs)
        ended = False
        alone_since: float | None = monotonic()
        while self._sent or not (self._stop or (ended and not self._lost)):
            if self._workers and self._client.status == "running":
                if alone_since is not None:
                    await self._wait_for_rate()
                    alone_since = None
                ended = self._hand_out(supply)
            elif alone_since is None:
                alone_since = monotonic()
            elif monotonic() > alone_since + WORKER_TIMEOUT:
                self._stop_without_workers()
            await asyncio.sleep(BATCH_INTERVAL)
            for sent in [*self._sent]:
                if sent.worker not in self._workers or sent.future.status != "pending":
                    await self._collect(sent)
        self._lost.clear()

    def _stop_without_workers(self) -> None:
        gone = "there is none" if self._client.status == "running" else "its scheduler does not answer"
        why = "; ".join(sorted({*self._unfit.values()})) or gone
        message = f"no worker of the Dask cluster can be used ({why}); start some, then run `usersync resume`"
        self._stop.ask(StoppedError.exit_code, message)

    async def _wait_for_rate(self) -> None:
        """Wait until all workers can begin at once: this process may have used the rate up to now."""
        rate = self._settings.request.rate
        if isinstance(rate, Rate):
            steps = min(rate.count, len(self._workers))
            with suppress(Stopping):
                await self._stop.wait(asyncio.sleep(steps * rate.seconds / rate.count))

    def _hand_out(self, supply: Iterator[UpdateJob]) -> bool:
        """Give every worker with room a batch; returns whether no jobs are left."""
        for full in range(1, BATCHES_PER_WORKER + 1):
            for worker in sorted(self._workers):
                has = sum(sent.worker == worker for sent in self._sent)
                share = None if self._stop or has >= full else self._share(worker)
                if share is None:
                    continue
                batch = self._lost.pop() if self._lost else Batch(self._run, self._next_jobs(supply, worker, share))
                if not batch.jobs:
                    return True
                self._submit(worker, batch, share)
        return False

    def _submit(self, worker: str, batch: Batch, share: Request) -> None:
        self._batches += 1
        where = {"workers": [worker], "allow_other_workers": False, "pure": False, "retries": 0}
        future = self._client.submit(send_batch, batch, share, key=f"{self._run}-{self._batches}", **where)
        self._sent.append(_SentBatch(worker, future, batch, share))

    def _next_jobs(self, supply: Iterator[UpdateJob], worker: str, share: Request) -> tuple[UpdateJob, ...]:
        """Take as many jobs as the worker sends in about a second."""
        most = share.rate.count / share.rate.seconds if isinstance(share.rate, Rate) else LARGEST_BATCH
        size = min(most, LARGEST_BATCH, self._speeds.get(worker, share.concurrency))
        return tuple(islice(supply, max(1, int(size))))

    def _share(self, worker: str) -> Request | None:
        """Return the worker's share of rate and concurrency; None while others still use up the rate.

        All workers together never exceed the rate, also while shares change.
        """
        request = self._settings.request
        rate = request.rate
        peers = [one for one in sorted(self._workers) if self._settings.share_rate or _host(one) == _host(worker)]
        concurrency = max(1, request.concurrency // len(peers))
        if isinstance(rate, Rate):
            held = dict.fromkeys(peers, 0)
            for sent in self._sent:
                if sent.worker in held and sent.worker != worker and isinstance(sent.share.rate, Rate):
                    held[sent.worker] = max(held[sent.worker], sent.share.rate.count)
            count = rate.count // len(peers) + (peers.index(worker) < rate.count % len(peers))
            count = min(count, rate.count - sum(held.values()))
            if count < 1:
                return None
            rate = Rate(count, rate.seconds)
        return request.model_copy(update={"rate": rate, "concurrency": concurrency})

    async def _collect(self, sent: _SentBatch) -> None:
        """Take the results of a batch; one that did not come back is for another worker."""
        self._sent.remove(sent)
        result: BatchResult | None = None
        with suppress(Exception):
            if sent.worker in self._workers and sent.future.status == "finished":
                result = await asyncio.wait_for(sent.future.result(), WORKER_TIMEOUT / 6)
            else:
                await self._client.cancel([sent.future], force=True)
        batch = sent.batch
        if result:
            self._speeds[sent.worker] = len(result.results) / max(result.seconds, 0.01)
            self._record(batch, result)
        elif batch.tries < MOST_TRIES:
            self._lost.append(replace(batch, tries=batch.tries + 1))
        else:
            reason = f"{MOST_TRIES} workers in a row were lost with the same rows, or failed at them"
            self._stop.ask(StoppedError.exit_code, f"{reason}; read their logs, then run `usersync resume`")

    def _record(self, batch: Batch, result: BatchResult) -> None:
        self._sender.counts.add(result.counts)
        if result.stop:
            self._stop.ask(result.stop.exit_code, result.stop.message)
        not_begun = Result(Status.NOT_SENT, "", NOT_SENT)
        for job in batch.jobs:
            ended = result.results.get(job.key, not_begun)
            if batch.tries == 0 or ended.status is not Status.NOT_SENT:  # else nobody knows: `resume` looks it up
                self._take(job, ended)


def _host(worker: str) -> str | None:
    return urlsplit(worker).hostname
