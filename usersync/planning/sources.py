"""Give each command its rows: from files, a plan or an earlier run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from usersync.context import Context, RunOptions
from usersync.diff.inversion import invert
from usersync.errors import RefusedError, SourceError, UsageError
from usersync.ledger import Ledger, LedgerRun, RunInfo, describe_sources
from usersync.ledger.resumption import delete_rows, keep_compared, reopen
from usersync.ledger.run import IN_FLIGHT
from usersync.models import Code, Files, Row, Status
from usersync.planning.compare import RowComparison
from usersync.planning.earlier_run import find_run, read_again, require_platform
from usersync.planning.email_index import email_index
from usersync.planning.input import Input, read_input, single_user
from usersync.planning.matching import STAND_IN, EmailIndex, index_of_rows
from usersync.planning.plan import Plan
from usersync.planning.plan_file import load_plan
from usersync.planning.users import UserLookup
from usersync.planning.verify import verify_rows
from usersync.settings import Settings

NewRun = Callable[[str], RunInfo]
"""Makes the head of a new run of a kind."""


class RowSource:
    """Gives a job its rows: `load` what they come from, `start` the run, `insert_rows` into the ledger."""

    #: The kind of the run.
    kind = "run"
    #: Whether the run writes report files.
    reports = True

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.given: Input | None = None
        self.refusal: RefusedError | SourceError | None = None
        """Why the rows of an interrupted run cannot be sent: a source has changed, or cannot be read."""
        self.notes: list[str] = []
        """What the author should know, found while rows were compared."""

    def load(self, ledger: Ledger) -> None:
        """Read what the rows come from. Raises a UsersyncError where that cannot be used."""

    def start(self, ledger: Ledger, new_run: NewRun) -> LedgerRun:
        """Start the run, or open the one that goes on."""
        raise NotImplementedError

    async def insert_rows(self, run: LedgerRun, context: Context, users: UserLookup) -> None:
        """Bring the rows into the ledger, compared with what the users hold now."""
        raise NotImplementedError

    async def verify_rows(self, run: LedgerRun, context: Context, users: UserLookup) -> None:
        """Compare the unsent rows once more with what their users hold: time may have passed since."""
        matching, keep_foreign = self.given.matching if self.given else None, self.kind == "undo"
        await verify_rows(run, self.settings, context, users, matching=matching, keep_foreign=keep_foreign)

    def row_count(self, run: LedgerRun) -> int:
        """Return how many lines the report must have, from the input and not from the ledger's rows."""
        raise NotImplementedError


class FileRows(RowSource):
    """Rows of files, compared with the platform: `run` and `plan`."""

    def __init__(self, files: Files, settings: Settings, options: RunOptions, *, kind: str = "run") -> None:
        super().__init__(settings)
        self.kind = kind
        self._files, self._options = files, options

    def load(self, ledger: Ledger) -> None:
        """Read and validate the files."""
        self.given = read_input(self._files, self.settings, self._options)

    def start(self, ledger: Ledger, new_run: NewRun) -> LedgerRun:
        """Start the run."""
        return ledger.start(_with_input(new_run(self.kind), self.input))

    async def insert_rows(self, run: LedgerRun, context: Context, users: UserLookup) -> None:
        """Find the users of rows without ids, and compare each row with its user."""
        if self.input.needs_index:
            index = await email_index(self.settings, users, run.snapshots, context.clock)
            self.given = self.input.matched(index)
        self.notes = await RowComparison(self.input, run, self.settings, context, users).insert_rows()

    def row_count(self, run: LedgerRun) -> int:
        """Return the rows of the files, less those that `--limit` left out."""
        return len(self.input.table.cells) - run.left_out

    @property
    def input(self) -> Input:
        """What was read."""
        assert self.given is not None  # noqa: S101 - `load` reads it
        return self.given


class SingleUserRows(FileRows):
    """The values for one user, as the row of a file: `update`."""

    reports = False

    def __init__(self, user_id: str, cells: Mapping[str, str], settings: Settings) -> None:
        if settings.diff.compare_with != "nothing":  # one user is read anew, whatever was read before
            settings = settings.model_copy(update={"diff": settings.diff.model_copy(update={"compare_with": "remote"})})
        super().__init__("", settings, RunOptions(), kind="update")
        self._user_id, self._cells = user_id, cells

    def load(self, ledger: Ledger) -> None:
        """Validate the values."""
        self.given = single_user(self._user_id, self._cells, self.settings)

    def start(self, ledger: Ledger, new_run: NewRun) -> LedgerRun:
        """Start the run; its input has no size that could shrink."""
        return ledger.start(replace(_with_input(new_run(self.kind), self.input), rows_read=None))


class PlanRows(RowSource):
    """The rows of a saved plan, exactly: `apply`."""

    kind = "apply"

    def __init__(self, plan: Plan | Path, settings: Settings) -> None:
        super().__init__(settings)
        self._plan = plan
        self._info: RunInfo | None = None
        self._rows: list[Row] = []

    def load(self, ledger: Ledger) -> None:
        """Load the plan, and read its sources again. Raises RefusedError where one has changed since."""
        self._info, self._rows = load_plan(self._plan)
        require_platform(self._info, self.settings, f"plan {self._info.run}")
        saved = self._plan.saved if isinstance(self._plan, Plan) else None
        files = saved.files if saved else None
        self.given = read_again(self._info, self.settings, self._rows, files=files)

    def start(self, ledger: Ledger, new_run: NewRun) -> LedgerRun:
        """Start the run, with the settings that the plan was made with."""
        assert self._info is not None  # noqa: S101 - `load` reads both
        assert self.given is not None  # noqa: S101
        info = replace(
            _with_input(new_run(self.kind), self.given),
            parent=self._info.run,
            settings=self._info.settings,
            options=self._info.options,
            rows_read=self._info.rows_read,
        )
        return ledger.start(info)

    async def insert_rows(self, run: LedgerRun, context: Context, users: UserLookup) -> None:
        """Insert the rows of the plan, and verify that their old values still stand."""
        run.insert(self._rows)
        await self.verify_rows(run, context, users)

    def row_count(self, run: LedgerRun) -> int:
        """Return the rows of the plan."""
        return len(self._rows)


class UndoneRows(RowSource):
    """The updated rows of an earlier run, with old and new values exchanged: `undo`."""

    kind = "undo"

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__(settings)
        self._name = name
        self._former: LedgerRun | None = None
        self._statuses: dict[int, Status] = {}

    def load(self, ledger: Ledger) -> None:
        """Find the run to undo, and its rows whose users may hold new values, or a placeholder.

        An e-mail swap that was interrupted is reverted before rows are planned; its rows count all the same. So do
        rows of which the platform, as its answer said, kept some values only.
        """
        self._former = find_run(ledger, self._name, self.settings)
        changed = (Status.UPDATED, Status.PARKED, Status.REVERTING, Status.FAILED, *IN_FLIGHT)
        self._statuses = {
            row.key: row.status
            for row in self._former.with_status(*changed)
            if row.status is not Status.FAILED or row.code == Code.ECHO_DIFFERS
        }

    @property
    def former(self) -> LedgerRun:
        """The run to undo."""
        assert self._former is not None  # noqa: S101 - `load` finds it
        return self._former

    def start(self, ledger: Ledger, new_run: NewRun) -> LedgerRun:
        """Start the undo."""
        return ledger.start(replace(new_run(self.kind), parent=self._name, sources=self.former.info.sources))

    async def insert_rows(self, run: LedgerRun, context: Context, users: UserLookup) -> None:
        """Insert the inverted rows, and leave alone what somebody else changed since.

        Rows whose answer never came in are looked at as well: their users may hold the new values. So are those of an
        e-mail swap that could not be reverted: they count, and are reported.
        """
        rows = self.former.by_key(self._statuses)
        run.insert(inverted_row(row, self._name) for row in rows)
        await self.verify_rows(run, context, users)
        reverted = {
            row.key: row for row in rows if row.status is Status.FAILED and self._statuses[row.key] is not Status.FAILED
        }
        run.revise(
            _restored_row(row, reverted[row.key], self._name)
            for row in run.by_key(reverted)
            if row.status is Status.UNCHANGED
        )

    def row_count(self, run: LedgerRun) -> int:
        """Return the rows whose users may have been changed."""
        return len(self._statuses)


class ResumedRows(RowSource):
    """The rows of an interrupted run that were not sent: `resume`."""

    def __init__(self, name: str | None, settings: Settings, options: RunOptions) -> None:
        super().__init__(settings)
        self._name, self._options = name, options
        self._run: LedgerRun | None = None
        self._undone: UndoneRows | None = None

    def load(self, ledger: Ledger) -> None:
        """Find the run, and read its sources again; where that is not possible, `refusal` says why."""
        name = self._name or next(iter(ledger.resumable(self.settings.platform.url)), None)
        if name is None:
            raise UsageError("no interrupted run to resume; `usersync runs` lists all runs")
        self._run = find_run(ledger, name, self.settings)
        if undo := ledger.undo_of(name):
            raise UsageError(f"run {name} was undone by run {undo}; to send its rows after all, run its files again")
        info = self._run.info
        self.kind = info.kind
        self._run.info = replace(info, overrides=(*info.overrides, *self._options.overrides))
        if self.kind == "undo":
            if info.planned_at is None:
                self._undone = UndoneRows(info.parent or "", self.settings)
                self._undone.load(ledger)
            return
        try:
            self.given = read_again(info, self.settings, self._run.rows())
        except (RefusedError, SourceError) as refusal:
            self.refusal = refusal

    def start(self, ledger: Ledger, new_run: NewRun) -> LedgerRun:
        """Let the run go on, unless its sources cannot be read."""
        assert self._run is not None  # noqa: S101 - `load` finds it
        ledger.remember_interrupted(self._run.info.platform)
        if not isinstance(self.refusal, SourceError):
            reopen(self._run)
        return self._run

    async def insert_rows(self, run: LedgerRun, context: Context, users: UserLookup) -> None:
        """Plan again what was not sent; a plan that was never complete is completed first."""
        if run.info.planned_at is None:
            await self._complete_plan(run, context, users)
        else:
            await self.verify_rows(run, context, users)

    async def _complete_plan(self, run: LedgerRun, context: Context, users: UserLookup) -> None:
        if self._undone:
            delete_rows(run)
            await self._undone.insert_rows(run, context, users)
            return
        if self.kind == "apply" and not run.counts():
            raise UsageError(f"run {run.info.run} ended before its plan was read; apply the plan again")
        compared = keep_compared(run) if self.kind == "run" else []
        await self.verify_rows(run, context, users)
        if self.kind == "run":
            assert self.given is not None  # noqa: S101 - `load` reads it
            if self.given.needs_index:
                index = await email_index(self.settings, users, run.snapshots, context.clock)
                self.given = self.given.matched(self._with_compared(index, run))
            comparison = RowComparison(self.given, run, self.settings, context, users)
            self.notes = await comparison.insert_rows(compared=compared)

    def _with_compared(self, index: EmailIndex, run: LedgerRun) -> EmailIndex:
        """Return the index in which rows that were compared already belong to the same users as then."""
        assert self.given is not None  # noqa: S101 - `load` reads it
        assert self.given.matching is not None  # noqa: S101 - else no index is needed
        then = index_of_rows(self.given.matching, run.rows(), index.origin)
        compared = {address: number for address, number in then.ids.items() if number < STAND_IN}
        return replace(index, ids={**index.ids, **compared})

    def row_count(self, run: LedgerRun) -> int:
        """Return the rows of the files; where `--limit` left out some, the ledger alone knows how many."""
        whole = self.kind == "run" and run.info.options.get("limit") is None
        return len(self.given.table.cells) if self.given and whole else sum(run.counts().values())


def inverted_row(row: Row, run: str) -> Row:
    """Return the row that restores what an updated row changed."""
    changes, kept = invert(row.changes)
    note = f"undo of run {run}"
    if kept:
        note += f"; kept: {', '.join(kept)}"
    status = Status.PLANNED if changes else Status.CONFLICT
    inverted = Row(row.key, row.source, row.row, row.id, status, note=note)
    return inverted.with_changes(changes) if changes else inverted


def _restored_row(row: Row, reverted: Row, run: str) -> Row:
    """Return the row of an undo whose user got the old values back when an interrupted e-mail swap was reverted."""
    changed = inverted_row(reverted, run)
    return replace(
        row, status=Status.UPDATED, changed=changed.changed, old=changed.old, new=changed.new,
        message=reverted.message, http_status=reverted.http_status, finished_at=reverted.finished_at,
    )  # fmt: skip


def _with_input(info: RunInfo, given: Input) -> RunInfo:
    """Return the head of a run with what it keeps of its input."""
    return replace(
        info,
        sources=describe_sources(given.table.sources),
        filled_fields=given.filled_fields,
        rows_read=given.rows_read,
    )
