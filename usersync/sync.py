"""The one join. A row is read, checked, compared, planned, sent, recorded, reported: in this order, here."""

from __future__ import annotations

import asyncio
import getpass
import platform as machine
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from usersync.claims import Claims, Passwords
from usersync.clock import Clock, SystemClock, iso
from usersync.dispatch.client import Door
from usersync.dispatch.gate import Gate, Stop, StopReason, each, make_pace
from usersync.dispatch.sender import Sender, Tally
from usersync.entries import Rows, frame, single_row
from usersync.errors import AccountsError, RefusedError
from usersync.ledger import Book, Ledger, RunInfo, source_heads
from usersync.model import (
    Change,
    Line,
    Outcome,
    ProblemGroup,
    Status,
    Table,
    User,
    Wanted,
)
from usersync.plan import Plan
from usersync.report import Summary, write_report
from usersync.report.rejects import write_rejects
from usersync.settings import FieldSettings, Settings, SourceSettings

if TYPE_CHECKING:
    pass


READ_TOGETHER = 1000
"""Users that are compared at once while they are read one by one."""
FLUSH_EVERY = 0.2
"""Seconds that an answer may wait for its place on the disk."""


class Watch(Protocol):
    """Who looks on while a run goes its way."""

    def begin(self, doing: str, total: int) -> None:
        """A phase begins: `reading` or `sending`, so many rows."""

    def row(self, status: Status) -> None:
        """A row of this phase is through."""

    def end(self) -> None:
        """The phase is over."""


class Unwatched:
    """Nobody looks on."""

    def begin(self, doing: str, total: int) -> None:
        """Do nothing."""

    def row(self, status: Status) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


@dataclass(slots=True)
class Surroundings:
    """What a run takes from the world: time, chance, and the people around it."""

    clock: Clock = field(default_factory=SystemClock)
    chance: Callable[[], float] = random.random
    watch: Watch = field(default_factory=Unwatched)
    stop: Stop = field(default_factory=Stop)
    on_start: Callable[[Stop], None] = lambda _: None
    """Called inside the running event loop, before the first request: the place to connect signals."""


Confirm = Callable[[Plan], bool]


def run(
    files: Sequence[str | Path],
    settings: Settings,
    *,
    confirm: Confirm | None,
    choice: Choice | None = None,
    around: Surroundings | None = None,
) -> Summary:
    """Bring the rows of `files` to the platform, and account for every one of them.

    `confirm` is shown the plan and says whether to send it, None where nobody can be asked.
    Writes `report.csv` and `summary.json` below `settings.report.dir`, also where the run stops early.
    Raises UsageError (nothing was sent), RefusedError (not confirmed) or AccountsError.
    """
    around = around or Surroundings()
    table, wanted = read(files, settings, choice=choice)
    if confirm is None:
        raise RefusedError(
            "nothing was sent: there is no terminal to ask on. Add --yes to send without asking, "
            "or look first with `usersync plan`"
        )
    with Ledger(settings.ledger) as ledger:
        book = ledger.start(_head("run", settings, table, around.clock))
        return asyncio.run(_Run(settings, around, book).whole(table, wanted, confirm, choice))


def plan(
    files: Sequence[str | Path],
    settings: Settings,
    *,
    choice: Choice | None = None,
    around: Surroundings | None = None,
) -> Plan:
    """Work out what `run` would do, and send nothing but reads."""
    around = around or Surroundings()
    table, wanted = read(files, settings, choice=choice)
    with Ledger(None) as ledger:
        book = ledger.start(_head("plan", settings, table, around.clock))
        return asyncio.run(_Run(settings, around, book).planned_only(table, wanted, choice))


def update(
    user_id: str,
    cells: Mapping[str, str],
    settings: Settings,
    *,
    around: Surroundings | None = None,
) -> Outcome:
    """Update one user, as `run` updates a row: checked, paced, verified, recorded; without a report.

    `cells` maps fields (`name`, `custom_attributes.seats`) to text. A bad cell gives a rejected outcome.
    """
    from usersync.check import check

    around = around or Surroundings()
    table = single_row({"id": user_id, **cells})
    wanted = check(table, settings.fields)
    if wanted.problems:
        message = "; ".join(f"{p.column}: {p.message}" if p.column else p.message for p in wanted.problems)
        return Outcome(0, Status.REJECTED, wanted.problems[0].code, message)
    with Ledger(settings.ledger) as ledger:
        book = ledger.start(_head("update", settings, table, around.clock))
        return asyncio.run(_Run(settings, around, book).single(table, wanted))


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rows of the input a person wants: `COLUMN=VALUE` for each, without the first `skip`."""

    where: tuple[str, ...] = ()
    skip: int = 0
    limit: int | None = None
    """The first so many changes only."""


def read(files: Sequence[str | Path], settings: Settings, *, choice: Choice | None = None) -> tuple[Table, Wanted]:
    """Read and check files: steps 1 and 2."""
    return read_and_check(files, settings.source, settings.columns, settings.fields, choice=choice)


def read_and_check(
    files: Sequence[str | Path],
    source: SourceSettings,
    columns: Mapping[str, str] | None = None,
    fields: Mapping[str, FieldSettings] | None = None,
    *,
    choice: Choice | None = None,
) -> tuple[Table, Wanted]:
    """Read and check files with no platform in sight, as `usersync inspect` does."""
    from usersync.check import check
    from usersync.loader import load
    from usersync.loader.select import select

    table = load(files, options=source, columns=columns)
    if choice:
        table = select(table, where=choice.where, skip=choice.skip)
    return table, check(table, fields, duplicates=source.duplicates)


def problem_groups(table: Table, wanted: Wanted, *, shown: int | None = None) -> tuple[ProblemGroup, ...]:
    """Gather all problems by kind, with the first `shown` of each; None: with all."""
    return Rows(table, wanted).problem_groups(shown)


class _Run:
    """One run, from a checked table to its report."""

    def __init__(self, settings: Settings, around: Surroundings, book: Book) -> None:
        self._settings = settings
        self._around = around
        self._clock = around.clock
        self._book = book
        self._began = around.clock.monotonic()
        self._tally = Tally()

    async def whole(self, table: Table, wanted: Wanted, confirm: Confirm, choice: Choice | None) -> Summary:
        confirmed = False
        async with self._sender() as sender:
            plan = await self._plan(table, wanted, sender, choice.limit if choice else None)
            if not self._around.stop and plan.changes:
                confirmed = confirm(plan)
                if confirmed:
                    await self._send(sender, wanted, plan.changes)
        return self._account(table, wanted, plan, refused=bool(plan.changes) and not confirmed)

    async def planned_only(self, table: Table, wanted: Wanted, choice: Choice | None) -> Plan:
        async with self._sender() as sender:
            return await self._plan(table, wanted, sender, choice.limit if choice else None)

    async def single(self, table: Table, wanted: Wanted) -> Outcome:
        rows = Rows(table, wanted)
        entries = list(rows.compared(wanted.values, None, self._settings))
        self._book.enter(entries)
        async with self._sender() as sender:
            (change,) = self._book.claim(1)
            outcome = await sender.update(Passwords(wanted.values).fill(change))
        self._book.settle(outcome)
        self._book.flush()
        stop = self._around.stop.reason
        if stop:
            outcome = replace(outcome, message=stop.message)
        code = stop.exit_code if stop else int(outcome.status is not Status.UPDATED)
        self._book.finish(
            finished_at=iso(self._clock.now()), exit_code=code, stopped=stop.message if stop else None
        )
        return outcome

    @asynccontextmanager
    async def _sender(self) -> AsyncIterator[Sender]:
        request, around = self._settings.request, self._around
        around.on_start(around.stop)
        async with Door(self._settings, self._settings.platform.token()) as door:
            gate = Gate(make_pace(request), around.clock, around.stop)
            sender = Sender(
                door,
                gate,
                clock=around.clock,
                stop=around.stop,
                retries=request.retries,
                stop_after=request.stop_after,
                chance=around.chance,
            )
            self._tally = sender.tally
            yield sender

    async def _plan(self, table: Table, wanted: Wanted, sender: Sender, limit: int | None) -> Plan:
        rows = Rows(table, wanted)
        plan = Plan(problems=rows.problem_groups())
        plan.notes = [f"{s.file}: {note}" for s in table.sources for note in s.notes]
        self._book.enter(rows.rejected())
        if self._settings.diff.compare_with == "nothing":
            self._book.enter(plan.noting(rows.compared(wanted.values, None, self._settings)))
        else:
            await self._compare_remote(rows, wanted, plan, sender)
        self._book.enter(rows.twins())
        self._book.match_twins()
        plan.left_out = table.left_out
        if limit is not None and limit < plan.changes:
            plan.beyond_limit = self._book.keep_first(limit)
            plan.left_out += plan.beyond_limit
            plan.changes = limit
        plan.counts.update({Status(name): n for name, n in self._book.counts().items()})
        plan.places = {entry.key: rows.place(entry.key) for entry in plan.examples}
        return plan

    async def _compare_remote(self, rows: Rows, wanted: Wanted, plan: Plan, sender: Sender) -> None:
        """Read each user, and compare those read in batches, so that memory does not grow with them."""
        values, watch = wanted.values, self._around.watch
        known: dict[int, User] = {}
        lost: list[Outcome] = []

        def compare() -> None:
            self._book.enter(plan.noting(rows.compared(values.loc[list(known)], frame(known), self._settings)))
            self._book.enter(map(rows.unread, lost))
            known.clear()
            lost.clear()

        async def look(job: tuple[int, int]) -> None:
            found = await sender.read(*job)
            if isinstance(found, User):
                known[job[0]] = found
            else:
                lost.append(found)
            watch.row(found.status if isinstance(found, Outcome) else Status.PLANNED)
            if len(known) + len(lost) >= READ_TOGETHER:
                compare()

        jobs = iter(zip(values.index.tolist(), values["id"].tolist(), strict=True))
        watch.begin("reading", len(values))
        await each(jobs, look, concurrency=self._settings.request.concurrency, stop=self._around.stop)
        watch.end()
        compare()
        self._book.enter(rows.unread(Outcome(key, Status.NOT_SENT)) for key, _ in jobs)

    async def _send(self, sender: Sender, wanted: Wanted, total: int) -> None:
        claims = Claims(self._book, self._clock.monotonic)
        hidden = Passwords(wanted.values)
        watch = self._around.watch

        async def update(change: Change) -> None:
            outcome = await sender.update(hidden.fill(change))
            self._book.settle(outcome)
            watch.row(outcome.status)

        async def flush() -> None:
            while True:
                await self._clock.sleep(FLUSH_EVERY)
                self._book.flush()

        watch.begin("sending", total)
        flusher = asyncio.create_task(flush())
        try:
            await each(claims, update, concurrency=self._settings.request.concurrency, stop=self._around.stop)
        finally:
            flusher.cancel()
            watch.end()
        self._book.release(claims.rest())

    def _account(self, table: Table, wanted: Wanted, plan: Plan, *, refused: bool) -> Summary:
        stop = self._around.stop.reason
        if refused and stop is None:
            stop = StopReason(RefusedError.exit_code, "not confirmed; nothing was sent")
        self._book.close_rows(planned_as=Status.PLANNED if refused else Status.NOT_SENT)
        summary = write_report(
            self._book,
            self._settings.report.dir,
            stop=(stop.exit_code, stop.message) if stop else None,
            seconds=self._clock.monotonic() - self._began,
            requests=self._tally,
            problems=plan.problems,
            left_out=plan.left_out,
            rejects=self._rejects(table, wanted),
        )
        self._book.finish(
            finished_at=iso(self._clock.now()), exit_code=summary.exit_code, stopped=stop.message if stop else None
        )
        _prove(len(table.cells) - plan.beyond_limit, summary)
        return summary

    def _rejects(self, table: Table, wanted: Wanted) -> Callable[[Iterable[Line], Path], Path | None]:
        from usersync.loader import load

        source = self._settings.source
        return partial(
            write_rejects,
            table=table,
            problems=wanted.problems,
            header_row=source.header_row or 1,
            reread=partial(load, options=source, columns=self._settings.columns),
        )


def _prove(rows_in: int, summary: Summary) -> None:
    """See that every row has exactly one line; a miscount is our defect, and said loudly."""
    total = sum(n for name, n in summary.counts.items() if name != "rows")
    if not rows_in == summary.lines == summary.counts["rows"] == total:
        raise AccountsError(
            f"the accounts do not add up: {rows_in} rows in, {summary.lines} lines out, {total} counted. "
            f"This is a defect of usersync; the ledger holds the truth (run {summary.run}). Please report it"
        )


def _head(kind: str, settings: Settings, table: Table, clock: Clock) -> RunInfo:
    now = clock.now()
    return RunInfo(
        run=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}",
        kind=kind,
        platform=settings.platform.url,
        started_at=iso(now),
        started_by=f"{_user_name()}@{socket.gethostname() or machine.node()}",
        settings=settings.model_dump(mode="json", exclude={"platform", "ledger", "report"}),
        sources=source_heads(table.sources),
    )


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
