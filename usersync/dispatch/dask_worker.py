"""What runs on a worker of a cluster: a batch of changes in, outcomes out. It keeps no plan and no ledger.

Connections, pace and patience last from batch to batch of a run. Token and passwords are in no key, and hide
themselves where Dask logs what it was given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

from pydantic import SecretStr

from usersync.context import Context
from usersync.dispatch.cells import RING, private
from usersync.dispatch.concurrency_limit import ConcurrencyLimit
from usersync.dispatch.connection import make_sender
from usersync.dispatch.rate_limit import RateLimiter, StopReason, each, make_pace
from usersync.dispatch.sender import Tally
from usersync.errors import UsersyncError
from usersync.models import Change, Outcome
from usersync.platform.client import HttpClient
from usersync.settings import Request, Settings


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes for one worker."""

    run: str
    changes: tuple[Change, ...] = field(repr=False)
    tries: int = 0
    """Workers that were lost with it: what they may have sent is looked up first."""


@dataclass(frozen=True, slots=True)
class Landed:
    """What became of a batch; a change without an outcome was not begun."""

    outcomes: tuple[Outcome, ...]
    tally: Tally
    seconds: float
    stop: StopReason | None


class _Outpost:
    def __init__(self, settings: Settings, token: SecretStr) -> None:
        self.context, self.door = Context(), HttpClient(settings, token)
        self._cells, self._share, request = private(RING), settings.request, settings.request
        pace, breadth = (
            make_pace(request, self._cells),
            ConcurrencyLimit(request.concurrency, heeds_slowness=request.rate == "auto"),
        )
        self._gate = RateLimiter(pace, self.context.clock, self.context.stop, breadth=breadth)
        self._sender = make_sender(self.door, self._gate, request, self.context, token)

    async def send(self, batch: Batch, share: Request) -> Landed:
        if share != self._share:
            self._share = share
            self._gate.follow(make_pace(share, self._cells), share.concurrency)
        began, outcomes = monotonic(), []

        async def settle(change: Change) -> None:
            outcome = await self._sender.look_up(change) if batch.tries else None
            outcomes.append(outcome or await self._sender.update(change))

        await each(batch.changes, settle, concurrency=share.concurrency, stop=self.context.stop)
        tally, self._sender.tally = self._sender.tally, Tally()
        return Landed(tuple(outcomes), tally, monotonic() - began, self.context.stop.reason)


_outposts: dict[str, _Outpost] = {}


async def open_here(run: str, settings: Settings, token: SecretStr) -> str:
    """Make ready for the batches of a run; gives why that cannot be, or nothing."""
    try:
        _outposts[run] = outpost = _Outpost(settings, token)
    except UsersyncError as error:
        return str(error)
    await outpost.door.__aenter__()
    return ""


async def send_batch(batch: Batch, share: Request) -> Landed | None:
    """Send a batch; None where the run is unknown: this process has taken the place of one that was lost."""
    outpost = _outposts.get(batch.run)
    return await outpost.send(batch, share) if outpost else None


async def halt(run: str) -> None:
    """Begin nothing new for a run; what is in flight finishes."""
    if outpost := _outposts.get(run):
        outpost.context.stop.ask(0, "")


async def close(run: str) -> None:
    """Forget a run, and its token."""
    if outpost := _outposts.pop(run, None):
        await outpost.door.__aexit__(None, None, None)
