"""Carry out the job that all commands share, from rows to report.

    rows -> ledger -> protection -> e-mail order -> limits -> confirmation -> dispatch -> report -> notification

Commands differ in the source of their rows alone (`usersync.planning.sources`), so that every safety rule holds for
each of them.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from usersync import notifications
from usersync.context import Context, RunOptions, iso, run_async
from usersync.diff.limits import check_limits
from usersync.dispatch.connection import connected
from usersync.dispatch.dask_engine import scheduler_of
from usersync.dispatch.dispatcher import Dispatcher
from usersync.dispatch.email_swaps import reverted_rows
from usersync.dispatch.recovery import Recovery
from usersync.dispatch.sender import Sender
from usersync.errors import OUT_OF_MEMORY, RefusedError, RowCountError, SourceError, StoppedError, UsersyncError
from usersync.ledger import Ledger, LedgerRun, RunInfo, UnsentRows
from usersync.ledger.lock import one_run_at_a_time
from usersync.ledger.run import NOT_SENT
from usersync.loader.row_names import no_name
from usersync.logs import event
from usersync.models import DesiredValues, Status, Table
from usersync.planning.input import read_files
from usersync.planning.matching import sources_with_both
from usersync.planning.new_run import current_user, new_run_info
from usersync.planning.plan import Plan, plan_stats, read_plan
from usersync.planning.safety import order_emails, reject_protected
from usersync.planning.sources import RowSource
from usersync.planning.users import UserLookup
from usersync.report import RunFacts, Summary, require_writable_folder, summarize, verify_row_count, write_report
from usersync.report.rejects import REJECTED, write_rejects
from usersync.settings import Settings

log = logging.getLogger(__name__)
#: The exit code of a run that finished, but for rows that need attention.
EXIT_NEED_ATTENTION = 1
#: Seconds that a plan may wait to be confirmed; after that, its users are read once more.
LONGEST_WAIT = 300.0
Confirm: TypeAlias = Callable[[Plan], bool]
"""Shows a plan, and returns whether to send it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a command asks for."""

    source: RowSource
    settings: Settings
    options: RunOptions
    context: Context

    def new_run(self, kind: str) -> RunInfo:
        """Make the head of a new run. Raises UsageError for an override that is no rule."""
        return new_run_info(kind, self.settings, self.options, self.context.clock)


def carry_out(job: Job, confirm: Confirm | None) -> Summary:
    """Carry out a job, and notify those whom the settings name.

    A run that has begun ends with a Summary, whose exit code says how. Whatever ends it before raises a
    UsersyncError, and nothing was sent: so does `confirm=None`, which stands for nobody to ask.
    """
    channels = notifications.prepare(job.settings)
    if job.settings.engine == "dask":
        scheduler_of(job.settings)
    recovered = False
    try:
        with _lock(job), Ledger(job.settings.ledger) as ledger:
            previous = ledger.last_finished(job.settings.platform.url)
            recovered = bool(previous and previous.exit_code)
            run = _open(job, ledger, confirm)
            summary = run_async(_execute(job, ledger, run, confirm or _never))
    except Exception as error:
        notifications.notify_run_failed(job.settings, channels, error, clock=job.context.clock)
        raise
    return notifications.notify_run_finished(
        job.settings, channels, summary, recovered=recovered, clock=job.context.clock
    )


def make_plan(job: Job, *, review: Callable[[LedgerRun, Plan], None]) -> Plan:
    """Plan, and send nothing but reads; `review` is called while the rows are still in the ledger.

    The rows are temporary: they last as long as the plan. Raises StoppedError where the run stops on the way:
    half a plan is none.
    """
    path = job.settings.ledger if job.settings.ledger.exists() else None
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(path, temporary_rows=True))
        run = _open(job, ledger, _never)
        try:
            plan = run_async(_plan_only(job, ledger, run))
            review(run, plan)
        finally:
            ledger.forget(run.info.run)
        weakref.finalize(run, stack.pop_all().close)  # whoever has the plan may still ask for its rows
    return plan


def _open(job: Job, ledger: Ledger, confirm: Confirm | None) -> LedgerRun:
    job.source.load(ledger)
    if confirm is None:
        raise RefusedError(
            "nothing was sent: there is no terminal to ask on. Add --yes to send without asking, "
            "or review first with `usersync plan`"
        )
    run = job.source.start(ledger, job.new_run)
    event("begin", run=run.info.run, kind=run.info.kind)
    return run


async def _execute(job: Job, ledger: Ledger, run: LedgerRun, confirm: Confirm) -> Summary:
    """Plan, confirm, send, report."""
    began = job.context.clock.monotonic() - job.context.waited
    plan: Plan | None = None
    refusal = ""
    sender: Sender | None = None
    try:
        if job.source.reports:
            require_writable_folder(job.settings.report.dir, run.info.run)
        async with connected(job.settings, job.context, job.options.max_duration) as sender:
            recovery = _recovery(job, run, sender)
            await recovery.revert_interrupted_swaps(_with_interrupted_swaps(job, ledger, run))
            if isinstance(job.source.refusal, SourceError):
                raise job.source.refusal  # later it may be readable again
            if job.source.refusal:
                await recovery.resolve_in_flight()
                refusal = _close(job, sender, run, str(job.source.refusal))
            else:
                for note in _interrupted_runs(ledger, run):
                    log.warning("%s", note)
                plan = await _prepare(job, ledger, run, sender)
                refusal = _refusal(job, sender, run, plan, confirm)
                if plan.changes and not refusal and not job.context.stop:
                    await _verify_where_waited(job, run, sender)
                    desired = job.source.given.desired.values if job.source.given else None
                    await Dispatcher(job.settings, job.context, run, sender, desired).send_all(plan.changes)
                    if job.context.stop:
                        run.plan_again(sender.unheard)
                if not refusal:
                    await recovery.revert_broken_swaps()
                _stop_where_unread(job, run)
    except (StoppedError, MemoryError) as error:
        if plan is None:
            raise  # nothing was sent
        message = OUT_OF_MEMORY if isinstance(error, MemoryError) else str(error)
        job.context.stop.ask(StoppedError.exit_code, message)
    except UsersyncError:
        if run.is_new:  # it never began
            ledger.forget(run.info.run)
        raise
    except Exception as error:
        if plan is not None:  # rows may have been sent
            job.context.stop.ask(RowCountError.exit_code, f"internal error: {type(error).__name__}; please report it")
            with suppress(UsersyncError):
                _report(job, run, plan, sender, began=began)
        raise
    return _report(job, run, plan, sender, began=began, refusal=refusal)


async def _plan_only(job: Job, ledger: Ledger, run: LedgerRun) -> Plan:
    async with connected(job.settings, job.context, job.options.max_duration) as sender:
        plan = await _prepare(job, ledger, run, sender)
    plan.notes += _interrupted_runs(ledger, run)
    _stop_where_unread(job, run)
    if job.context.stop.reason:
        raise StoppedError(job.context.stop.reason.message)
    return plan


async def _prepare(job: Job, ledger: Ledger, run: LedgerRun, sender: Sender) -> Plan:
    """Bring the rows into the ledger, and take out what may not be sent."""
    context, settings = job.context, job.settings
    await _recovery(job, run, sender).resolve_in_flight()
    users = UserLookup(sender.read, sender.read_directory)
    await job.source.insert_rows(run, context, users)
    reject_protected(run, settings.limits.protect)
    left_out = 0
    if run.info.planned_at is None:
        limit = run.info.options.get("limit") if not context.stop else None  # later, where not all users were read
        if limit is not None:
            UnsentRows(run).keep_first(limit)
        given = job.source.given
        with_both = sources_with_both(given.table, given.source.match_by) if given else ()
        order_emails(run, settings.diff, users.directory, with_both=with_both)
        if limit is not None:
            left_out = UnsentRows(run).drop_left_out()
        if not context.stop:
            run.mark_planned(iso(context.clock.now()))
    plan = read_plan(run, job.source.given)
    plan.left_out = left_out + (job.source.given.table.left_out if job.source.given else 0)
    plan.notes += [*users.notes, *job.source.notes]
    info = run.info
    stats = plan_stats(plan, run, job.source.given, ledger.previous(info), ledger.usual_changes(info))
    plan.violations = check_limits(stats, settings.limits)
    event("plan", run=run.info.run, **{status.value: n for status, n in plan.counts.items()})
    return plan


async def _verify_where_waited(job: Job, run: LedgerRun, sender: Sender) -> None:
    """Take out what somebody else changed while a plan waited to be confirmed, as `apply` does."""
    if job.context.waited > LONGEST_WAIT:
        await job.source.verify_rows(run, job.context, UserLookup(sender.read, sender.read_directory))
        reject_protected(run, job.settings.limits.protect)


def _stop_where_unread(job: Job, run: LedgerRun) -> None:
    """Stop a run, once the others are sent, of which users could not be read: the platform was in trouble."""
    if job.context.stop:
        return
    unread = run.with_status(Status.NOT_SENT)
    if (first := next(unread, None)) is None:
        return
    others = sum(1 for _ in unread)
    rows = f"row {first.row} is" if not others else f"{others + 1:,} rows are"
    example = f", the first of them row {first.row}" if others else ""
    remedies = {"plan": "plan again", "update": "try again"}
    remedy = remedies.get(run.info.kind, f"`usersync resume {run.info.run}` tries again")
    message = f"{rows} not sent{example}: {first.message.removeprefix('not sent: ')}; {remedy}"
    job.context.stop.ask(StoppedError.exit_code, message)


def _recovery(job: Job, run: LedgerRun, sender: Sender) -> Recovery:
    return Recovery(run, sender, job.context, concurrency=job.settings.request.concurrency)


def _with_interrupted_swaps(job: Job, ledger: Ledger, run: LedgerRun) -> list[LedgerRun]:
    """Return the runs with e-mail swaps to revert, which no run goes on with."""
    found = ledger.open_swaps(job.settings.platform.url)
    return [other for other in found if other.number != run.number or job.source.refusal]


def _interrupted_runs(ledger: Ledger, run: LedgerRun) -> list[str]:
    """List the runs of this platform that were interrupted."""
    names = [name for name in ledger.resumable(run.info.platform) if name != run.info.run]
    return [f"run {name} was interrupted; `usersync resume {name}` completes it" for name in names[:3]]


def _close(job: Job, sender: Sender, run: LedgerRun, reason: str) -> str:
    """Stop a resumed run whose rows can no longer be sent; returns the reason."""
    has_sent = _has_sent(run)
    exit_code = EXIT_NEED_ATTENTION if sender.counts.patch or has_sent else RefusedError.exit_code
    job.context.stop.ask(exit_code, f"{reason}; {_nothing_sent(sender, before=has_sent)}")
    return reason


def _refuse(job: Job, sender: Sender, run: LedgerRun, reason: str, details: str = "") -> None:
    """Stop a run before its rows are sent; one that sent rows before it was interrupted stays unfinished."""
    has_sent = _has_sent(run)
    message = f"{reason}{_nothing_sent(sender, before=has_sent)}{details}"
    if has_sent:
        job.context.stop.ask(StoppedError.exit_code, f"{message}; `usersync resume {run.info.run}` sends the rest")
    else:
        job.context.stop.ask(RefusedError.exit_code, message)


def _has_sent(run: LedgerRun) -> bool:
    """Return whether rows of a run that is resumed were sent before."""
    return any(run.counts().get(status) for status in (Status.UPDATED, Status.FAILED, Status.UNKNOWN))


def _nothing_sent(sender: Sender, *, before: bool) -> str:
    nothing = "nothing more was sent" if before else "nothing was sent"
    return f"{nothing}, but to revert interrupted e-mail swaps" if sender.counts.patch else nothing


def _refusal(job: Job, sender: Sender, run: LedgerRun, plan: Plan, confirm: Confirm) -> str:
    """Return why a plan is not sent, blank where it is: it exceeds a limit, or is not confirmed."""
    if job.context.stop:
        return ""  # nothing is sent, but nobody refused it either
    exceeded = [v for v in plan.violations if v.rule not in run.info.overrides]
    if exceeded:
        sentences = "\n  ".join(v.sentence() for v in exceeded)
        _refuse(job, sender, run, "limits exceeded, ", f":\n  {sentences}")
        return f"limits exceeded ({', '.join(v.rule for v in exceeded)})"
    if not plan.changes or _is_confirmed(job, plan, confirm) or job.context.stop:
        return ""
    _refuse(job, sender, run, "not confirmed; ")
    return "not confirmed"


def _is_confirmed(job: Job, plan: Plan, confirm: Confirm) -> bool:
    asked = job.context.clock.monotonic()
    try:
        return confirm(plan)
    finally:
        job.context.waited += job.context.clock.monotonic() - asked


def _report(
    job: Job, run: LedgerRun, plan: Plan | None, sender: Sender | None, *, began: float, refusal: str = ""
) -> Summary:
    """Close the run, write its files, and verify that every row of the input has one line.

    Where the ledger cannot be written any more, the report is written all the same, from a copy.
    """
    ended = run
    not_sent = f"not sent: {refusal}" if refusal else NOT_SENT
    try:
        run.finalize(not_sent=not_sent)
    except StoppedError as error:
        job.context.stop.ask(error.exit_code, str(error))
        ended = Ledger(None).start(run.info)
        ended.take_over(run)
        ended.finalize(not_sent=not_sent)
    stop = job.context.stop.reason
    facts = _facts(job, ended, plan or Plan(), sender, job.context.clock.monotonic() - job.context.waited - began)
    if job.source.reports:
        report, write_rejects = job.settings.report, _rejects_writer(job, ended)
        summary = write_report(
            ended.report_cells, report.dir, facts, formats=report.formats, write_rejects=write_rejects
        )
    else:
        summary = summarize(ended.report_cells(), facts)
    now = iso(job.context.clock.now())
    try:
        run.finish(finished_at=now, exit_code=summary.exit_code, stopped=stop.message if stop else None)
    except StoppedError as error:
        if not stop:  # the report says that all is well, and the ledger does not know
            raise
        log.warning("%s", error)
    if job.context.on_result:
        for row in reverted_rows(run):
            job.context.on_result(row)
    if stop:
        event("stop", run=run.info.run, code=stop.exit_code)
    counts = summary.counts
    event("end", run=run.info.run, status=summary.status, code=summary.exit_code, seconds=summary.seconds, **counts)
    verify_row_count(job.source.row_count(run), summary)
    return summary


def _facts(job: Job, run: LedgerRun, plan: Plan, sender: Sender | None, seconds: float) -> RunFacts:
    counts = sender.counts if sender else None
    names = ("get", "patch", "retried", "throttled")
    return RunFacts(
        run=run.info.run,
        info=asdict(run.info),
        requests={name: getattr(counts, name) if counts else 0 for name in names},
        responses={str(status or "none"): n for status, n in (counts.responses.items() if counts else ())},
        seconds=seconds,
        stop=job.context.stop.reason,
        problems=plan.problems,
        left_out=plan.left_out,
        notes=plan.notes,
        limits=[
            {"rule": v.rule, "sentence": v.sentence(), "overridden": v.rule in run.info.overrides}
            for v in plan.violations
        ],
        timeline=list(sender.slices()) if sender else [],
        fields=run.changed_fields(),
        name_of=job.source.given.name_of if job.source.given else no_name,
    )


def _rejects_writer(job: Job, run: LedgerRun) -> Callable[[Path], Path | None] | None:
    """Return the way to write the file of the rows to correct; None where the rows come from no file."""
    given, settings = job.source.given, job.settings
    if given is None or not given.table.sheets:
        return None

    def reread(files: Sequence[str | Path]) -> tuple[Table, DesiredValues]:
        again = read_files(list(files), settings.source, settings.columns, settings.fields)
        if given.matching and given.matching.index:
            again = again.matched(given.matching.index)
        return again.table, again.desired

    return lambda home: write_rejects(
        run.with_public_status(*REJECTED),
        home,
        table=given.table,
        problems=given.desired.problems,
        header_row=settings.source.header_row or 1,
        reread=reread,
    )


def _lock(job: Job) -> AbstractContextManager[None]:
    """Let no other run of this platform begin; the holder's line says who runs what since when."""
    since = iso(job.context.clock.now())
    holder = f"by {current_user()} since {since} ({job.source.kind}, process {os.getpid()})"
    platform, wait = job.settings.platform.url, job.options.lock_wait
    return one_run_at_a_time(job.settings.ledger, platform, holder=holder, wait=wait)


def _never(_: Plan) -> bool:
    return False
