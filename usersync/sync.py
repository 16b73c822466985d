"""What can be asked of usersync, in Python as on the command line: run, plan, resume, update."""

from __future__ import annotations

import asyncio
import getpass
import os
import platform as machine
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from usersync.afterwards import told
from usersync.clock import iso
from usersync.entries import Rows, filled, rows_of, single_row
from usersync.errors import RefusedError, UsageError
from usersync.ledger import Book, Ledger, RunInfo, source_heads
from usersync.lock import one_run_at_a_time
from usersync.model import (
    Json,
    Outcome,
    ProblemGroup,
    Status,
    Table,
    Wanted,
)
from usersync.planned import Plan
from usersync.report import Summary
from usersync.settings import FieldSettings, Settings, SourceSettings, make_settings
from usersync.steps import Run
from usersync.surroundings import Choice, Confirm, Surroundings

if TYPE_CHECKING:
    pass


@told
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
    info = head("run", settings, table, around, choice=choice, had_values=filled(wanted.values))
    with locked(settings, around, f"run {info.run}"), Ledger(settings.ledger) as ledger:
        return asyncio.run(Run(settings, around, ledger.start(info)).whole(table, wanted, confirm))


@told
def resume(
    run_name: str | None, settings: Settings, *, confirm: Confirm | None, around: Surroundings | None = None
) -> Summary:
    """Go on with a run that was stopped; by default the latest one of this platform.

    What was in flight is looked up first; what was answered is not sent again. The source must be as it was:
    RefusedError otherwise.
    """
    around = around or Surroundings()
    with locked(settings, around, "a run that goes on"), Ledger(settings.ledger) as ledger:
        name = run_name or ledger.stopped(settings.platform.url)
        if name is None:
            raise UsageError("there is no stopped run to go on with; `usersync runs` lists all")
        book = open_book(ledger, name, settings)
        former = open_book(ledger, book.info.parent or "", settings) if book.info.kind == "undo" else None
        table, wanted = rows_of(former) if former else read_again(book.info, settings)
        if confirm is None:
            raise nobody_to_ask()
        process = Run(settings, around, book)
        if former and book.info.planned_at is None:  # nothing was sent: begin again
            book.forget_rows()
            return asyncio.run(process.undone(table, wanted, former, confirm))
        return asyncio.run(process.resumed(table, wanted, confirm))


@told
def apply(
    plan_file: Path, settings: Settings, *, confirm: Confirm | None, around: Surroundings | None = None
) -> Summary:
    """Send exactly a saved plan.

    RefusedError (`stale`) where a source or the platform is not the plan's; a row whose user no longer holds
    the plan's old value ends as a conflict.
    """
    from usersync.planfile import read_plan

    around = around or Surroundings()
    planned, rows = read_plan(plan_file)
    if planned.platform != settings.platform.url:
        raise RefusedError(f"stale: the plan is for {planned.platform}, not {settings.platform.url}")
    table, wanted = read_again(planned, settings)
    if confirm is None:
        raise nobody_to_ask()
    choice = Choice(**planned.choice) if planned.choice else None
    info = head("apply", settings, table, around, choice=choice, had_values=filled(wanted.values))
    info = replace(info, parent=planned.run, settings=planned.settings)
    with locked(settings, around, f"run {info.run}"), Ledger(settings.ledger) as ledger:
        book = ledger.start(info)
        book.restore(rows)
        return asyncio.run(Run(settings, around, book).applied(table, wanted, confirm))


@told
def undo(
    run_name: str, settings: Settings, *, confirm: Confirm | None, around: Surroundings | None = None
) -> Summary:
    """Put the old values of a run back, where the present value is still ours; a run of its own.

    A row ends as updated (reversed), conflict (kept: somebody changed it since), unchanged or failed.
    """
    around = around or Surroundings()
    with Ledger(settings.ledger) as ledger:
        former = open_book(ledger, run_name, settings)
        table, wanted = rows_of(former)
        if confirm is None:
            raise nobody_to_ask()
        info = replace(head("undo", settings, table, around, parent=run_name), sources=former.info.sources)
        with locked(settings, around, f"run {info.run}"):
            return asyncio.run(Run(settings, around, ledger.start(info)).undone(table, wanted, former, confirm))


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
    files = [source["file"] for source in info.sources]
    if "-" in files:
        raise RefusedError("stale: the rows came from standard input, which cannot be read again")
    then = {name: info.settings[name] for name in ("source", "columns", "fields")}
    platform = settings.platform.model_dump(exclude_none=True)
    settings = make_settings({"platform": platform, **then}, f"run {info.run}")
    table, wanted = read(files, settings, choice=Choice(**info.choice) if info.choice else None)
    for source, known in zip(table.sources, info.sources, strict=True):
        if source.sha256 != known["sha256"]:
            raise RefusedError(f"stale: {source.file} has changed since run {info.run}; nothing was sent")
    return table, wanted


def nobody_to_ask() -> RefusedError:
    """Say how to send where there is no terminal."""
    return RefusedError(
        "nothing was sent: there is no terminal to ask on. Add --yes to send without asking, "
        "or look first with `usersync plan`"
    )


def locked(settings: Settings, around: Surroundings, what: str) -> AbstractContextManager[None]:
    """Hold the lock of this platform; `what` tells others what for."""
    who = f"{_user_name()}@{socket.gethostname()}"
    since = f"by {who} since {iso(around.clock.now())} ({what}, process {os.getpid()})"
    return one_run_at_a_time(settings.ledger, settings.platform.url, holder=since, wait=around.lock_wait)


def plan(
    files: Sequence[str | Path],
    settings: Settings,
    *,
    choice: Choice | None = None,
    around: Surroundings | None = None,
    save_as: Path | None = None,
) -> Plan:
    """Work out what `run` would do, and send nothing but reads; `save_as` keeps the plan for `apply`."""
    around = around or Surroundings()
    table, wanted = read(files, settings, choice=choice)
    past = settings.ledger if settings.ledger.exists() else None
    with Ledger(past, aside=True) as ledger:
        book = ledger.start(head("plan", settings, table, around, choice=choice))
        try:
            found = asyncio.run(Run(settings, around, book).planned_only(table, wanted))
        finally:
            ledger.forget(book.info.run)
        if save_as:
            from usersync.planfile import write_plan

            write_plan(save_as, book, found)
        return found


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
        message = "; ".join(p.sentence() for p in wanted.problems)
        return Outcome(0, Status.REJECTED, wanted.problems[0].code, message)
    with Ledger(settings.ledger) as ledger:
        book = ledger.start(head("update", settings, table, around))
        return asyncio.run(Run(settings, around, book).single(table, wanted))


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


def head(
    kind: str,
    settings: Settings,
    table: Table,
    around: Surroundings,
    *,
    choice: Choice | None = None,
    parent: str | None = None,
    had_values: tuple[str, ...] = (),
) -> RunInfo:
    """Make the head of a new run. Raises UsageError for an override that is no rule."""
    from usersync.diff.guard import check_overrides

    check_overrides(around.overrides, settings.limits)
    now = around.clock.now()
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
        overrides=around.overrides,
        filled=had_values,
    )


def dumped(settings: Settings) -> dict[str, Json]:
    """Give the settings that matter for what a run does, without secrets."""
    return settings.model_dump(mode="json", exclude={"platform", "ledger", "report", "metrics", "notify"})


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
