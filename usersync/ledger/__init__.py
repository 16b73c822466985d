"""What was planned, sent and answered, in SQLite: durable, true up to the last moments, free of secrets."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from usersync.errors import UsageError
from usersync.ledger.run import LedgerRun
from usersync.ledger.run_info import HEAD, RunInfo, files_of, head_of, source_heads
from usersync.ledger.schema import ROWS_ASIDE, SCHEMA, SCHEMA_VERSION, UPGRADES, text
from usersync.models import Line

__all__ = ["Ledger", "LedgerRun", "RunInfo", "source_heads"]


class Ledger:
    """One database of runs."""

    def __init__(self, path: Path | None, *, aside: bool = False) -> None:
        """Open or make the ledger at `path`; None keeps it in a temporary file that goes with it.

        `aside` keeps the rows of new runs out of it: a plan reads the ledger's memory and leaves no trace.

        Raises UsageError where it cannot be written.
        """
        where = str(path) if path else ""
        try:
            self._db = sqlite3.connect(where, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise _unusable(where, error) from None
        try:
            for setting in (
                "journal_mode = WAL",
                "synchronous = FULL",
                "foreign_keys = ON",
                "busy_timeout = 10000",
            ):
                self._db.execute(f"PRAGMA {setting}")
            self._prepare(where)
            if aside:
                self._db.execute(ROWS_ASIDE)
        except sqlite3.Error as error:
            self._db.close()
            raise _unusable(where, error) from None
        except UsageError:
            self._db.close()
            raise

    def _prepare(self, where: str) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in SCHEMA.split(";\n"):
                self._db.execute(statement)
        for old in range(version or SCHEMA_VERSION, SCHEMA_VERSION):
            for statement in UPGRADES[old]:
                self._db.execute(statement)
        if version < SCHEMA_VERSION:
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._db.execute("COMMIT")
        if version > SCHEMA_VERSION:
            raise UsageError(f"{where}: written by a newer usersync (ledger version {version}); upgrade usersync")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def start(self, info: RunInfo) -> LedgerRun:
        """Begin a run; what runs without an ending learned is remembered first."""
        for (name,) in self._db.execute("SELECT run FROM run WHERE finished_at IS NULL").fetchall():
            if left := self.find(name):
                left.memory.remember()
        cursor = self._db.execute(
            "INSERT INTO run (run, kind, parent, started_at, started_by, platform, settings, sources, overrides,"
            " choice, filled) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                info.run,
                info.kind,
                info.parent,
                info.started_at,
                info.started_by,
                info.platform,
                text(info.settings),
                text(info.sources),
                text(info.overrides),
                text(info.choice),
                text(info.filled),
            ),
        )
        return LedgerRun(self._db, int(cursor.lastrowid or 0), info, self.last_like(info))

    def runs(self) -> Iterator[RunInfo]:
        """Give the heads of all runs, newest first."""
        for found in self._db.execute(f"SELECT {HEAD} FROM run ORDER BY n DESC"):
            yield head_of(found)

    def last_like(self, info: RunInfo) -> tuple[int, tuple[str, ...]] | None:
        """Rows, and filled fields, of the last finished run of the same files; None where there was none."""
        for head in self.runs():
            same = head.platform == info.platform and files_of(head) == files_of(info)
            if same and head.run != info.run and head.exit_code in (0, 1) and (book := self.find(head.run)):
                return book.total(), head.filled
        return None

    def stopped(self, platform: str) -> str | None:
        """Name the latest run for `platform` that can go on."""
        found = self._db.execute(
            "SELECT run FROM run WHERE platform = ? AND kind IN ('run', 'apply', 'undo')"
            " AND (finished_at IS NULL OR exit_code IN (4, 130, 143) OR EXISTS (SELECT 1 FROM row WHERE"
            " row.run = run.n AND row.status = 'unknown')) ORDER BY n DESC LIMIT 1",
            (platform,),
        ).fetchone()
        return found[0] if found else None

    def history(self, user_id: int) -> Iterator[tuple[RunInfo, Line]]:
        """Give what was sent for a user, oldest first."""
        found = self._db.execute(
            "SELECT run, key FROM row WHERE user = ? AND sent = 1 ORDER BY run, key", (str(user_id),)
        ).fetchall()
        for number, key in found:
            head = self._db.execute(f"SELECT {HEAD} FROM run WHERE n = ?", (number,)).fetchone()
            book = LedgerRun(self._db, number, head_of(head))
            yield from ((book.info, line) for line in book.lines(only=key))

    def prune(self, before: str) -> int:
        """Drop runs that finished before a time (ISO 8601); returns how many."""
        gone = self._db.execute("DELETE FROM run WHERE finished_at < ?", (before,)).rowcount
        self._db.execute("VACUUM")
        return gone

    def first_known(self, platform: str) -> int | None:
        """Give the lowest id of a user of `platform` who is known here."""
        found = self._db.execute("SELECT min(user) FROM known WHERE platform = ?", (platform,))
        return found.fetchone()[0]  # type: ignore[no-any-return]

    def forget(self, run: str) -> None:
        """Drop a run."""
        self._db.execute("DELETE FROM run WHERE run = ?", (run,))

    def find(self, run: str) -> LedgerRun | None:
        """Open the run of that name."""
        found = self._db.execute(f"SELECT n, {HEAD} FROM run WHERE run = ?", (run,)).fetchone()
        return LedgerRun(self._db, found[0], head_of(found[1:])) if found else None


def _unusable(where: str, error: sqlite3.Error) -> UsageError:
    return UsageError(
        f"{where}: the ledger cannot be used: {error}; see that its folder exists and can be written, "
        "or name another file under ledger:"
    )
