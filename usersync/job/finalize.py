"""Finalize a run: last statuses, the files of its report, the count of its rows."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from usersync.context import iso
from usersync.dispatch.email_swaps import reverted_rows
from usersync.dispatch.sender import RequestCounts
from usersync.errors import StoppedError
from usersync.job.spec import Job, RunState
from usersync.ledger import Ledger, LedgerRun
from usersync.ledger.run import NOT_SENT
from usersync.logs import event
from usersync.models import Status
from usersync.planning.input import Input, read_files
from usersync.planning.plan import Plan
from usersync.planning.sources import RowSource
from usersync.report import RunFacts, Summary, summarize, verify_row_count, write_report
from usersync.report.rejects import REJECTED, write_rejects
from usersync.tables import DesiredValues, Table

log = logging.getLogger(__name__)


def finalize(job: Job, state: RunState) -> Summary:
    """Close a run, write its files, and verify that every row of the input has one line.

    If the ledger can no longer be written, the report is written anyway, from a copy.
    """
    run = state.run
    ended = _with_last_statuses(job, state)
    seconds = job.context.clock.monotonic() - job.context.waited - state.began
    summary = _report(job, state.source, ended, _facts(job, state, ended, seconds))
    stop = job.context.stop.reason
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
    verify_row_count(state.source.row_count(run), summary)
    return summary


def _with_last_statuses(job: Job, state: RunState) -> LedgerRun:
    """Return the run with the final status of every row; a copy of it if the ledger can no longer be written."""
    not_sent = f"not sent: {state.refusal}" if state.refusal else NOT_SENT
    is_closed = state.source.refusal is not None
    try:
        state.run.finalize(not_sent=not_sent, is_closed=is_closed)
    except StoppedError as error:
        job.context.stop.ask(error.exit_code, str(error))
        copy = Ledger(None).start(state.run.info)
        copy.take_over(state.run)
        copy.finalize(not_sent=not_sent, is_closed=is_closed)
        return copy
    return state.run


def _report(job: Job, source: RowSource, run: LedgerRun, facts: RunFacts) -> Summary:
    if not source.reports:
        return summarize(run.report_cells(), facts)
    report = job.settings.report
    return write_report(
        run.report_cells,
        report.dir,
        facts,
        formats=report.formats,
        write_rejects=_rejects_writer(job, source.given, run),
    )


def _facts(job: Job, state: RunState, run: LedgerRun, seconds: float) -> RunFacts:
    plan, sender, given = state.plan or Plan(), state.sender, state.source.given
    counts = sender.counts if sender else RequestCounts()
    fields: Counter[str] = Counter()
    for changed, users, _ in run.changed_fields(Status.UPDATED):
        fields.update(dict.fromkeys(changed, users))
    names = ("get", "patch", "retried", "throttled")
    return RunFacts(
        info=asdict(run.info),
        requests={name: getattr(counts, name) for name in names},
        responses={str(status or "none"): n for status, n in counts.responses.items()},
        seconds=seconds,
        stop=job.context.stop.reason,
        problems=plan.problems,
        left_out=plan.left_out,
        notes=plan.notes,
        limits=[
            {"rule": v.rule, "sentence": v.sentence(), "overridden": v.is_overridden(run.info.overrides)}
            for v in plan.violations
        ],
        timeline=list(sender.slices()) if sender else [],
        fields=fields,
        texts=given.texts,
    )


def _rejects_writer(job: Job, given: Input, run: LedgerRun) -> Callable[[Path], Path | None] | None:
    """Return the way to write the file of the rows to correct; None where the rows come from no file."""
    settings = job.settings
    if not given.table.sheets:
        return None

    def reread(files: Sequence[str | Path]) -> tuple[Table, DesiredValues]:
        again = read_files(list(files), settings)
        if given.matching.index:
            again = again.matched(given.matching.index)
        return again.table, again.desired

    return lambda folder: write_rejects(
        run.with_public_status(*REJECTED),
        folder,
        table=given.table,
        problems=given.desired.problems,
        header_row=settings.source.header_row or 1,
        reread=reread,
    )
