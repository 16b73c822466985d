"""The rows of one run, in SQLite: entered once, claimed before they go out, settled when they are answered."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from usersync.errors import StoppedError
from usersync.ledger.head import RunInfo
from usersync.ledger.schema import INSERT, OUTCOME, answered, change_of, entry_of, sides
from usersync.model import (
    Change,
    Entry,
    Json,
    Line,
    Outcome,
    Status,
    User,
)

_SHARED = (
    "status, code, message, changed, old, new, http_status, name, display_name, email, custom_attributes,"
    " finished_at"
)
"""What a row that repeats another has in common with it."""


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

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Do all of it or nothing; StoppedError where the disk is full or the ledger cannot be written."""
        try:
            self._db.execute("BEGIN")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise StoppedError(
                    f"the ledger cannot be written: {error}; make room, then run `usersync resume`"
                ) from None
            raise

    def enter(self, entries: Iterable[Entry]) -> int:
        """Write down rows and what is planned for them, all or none; returns how many."""
        before = self._db.total_changes
        with self._together():
            self._db.executemany(INSERT, map(self._inserted, entries))
        return self._db.total_changes - before

    def _inserted(self, entry: Entry) -> tuple[object, ...]:
        changed, old, new = sides(entry.change) if entry.change else ("", "", "")
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
            *answered(answer.user if answer else None),
        )

    def claim(self, most: int, *, after: int = -1, turn: int = 0) -> list[Change]:
        """Take the next planned rows of a turn with a key above `after`, and note, durably, that they go out.

        A password's new value is `***`: whoever sends knows it from the source.
        """
        with self._together():
            found = self._db.execute(
                "UPDATE row SET sent = 1 WHERE run = ?1 AND key IN (SELECT key FROM row WHERE run = ?1 AND key > ?2"
                " AND status = 'planned' AND sent = 0 AND twin_of IS NULL AND turn = ?4 ORDER BY key LIMIT ?3)"
                " RETURNING key, user, old, new",
                (self._n, after, most, turn),
            ).fetchall()
            self._write_outcomes()
        self._settled.clear()
        return [change_of(*one) for one in sorted(found)]

    def settle(self, outcome: Outcome) -> None:
        """Take an outcome in; it is on disk after the next `flush` or `claim`."""
        self._settled.append(outcome)

    def flush(self) -> None:
        """Write what was settled since the last time, in one transaction."""
        if self._settled:
            with self._together():
                self._write_outcomes()
            self._settled.clear()

    def _write_outcomes(self) -> None:
        self._db.executemany(OUTCOME, map(self._updated, self._settled))

    def _updated(self, outcome: Outcome) -> tuple[object, ...]:
        user = outcome.user
        return (
            int(outcome.status is not Status.NOT_SENT),
            outcome.status,
            outcome.code,
            outcome.message,
            outcome.http_status,
            outcome.attempts,
            *answered(user),
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
        self.enter(map(entry_of, rows))

    def changed_rows(self) -> Iterator[tuple[Entry, dict[str, Json], dict[str, Json]]]:
        """Give the rows that were updated, each with its old and new values."""
        found = self._db.execute(
            "SELECT key, source, row, user, old, new FROM row WHERE run = ? AND status = 'updated'"
            " AND twin_of IS NULL ORDER BY key",
            (self._n,),
        ).fetchall()
        for key, source, row, user, old, new in found:
            yield Entry(key, source, row, user, Status.PLANNED), json.loads(old or "{}"), json.loads(new or "{}")

    def moves(self) -> list[tuple[int, str | None, str]]:
        """Give the planned changes of e-mail: key, old (None: unknown), new."""
        return self._db.execute(
            "SELECT key, json_extract(old, '$.email'), json_extract(new, '$.email') AS fresh FROM row WHERE run = ?"
            " AND status = 'planned' AND twin_of IS NULL AND fresh IS NOT NULL ORDER BY key",
            (self._n,),
        ).fetchall()

    def put_in_order(self, turns: Mapping[int, int], after: Mapping[int, int]) -> None:
        """Let rows wait: key -> turn, and key -> key of the row that must be updated first."""
        with self._together():
            self._db.executemany(
                "UPDATE row SET turn = ?, waits_for = ? WHERE run = ? AND key = ?",
                ((turn, after[key], self._n, key) for key, turn in turns.items()),
            )

    def refuse(self, reasons: Mapping[int, str], code: str) -> None:
        """Take planned rows out of the plan: key -> why."""
        with self._together():
            self._db.executemany(
                "UPDATE row SET status = 'rejected', code = ?, message = ? WHERE run = ? AND key = ?",
                ((code, why, self._n, key) for key, why in reasons.items()),
            )

    def last_turn(self) -> int:
        """Give the highest turn of a row that is still to be sent."""
        found = self._db.execute(
            "SELECT max(turn) FROM row WHERE run = ? AND status = 'planned' AND sent = 0", (self._n,)
        ).fetchone()
        return found[0] or 0

    def block(self, turn: int) -> None:
        """Take the rows of a turn out whose predecessor was not updated."""
        self.flush()
        self._db.execute(
            "UPDATE row SET status = 'rejected', code = 'blocked-by', message = coalesce((SELECT"
            " 'not sent: row ' || first.row || ' must give up this e-mail address first, and is ' || first.status"
            " FROM row AS first WHERE first.run = row.run AND first.key = row.waits_for),"
            " 'not sent: the row that must give up this e-mail address first was left out')"
            " WHERE run = ? AND turn = ? AND status = 'planned' AND waits_for IS NOT NULL AND (SELECT status"
            " FROM row AS first WHERE first.run = row.run AND first.key = row.waits_for) IS NOT 'updated'",
            (self._n, turn),
        )

    def known(self, users: Sequence[int]) -> Iterator[tuple[User, dict[str, Json]]]:
        """Give what the platform last confirmed to us of these users, and what we wrote last."""
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS asked (user INTEGER PRIMARY KEY)")
        self._db.execute("DELETE FROM asked")
        self._db.executemany("INSERT OR IGNORE INTO asked VALUES (?)", ((user,) for user in users))
        found = self._db.execute(
            "SELECT user, name, display_name, email, custom_attributes, written FROM known JOIN asked USING (user)"
            " WHERE platform = ?",
            (self.info.platform,),
        )
        for user, name, display_name, email, attributes, written in found:
            ours = json.loads(written) if written != "{}" else {}
            yield User(user, name, display_name, email, json.loads(attributes)), ours

    def remember(self) -> None:
        """Keep what this run learned of its users, for the next one to compare with.

        Users of whom it is in doubt what they hold now are forgotten, and read again.
        """
        self._db.execute(
            "DELETE FROM known WHERE platform = ?2 AND user IN (SELECT CAST(user AS INTEGER) FROM row"
            " WHERE run = ?1 AND sent = 1 AND twin_of IS NULL AND status IN ('planned', 'unknown', 'failed'))",
            (self._n, self.info.platform),
        )
        self._db.execute(
            "INSERT INTO known SELECT ?2, CAST(user AS INTEGER), name, display_name, email, custom_attributes,"
            " iif(status = 'updated' AND new <> '', new, '{}') FROM row WHERE run = ?1 AND custom_attributes <> ''"
            " AND status IN ('updated', 'unchanged') AND twin_of IS NULL"
            " ON CONFLICT (platform, user) DO UPDATE SET name = excluded.name,"
            " display_name = excluded.display_name, email = excluded.email,"
            " custom_attributes = excluded.custom_attributes,"
            " written = json_patch(known.written, excluded.written)",
            (self._n, self.info.platform),
        )

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
        self._db.execute("UPDATE run SET finished_at = NULL, exit_code = NULL WHERE n = ?", (self._n,))
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
        return [change_of(*one) for one in found]

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
            yield Entry(key, source, row, user, Status.PLANNED, change_of(key, user, old, new))

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
        with self._together():
            self._db.executemany(
                "UPDATE row SET sent = 0 WHERE run = ? AND key = ?", ((self._n, key) for key in keys)
            )

    def close_rows(self, *, planned_as: Status) -> None:
        """Give every row an ending: twins that of their row, rows without an answer `planned_as` or unknown."""
        self.flush()
        with self._together():
            self._db.execute(
                "UPDATE row SET status = CASE WHEN sent = 1 THEN 'unknown' ELSE ? END, code = CASE WHEN sent = 1"
                " THEN 'connection' ELSE '' END WHERE run = ? AND status = 'planned' AND twin_of IS NULL",
                (planned_as, self._n),
            )
        self.match_twins()

    def match_twins(self) -> None:
        """Give rows that repeat another the ending of that one, where it has one."""
        self._db.execute(
            f"UPDATE row SET ({_SHARED}) = (SELECT {_SHARED} FROM row AS first"
            " WHERE first.run = row.run AND first.key = row.twin_of)"
            " WHERE run = ? AND twin_of IS NOT NULL AND status = 'planned'",
            (self._n,),
        )

    def finish(self, *, finished_at: str, exit_code: int, stopped: str | None) -> None:
        """Close the head of the run, and remember what it learned."""
        self.remember()
        self._db.execute(
            "UPDATE run SET finished_at = ?, exit_code = ?, stopped = ? WHERE n = ?",
            (finished_at, exit_code, stopped, self._n),
        )

    def total(self) -> int:
        """Count all rows in the ledger itself."""
        return int(self._db.execute("SELECT count(*) FROM main.row WHERE run = ?", (self._n,)).fetchone()[0])

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
