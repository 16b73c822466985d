"""What was planned, sent and answered, in SQLite: durable, true up to the last moments, free of secrets."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from usersync.errors import UsageError
from usersync.model import (
    MASK,
    SECRET_FIELDS,
    UNKNOWN,
    Change,
    Entry,
    FieldChange,
    Json,
    Line,
    Outcome,
    Source,
    Status,
)

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE run (
  n INTEGER PRIMARY KEY,
  run TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,            -- run, apply, undo, update
  parent TEXT,                   -- the run that this one goes on with, or undoes
  started_at TEXT NOT NULL,
  finished_at TEXT,
  started_by TEXT NOT NULL,      -- user@host
  platform TEXT NOT NULL,
  settings TEXT NOT NULL,        -- JSON, without secrets
  sources TEXT NOT NULL,         -- JSON: file, sheet, sha256 of each source
  choice TEXT NOT NULL,          -- JSON: where, skip, limit
  overrides TEXT NOT NULL DEFAULT '[]',
  filled TEXT NOT NULL DEFAULT '[]',      -- JSON: the fields of the input that held any value
  planned_at TEXT,               -- when the plan was whole; before that nothing was sent
  exit_code INTEGER,
  stopped TEXT
);
CREATE TABLE row (
  run INTEGER NOT NULL REFERENCES run(n) ON DELETE CASCADE,
  key INTEGER NOT NULL,          -- position in the input
  source INTEGER NOT NULL,       -- position in run.sources
  row INTEGER NOT NULL,
  user TEXT NOT NULL,
  status TEXT NOT NULL,
  sent INTEGER NOT NULL DEFAULT 0,  -- 1 from just before the first request on
  twin_of INTEGER,
  changed TEXT NOT NULL DEFAULT '',       -- field names, ;-separated
  old TEXT NOT NULL DEFAULT '', new TEXT NOT NULL DEFAULT '',  -- JSON of these fields; a password is ***
  note TEXT NOT NULL DEFAULT '',
  code TEXT NOT NULL DEFAULT '', message TEXT NOT NULL DEFAULT '',
  http_status INTEGER, attempts INTEGER NOT NULL DEFAULT 0,
  name TEXT, email TEXT, custom_attributes TEXT NOT NULL DEFAULT '',  -- as the platform answered
  finished_at TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (run, key)
) WITHOUT ROWID;
"""
_INSERT = (
    "INSERT INTO row (run, key, source, row, user, status, twin_of, changed, old, new, note, code, message,"
    " http_status, attempts, finished_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_OUTCOME = (
    "UPDATE row SET sent = sent AND ?, status = ?, code = ?, message = ?, http_status = ?, attempts = ?, name = ?,"
    " email = ?, custom_attributes = ?, finished_at = ? WHERE run = ? AND key = ?"
)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The head of a run."""

    run: str
    kind: str
    platform: str
    started_at: str
    started_by: str
    settings: Mapping[str, Json] = field(default_factory=dict)
    sources: tuple[Mapping[str, str], ...] = ()
    parent: str | None = None
    overrides: tuple[str, ...] = ()
    choice: Mapping[str, Json] = field(default_factory=dict)
    filled: tuple[str, ...] = ()
    planned_at: str | None = None
    finished_at: str | None = None
    exit_code: int | None = None
    stopped: str | None = None


class Ledger:
    """One database of runs."""

    def __init__(self, path: Path | None) -> None:
        """Open or make the ledger at `path`; None keeps it in a temporary file that goes with it.

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
            for statement in _SCHEMA.split(";\n"):
                self._db.execute(statement)
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

    def start(self, info: RunInfo) -> Book:
        """Begin a run."""
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
                _text(info.settings),
                _text(info.sources),
                _text(info.overrides),
                _text(info.choice),
                _text(info.filled),
            ),
        )
        return Book(self._db, int(cursor.lastrowid or 0), info, self.last_like(info))

    def runs(self) -> Iterator[RunInfo]:
        """Give the heads of all runs, newest first."""
        for found in self._db.execute(f"SELECT {_HEAD} FROM run ORDER BY n DESC"):
            yield _head(found)

    def last_like(self, info: RunInfo) -> tuple[int, tuple[str, ...]] | None:
        """Rows, and filled fields, of the last finished run of the same files; None where there was none."""
        for head in self.runs():
            same = head.platform == info.platform and _files(head) == _files(info)
            if same and head.run != info.run and head.exit_code in (0, 1) and (book := self.find(head.run)):
                return sum(book.counts().values()), head.filled
        return None

    def stopped(self, platform: str) -> str | None:
        """Name the latest run for `platform` that can go on."""
        found = self._db.execute(
            "SELECT run FROM run WHERE platform = ? AND kind IN ('run', 'apply', 'undo')"
            " AND (finished_at IS NULL OR exit_code IN (4, 130, 143)) ORDER BY n DESC LIMIT 1",
            (platform,),
        ).fetchone()
        return found[0] if found else None

    def history(self, user_id: int) -> Iterator[tuple[RunInfo, Line]]:
        """Give what was sent for a user, oldest first."""
        found = self._db.execute(
            "SELECT run, key FROM row WHERE user = ? AND sent = 1 ORDER BY run, key", (str(user_id),)
        ).fetchall()
        for number, key in found:
            head = self._db.execute(f"SELECT {_HEAD} FROM run WHERE n = ?", (number,)).fetchone()
            book = Book(self._db, number, _head(head))
            yield from ((book.info, line) for line in book.lines(only=key))

    def prune(self, before: str) -> int:
        """Drop runs that finished before a time (ISO 8601); returns how many."""
        gone = self._db.execute("DELETE FROM run WHERE finished_at < ?", (before,)).rowcount
        self._db.execute("VACUUM")
        return gone

    def find(self, run: str) -> Book | None:
        """Open the run of that name."""
        found = self._db.execute(f"SELECT n, {_HEAD} FROM run WHERE run = ?", (run,)).fetchone()
        return Book(self._db, found[0], _head(found[1:])) if found else None


_HEAD = (
    "run, kind, platform, started_at, started_by, settings, sources, parent, overrides, choice, filled, planned_at,"
    " finished_at, exit_code, stopped"
)


def _head(found: Sequence[Any]) -> RunInfo:
    run, kind, platform, started_at, started_by, settings, sources, parent, overrides, choice, filled, *end = found
    return RunInfo(
        run,
        kind,
        platform,
        started_at,
        started_by,
        json.loads(settings),
        tuple(json.loads(sources)),
        parent,
        tuple(json.loads(overrides)),
        json.loads(choice),
        tuple(json.loads(filled)),
        *end,
    )


class Book:
    """The rows of one run: entered once, claimed before they are sent, settled when they are answered."""

    def __init__(
        self,
        db: sqlite3.Connection,
        number: int,
        info: RunInfo,
        last: tuple[int, tuple[str, ...]] | None = None,
    ) -> None:
        self.info = info
        self.last = last
        """Rows, and filled fields, of the run before this one with the same files."""
        self._db = db
        self._n = number
        self._settled: list[Outcome] = []

    def enter(self, entries: Iterable[Entry]) -> int:
        """Write down rows and what is planned for them, all or none; returns how many."""
        before = self._db.total_changes
        self._db.execute("BEGIN")
        try:
            self._db.executemany(_INSERT, map(self._inserted, entries))
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        return self._db.total_changes - before

    def _inserted(self, entry: Entry) -> tuple[object, ...]:
        changed, old, new = _sides(entry.change) if entry.change else ("", "", "")
        answer = entry.outcome
        return (
            self._n,
            entry.key,
            entry.source,
            entry.row,
            entry.user,
            entry.status,
            entry.twin_of,
            changed,
            old,
            new,
            entry.message if not entry.code else "",
            entry.code,
            entry.message if entry.code else "",
            answer.http_status if answer else None,
            answer.attempts if answer else 0,
            answer.finished_at if answer else "",
        )

    def claim(self, most: int, *, after: int = -1) -> list[Change]:
        """Take the next planned rows with a key above `after`, and note, durably, that they are being sent.

        A password's new value is `***`: whoever sends knows it from the source.
        """
        self._db.execute("BEGIN")
        found = self._db.execute(
            "UPDATE row SET sent = 1 WHERE run = ?1 AND key IN (SELECT key FROM row WHERE run = ?1 AND key > ?2"
            " AND status = 'planned' AND sent = 0 AND twin_of IS NULL ORDER BY key LIMIT ?3)"
            " RETURNING key, user, old, new",
            (self._n, after, most),
        ).fetchall()
        self._write_outcomes()
        self._db.execute("COMMIT")
        self._settled.clear()
        return [_change(*one) for one in sorted(found)]

    def settle(self, outcome: Outcome) -> None:
        """Take an outcome in; it is on disk after the next `flush` or `claim`."""
        self._settled.append(outcome)

    def flush(self) -> None:
        """Write what was settled since the last time, in one transaction."""
        if self._settled:
            self._db.execute("BEGIN")
            self._write_outcomes()
            self._db.execute("COMMIT")
            self._settled.clear()

    def _write_outcomes(self) -> None:
        self._db.executemany(_OUTCOME, map(self._updated, self._settled))

    def _updated(self, outcome: Outcome) -> tuple[object, ...]:
        user = outcome.user
        return (
            int(outcome.status is not Status.NOT_SENT),
            outcome.status,
            outcome.code,
            outcome.message,
            outcome.http_status,
            outcome.attempts,
            user.name if user else None,
            user.email if user else None,
            _text(user.custom_attributes) if user else "",
            outcome.finished_at,
            self._n,
            outcome.key,
        )

    def dump(self) -> Iterator[dict[str, Json]]:
        """Give every row with what is planned for it, in input order, for a plan that is saved."""
        names = ("key", "source", "row", "user", "status", "code", "message", "note", "http_status", "twin_of")
        found = self._db.execute(
            f"SELECT {', '.join(names)}, old, new FROM row WHERE run = ? ORDER BY key", (self._n,)
        )
        for *values, old, new in found:
            yield {
                **dict(zip(names, values, strict=True)),
                "old": json.loads(old or "{}"),
                "new": json.loads(new or "{}"),
            }

    def restore(self, rows: Iterable[Mapping[str, Json]]) -> None:
        """Enter the rows of a saved plan."""
        self.enter(map(_entry, rows))

    def changed_rows(self) -> Iterator[tuple[Entry, dict[str, Json], dict[str, Json]]]:
        """Give the rows that were updated, each with its old and new values."""
        found = self._db.execute(
            "SELECT key, source, row, user, old, new FROM row WHERE run = ? AND status = 'updated'"
            " AND twin_of IS NULL ORDER BY key",
            (self._n,),
        ).fetchall()
        for key, source, row, user, old, new in found:
            yield Entry(key, source, row, user, Status.PLANNED), json.loads(old or "{}"), json.loads(new or "{}")

    def most_common(self, name: str) -> tuple[str, int] | None:
        """Give the new value of a field that most planned rows share, and how many do."""
        found = self._db.execute(
            "SELECT json_extract(new, '$.' || ?2) AS value, count(*) AS n FROM row WHERE run = ?1"
            " AND status = 'planned' AND twin_of IS NULL AND value IS NOT NULL"
            " GROUP BY value ORDER BY n DESC LIMIT 1",
            (self._n, name),
        ).fetchone()
        return (str(found[0]), found[1]) if found else None

    def planned(self, at: str) -> None:
        """Note that the plan is whole: from now on rows may be sent."""
        self._db.execute("UPDATE run SET planned_at = ? WHERE n = ?", (at, self._n))

    def forget_rows(self) -> None:
        """Drop the rows of a plan that never became whole."""
        self._db.execute("DELETE FROM row WHERE run = ?", (self._n,))

    def reopen(self) -> None:
        """Let a stopped run go on: rows that were not sent are planned again, and so are their twins."""
        self._db.execute(
            "UPDATE row SET status = 'planned', code = '', message = '' WHERE run = ?"
            " AND (status = 'not-sent' AND sent = 0 OR status IN ('not-sent', 'unknown') AND twin_of IS NOT NULL)",
            (self._n,),
        )

    def in_flight(self) -> list[Change]:
        """Give the changes that were being sent, and whose answer never came in."""
        found = self._db.execute(
            "SELECT key, user, old, new FROM row WHERE run = ? AND sent = 1 AND twin_of IS NULL"
            " AND status IN ('planned', 'unknown') ORDER BY key",
            (self._n,),
        )
        return [_change(*one) for one in found]

    def put_back(self, keys: Sequence[int]) -> None:
        """Plan rows again that turned out not to have been carried out."""
        self._db.executemany(
            "UPDATE row SET status = 'planned', sent = 0, code = '', message = '' WHERE run = ? AND key = ?",
            ((self._n, key) for key in keys),
        )

    def planned_entries(self) -> Iterator[Entry]:
        """Give the rows that are still to be sent."""
        found = self._db.execute(
            "SELECT key, source, row, user, old, new FROM row WHERE run = ? AND status = 'planned' AND sent = 0"
            " AND twin_of IS NULL ORDER BY key",
            (self._n,),
        )
        for key, source, row, user, old, new in found:
            yield Entry(key, source, row, user, Status.PLANNED, _change(key, user, old, new))

    def keep_first(self, most: int) -> int:
        """Leave out all planned changes but the first `most`, and their twins; returns how many rows went."""
        found = self._db.execute(
            "SELECT key FROM row WHERE run = ? AND status = 'planned' AND twin_of IS NULL ORDER BY key"
            " LIMIT 1 OFFSET ?",
            (self._n, most),
        ).fetchone()
        if found is None:
            return 0
        gone = self._db.execute(
            "DELETE FROM row WHERE run = ?1 AND status = 'planned' AND coalesce(twin_of, key) >= ?2",
            (self._n, found[0]),
        )
        return gone.rowcount

    def release(self, keys: Sequence[int]) -> None:
        """Take back claims on rows that were never sent."""
        self.flush()
        self._db.execute("BEGIN")
        self._db.executemany("UPDATE row SET sent = 0 WHERE run = ? AND key = ?", ((self._n, key) for key in keys))
        self._db.execute("COMMIT")

    def close_rows(self, *, planned_as: Status) -> None:
        """Give every row an ending: twins that of their row, rows without an answer `planned_as` or unknown."""
        self.flush()
        self._db.execute("BEGIN")
        self._db.execute(
            "UPDATE row SET status = CASE WHEN sent = 1 THEN 'unknown' ELSE ? END, code = CASE WHEN sent = 1"
            " THEN 'connection' ELSE '' END WHERE run = ? AND status = 'planned' AND twin_of IS NULL",
            (planned_as, self._n),
        )
        self._db.execute("COMMIT")
        self.match_twins()

    def match_twins(self) -> None:
        """Give rows that repeat another the ending of that one, where it has one."""
        self._db.execute(
            "UPDATE row SET (status, code, message, http_status, name, email, custom_attributes, finished_at) ="
            " (SELECT status, code, message, http_status, name, email, custom_attributes, finished_at FROM row AS"
            " first WHERE first.run = row.run AND first.key = row.twin_of)"
            " WHERE run = ? AND twin_of IS NOT NULL AND status = 'planned'",
            (self._n,),
        )

    def finish(self, *, finished_at: str, exit_code: int, stopped: str | None) -> None:
        """Close the head of the run."""
        self._db.execute(
            "UPDATE run SET finished_at = ?, exit_code = ?, stopped = ? WHERE n = ?",
            (finished_at, exit_code, stopped, self._n),
        )

    def counts(self) -> dict[str, int]:
        """Count the rows by status."""
        return dict(
            self._db.execute(
                "SELECT status, count(*) FROM row WHERE run = ? GROUP BY status", (self._n,)
            ).fetchall()
        )

    def lines(self, *, only: int | None = None) -> Iterator[Line]:
        """Give the lines of the report, in input order; or the one of key `only`."""
        sources = [(source["file"], source["sheet"]) for source in self.info.sources]
        found = self._db.execute(
            "SELECT status, source, key, row, user, changed, old, new, http_status, attempts, code,"
            " message || iif(message = '' OR note = '', '', '; ') || note,"
            " name, email, custom_attributes, finished_at FROM row WHERE run = ?1 AND (?2 IS NULL OR key = ?2)"
            " ORDER BY key",
            (self._n, only),
        )
        for status, source, key, row, user, *rest in found:
            file, sheet = sources[source]
            yield Line(key, file, sheet, row, user, Status(status), *rest)


def _unusable(where: str, error: sqlite3.Error) -> UsageError:
    return UsageError(
        f"{where}: the ledger cannot be used: {error}; see that its folder exists and can be written, "
        "or name another file under ledger:"
    )


def _entry(row: Mapping[str, Json]) -> Entry:
    new = {name: MASK if name in SECRET_FIELDS else value for name, value in row["new"].items()}
    fields = tuple(FieldChange(name, row["old"].get(name, UNKNOWN), value) for name, value in new.items())
    change = Change(row["key"], int(row["user"]), fields) if fields else None
    text = row["message"] or row["note"]
    outcome = Outcome(row["key"], Status(row["status"]), http_status=row["http_status"])
    places = (row["key"], row["source"], row["row"], row["user"], Status(row["status"]))
    return Entry(*places, change, row["code"], text, outcome, row["twin_of"])


def _files(info: RunInfo) -> list[str]:
    return [source["file"] for source in info.sources]


def source_heads(sources: Sequence[Source]) -> tuple[Mapping[str, str], ...]:
    """Give what a run keeps of its sources."""
    return tuple({"file": s.file, "sheet": s.sheet, "sha256": s.sha256} for s in sources)


def _sides(change: Change) -> tuple[str, str, str]:
    old = {f.field: f.old for f in change.fields if f.old is not UNKNOWN}
    new = {f.field: MASK if f.field in SECRET_FIELDS else f.new for f in change.fields}
    return ";".join(new), _text(old), _text(new)


def _change(key: int, user: str, old: str, new: str) -> Change:
    before: Json = json.loads(old) if old != "{}" else {}
    after: Json = json.loads(new)
    return Change(
        key,
        int(user),
        tuple(FieldChange(name, before.get(name, UNKNOWN), value) for name, value in after.items()),
    )


_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
