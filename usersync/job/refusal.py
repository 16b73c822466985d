"""Refuse to send a plan, and say why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from usersync.dispatch.sender import Sender
from usersync.errors import EXIT_NEED_ATTENTION, RefusedError, StoppedError
from usersync.job.spec import Job
from usersync.ledger import LedgerRun
from usersync.models import Status
from usersync.planning.plan import Plan

Confirm: TypeAlias = Callable[[Plan], bool]
"""Shows a plan, and returns whether to send it."""


def refuse_or_confirm(job: Job, sender: Sender, run: LedgerRun, plan: Plan, confirm: Confirm) -> str:
    """Return why a plan is not sent, blank where it is: it exceeds a limit, or is not confirmed."""
    if job.context.stop:
        return ""  # nothing is sent because the run stopped, not because the plan was refused
    exceeded = [v for v in plan.violations if not v.is_overridden(run.info.overrides)]
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


def stop_unresumable_run(job: Job, sender: Sender, run: LedgerRun, reason: str) -> str:
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
    return f"{nothing}, except to revert interrupted e-mail swaps" if sender.counts.patch else nothing
