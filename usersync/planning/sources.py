"""Give `run`, `plan`, `update` and `apply` their rows, from files and saved plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from usersync.context import Clock
from usersync.errors import RefusedError, SourceError
from usersync.ledger import Ledger, LedgerRun, RunInfo
from usersync.planning.earlier_run import read_again, require_platform
from usersync.planning.email_index import email_index
from usersync.planning.input import NO_INPUT, Input, single_user
from usersync.planning.plan import Plan
from usersync.planning.plan_file import load_plan
from usersync.planning.row_comparison import RowComparison
from usersync.planning.users import UserLookup
from usersync.planning.verify import verify_rows
from usersync.settings import Settings


class RowSource:
    """Gives a job the rows that were loaded: starts the run, and inserts them into the ledger."""

    def __init__(self, kind: str, settings: Settings, given: Input = NO_INPUT) -> None:
        self.kind = kind
        """The kind of the run."""
        self.settings = settings
        self.given = given
        self.refusal: RefusedError | SourceError | None = None
        """Why the rows of an interrupted run cannot be sent: a source has changed, or cannot be read."""
        self.notes: list[str] = []
        """What the author should know, found while rows were compared."""

    @property
    def reports(self) -> bool:
        """Whether the run writes report files."""
        return self.kind != "update"

    def start(self, ledger: Ledger, info: RunInfo) -> LedgerRun:
        """Start the run with this head, or open the one that goes on."""
        raise NotImplementedError

    async def insert_rows(self, run: LedgerRun, users: UserLookup, clock: Clock) -> None:
        """Bring the rows into the ledger, compared with what the users hold now."""
        raise NotImplementedError

    async def verify_rows(self, run: LedgerRun, users: UserLookup) -> None:
        """Compare the unsent rows with their users again, because time may have passed since the plan."""
        addresses, protect = self.given.matching.addresses, self.settings.limits.protect
        await verify_rows(run, users, protect, addresses=addresses, keep_foreign=self.kind == "undo")

    def row_count(self, run: LedgerRun) -> int:
        """Return how many lines the report must have, from the input and not from the ledger's rows."""
        raise NotImplementedError


class FileRows(RowSource):
    """Rows of files, compared with the platform: `run` and `plan`; or of the values for one user: `update`."""

    def start(self, ledger: Ledger, info: RunInfo) -> LedgerRun:
        """Start the run; `rows_read` stays None for `update`, because the size of a single update is not checked."""
        info = _with_input(info, self.given)
        return ledger.start(replace(info, rows_read=None) if self.kind == "update" else info)

    async def insert_rows(self, run: LedgerRun, users: UserLookup, clock: Clock) -> None:
        """Find the users of rows without ids, and compare each row with its user."""
        if self.given.needs_index:
            self.given = self.given.matched(await email_index(self.settings, users, run.snapshots, clock))
        self.notes = await RowComparison(self.given, run, self.settings, clock, users).insert_rows()

    def row_count(self, run: LedgerRun) -> int:
        """Return the rows of the files, less those that `--limit` left out."""
        return len(self.given.table.cells) - run.left_out


def single_user_rows(user_id: str, cells: Mapping[str, str], settings: Settings) -> FileRows:
    """Validate the values for one user, who is read anew, whatever was read before."""
    if settings.diff.compare_with != "nothing":
        settings = settings.model_copy(update={"diff": settings.diff.model_copy(update={"compare_with": "remote"})})
    return FileRows("update", settings, single_user(user_id, cells, settings))


class PlanRows(RowSource):
    """The rows of a saved plan, exactly: `apply`."""

    def __init__(self, plan: Plan | Path, settings: Settings) -> None:
        """Load the plan, and read its sources again. Raises RefusedError where one has changed since."""
        self._info, self._rows = load_plan(plan)
        require_platform(self._info, settings, f"plan {self._info.run}")
        saved = plan.saved if isinstance(plan, Plan) else None
        given = read_again(self._info, settings, self._rows, files=saved.files if saved else None)
        super().__init__("apply", settings, given)

    def start(self, ledger: Ledger, info: RunInfo) -> LedgerRun:
        """Start the run, with the settings that the plan was made with."""
        info = replace(
            _with_input(info, self.given),
            parent=self._info.run,
            settings=self._info.settings,
            options=self._info.options,
            rows_read=self._info.rows_read,
        )
        return ledger.start(info)

    async def insert_rows(self, run: LedgerRun, users: UserLookup, clock: Clock) -> None:
        """Insert the rows of the plan, and verify that their old values still stand."""
        run.insert(self._rows)
        await self.verify_rows(run, users)

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
