"""The one join. A row is read, checked, compared, planned, sent, recorded, reported: in this order, here."""

from __future__ import annotations

import asyncio
import getpass
import os
import platform as machine
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from usersync.claims import Claims, Passwords
from usersync.clock import Clock, SystemClock, iso
from usersync.dispatch.client import Door
from usersync.dispatch.echo import settles
from usersync.dispatch.gate import Gate, Stop, StopReason, each, make_pace
from usersync.dispatch.sender import Sender, Tally
from usersync.entries import Rows, frame, single_row
from usersync.errors import AccountsError, RefusedError, StoppedError, UsageError
from usersync.ledger import Book, Ledger, RunInfo, source_heads
from usersync.lock import one_run_at_a_time
from usersync.model import (
    Change,
    Json,
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
from usersync.settings import FieldSettings, Settings, SourceSettings, make_settings

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
    max_duration: float | None = None
    """Seconds after which the run stops in good order (exit 4)."""
    lock_wait: float = 0.0
    """Seconds to wait for another run to finish."""
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
        raise nobody_to_ask()
    info = head("run", settings, table, around.clock, choice=choice)
    with locked(settings, around, info), Ledger(settings.ledger) as ledger:
        return asyncio.run(Run(settings, around, ledger.start(info)).whole(table, wanted, confirm))


def resume(
    run_name: str | None, settings: Settings, *, confirm: Confirm | None, around: Surroundings | None = None
) -> Summary:
    """Go on with a run that was stopped; by default the latest one of this platform.

    What was in flight is looked up first; what was answered is not sent again. The source must be as it was:
    RefusedError otherwise.
    """
    around = around or Surroundings()
    with Ledger(settings.ledger) as ledger:
        name = run_name or ledger.stopped(settings.platform.url)
        if name is None:
            raise UsageError("there is no stopped run to go on with; `usersync runs` lists all")
        book = open_book(ledger, name, settings)
        table, wanted = read_again(book.info, settings)
        if confirm is None:
            raise nobody_to_ask()
        with locked(settings, around, book.info):
            return asyncio.run(Run(settings, around, book).resumed(table, wanted, confirm))


def open_book(ledger: Ledger, name: str, settings: Settings) -> Book:
    """Find a run in the ledger that belongs to this platform."""
    book = ledger.find(name)
    if book is None:
        raise UsageError(f"there is no run {name} in {settings.ledger}; `usersync runs` lists all")
    if book.info.platform != settings.platform.url:
        raise RefusedError(f"stale: run {name} is for {book.info.platform}, not {settings.platform.url}")
    return book


def read_again(info: RunInfo, settings: Settings) -> tuple[Table, Wanted]:
    """Read the sources of an earlier run; RefusedError where a file has changed since.

    They mean now what they meant then: the settings that say so come from the run.
    """
    files = list(dict.fromkeys(source["file"] for source in info.sources))
    if "-" in files:
        raise RefusedError("stale: the rows came from standard input, which cannot be read again")
    then = {name: info.settings[name] for name in ("source", "columns", "fields")}
    settings = make_settings({**_given(settings), **then}, f"run {info.run}")
    table, wanted = read(files, settings, choice=Choice(**info.choice) if info.choice else None)
    for source, known in zip(table.sources, info.sources, strict=True):
        if source.sha256 != known["sha256"]:
            raise RefusedError(f"stale: {source.file} has changed since run {info.run}; nothing was sent")
    return table, wanted


def _given(settings: Settings) -> dict[str, Json]:
    return {"platform": settings.platform.model_dump(exclude_none=True)}


def nobody_to_ask() -> RefusedError:
    """Say how to send where there is no terminal."""
    return RefusedError(
        "nothing was sent: there is no terminal to ask on. Add --yes to send without asking, "
        "or look first with `usersync plan`"
    )


def locked(settings: Settings, around: Surroundings, info: RunInfo) -> AbstractContextManager[None]:
    """Hold the lock of this platform."""
    since = f"by {info.started_by} since {iso(around.clock.now())} (run {info.run}, process {os.getpid()})"
    return one_run_at_a_time(settings.ledger, settings.platform.url, holder=since, wait=around.lock_wait)


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
        book = ledger.start(head("plan", settings, table, around.clock, choice=choice))
        return asyncio.run(Run(settings, around, book).planned_only(table, wanted))


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
        book = ledger.start(head("update", settings, table, around.clock))
        return asyncio.run(Run(settings, around, book).single(table, wanted))


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


class Run:
    """One run, from a checked table to its report."""

    def __init__(self, settings: Settings, around: Surroundings, book: Book) -> None:
        self._settings = settings
        self._around = around
        self._clock = around.clock
        self._book = book
        self._began = around.clock.monotonic()
        self._tally = Tally()

    async def whole(self, table: Table, wanted: Wanted, confirm: Confirm) -> Summary:
        """Plan, ask, send, report."""
        async with self._sender() as sender:
            plan = await self._plan(table, wanted, sender)
            return await self._confirmed(table, wanted, plan, sender=sender, confirm=confirm)

    async def resumed(self, table: Table, wanted: Wanted, confirm: Confirm) -> Summary:
        """Look up what was in flight, and send what was not."""
        async with self._sender() as sender:
            if self._book.info.planned_at is None:  # nothing was sent: plan anew
                self._book.forget_rows()
                plan = await self._plan(table, wanted, sender)
            else:
                self._book.reopen()
                await self._look_up(sender)
                plan = self._standing_plan(Rows(table, wanted))
            return await self._confirmed(table, wanted, plan, sender=sender, confirm=confirm)

    async def _confirmed(
        self, table: Table, wanted: Wanted, plan: Plan, *, sender: Sender, confirm: Confirm
    ) -> Summary:
        confirmed = False
        if not self._around.stop and plan.changes:
            confirmed = confirm(plan)
            if confirmed:
                await self._send(sender, wanted, plan.changes)
        return self._account(table, wanted, plan, refused=bool(plan.changes) and not confirmed)

    async def planned_only(self, table: Table, wanted: Wanted) -> Plan:
        """Plan, and no more."""
        async with self._sender() as sender:
            return await self._plan(table, wanted, sender)

    async def _look_up(self, sender: Sender) -> None:
        """Learn with a GET what became of changes whose answer never came in."""
        again: list[int] = []

        async def look(change: Change) -> None:
            found = await sender.read(change.key, change.user_id)
            if isinstance(found, Outcome):
                if found.status is not Status.NOT_SENT:
                    self._book.settle(found)
            elif settles(change, found):
                message = "the answer was lost; a look afterwards found the new values"
                now = iso(self._clock.now())
                self._book.settle(Outcome(change.key, Status.UPDATED, "", message, 200, 1, found, now))
            else:
                again.append(change.key)

        jobs = iter(self._book.in_flight())
        await each(jobs, look, concurrency=self._settings.request.concurrency, stop=self._around.stop)
        self._book.flush()
        self._book.put_back(again)

    def _standing_plan(self, rows: Rows) -> Plan:
        """Show what the ledger holds to be sent."""
        plan = Plan(problems=rows.problem_groups())
        for _ in plan.noting(self._book.planned_entries()):
            pass
        self._count(plan, rows)
        if self._book.info.choice.get("limit") is not None:
            plan.beyond_limit = rows.total - plan.rows
        return plan

    def _count(self, plan: Plan, rows: Rows) -> None:
        plan.counts.update({Status(name): n for name, n in self._book.counts().items()})
        plan.places = {entry.key: rows.place(entry.key) for entry in plan.examples}

    async def single(self, table: Table, wanted: Wanted) -> Outcome:
        """Send the one row of a table, without reading the user first and without a report."""
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
            timer = asyncio.create_task(self._time_out())
            try:
                yield sender
            finally:
                timer.cancel()

    async def _time_out(self) -> None:
        if (seconds := self._around.max_duration) is not None:
            await self._clock.sleep(seconds)
            self._around.stop.ask(StoppedError.exit_code, f"the time allowed ({seconds:g} s) is over")

    async def _plan(self, table: Table, wanted: Wanted, sender: Sender) -> Plan:
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
        limit = self._book.info.choice.get("limit")
        if limit is not None and limit < plan.changes:
            plan.beyond_limit = self._book.keep_first(limit)
            plan.left_out += plan.beyond_limit
            plan.changes = limit
        self._count(plan, rows)
        if not self._around.stop:
            self._book.planned(iso(self._clock.now()))
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


def head(
    kind: str,
    settings: Settings,
    table: Table,
    clock: Clock,
    *,
    choice: Choice | None = None,
    parent: str | None = None,
) -> RunInfo:
    """Make the head of a new run."""
    now = clock.now()
    return RunInfo(
        run=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}",
        kind=kind,
        platform=settings.platform.url,
        started_at=iso(now),
        started_by=f"{_user_name()}@{socket.gethostname() or machine.node()}",
        settings=dumped(settings),
        sources=source_heads(table.sources),
        parent=parent,
        choice=asdict(choice) if choice else {},
    )


def dumped(settings: Settings) -> dict[str, Json]:
    """Give the settings that matter for what a run does, without secrets."""
    return settings.model_dump(mode="json", exclude={"platform", "ledger", "report"})


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
