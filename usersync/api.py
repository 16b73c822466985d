"""What can be asked of usersync, in Python as on the command line: run, plan, resume, update."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, replace
from pathlib import Path

from usersync.afterwards import told
from usersync.context import Choice, Confirm, Context, iso, run_async
from usersync.errors import RefusedError, UsageError
from usersync.job import Run
from usersync.ledger import Ledger, LedgerRun, RunInfo, source_heads
from usersync.ledger.lock import one_run_at_a_time
from usersync.loader.dataframe import FRAME
from usersync.loader.remote import without_secrets
from usersync.models import DesiredValues, Files, Json, Outcome, ProblemGroup, Status, Table
from usersync.planning.plan import Kept, Plan
from usersync.planning.rows import Rows, filled, rows_of, single_row
from usersync.report import Summary
from usersync.settings import FieldSettings, Settings, SourceSettings, make_settings


@told
def run(
    files: Files,
    settings: Settings,
    *,
    confirm: Confirm | None,
    choice: Choice | None = None,
    context: Context | None = None,
) -> Summary:
    """Bring the rows of `files` to the platform, and account for every one of them.

    `confirm` is shown the plan and says whether to send it, None where nobody can be asked.
    Writes `report.csv` and `summary.json` below `settings.report.dir`, also where the run stops early.
    Raises UsageError (nothing was sent), RefusedError (not confirmed) or RowCountError.
    """
    context = context or Context()
    table, wanted = read(files, settings, choice=choice)
    if confirm is None:
        raise nobody_to_ask()
    info = head("run", settings, table, context, choice=choice, had_values=filled(wanted.values))
    with locked(settings, context, f"run {info.run}"), Ledger(settings.ledger) as ledger:
        return run_async(Run(settings, context, ledger.start(info)).whole(table, wanted, confirm))


@told
def resume(
    run_name: str | None, settings: Settings, *, confirm: Confirm | None, context: Context | None = None
) -> Summary:
    """Go on with a run that was stopped; by default the latest one of this platform.

    What was in flight is looked up first; what was answered is not sent again. The source must be as it was:
    RefusedError otherwise.
    """
    context = context or Context()
    with locked(settings, context, "a run that goes on"), Ledger(settings.ledger) as ledger:
        name = run_name or ledger.stopped(settings.platform.url)
        if name is None:
            raise UsageError("there is no stopped run to go on with; `usersync runs` lists all")
        book = open_book(ledger, name, settings)
        former = open_book(ledger, book.info.parent or "", settings) if book.info.kind == "undo" else None
        table, wanted = rows_of(former) if former else read_again(book.info, settings)
        if confirm is None:
            raise nobody_to_ask()
        process = Run(settings, context, book)
        if former and book.info.planned_at is None:  # nothing was sent: begin again
            book.forget_rows()
            return finish(process.undone(table, wanted, former, confirm))
        return finish(process.resumed(table, wanted, confirm))


@told
def apply(
    plan_file: Plan | Path, settings: Settings, *, confirm: Confirm | None, context: Context | None = None
) -> Summary:
    """Send exactly a plan, saved or kept.

    RefusedError (`stale`) where a source or the platform is not the plan's; a row whose user no longer holds
    the plan's old value ends as a conflict.
    """
    from usersync.planning.plan_file import read_plan

    context = context or Context()
    planned, rows = read_plan(plan_file)
    if planned.platform != settings.platform.url:
        raise RefusedError(f"stale: the plan is for {planned.platform}, not {settings.platform.url}")
    kept = plan_file.kept if isinstance(plan_file, Plan) else None
    table, wanted = read_again(planned, settings, given=kept.files if kept else None)
    if confirm is None:
        raise nobody_to_ask()
    choice = Choice(**planned.choice) if planned.choice else None
    info = head("apply", settings, table, context, choice=choice, had_values=filled(wanted.values))
    info = replace(info, parent=planned.run, settings=planned.settings)
    with locked(settings, context, f"run {info.run}"), Ledger(settings.ledger) as ledger:
        book = ledger.start(info)
        book.restore(rows)
        return run_async(Run(settings, context, book).applied(table, wanted, confirm))


@told
def undo(run_name: str, settings: Settings, *, confirm: Confirm | None, context: Context | None = None) -> Summary:
    """Put the old values of a run back, where the present value is still ours; a run of its own.

    A row ends as updated (reversed), conflict (kept: somebody changed it since), unchanged or failed.
    """
    context = context or Context()
    with Ledger(settings.ledger) as ledger:
        former = open_book(ledger, run_name, settings)
        table, wanted = rows_of(former)
        if confirm is None:
            raise nobody_to_ask()
        info = replace(head("undo", settings, table, context, parent=run_name), sources=former.info.sources)
        with locked(settings, context, f"run {info.run}"):
            return run_async(Run(settings, context, ledger.start(info)).undone(table, wanted, former, confirm))


def open_book(ledger: Ledger, name: str, settings: Settings) -> LedgerRun:
    """Find a run in the ledger that belongs to this platform."""
    book = ledger.find(name)
    if book is None:
        raise UsageError(f"there is no run {name} in {settings.ledger}; `usersync runs` lists all")
    if book.info.platform != settings.platform.url:
        raise RefusedError(f"stale: run {name} is for {book.info.platform}, not {settings.platform.url}")
    return book


def read_again(info: RunInfo, settings: Settings, *, given: Files | None = None) -> tuple[Table, DesiredValues]:
    """Read the sources of an earlier run, or those `given`; RefusedError where one has changed since.

    They mean now what they meant then: the settings that say so come from the run.
    """
    files: Files = given if given is not None else [source["file"] for source in info.sources]
    for name, what in (("-", "standard input"), (FRAME, "a DataFrame")):
        if given is None and any(source["file"] == name for source in info.sources):
            raise RefusedError(f"stale: the rows came from {what}, which cannot be read again")
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


def locked(settings: Settings, context: Context, what: str) -> AbstractContextManager[None]:
    """Hold the lock of this platform; `what` tells others what for."""
    since = f"by {_who()} since {iso(context.clock.now())} ({what}, process {os.getpid()})"
    return one_run_at_a_time(settings.ledger, settings.platform.url, holder=since, wait=context.lock_wait)


def plan(
    files: Files,
    settings: Settings,
    *,
    choice: Choice | None = None,
    context: Context | None = None,
    save_as: Path | None = None,
    keep: bool = False,
    page: Path | None = None,
) -> Plan:
    """Work out what `run` would do, and send nothing but reads.

    `save_as` keeps the plan for `apply`, and so does `keep`, in itself; `page` shows it to who signs it off.
    """
    context = context or Context()
    table, wanted = read(files, settings, choice=choice)
    past = settings.ledger if settings.ledger.exists() else None
    with Ledger(past, aside=True) as ledger:
        book = ledger.start(head("plan", settings, table, context, choice=choice))
        try:
            found = run_async(Run(settings, context, book).planned_only(table, wanted))
        finally:
            ledger.forget(book.info.run)
        if save_as or keep:
            from usersync.planning.plan_file import plan_document, write_plan

            document = plan_document(book, found)
            found.kept = Kept(document, files, settings) if keep else None
            if save_as:
                write_plan(save_as, document)
        if page:
            from usersync.report.html import write_plan_page

            write_plan_page(page, book.lines(), found.as_json(), asdict(book.info))
        return found


def update(
    user_id: str,
    cells: Mapping[str, str],
    settings: Settings,
    *,
    context: Context | None = None,
) -> Outcome:
    """Update one user, as `run` updates a row: checked, paced, verified, recorded; without a report.

    `cells` maps fields (`name`, `custom_attributes.seats`) to text. A bad cell gives a rejected outcome.
    """
    from usersync.validation import check

    context = context or Context()
    table = single_row({"id": user_id, **cells})
    wanted = check(table, settings.fields)
    if wanted.problems:
        message = "; ".join(p.sentence() for p in wanted.problems)
        return Outcome(0, Status.REJECTED, wanted.problems[0].code, message)
    with Ledger(settings.ledger) as ledger:
        book = ledger.start(head("update", settings, table, context))
        return run_async(Run(settings, context, book).single(table, wanted))


def read(files: Files, settings: Settings, *, choice: Choice | None = None) -> tuple[Table, DesiredValues]:
    """Read and check files: steps 1 and 2."""
    return read_and_check(files, settings.source, settings.columns, settings.fields, choice=choice)


def read_and_check(
    files: Files,
    source: SourceSettings,
    columns: Mapping[str, str] | None = None,
    fields: Mapping[str, FieldSettings] | None = None,
    *,
    choice: Choice | None = None,
) -> tuple[Table, DesiredValues]:
    """Read and check files with no platform in sight, as `usersync inspect` does."""
    from usersync.loader import load
    from usersync.loader.row_filter import select
    from usersync.validation import check

    table = load(files, options=source, columns=columns)
    if choice:
        table = select(table, where=choice.where, skip=choice.skip)
    return table, check(table, fields, duplicates=source.duplicates)


def problem_groups(table: Table, wanted: DesiredValues, *, shown: int | None = None) -> tuple[ProblemGroup, ...]:
    """Gather all problems by kind, with the first `shown` of each; None: with all."""
    return Rows(table, wanted).problem_groups(shown)


def head(
    kind: str,
    settings: Settings,
    table: Table,
    context: Context,
    *,
    choice: Choice | None = None,
    parent: str | None = None,
    had_values: tuple[str, ...] = (),
) -> RunInfo:
    """Make the head of a new run. Raises UsageError for an override that is no rule."""
    from usersync.diff.limits import check_overrides

    check_overrides(context.overrides, settings.limits)
    now = context.clock.now()
    return RunInfo(
        run=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        kind=kind,
        platform=settings.platform.url,
        started_at=iso(now),
        started_by=_who(),
        settings=dumped(settings),
        sources=source_heads(table.sources),
        parent=parent,
        choice=asdict(choice) if choice else {},
        overrides=context.overrides,
        filled=had_values,
    )


def dumped(settings: Settings) -> dict[str, Json]:
    """Give the settings that matter for what a run does, without secrets."""
    found = settings.model_dump(mode="json", exclude={"platform", "ledger", "report", "metrics", "notify"})
    found["diff"]["compare_with"] = without_secrets(settings.diff.compare_with)
    return found


def _who() -> str:
    name = "unknown"
    with suppress(KeyError, OSError):
        name = getpass.getuser()
    return f"{name}@{socket.gethostname()}"
