"""Carry out the job that all commands share, from rows to report.

    rows -> ledger -> protection -> e-mail order -> limits -> confirmation -> dispatch -> report -> notification

Commands differ in the source of their rows alone (`usersync.planning.sources`), so that every safety rule holds for
each of them.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress

from usersync import notifications
from usersync.context import iso, run_async
from usersync.diff.limits import check_limits
from usersync.dispatch.connection import connected
from usersync.dispatch.dask_engine import scheduler_of
from usersync.dispatch.dispatcher import Dispatcher
from usersync.dispatch.recovery import Recovery
from usersync.dispatch.sender import Sender
from usersync.errors import OUT_OF_MEMORY, RefusedError, RowCountError, SourceError, StoppedError, UsersyncError
from usersync.job.finalize import finalize
from usersync.job.refusal import Confirm, refuse_or_confirm, stop_unresumable_run
from usersync.job.spec import Job, RunState, current_user, new_run_info
from usersync.ledger import Ledger, LedgerRun, UnsentRows, Waves
from usersync.ledger.lock import one_run_at_a_time
from usersync.ledger.resumption import reset_to_planned
from usersync.ledger.run import IN_FLIGHT
from usersync.ledger.waves import is_open
from usersync.logs import event
from usersync.models import Status
from usersync.planning.email_waves import order_emails
from usersync.planning.input import Input
from usersync.planning.matching import sources_with_both
from usersync.planning.plan import Plan, plan_stats, read_plan
from usersync.planning.users import UserLookup
from usersync.planning.verify import reject_protected
from usersync.report import Summary, require_writable_folder

log = logging.getLogger(__name__)
#: Seconds that a plan may wait to be confirmed; after that, its users are read once more.
REVERIFY_AFTER = 300.0


def carry_out(job: Job, confirm: Confirm | None) -> Summary:
    """Carry out a job, and notify those whom the settings name.

    A run that has begun ends with a Summary, whose exit code says how. Whatever ends it before raises a
    UsersyncError, and nothing was sent; so does `confirm=None` (nobody can be asked).
    """
    channels = notifications.prepare(job.settings)
    if job.settings.engine == "dask":
        scheduler_of(job.settings)
    recovered = False
    try:
        with _lock(job), Ledger(job.settings.ledger) as ledger:
            previous = ledger.last_finished(job.settings.platform.url)
            recovered = bool(previous and previous.exit_code)
            summary = run_async(_execute(job, _open(job, ledger, confirm), confirm or _never))
    except Exception as error:
        notifications.notify_run_failed(job.settings, channels, error, clock=job.context.clock)
        raise
    return notifications.notify_run_finished(
        job.settings, channels, summary, recovered=recovered, clock=job.context.clock
    )


def make_plan(job: Job, *, review: Callable[[LedgerRun, Plan, Input], None]) -> Plan:
    """Plan, and send nothing but reads; `review` is called while the rows are still in the ledger.

    The rows are temporary: they last as long as the plan. Raises StoppedError where the run stops first, because an
    incomplete plan must not be used.
    """
    path = job.settings.ledger if job.settings.ledger.exists() else None
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger(path, temporary_rows=True))
        state = _open(job, ledger, _never)
        try:
            plan = run_async(_plan_only(job, state))
            review(state.run, plan, state.source.given)
        finally:
            ledger.forget(state.run.info.run)
        weakref.finalize(state.run, stack.pop_all().close)  # whoever has the plan may still ask for its rows
    return plan


def _open(job: Job, ledger: Ledger, confirm: Confirm | None) -> RunState:
    source = job.load(ledger)
    if confirm is None:
        raise RefusedError(
            "nothing was sent: there is no terminal to ask on. Add --yes to send without asking, "
            "or review first with `usersync plan`"
        )
    run = source.start(ledger, new_run_info(job, source.kind))
    event("begin", run=run.info.run, kind=run.info.kind)
    return RunState(ledger, source, run, began=job.context.clock.monotonic() - job.context.waited)


async def _execute(job: Job, state: RunState, confirm: Confirm) -> Summary:
    """Plan, confirm, send, report; whatever happens once there is a plan, its rows are reported."""
    try:
        if state.source.reports:
            require_writable_folder(job.settings.report.dir, state.run.info.run)
        async with connected(job.settings, job.context, job.options.max_duration) as sender:
            state.sender = sender
            await _plan_and_send(job, state, sender, confirm)
    except (StoppedError, MemoryError) as error:
        if state.plan is None:
            raise  # no plan yet, so nothing was sent
        message = OUT_OF_MEMORY if isinstance(error, MemoryError) else str(error)
        job.context.stop.ask(StoppedError.exit_code, message)
    except UsersyncError:
        if state.run.is_new:  # it never began
            state.ledger.forget(state.run.info.run)
            with suppress(OSError):
                (job.settings.report.dir / state.run.info.run).rmdir()
        raise
    except Exception as error:
        if state.plan is not None:  # rows may have been sent
            job.context.stop.ask(RowCountError.exit_code, f"internal error: {type(error).__name__}; please report it")
            with suppress(UsersyncError):
                finalize(job, state)
        raise
    return finalize(job, state)


async def _plan_and_send(job: Job, state: RunState, sender: Sender, confirm: Confirm) -> None:
    run, refusal, recovery = state.run, state.source.refusal, _recovery(job, state.run, sender)
    await recovery.revert_interrupted_swaps(_with_interrupted_swaps(state))
    if isinstance(refusal, SourceError):
        raise refusal  # later it may be readable again
    if refusal:
        await recovery.resolve_in_flight()
        state.refusal = stop_unresumable_run(job, sender, run, str(refusal))
        return
    for note in _interrupted_runs(state):
        log.warning("%s", note)
    plan = state.plan = await _prepare(job, state, sender)
    state.refusal = refuse_or_confirm(job, sender, run, plan, confirm)
    if state.refusal:
        return
    if plan.changes and not job.context.stop:
        await _send(job, state, sender, plan.changes)
    await recovery.revert_broken_swaps()
    _stop_where_unread(job, run)


async def _send(job: Job, state: RunState, sender: Sender, users: int) -> None:
    await _verify_where_waited(job, state, sender)
    desired = state.source.given.desired.values
    await Dispatcher(job.settings, job.context, state.run, sender, desired).send_all(users)
    if job.context.stop:
        reset_to_planned(state.run, sender.users_without_api_answer)


async def _plan_only(job: Job, state: RunState) -> Plan:
    async with connected(job.settings, job.context, job.options.max_duration) as sender:
        plan = await _prepare(job, state, sender)
    plan.notes += _interrupted_runs(state)
    _stop_where_unread(job, state.run)
    if job.context.stop.reason:
        raise StoppedError(job.context.stop.reason.message)
    return plan


async def _prepare(job: Job, state: RunState, sender: Sender) -> Plan:
    """Bring the rows into the ledger, and take out what may not be sent."""
    context, settings, run, source = job.context, job.settings, state.run, state.source
    await _recovery(job, run, sender).resolve_in_flight()
    users = _user_lookup(job, sender)
    await source.insert_rows(run, users, context.clock)
    reject_protected(run, settings.limits.protect)
    completes_plan = run.info.planned_at is None and not context.stop  # later, where not all users were read
    limit = run.info.options.get("limit") if completes_plan else None
    if limit is not None:
        UnsentRows(run).keep_first(limit)
    _order_emails(job, state, users)
    left_out = UnsentRows(run).drop_left_out() if limit is not None else 0
    if completes_plan:
        run.mark_planned(iso(context.clock.now()))
    plan = read_plan(run, source.given)
    plan.left_out = left_out + source.given.table.left_out
    plan.notes += [*users.notes, *source.notes]
    info = run.info
    previous, usual_changes = state.ledger.previous(info), state.ledger.usual_changes(info)
    stats = plan_stats(plan, run, source.given, previous, usual_changes, users.directory.users.values())
    plan.violations = check_limits(stats, settings.limits)
    event("plan", run=run.info.run, **{status.value: n for status, n in plan.counts.items()})
    return plan


def _order_emails(job: Job, state: RunState, users: UserLookup) -> None:
    """Put e-mail changes in order as users hold addresses now, unless some of the last order are still under way."""
    run, given = state.run, state.source.given
    if any(map(is_open, Waves(run).swaps())) or any(run.with_status(*IN_FLIGHT)):
        return
    with_both = sources_with_both(given.table, given.source.match_by)
    order_emails(run, job.settings.diff, users.directory, with_both=with_both)


async def _verify_where_waited(job: Job, state: RunState, sender: Sender) -> None:
    """Take out what somebody else changed while a plan waited to be confirmed, as `apply` does."""
    if job.context.waited > REVERIFY_AFTER:
        users = _user_lookup(job, sender)
        await state.source.verify_rows(state.run, users)
        reject_protected(state.run, job.settings.limits.protect)
        _order_emails(job, state, users)


def _stop_where_unread(job: Job, run: LedgerRun) -> None:
    """Stop a run with users that could not be read, after all other rows were sent: the platform failed."""
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


def _user_lookup(job: Job, sender: Sender) -> UserLookup:
    concurrency = job.settings.request.concurrency
    return UserLookup(sender.read, sender.read_directory, job.context, concurrency=concurrency)


def _recovery(job: Job, run: LedgerRun, sender: Sender) -> Recovery:
    return Recovery(run, sender, job.context, concurrency=job.settings.request.concurrency)


def _with_interrupted_swaps(state: RunState) -> list[LedgerRun]:
    """Return the interrupted runs whose e-mail swaps must be reverted, because no run will complete them."""
    found = state.ledger.open_swaps(state.run.info.platform)
    return [other for other in found if other.number != state.run.number or state.source.refusal]


def _interrupted_runs(state: RunState) -> list[str]:
    """List the other runs of this platform that were interrupted."""
    info = state.run.info
    names = [name for name in state.ledger.resumable(info.platform) if name != info.run]
    return [f"run {name} was interrupted; `usersync resume {name}` completes it" for name in names[:3]]


def _lock(job: Job) -> AbstractContextManager[None]:
    """Lock the platform against other runs; the lock's text says who runs what, and since when."""
    since = iso(job.context.clock.now())
    holder = f"by {current_user()} since {since} ({job.kind}, process {os.getpid()})"
    platform, wait = job.settings.platform.url, job.options.lock_wait
    return one_run_at_a_time(job.settings.ledger, platform, holder=holder, wait=wait)


def _never(_: Plan) -> bool:
    return False
