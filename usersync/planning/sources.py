"""Give each command its rows: from files, a saved plan, an interrupted run, or a run to undo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from usersync.context import Context, RunOptions
from usersync.diff.inversion import invert
from usersync.errors import RefusedError, UsageError
from usersync.ledger import Ledger, LedgerRun, RunInfo, describe_sources
from usersync.loader.dataframe import FRAME
from usersync.models import Files, Row, Status
from usersync.planning.compare import RowComparison, UserReader
from usersync.planning.input import Input, read_input, single_user
from usersync.planning.plan import Plan
from usersync.planning.plan_file import load_plan
from usersync.planning.verify import verify_rows
from usersync.settings import Settings, make_settings

StartRun = Callable[[str], RunInfo]
"""Makes the head of a new run of a kind."""


class FileRows:
    """Rows of files, compared with the platform: `run` and `plan`."""

    reports = True

    def __init__(self, files: Files, settings: Settings, options: RunOptions, *, kind: str = "run") -> None:
        self.kind = kind
        self._files, self._settings, self._options = files, settings, options
        self.given: Input | None = None

    def read(self) -> Input:
        """Read and validate the files."""
        self.given = read_input(self._files, self._settings, self._options)
        return self.given

    def open(self, ledger: Ledger, start: StartRun) -> LedgerRun:
        """Start the run."""
        return ledger.start(with_input(start(self.kind), self.given or self.read()))

    async def insert_rows(self, run: LedgerRun, context: Context, read_user: UserReader) -> None:
        """Compare each row with its user."""
        await RowComparison(self._input, run, self._settings, context, read_user).insert_rows()

    @property
    def _input(self) -> Input:
        assert self.given is not None  # noqa: S101 - `open` reads it
        return self.given


class SingleUserRows(FileRows):
    """The values for one user, as the row of a file: `update`."""

    reports = False

    def __init__(self, user_id: str, cells: dict[str, str], settings: Settings) -> None:
        super().__init__("", settings, RunOptions(), kind="update")
        self._user_id, self._cells = user_id, cells

    def read(self) -> Input:
        """Validate the values."""
        self.given = single_user(self._user_id, self._cells, self._settings)
        return self.given

    def open(self, ledger: Ledger, start: StartRun) -> LedgerRun:
        """Start the run; its input has no size that could shrink."""
        return ledger.start(replace(with_input(start(self.kind), self.given or self.read()), rows_read=None))


class PlanRows:
    """The rows of a saved plan, exactly: `apply`."""

    kind = "apply"
    reports = True

    def __init__(self, plan: Plan | Path, settings: Settings) -> None:
        self._plan, self._settings = plan, settings
        self._info: RunInfo | None = None
        self._rows: list[Row] = []
        self.given: Input | None = None

    def read(self) -> Input:
        """Load the plan, and read its sources again. Raises RefusedError where one has changed since."""
        self._info, self._rows = load_plan(self._plan)
        require_platform(self._info, self._settings, f"plan {self._info.run}")
        saved = self._plan.saved if isinstance(self._plan, Plan) else None
        self.given = read_again(self._info, self._settings, files=saved.files if saved else None)
        return self.given

    def open(self, ledger: Ledger, start: StartRun) -> LedgerRun:
        """Start the run, with the settings that the plan was made with."""
        given = self.given or self.read()
        assert self._info is not None  # noqa: S101 - `read` sets it
        info = replace(
            with_input(start(self.kind), given),
            parent=self._info.run,
            settings=self._info.settings,
            options=self._info.options,
            rows_read=self._info.rows_read,
        )
        return ledger.start(info)

    async def insert_rows(self, run: LedgerRun, context: Context, read_user: UserReader) -> None:
        """Insert the rows of the plan, and verify that their old values still stand."""
        run.insert(self._rows)
        await verify_rows(run, self._settings, context, read_user)


class UndoneRows:
    """The updated rows of an earlier run, with old and new values exchanged: `undo`."""

    kind = "undo"
    reports = True
    given: Input | None = None

    def __init__(self, name: str, settings: Settings) -> None:
        self._name, self._settings = name, settings
        self._former: LedgerRun | None = None

    def read(self) -> None:
        """Do nothing: the rows are in the ledger."""

    def open(self, ledger: Ledger, start: StartRun) -> LedgerRun:
        """Find the run to undo, once no other run of this platform goes on, and start the undo."""
        self._former = find_run(ledger, self._name, self._settings)
        info = self._former.info
        if info.kind != "undo" and info.finished_at is None:
            raise UsageError(f"run {info.run} was interrupted; finish it first with `usersync resume {info.run}`")
        return ledger.start(replace(start(self.kind), parent=self._name, sources=info.sources))

    async def insert_rows(self, run: LedgerRun, context: Context, read_user: UserReader) -> None:
        """Insert the inverted rows, and leave alone what somebody else changed since."""
        assert self._former is not None  # noqa: S101 - `open` sets it
        run.insert(inverted_row(row, self._name) for row in self._former.with_status(Status.UPDATED))
        await verify_rows(run, self._settings, context, read_user, keep_foreign=True)


class ResumedRows:
    """The rows of an interrupted run that were not sent: `resume`."""

    reports = True

    def __init__(self, name: str | None, settings: Settings, options: RunOptions) -> None:
        self._name, self._settings, self._options = name, settings, options
        self.given: Input | None = None
        self.kind = "run"
        self._former: LedgerRun | None = None

    def read(self) -> None:
        """Do nothing: which files to read is in the ledger."""

    def open(self, ledger: Ledger, _start: StartRun) -> LedgerRun:
        """Find the run and read its sources again. Raises RefusedError where one has changed since."""
        name = self._name or next(iter(ledger.resumable(self._settings.platform.url)), None)
        if name is None:
            raise UsageError("no interrupted run to resume; `usersync runs` lists all runs")
        run = find_run(ledger, name, self._settings)
        self.kind = run.info.kind
        run.info = replace(run.info, overrides=(*run.info.overrides, *self._options.overrides))
        if self.kind == "undo":
            self._former = find_run(ledger, run.info.parent or "", self._settings)
        else:
            self.given = read_again(run.info, self._settings)
        return run

    async def insert_rows(self, run: LedgerRun, context: Context, read_user: UserReader) -> None:
        """Plan again what was not sent; a plan that was never complete is completed first."""
        if run.info.planned_at is None:
            await self._complete_plan(run, context, read_user)
        else:
            await verify_rows(run, self._settings, context, read_user, keep_foreign=self.kind == "undo")

    async def _complete_plan(self, run: LedgerRun, context: Context, read_user: UserReader) -> None:
        if self._former:
            run.delete_rows()
            undone = UndoneRows(self._former.info.run, self._settings)
            undone._former = self._former
            await undone.insert_rows(run, context, read_user)
        elif self.kind == "apply":
            if not run.counts():
                raise UsageError(f"run {run.info.run} ended before its plan was read; apply the plan again")
            await verify_rows(run, self._settings, context, read_user)
        else:
            assert self.given is not None  # noqa: S101 - `open` reads it
            compared = run.keep_compared()
            await verify_rows(run, self._settings, context, read_user)
            comparison = RowComparison(self.given, run, self._settings, context, read_user)
            await comparison.insert_rows(compared=compared)


RowSource = FileRows | PlanRows | UndoneRows | ResumedRows


def inverted_row(row: Row, run: str) -> Row:
    """Return the row that restores what an updated row changed."""
    changes, kept = invert(row.changes)
    note = f"kept: {', '.join(kept)}" if kept else ""
    fresh = Row(row.key, row.source, row.row, row.id, Status.PLANNED, message=f"undoes run {run}" if changes else "")
    fresh = replace(fresh, note=note)
    return fresh.with_changes(changes) if changes else replace(fresh, status=Status.CONFLICT)


def with_input(info: RunInfo, given: Input) -> RunInfo:
    """Return the head of a run with what it keeps of its input."""
    return replace(
        info,
        sources=describe_sources(given.table.sources),
        filled_fields=given.filled_fields,
        rows_read=given.rows_read,
    )


def find_run(ledger: Ledger, name: str, settings: Settings) -> LedgerRun:
    """Find a run of this platform in the ledger. Raises UsageError, or RefusedError for another platform."""
    run = ledger.find(name)
    if run is None:
        raise UsageError(f"no run {name} in {settings.ledger}; `usersync runs` lists all runs")
    require_platform(run.info, settings, f"run {name}")
    return run


def require_platform(info: RunInfo, settings: Settings, what: str) -> None:
    """Raise RefusedError where a run or plan is for another platform."""
    if info.platform != settings.platform.url:
        raise RefusedError(f"stale: {what} is for {info.platform}, not {settings.platform.url}")


def read_again(info: RunInfo, settings: Settings, *, files: Files | None = None) -> Input:
    """Read the sources of an earlier run, or the same as given in `files`, with the settings of that run.

    Raises RefusedError where a source has changed since.
    """
    for name, what in (("-", "standard input"), (FRAME, "a DataFrame")):
        if files is None and name in info.files:
            raise RefusedError(f"stale: the rows came from {what}, which cannot be read again")
    then = {name: info.settings[name] for name in ("source", "columns", "fields")}
    platform = settings.platform.model_dump(exclude_none=True)
    given = read_input(
        files if files is not None else info.files,
        make_settings({"platform": platform, **then}, f"run {info.run}"),
        RunOptions(where=tuple(info.options.get("where", ())), skip=info.options.get("skip", 0)),
    )
    for source, known in zip(given.table.sources, info.sources, strict=True):
        if source.sha256 != known["sha256"]:
            raise RefusedError(f"stale: {source.file} has changed since run {info.run}; nothing was sent")
    return given
