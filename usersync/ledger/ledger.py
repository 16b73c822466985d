"""Keep what was planned, sent and answered in SQLite, without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

from usersync.errors import STOPPED_CODES, RefusedError, RowCountError
from usersync.ledger.database import Database
from usersync.ledger.run import LedgerRun
from usersync.ledger.run_info import RUN_COLUMNS, RunInfo, parse_run_info, run_values
from usersync.models import Row, json_text

#: Runs of the same files that tell how many users usually change.
_USUAL_RUNS = 10
#: Numbers tell which run is newer: none is given again, though runs are deleted.
_NEXT_NUMBER = "(SELECT 1 + max(coalesce(max(n), 0), (SELECT coalesce(max(run), 0) FROM written)) FROM run)"
#: The undos of runs that are undone: all but those that were refused, or gave no user a value back. What an undo that
#: was interrupted did not send yet counts, and so does having nothing to restore.
_UNDO = (
    f"undo.kind = 'undo' AND undo.exit_code IS NOT {RefusedError.exit_code} AND coalesce((SELECT max(row.status NOT IN"
    " ('rejected', 'failed', 'conflict')) FROM main.row AS row WHERE row.run = undo.n), 1) AND undo.parent"
)
#: The exit codes of runs that stopped before their last row.
_STOPPED = ", ".join(map(str, (*STOPPED_CODES, RowCountError.exit_code)))
#: Runs that `resume` can go on with. `main` are the rows of the file, which temporary ones may hide.
_RESUMABLE = (
    f"kind IN ('run', 'apply', 'undo') AND (finished_at IS NULL OR exit_code IN ({_STOPPED}) OR EXISTS"
    " (SELECT 1 FROM main.row AS row WHERE row.run = run.n"
    " AND row.status IN ('unknown', 'sending', 'parked', 'reverting')))"
    f" AND NOT EXISTS (SELECT 1 FROM run AS undo WHERE {_UNDO} = run.run)"
)
#: Runs that left a user with a placeholder address, as `waves.is_open` says of a swap.
_HAS_OPEN_SWAP = (
    "EXISTS (SELECT 1 FROM row WHERE row.run = run.n AND (row.status IN ('parked', 'reverting')"
    " OR row.placeholder IS NOT NULL AND row.status IN ('sending', 'unknown')))"
)
#: Runs that may be deleted; the others are needed to give users their addresses back.
_PRUNABLE = f"finished_at < ? AND NOT {_HAS_OPEN_SWAP}"


class Ledger:
    """One database of runs."""

    def __init__(self, path: Path | None, *, temporary_rows: bool = False) -> None:
        """Open or create the ledger at `path`; None keeps it in a temporary file.

        `temporary_rows` keeps the rows of new runs out of it: a plan reads the ledger and leaves no trace. Raises
        UsageError where it cannot be opened.
        """
        self._database = Database(path, temporary_rows=temporary_rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def start(self, info: RunInfo) -> LedgerRun:
        """Begin a run; what interrupted runs learned is remembered first.

        A plan begins without the lock: a run that looks interrupted may still be going on.
        """
        self.remember_interrupted(info.platform, are_over=info.kind != "plan")
        values = run_values(info)
        number = self._database.insert(
            f"INSERT INTO run (n, {RUN_COLUMNS}) VALUES ({_NEXT_NUMBER}{', ?' * len(values)})", values
        )
        return LedgerRun(self._database, number, info, is_new=True)

    def remember_interrupted(self, platform: str, *, are_over: bool = True) -> None:
        """Keep what interrupted runs of a platform learned of its users."""
        found = self._database.all(
            f"SELECT n, {RUN_COLUMNS} FROM run WHERE platform = ? AND finished_at IS NULL AND remembered = 0"
            " ORDER BY n",
            (platform,),
        )
        for values in found:
            self._run(values).snapshots.remember(is_over=are_over)

    def runs(self, platform: str | None = None) -> Iterator[RunInfo]:
        """Return all runs, or those of one platform, newest first."""
        found = self._database.all(
            f"SELECT {RUN_COLUMNS} FROM run WHERE ?1 IS NULL OR platform = ?1 ORDER BY n DESC", (platform,)
        )
        return map(parse_run_info, found)

    def previous(self, info: RunInfo) -> RunInfo | None:
        """Return the last run of the same files that came to its end; None where there was none."""
        ended = (past for past in self._runs_of_same_files(info) if past.exit_code in (0, 1))
        return next((past for past in ended if past.rows_read is not None), None)

    def usual_changes(self, info: RunInfo) -> int | None:
        """Return the most users that any recent complete run of the same files changed; None without such a run."""
        whole = (past.run for past in self._runs_of_same_files(info) if not any(past.options.values()))
        names = json_text(list(islice(whole, _USUAL_RUNS)))
        found = self._database.first(
            "SELECT max(changes) FROM (SELECT count(row.key) AS changes FROM run"
            " LEFT JOIN main.row AS row ON row.run = run.n AND row.status = 'updated'"
            " WHERE run.run IN (SELECT value FROM json_each(?)) AND run.rows_read > 0"
            " AND run.kind IN ('run', 'apply') AND run.exit_code IN (0, 1) GROUP BY run.n)",
            (names,),
        )
        return None if found[0] is None else int(found[0])

    def _runs_of_same_files(self, info: RunInfo) -> Iterator[RunInfo]:
        return (past for past in self.runs(info.platform) if past.files == info.files and past.run != info.run)

    def last_finished(self, platform: str) -> RunInfo | None:
        """Return the last run of a platform that finished, single updates and plans left aside."""
        runs = (past for past in self.runs(platform) if past.kind not in ("update", "plan"))
        return next((past for past in runs if past.finished_at), None)

    def resumable(self, platform: str) -> list[str]:
        """Return the runs for `platform` that `resume` can go on with, newest first."""
        found = self._database.all(
            f"SELECT run FROM run WHERE platform = ? AND {_RESUMABLE} ORDER BY n DESC", (platform,)
        )
        return [name for (name,) in found]

    def undone(self) -> dict[str, str]:
        """Return the runs that were undone, each with the run that undid it last."""
        found = self._database.all(f"SELECT parent, run FROM run AS undo WHERE {_UNDO} IS NOT NULL ORDER BY n")
        return dict(found)

    def open_swaps(self, platform: str) -> list[LedgerRun]:
        """Return the runs for `platform` that left users with a placeholder address, oldest first."""
        found = self._database.all(
            f"SELECT n, {RUN_COLUMNS} FROM run WHERE platform = ? AND {_HAS_OPEN_SWAP} ORDER BY n", (platform,)
        )
        return list(map(self._run, found))

    def history(self, user_id: int) -> Iterator[tuple[RunInfo, Row]]:
        """Return what was sent for a user, oldest first."""
        found = self._database.all(
            "SELECT run.run, key FROM row JOIN run ON run.n = row.run WHERE id = ? AND new <> ''"
            " AND status IN ('updated', 'failed', 'unknown', 'sending', 'parked', 'reverting') ORDER BY run.n, key",
            (str(user_id),),
        )
        for name, key in found:
            if run := self.find(name):
                run.require_json(only=key)
                yield from ((run.info, row) for row in run.rows(only=key))

    def prunable(self, before: str) -> list[RunInfo]:
        """Return the runs that finished before a time (ISO 8601) and left no user with a placeholder address."""
        found = self._database.all(f"SELECT {RUN_COLUMNS} FROM run WHERE {_PRUNABLE} ORDER BY n DESC", (before,))
        return list(map(parse_run_info, found))

    def prune(self, before: str) -> int:
        """Delete these runs; returns how many."""
        deleted = self._database.execute(f"DELETE FROM run WHERE {_PRUNABLE}", (before,))
        self._database.execute("VACUUM")
        return deleted

    def lowest_known_user(self, platform: str) -> int | None:
        """Return the lowest id of a user of `platform` that is known here."""
        found = self._database.first("SELECT min(user) FROM snapshot WHERE platform = ?", (platform,))
        return found[0] if found else None

    def forget(self, run: str) -> None:
        """Delete a run."""
        self._database.execute("DELETE FROM run WHERE run = ?", (run,))

    def find(self, run: str) -> LedgerRun | None:
        """Open the run of that name."""
        found = self._database.first(f"SELECT n, {RUN_COLUMNS} FROM run WHERE run = ?", (run,))
        return self._run(found) if found else None

    def _run(self, values: Sequence[Any]) -> LedgerRun:
        """Open the run with these values of `n` and RUN_COLUMNS."""
        return LedgerRun(self._database, values[0], parse_run_info(values[1:]))
