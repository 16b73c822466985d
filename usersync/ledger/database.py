"""Open the ledger's SQLite file, and turn its errors into sentences."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from usersync.errors import DAMAGED_LEDGER, StoppedError, UsageError
from usersync.ledger.schema import (
    DAMAGED_RUNS,
    EXACT_NUMBER,
    SCHEMA,
    SCHEMA_VERSION,
    TEMPORARY_ROWS,
    UPGRADES,
    exact_number,
)

#: Seconds to wait for another process that writes to the same ledger.
BUSY_TIMEOUT = 10.0
_SETTINGS = ("synchronous = FULL", "foreign_keys = ON")


class Database:
    """A connection to one ledger file.

    Raises UsageError where the file cannot be opened, StoppedError where it cannot be read or written later.
    """

    def __init__(self, path: Path | None, *, temporary_rows: bool = False) -> None:
        """Open or create the file at `path`; None: a temporary one.

        `temporary_rows` keeps the rows of new runs out of the file: a plan reads the ledger and leaves no trace.
        """
        self.path = str(path) if path else "temporary ledger"
        if path:
            require_file(path)
        try:
            self._connection = sqlite3.connect(
                str(path) if path else "", timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
        except (sqlite3.Error, ValueError) as error:
            raise self._unusable(error) from None
        try:
            self._prepare()
            for table in TEMPORARY_ROWS if temporary_rows else ():
                self._connection.execute(table)
        except sqlite3.Error as error:
            self.close()
            raise self._unusable(error) from None
        except UsageError:
            self.close()
            raise

    def _prepare(self) -> None:
        self._use_wal()
        self._connection.create_function(EXACT_NUMBER, 2, exact_number, deterministic=True)
        for setting in _SETTINGS:
            self._connection.execute(f"PRAGMA {setting}")
        self._connection.execute("BEGIN IMMEDIATE")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if not 0 <= version <= SCHEMA_VERSION:
            known = f"version {version}; this usersync knows versions up to {SCHEMA_VERSION}"
            raise UsageError(f"{self.path}: written by a newer usersync, or not a ledger ({known}); upgrade usersync")
        if version == 0:
            self._create()
        for old in range(version or SCHEMA_VERSION, SCHEMA_VERSION):
            for statement in UPGRADES[old]:
                self._connection.execute(statement)
        if version < SCHEMA_VERSION:
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        if damaged := self._connection.execute(DAMAGED_RUNS).fetchone():
            raise UsageError(f"the ledger {self.path} is damaged (run {damaged[0]} holds no JSON); {DAMAGED_LEDGER}")
        self._connection.execute("COMMIT")

    def _create(self) -> None:
        if self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise UsageError(f"{self.path}: not a ledger of usersync; name another file under ledger:")
        for statement in SCHEMA.split(";\n"):
            self._connection.execute(statement)

    def _use_wal(self) -> None:
        """Switch to write-ahead logging, with retries: SQLite does not wait if two processes switch at once."""
        deadline = time.monotonic() + BUSY_TIMEOUT
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Execute a statement; returns the number of rows that it changed."""
        with self._errors():
            return self._connection.execute(sql, values).rowcount

    def insert(self, sql: str, values: Sequence[Any]) -> int:
        """Insert a row; returns its number."""
        with self._errors():
            return self._connection.execute(sql, values).lastrowid or 0

    def execute_many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for each of `values`."""
        with self._errors():
            self._connection.executemany(sql, values)

    def first(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Return the first row of a query; None where there is none."""
        with self._errors():
            return self._connection.execute(sql, values).fetchone()

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a query."""
        with self._errors():
            return self._connection.execute(sql, values).fetchall()

    def stream(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """Return the rows of a query one by one."""
        with self._errors():
            cursor = self._connection.execute(sql, values)
        while True:
            with self._errors():
                rows = cursor.fetchmany(1000)
            if not rows:
                return
            yield from rows

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of a block or nothing; transactions may stand in each other."""
        if self._connection.in_transaction:
            yield
            return
        with self._errors():
            self._connection.execute("BEGIN IMMEDIATE")  # a read that becomes a write would not wait for another run
        try:
            yield
            with self._errors():
                self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            following = ", then run `usersync resume`"
            raise StoppedError(f"the ledger {self.path} {_describe(error, following)}") from None

    def _unusable(self, error: Exception) -> UsageError:
        return UsageError(f"the ledger {self.path} {_describe(error)}; or name another file under ledger:")


def require_file(path: Path) -> None:
    """Raise UsageError if a path exists but is not a regular file."""
    try:
        is_other = path.exists() and not path.is_file()  # in this order: another run may be creating the file
    except (OSError, ValueError):  # SQLite says what is wrong
        return
    if is_other:
        raise UsageError(f"the ledger {path} is a folder, a pipe or a device; name a file under ledger:")


def _describe(error: Exception, following: str = "") -> str:
    """Say what is wrong with the file and what to do; `following` is what helps then."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary == sqlite3.SQLITE_FULL:
        return f"cannot be written: the disk is full; free some space{following}"
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "malformed JSON" in str(error):
        return f"is damaged ({error}); {DAMAGED_LEDGER}"
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"is in use by another process; let that finish{following}"
    return f"cannot be used ({error}); check that its folder exists and can be written{following}"
