"""Claimed changes in, outcomes out, by way of the workers of a Dask cluster; each keeps its share of the rate.

A worker has a second's work, and as much waiting. What a lost worker had is looked up by another, and sent where
it must be. `usersync.dispatch.dask_worker` is what runs on a worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import islice
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from usersync.context import Context
from usersync.dispatch.dask_worker import Batch, Landed, close, halt, open_here, send_batch
from usersync.dispatch.rate_limit import Stopping
from usersync.dispatch.sender import Sender
from usersync.errors import SettingsError, StoppedError
from usersync.models import Change, Outcome, Status
from usersync.settings import Rate, Request, Settings

Take = Callable[[Change, Outcome], None]
EACH, MOST, TRIES = 2, 2000, 3
"""Batches of a worker, changes of a batch, and workers that may be lost with the same batch, at most."""
PATIENCE, LOOK_EVERY, POLL = 60.0, 0.5, 0.02
"""Seconds without any worker after which a run stops; between looks for workers, and for answers."""


def scheduler_of(settings: Settings) -> str:
    """Give the address of the cluster; SettingsError where `engine: dask` lacks something."""
    address = settings.scheduler or os.environ.get("DASK_SCHEDULER_ADDRESS", "")
    pauses = settings.request.batch_size and settings.request.batch_interval
    name_it = "name the Dask cluster, like tcp://host:8786, here, with --scheduler or in $DASK_SCHEDULER_ADDRESS"
    for wrong, where, remedy in (
        (find_spec("distributed") is None, "engine", "dask needs an extra: pip install 'usersync[dask]'"),
        (pauses, "request.batch_interval", "engine: dask keeps no pauses; write a request.rate instead"),
        (not address, "scheduler", name_it),
    ):
        if wrong:
            raise SettingsError(where, (remedy,))
    return address


@asynccontextmanager
async def joined(settings: Settings, context: Context, sender: Sender, take: Take) -> AsyncIterator[Cluster]:
    """Open the way to the workers; `take` is told every outcome. A cluster that is not there stops the run."""
    from distributed import Client

    for name in ("distributed", "distributed.client"):  # what is lost is told in our own words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    client: Any = None
    address, join = scheduler_of(settings), Client
    try:
        client = await join(address, asynchronous=True, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        reason = f"the Dask scheduler {address} cannot be reached ({type(error).__name__})"
        context.stop.ask(StoppedError.exit_code, f"{reason}; see that it is up, then run `usersync resume`")
    cluster = Cluster(client, settings, context, sender, take)
    watching = asyncio.create_task(cluster.watch())
    try:
        yield cluster
    finally:
        watching.cancel()
        with suppress(Exception):  # workers forget the run, those that are still there
            await cluster.tell(close)
        with suppress(Exception):
            await client.close()


@dataclass(frozen=True, slots=True)
class _Flight:
    worker: str
    future: Any
    batch: Batch
    share: Request


class Cluster:
    """The workers, and the batches of one run that they have."""

    def __init__(self, client: Any, settings: Settings, context: Context, sender: Sender, take: Take) -> None:
        self._client, self._settings, self._stop = client, settings, context.stop
        self._sender, self._take = sender, take
        self._run, self._batches = f"usersync-{secrets.token_hex(8)}", 0
        self._workers: set[str] = set()
        self._unfit: dict[str, str] = {}
        self._speeds: dict[str, float] = {}  # rows per second of a worker's last batch
        self._flights: list[_Flight] = []
        self._lost: list[Batch] = []

    async def watch(self) -> None:
        """Follow workers as they come and go, and tell them of the run's end."""
        while self._client:
            with suppress(Exception):  # a scheduler that does not answer may do so in a moment
                here = {*await asyncio.wait_for(self._client.nthreads(), PATIENCE / 2)}
                self._workers &= here
                await self._enlist(here - self._workers - self._unfit.keys())
                if self._stop:
                    await self.tell(halt)
            await asyncio.sleep(LOOK_EVERY)

    async def tell(self, do: Callable[..., Any], *words: Any, to: Iterable[str] = ()) -> dict[str, Any]:
        """Have workers, by default all, do something about this run; gives what they answer, or their errors."""
        ask = self._client.run(do, self._run, *words, workers=[*(to or self._workers)], on_error="return")
        answers: dict[str, Any] = await asyncio.wait_for(ask, PATIENCE / 2)
        return answers

    async def _enlist(self, fresh: set[str]) -> None:
        if fresh:
            known = Settings(platform=self._settings.platform, request=self._settings.request)
            answers = await self.tell(open_here, known, SecretStr(self._sender.secret), to=fresh)
            self._unfit |= {worker: str(why) for worker, why in answers.items() if why}
            self._workers |= {worker for worker, why in answers.items() if not why}

    async def send(self, changes: Iterable[Change]) -> None:
        """Send changes, until they or the run end and every batch is back."""
        supply, ended, alone = iter(changes), False, monotonic()
        while self._flights or not (self._stop or (ended and not self._lost)):
            if self._workers and self._client.status == "running":
                if alone:
                    await self._step_aside()
                alone = 0.0
                ended = self._hand_out(supply)
            elif monotonic() > (alone := alone or monotonic()) + PATIENCE:
                gone = "there is none" if self._client.status == "running" else "its scheduler does not answer"
                why = "; ".join(sorted({*self._unfit.values()})) or gone
                reason = f"no worker of the Dask cluster can be used ({why})"
                self._stop.ask(StoppedError.exit_code, f"{reason}; start some, then run `usersync resume`")
            await asyncio.sleep(POLL)
            for flight in [*self._flights]:
                if flight.worker not in self._workers or flight.future.status != "pending":
                    await self._land(flight)
        self._lost.clear()

    async def _step_aside(self) -> None:
        """Wait until all workers can begin at once: this process may have used the rate up to now."""
        rate = self._settings.request.rate
        if isinstance(rate, Rate):
            with suppress(Stopping):
                steps = min(rate.count, len(self._workers))
                await self._stop.wait(asyncio.sleep(steps * rate.seconds / rate.count))

    def _hand_out(self, supply: Iterator[Change]) -> bool:
        """Give every worker with room a batch; whether there is nothing left."""
        for full in range(1, EACH + 1):
            for worker in sorted(self._workers):
                had = sum(flight.worker == worker for flight in self._flights)
                share = None if self._stop or had >= full else self._share(worker)
                if share is None:
                    continue
                batch = self._lost.pop() if self._lost else Batch(self._run, self._cut(supply, worker, share))
                if not batch.changes:
                    return True
                self._batches += 1
                where = {"workers": [worker], "allow_other_workers": False, "pure": False, "retries": 0}
                key = f"{self._run}-{self._batches}"
                future = self._client.submit(send_batch, batch, share, key=key, **where)
                self._flights.append(_Flight(worker, future, batch, share))
        return False

    def _cut(self, supply: Iterator[Change], worker: str, share: Request) -> tuple[Change, ...]:
        """Take as much as a worker sends in about a second."""
        most = share.rate.count / share.rate.seconds if isinstance(share.rate, Rate) else MOST
        size = min(most, MOST, self._speeds.get(worker, share.concurrency))
        return tuple(islice(supply, max(1, int(size))))

    def _share(self, worker: str) -> Request | None:
        """Give what a worker may do: all together never exceed the rate, also while shares change."""
        request, rate = self._settings.request, self._settings.request.rate
        peers = [one for one in sorted(self._workers) if self._settings.share_rate or _host(one) == _host(worker)]
        most = max(1, request.concurrency // len(peers))
        if isinstance(rate, Rate):
            held = dict.fromkeys(peers, 0)
            for one in self._flights:
                if one.worker in held and one.worker != worker and isinstance(one.share.rate, Rate):
                    held[one.worker] = max(held[one.worker], one.share.rate.count)
            share = rate.count // len(peers) + (peers.index(worker) < rate.count % len(peers))
            share = min(share, rate.count - sum(held.values()))
            if share < 1:
                return None
            rate = Rate(share, rate.seconds)
        return request.model_copy(update={"rate": rate, "concurrency": most})

    async def _land(self, flight: _Flight) -> None:
        """Settle what came back; what did not is for another worker."""
        self._flights.remove(flight)
        landed: Landed | None = None
        with suppress(Exception):
            if flight.worker in self._workers and flight.future.status == "finished":
                landed = await asyncio.wait_for(flight.future.result(), PATIENCE / 6)
            else:
                await self._client.cancel([flight.future], force=True)
        batch = flight.batch
        if landed:
            self._speeds[flight.worker] = len(landed.outcomes) / max(landed.seconds, 0.01)
            self._settle(batch, landed)
        elif batch.tries < TRIES:
            self._lost.append(replace(batch, tries=batch.tries + 1))
        else:
            reason = f"{TRIES} workers in a row were lost with the same rows, or failed at them"
            self._stop.ask(StoppedError.exit_code, f"{reason}; see their logs, then run `usersync resume`")

    def _settle(self, batch: Batch, landed: Landed) -> None:
        self._sender.tally.add(landed.tally)
        if landed.stop:
            self._stop.ask(landed.stop.exit_code, landed.stop.message)
        outcomes = {outcome.key: outcome for outcome in landed.outcomes}
        for change in batch.changes:
            unsent = Outcome(change.key, Status.NOT_SENT, "", "the run stopped before this row's turn")
            outcome = outcomes.get(change.key, unsent)
            if batch.tries == 0 or outcome.status is not Status.NOT_SENT:  # else nobody knows: `resume` looks it up
                self._take(change, outcome)


def _host(worker: str) -> str | None:
    return urlsplit(worker).hostname
