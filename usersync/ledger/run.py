"""The rows of one run, in SQLite: entered once, claimed before they go out, settled when they are answered."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from usersync.ledger.reasons import reasons
from usersync.ledger.run_info import RunInfo
from usersync.ledger.schema import IN_FLIGHT, INSERT, OUTCOME, answered, change_of, entry_of, sides, together
from usersync.ledger.snapshots import Memory
from usersync.ledger.waves import Turns
from usersync.models import Change, Entry, Json, Line, Outcome, Status

_SHARED = (
    "status, code, message, changed, old, new, http_status, name, display_name, email, custom_attributes, finished_at"
)
"""What a row that repeats another has in common with it."""


class LedgerRun:
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
        self.turns = Turns(db, number)
        self.memory = Memory(db, number, info.platform)
        self.reasons = partial(reasons, db, number, info.sources)
        self._settled: list[Outcome] = []
        self.on_outcome: Callable[[Outcome], None] = lambda _: None
        """Told each outcome as it is settled."""

    def enter(self, entries: Iterable[Entry]) -> int:
        """Write down rows and what is planned for them, all or none; returns how many."""
        before = self._db.total_changes
        with together(self._db):
            self._db.executemany(INSERT, map(self._inserted, entries))
        return self._db.total_changes - before

    def enter_unchanged(self, stretches: Iterable[tuple[int, int, int, str, list[str]]]) -> None:
        """Write down stretches of unchanged rows, all or none: first key, source, first row, note, users."""
        with together(self._db):
            self._db.executemany(
                "INSERT INTO row (run, key, source, row, note, user, status)"
                " SELECT ?1, ?2 + key, ?3, ?4 + key, ?5, value, 'unchanged' FROM json_each(?6)",
                ((self._n, *places, json.dumps(users)) for *places, users in stretches),
            )

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

    def claim(self, most: int, *, turn: int = 0) -> list[Change]:
        """Take the next planned rows of a turn, and note, durably, that they go out.

        A password's new value is `***`: whoever sends knows it from the source.
        """
        with together(self._db):
            self._write_outcomes()
            found = self._db.execute(
                "SELECT key, user, old, new FROM row WHERE run = ?1 AND key > (SELECT iif(claimed_turn = ?2,"
                " claimed_key, -1) FROM run WHERE n = ?1) AND status = 'planned' AND sent = 0 AND twin_of IS NULL"
                " AND turn = ?2 ORDER BY key LIMIT ?3",
                (self._n, turn, most),
            ).fetchall()
            if found:
                self._claimed(turn, found[-1][0])
        self._settled.clear()
        return [change_of(*one) for one in found]

    def _claimed(self, turn: int, key: int) -> None:
        self._db.execute("UPDATE run SET claimed_turn = ?, claimed_key = ? WHERE n = ?", (turn, key, self._n))

    def settle(self, outcome: Outcome) -> None:
        """Take an outcome in; it is on disk after the next `flush` or `claim`."""
        self._settled.append(outcome)
        self.on_outcome(outcome)

    def flush(self) -> None:
        """Write what was settled since the last time, in one transaction."""
        if self._settled:
            with together(self._db):
                self._write_outcomes()
            self._settled.clear()

    def _write_outcomes(self) -> None:
        self._db.executemany(OUTCOME, map(self._updated, self._settled))

    def _updated(self, outcome: Outcome) -> tuple[object, ...]:
        user = outcome.user
        return (
            int(outcome.status in (Status.UPDATED, Status.FAILED, Status.UNKNOWN)),
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
        found = self._db.execute(f"SELECT {', '.join(names)}, old, new FROM row WHERE run = ? ORDER BY key", (self._n,))
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

    def keep_compared(self) -> list[int]:
        """Drop what is not known yet of a plan that never became whole; give the keys of the rest."""
        with together(self._db):
            self._db.execute("UPDATE run SET finished_at = NULL, exit_code = NULL WHERE n = ?", (self._n,))
            self._db.execute(
                "DELETE FROM row WHERE run = ? AND (twin_of IS NOT NULL OR status = 'rejected'"
                " OR status = 'not-sent' AND new = '')",
                (self._n,),
            )
            self._db.execute(
                "UPDATE row SET status = 'planned', message = '', turn = 0, waits_for = NULL, aside = NULL"
                " WHERE run = ? AND status = 'not-sent'",
                (self._n,),
            )
        return [key for (key,) in self._db.execute("SELECT key FROM row WHERE run = ?", (self._n,))]

    def reopen(self) -> None:
        """Let a stopped run go on: rows that were not sent are planned again, and so are their twins."""
        with together(self._db):
            self._db.execute(f"UPDATE row SET sent = 1 WHERE run = ? AND {IN_FLIGHT}", (self._n,))
            self._db.execute(
                "UPDATE run SET finished_at = NULL, exit_code = NULL, claimed_turn = 0, claimed_key = -1 WHERE n = ?",
                (self._n,),
            )
            self._db.execute(
                "UPDATE row SET status = 'planned', code = '', message = '' WHERE run = ? AND (status = 'not-sent'"
                " AND sent = 0 OR twin_of IS NOT NULL)",
                (self._n,),
            )

    def in_flight(self) -> list[Change]:
        """Give the changes that were being sent, and whose answer never came in."""
        found = self._db.execute(
            "SELECT key, user, old, new FROM row WHERE run = ? AND twin_of IS NULL AND"
            f" (status = 'unknown' OR {IN_FLIGHT}) ORDER BY key",
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

    def release(self, turn: int, key: int) -> None:
        """Take back claims on the rows of a turn behind `key`: they were never sent."""
        self.flush()
        self._claimed(turn, key)

    def close_rows(self, *, planned_as: Status) -> None:
        """Give every row an ending: twins that of their row, rows without an answer `planned_as` or unknown."""
        self.flush()
        with together(self._db):
            self._db.execute(
                f"UPDATE row SET status = 'unknown', code = 'connection', sent = 1 WHERE run = ? AND {IN_FLIGHT}",
                (self._n,),
            )
            self._db.execute(
                "UPDATE row SET status = ?1, message = iif(aside IS NULL OR ?1 = 'planned', '', 'this user may hold"
                " ' || aside || ' until `usersync resume` closes the ring of e-mail addresses')"
                " WHERE run = ?2 AND status = 'planned' AND twin_of IS NULL",
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
        self.memory.remember()
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
            self._db.execute("SELECT status, count(*) FROM row WHERE run = ? GROUP BY status", (self._n,)).fetchall()
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
