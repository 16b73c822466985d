"""Give `run`, `plan`, `update` and `apply` their rows, from files and saved plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from usersync.context import Context, RunOptions
from usersync.errors import RefusedError, SourceError
from usersync.ledger import Ledger, LedgerRun, RunInfo
from usersync.models import Files, Row
from usersync.planning.earlier_run import read_again, require_platform
from usersync.planning.email_index import email_index
from usersync.planning.input import Input, read_input, single_user
from usersync.planning.plan import Plan
from usersync.planning.plan_file import load_plan
from usersync.planning.row_comparison import RowComparison
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
        """Compare the unsent rows with their users again, because time may have passed since the plan."""
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
        """Start the run; `rows_read` stays None, because the size of a single update is not checked."""
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


def _with_input(info: RunInfo, given: Input) -> RunInfo:
    """Return the head of a run with what it keeps of its input."""
    return replace(
        info,
        sources=tuple(source.recorded() for source in given.table.sources),
        filled_fields=given.filled_fields,
        rows_read=given.rows_read,
    )
