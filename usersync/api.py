"""Run, plan, apply, resume, undo, update and export: the public functions.

Each builds the source of its rows, and carries out the one job (`usersync.job`). A run that has begun ends with a
Summary, whose exit code says how: 0 everything is done, 1 some rows need attention, 3 refused by a limit or not
confirmed, 4, 129, 130 or 143 stopped. Whatever ends it before raises a UsersyncError, and nothing was sent.
RowCountError, an internal error, is raised after the report is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

from usersync.context import Context, RunOptions, iso, run_async
from usersync.dispatch.collect_users import UserBuffer, collect_users
from usersync.errors import RefusedError, StoppedError, UsersyncError
from usersync.job import Confirm, Job, carry_out, make_plan
from usersync.ledger import Ledger, LedgerRun
from usersync.loader.load import PLAN_START
from usersync.models import Row, Status, User
from usersync.planning.input import Input, read_input
from usersync.planning.plan import Plan, SavedPlan
from usersync.planning.plan_file import keep_document, save_plan
from usersync.planning.resumed_rows import ResumedRows
from usersync.planning.sources import FileRows, PlanRows, single_user_rows
from usersync.planning.undone_rows import UndoneRows
from usersync.report import Summary
from usersync.report.export import ExportHead, export_files, write_export
from usersync.report.export_columns import all_columns, choose_columns, find_conditions, require_users, user_texts
from usersync.report.html import PAGE_START, write_plan_page
from usersync.report.output_file import require_replaceable
from usersync.settings import Settings, load_settings
from usersync.tables import Files

#: Platforms that are updated at the same time.
PLATFORMS_AT_ONCE = 8


def run(
    files: Files,
    settings: Settings | None = None,
    *,
    confirm: Confirm | None,
    options: RunOptions | None = None,
    context: Context | None = None,
) -> Summary:
    """Bring the rows of files to the platform.

    `files` are paths, addresses (`s3://...`) or DataFrames, one or several for one run; a DataFrame has the columns
    of a sheet, its index is not read. `settings` are those of `load_settings()` unless given. `confirm` is called
    with the plan, and returns whether to send it; None means that nobody can be asked.
    """
    return carry_out(_file_job("run", files, settings, options, context), confirm)


def run_many(
    files: Files,
    settings: Sequence[Settings],
    *,
    confirm: Confirm | None,
    options: RunOptions | None = None,
    contexts: Sequence[Context] | None = None,
) -> list[Summary | UsersyncError]:
    """Bring the rows of files to several platforms at the same time, each with settings and a context of its own.

    Returns a Summary for each platform, or the error that kept its run from beginning. Raises UsersyncError, and
    sends nothing to any platform, where a token cannot be read.
    """
    for one in settings:
        one.platform.token()
    contexts = contexts or [Context() for _ in settings]

    def run_one(one: Settings, context: Context) -> Summary | UsersyncError:
        try:
            return run(files, one, confirm=confirm, options=options, context=context)
        except UsersyncError as error:
            return error

    with ThreadPoolExecutor(PLATFORMS_AT_ONCE) as threads:
        futures = [threads.submit(run_one, *pair) for pair in zip(settings, contexts, strict=True)]
        while wait(futures, timeout=0.5).not_done:  # returning now and then, so that signals come through
            pass
    return [future.result() for future in futures]


def plan(
    files: Files,
    settings: Settings | None = None,
    *,
    options: RunOptions | None = None,
    context: Context | None = None,
    save_as: Path | None = None,
    html: Path | None = None,
) -> Plan:
    """Work out what `run` would do, and send nothing but reads.

    `save_as` writes a file for `apply`, which takes the returned plan as well; `html` writes a page for whoever
    signs it off. Neither is written over a file of another kind. Raises UsersyncError where nothing can be planned.
    """
    job = _file_job("plan", files, settings, options, context)
    if save_as:
        require_replaceable(save_as, PLAN_START, "-o")
    if html:
        require_replaceable(html, PAGE_START, "--html")

    def review(ledger_run: LedgerRun, found: Plan, given: Input) -> None:
        document = keep_document(ledger_run, found)
        found.saved = SavedPlan(document, files, job.settings)
        if save_as:
            save_plan(save_as, document())
        if html:
            lines, info = ledger_run.report_cells(), asdict(ledger_run.info)
            write_plan_page(html, lines, found.as_json(), info, given.texts)

    return make_plan(job, review=review)


def _file_job(
    kind: str, files: Files, settings: Settings | None, options: RunOptions | None, context: Context | None
) -> Job:
    settings, options = settings or load_settings(), options or RunOptions()

    def load(_: Ledger) -> FileRows:
        return FileRows(kind, settings, read_input(files, settings, options))

    return Job(load, settings, options, context or Context(), kind)


def apply(
    plan: Plan | str | Path,
    settings: Settings | None = None,
    *,
    confirm: Confirm | None,
    options: RunOptions | None = None,
    context: Context | None = None,
) -> Summary:
    """Send exactly a plan, made by `plan` or saved in a file.

    Raises RefusedError where a source, a DataFrame too, has changed since, or where the plan is for another
    platform. A row whose user no longer holds the plan's old value ends as a conflict.
    """
    if settings is None:
        settings = plan.saved.settings if isinstance(plan, Plan) and plan.saved else load_settings()
    source = plan if isinstance(plan, Plan) else Path(plan)
    job = Job(lambda _: PlanRows(source, settings), settings, options or RunOptions(), context or Context(), "apply")
    return carry_out(job, confirm)


def resume(
    run: str | None = None,
    settings: Settings | None = None,
    *,
    confirm: Confirm | None,
    options: RunOptions | None = None,
    context: Context | None = None,
) -> Summary:
    """Complete a run that was interrupted; by default the latest one of this platform.

    Rows in flight are looked up first; rows with an answer are not sent again. If a source has changed since, the run
    is closed instead: placeholder addresses are reverted, and the remaining rows end as not-sent. The exit code is
    then 3 if the run never sent anything, else 1.
    """
    settings, options = settings or load_settings(), options or RunOptions()
    job = Job(lambda ledger: ResumedRows(run, ledger, settings, options), settings, options, context or Context())
    return carry_out(job, confirm)


def undo(
    run: str,
    settings: Settings | None = None,
    *,
    confirm: Confirm | None,
    options: RunOptions | None = None,
    context: Context | None = None,
) -> Summary:
    """Restore the old values of a run, where the present value is still the one that it wrote; a run of its own.

    A row ends as updated (restored), conflict (kept: somebody changed it since), unchanged or failed.
    """
    settings = settings or load_settings()
    options, context = options or RunOptions(), context or Context()
    return carry_out(Job(lambda ledger: UndoneRows(run, ledger, settings), settings, options, context, "undo"), confirm)


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds."""

    users: int
    files: tuple[Path, ...]
    """The files that were written: the workbook, or the CSV and its base; none for standard output."""
    unread: tuple[tuple[int, str], ...] = ()
    """Users that could not be read: id, and why."""
    notes: tuple[str, ...] = ()


def export(
    target: str | Path,
    settings: Settings | None = None,
    *,
    ids: Sequence[int] | None = None,
    where: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    context: Context | None = None,
) -> Exported:
    """Export users to an .xlsx or .csv file to be edited and run again; `-` writes CSV to standard output.

    Exports the users of the configured account, or those with these `ids`, if every condition in `where`
    (`COLUMN=VALUE`) holds. `columns` are fields, such as `email`; None: all. The file also stores the exported values,
    so that a later run leaves untouched cells alone. Raises UsageError for a file that exists already, an unknown
    column or a value that no user has, StoppedError if the users cannot be read.
    """
    settings, context = settings or load_settings(), context or Context()
    files = export_files(str(target))
    with UserBuffer() as buffer:
        run_async(collect_users(settings, context, buffer, ids))
        found, notes = all_columns(buffer.attribute_keys, settings.columns)
        chosen = found if columns is None else choose_columns(found, columns)
        now = iso(context.clock.now())
        head = ExportHead(settings.platform.url, now, chosen, settings.fields)
        conditions = find_conditions(found, where)
        require_users(buffer.users, conditions)
        users = user_texts(_with_progress(buffer, context), chosen, conditions)
        count = write_export(str(target), users, head)
    return Exported(count, files, tuple(buffer.unread), (*buffer.notes, *notes))


def _with_progress(buffer: UserBuffer, context: Context) -> Iterator[tuple[User, bool]]:
    context.progress.begin("writing", buffer.count)
    for user in buffer.users():
        yield user
        context.progress.row(Status.UNCHANGED)
    context.progress.end()


def update(
    user_id: str | int,
    values: Mapping[str, str],
    settings: Settings | None = None,
    *,
    confirm: Confirm | None,
    options: RunOptions | None = None,
    context: Context | None = None,
) -> Row:
    """Update one user as `run` updates a row; no report files are written.

    `values` maps fields (`name`, `custom_attributes.seats`) to text. A value that is not valid gives a rejected row.
    Raises RefusedError where a limit refuses the update or it is not confirmed, StoppedError where it is stopped.
    """
    settings = settings or load_settings()
    options, context = options or RunOptions(), context or Context()
    job = Job(lambda _: single_user_rows(str(user_id), values, settings), settings, options, context, "update")
    summary = carry_out(job, confirm)
    if summary.stopped:
        kind = RefusedError if summary.exit_code == RefusedError.exit_code else StoppedError
        raise kind(summary.stopped)
    with Ledger(settings.ledger) as ledger:
        done = ledger.find(summary.run)
        assert done is not None  # noqa: S101 - it was carried out just now
        return next(done.rows())
