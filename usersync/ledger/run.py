"""Insert, claim and record the rows of one run in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from heapq import merge
from itertools import starmap
from operator import attrgetter
from typing import Any

from pydantic_core import from_json, to_json

from usersync.errors import DAMAGED_LEDGER, StoppedError
from usersync.ledger.database import Database
from usersync.ledger.report_cells import Cells, read_cells
from usersync.ledger.run_info import RunInfo
from usersync.ledger.schema import READ_ROWS
from usersync.ledger.snapshots import Snapshots
from usersync.ledger.unchanged import UnchangedRange
from usersync.masking import mask_secrets_in
from usersync.models import Result, Row, Status, User, json_text

#: The columns of Row, in the order of its fields.
ROW_COLUMNS = (
    "key, source, row, id, status, changed, old, new, code, message, note, http_status, attempts, name, display_name,"
    " email, custom_attributes, finished_at, duplicate_of, wave, depends_on, placeholder"
)
_INSERT = f"INSERT INTO row (run, {ROW_COLUMNS}) VALUES ({', '.join('?' * 23)})"
_RECORD = (
    "UPDATE row SET status = ?, code = ?, message = ?, http_status = ?, attempts = ?, name = ?, display_name = ?,"
    " email = ?, custom_attributes = ?, finished_at = ? WHERE run = ? AND key = ?"
)
_REVISE = (
    "UPDATE row SET status = ?, changed = ?, old = ?, new = ?, code = ?, message = ?, note = ?, http_status = ?,"
    " attempts = ?, name = ?, display_name = ?, email = ?, custom_attributes = ?, finished_at = ?"
    " WHERE run = ? AND key = ?"
)
#: Looked up, where calling Status would cost as much as the rest of a row.
_STATUSES = {status.value: status for status in Status}
#: Rows that are still to be sent.
UNSENT = (Status.PLANNED, Status.PARKED)
#: Rows that a request went out for, and whose end is not known.
IN_FLIGHT = (Status.SENDING, Status.UNKNOWN)
#: What a report says of rows that were not sent, of those among them that were sent before, and of those without an
#: answer.
NOT_SENT = "not sent: the run stopped first"
SENT_BEFORE = "sent before, and the answer was lost; "
NO_ANSWER = "no answer was recorded; `usersync resume` looks it up"


class LedgerRun:
    """The rows of one run."""

    def __init__(self, database: Database, number: int, info: RunInfo, *, is_new: bool = False) -> None:
        self.info = info
        self.is_new = is_new
        self.number = number
        self.snapshots = Snapshots(database, number, info.platform)
        self.database = database
        self.left_out = 0
        """Rows that `--limit` left out; they are not in the ledger."""
        self._places: dict[int, Sequence[str]] = {
            n: (source["file"], source["sheet"]) for n, source in enumerate(info.sources)
        }
        self._results: list[tuple[int, Result]] = []
        self._claimed: dict[int, int] = {}  # wave -> the last key that was claimed

    def insert(self, rows: Iterable[Row]) -> None:
        """Insert rows, all or none."""
        with self.database.transaction():
            self.database.execute_many(_INSERT, (self._inserted(row) for row in rows))

    def _inserted(self, row: Row) -> tuple[object, ...]:
        status = None if row.duplicate_of is not None else str(row.status)
        return (
            self.number, row.key, row.source, row.row, row.id, status, row.changed, row.old, row.new, row.code,
            row.message, row.note, row.http_status, row.attempts, row.name, row.display_name, row.email,
            row.custom_attributes, row.finished_at, row.duplicate_of, row.wave, row.depends_on, row.placeholder,
        )  # fmt: skip

    def insert_unchanged(self, unchanged_ranges: Iterable[UnchangedRange]) -> None:
        """Insert ranges of unchanged rows, all or none."""
        with self.database.transaction():
            self.database.execute_many(
                "INSERT INTO unchanged (run, key, source, row, note, ids) VALUES (?, ?, ?, ?, ?, ?)",
                ((self.number, *span) for span in unchanged_ranges),
            )

    def rows(self, *, only: int | None = None) -> Iterator[Row]:
        """Return the rows in input order, with their public status; or the one with the key `only`."""
        found = self.database.stream(
            f"SELECT {ROW_COLUMNS} FROM ({READ_ROWS}) WHERE run = ?1 AND (?2 IS NULL OR key = ?2) ORDER BY key",
            (self.number, only),
        )
        unchanged = (row for span in self.unchanged_ranges(until=only) for row in span.rows(*self._place(span.source)))
        if only is not None:
            unchanged = (row for row in unchanged if row.key == only)
        return merge(map(self._row, found), unchanged, key=attrgetter("key"))

    def unchanged_ranges(self, *, until: int | None = None) -> Iterator[UnchangedRange]:
        """Return the ranges of unchanged rows in input order; or the last that begins at `until` or before."""
        found = self.database.stream(
            "SELECT key, source, row, note, ids FROM unchanged WHERE run = ?1 AND (?2 IS NULL OR key ="
            " (SELECT max(key) FROM unchanged WHERE run = ?1 AND key <= ?2)) ORDER BY key",
            (self.number, until),
        )
        return starmap(UnchangedRange, found)

    def require_json(self, *, only: int | None = None) -> None:
        """Raise StoppedError where rows, or the one with the key `only`, hold no JSON: SQLite does not see that."""
        found = self.database.first(
            "SELECT row FROM row WHERE run = ?1 AND (?2 IS NULL OR key = ?2)"
            " AND (old <> '' AND NOT json_valid(old) OR new <> '' AND NOT json_valid(new)) LIMIT 1",
            (self.number, only),
        )
        if found:
            what = f"the ledger {self.database.path} is damaged (row {found[0]} of run {self.info.run} holds no JSON)"
            raise StoppedError(f"{what}; {DAMAGED_LEDGER}")

    def report_cells(self) -> Iterator[list[Cells]]:
        """Return the lines of the run's report in input order, some thousand at a time."""
        return read_cells(self.database, self.number, list(self._places.values()), self.unchanged_ranges())

    def take_over(self, other: LedgerRun) -> None:
        """Copy the rows of another run, of whose results some could not be written there."""
        rows = other.database.stream(f"SELECT {ROW_COLUMNS} FROM row WHERE run = ?", (other.number,))
        with self.database.transaction():
            self.database.execute_many(_INSERT, ((self.number, *values) for values in rows))
            self.insert_unchanged(other.unchanged_ranges())
        self._results = list(other._results)

    def with_status(self, *statuses: Status) -> Iterator[Row]:
        """Return the rows whose own status is one of these, in input order; not those of unchanged ranges."""
        return self._of_statuses("row", statuses)

    def with_public_status(self, *statuses: Status) -> Iterator[Row]:
        """Return the rows whose public status, as reports show it, is one of these, in input order."""
        return self._of_statuses(f"({READ_ROWS})", statuses)

    def _of_statuses(self, rows: str, statuses: Sequence[Status]) -> Iterator[Row]:
        found = self.database.stream(
            f"SELECT {ROW_COLUMNS} FROM {rows} WHERE run = ? AND status IN ({_marks(statuses)}) ORDER BY key",
            (self.number, *statuses),
        )
        return map(self._row, found)

    def by_key(self, keys: Iterable[int]) -> list[Row]:
        """Return the rows with these keys, with their own status."""
        found = self.database.all(
            f"SELECT {ROW_COLUMNS} FROM row WHERE run = ? AND key IN (SELECT value FROM json_each(?)) ORDER BY key",
            (self.number, json_text(list(keys))),
        )
        return list(map(self._row, found))

    def _row(self, values: Sequence[Any]) -> Row:
        key, source, row, user_id, status, *rest = values
        return Row(key, source, row, user_id, _STATUSES[status], *rest, *self._place(source))

    def _place(self, source: int) -> Sequence[str]:
        return self._places.get(source, ("", ""))

    def claim(self, most: int, *, wave: int = 0) -> list[Row]:
        """Take the next unsent rows of a wave, and record, durably, that they are being sent."""
        with self._writing_results():
            found = self.database.all(
                f"SELECT {ROW_COLUMNS} FROM row WHERE run = ? AND key > ? AND status IN (?, ?) AND wave = ?"
                " ORDER BY key LIMIT ?",
                (self.number, self._claimed.get(wave, -1), *UNSENT, wave, most),
            )
            if found:
                self._claimed[wave] = found[-1][0]
                self.database.execute(
                    "UPDATE row SET status = ? WHERE run = ? AND key BETWEEN ? AND ? AND status IN (?, ?) AND wave = ?",
                    (Status.SENDING, self.number, found[0][0], found[-1][0], *UNSENT, wave),
                )
        return list(map(self._row, found))

    def release(self, rows: Iterable[Row]) -> None:
        """Give back claimed rows for which no request went out."""
        with self._writing_results():
            self.set_status(rows)

    def set_status(self, rows: Iterable[Row]) -> None:
        """Write the status of rows, durably."""
        with self.database.transaction():
            self.database.execute_many(
                "UPDATE row SET status = ? WHERE run = ? AND key = ?",
                ((row.status, self.number, row.key) for row in rows),
            )

    def record(self, key: int, result: Result) -> None:
        """Take the result of a row; it is on disk after the next `flush` or `claim`."""
        self._results.append((key, result))

    def flush(self) -> None:
        """Write the results taken since the last time, in one transaction."""
        if self._results:
            with self._writing_results():
                pass

    @contextmanager
    def _writing_results(self) -> Iterator[None]:
        """Write the results together with what the block writes; they are kept where that fails."""
        results = tuple(self._results)
        with self.database.transaction():
            self.database.execute_many(_RECORD, (self._recorded(key, result) for key, result in results))
            yield
        del self._results[: len(results)]

    def _recorded(self, key: int, result: Result) -> tuple[object, ...]:
        return (  # `str`: for a StrEnum, sqlite3 looks for an adapter each time
            str(result.status), result.code, result.message, result.http_status, result.attempts,
            *user_columns(result.user), result.finished_at, self.number, key,
        )  # fmt: skip

    def revise(self, rows: Iterable[Row]) -> None:
        """Write everything about rows that may change after they were inserted, all or none."""
        with self.database.transaction():
            self.database.execute_many(_REVISE, map(self._revised, rows))

    def _revised(self, row: Row) -> tuple[object, ...]:
        return (
            str(row.status), row.changed, row.old, row.new, row.code, row.message, row.note, row.http_status,
            row.attempts, row.name, row.display_name, row.email, row.custom_attributes, row.finished_at,
            self.number, row.key,
        )  # fmt: skip

    def mark_planned(self, at: str) -> None:
        """Record that the plan is complete: from now on rows may be sent."""
        self.database.execute("UPDATE run SET planned_at = ? WHERE n = ?", (at, self.number))

    def finalize(self, *, not_sent: str = NOT_SENT, is_closed: bool = False) -> None:
        """Give every row its last status: without an answer `unknown`, still to be sent `not-sent`, and why.

        A row that was sent before is without an answer, unless nothing more is sent, because the run `is_closed`.
        """
        self.flush()
        with self.database.transaction():
            self.database.execute(
                "UPDATE row SET status = 'unknown', code = 'connection', message = ? WHERE run = ?"
                " AND (status = 'sending'"
                " OR status IN ('planned', 'not-sent') AND attempts > 0 AND new <> '' AND NOT ?)",
                (NO_ANSWER, self.number, is_closed),
            )
            self.database.execute(
                "UPDATE row SET status = 'not-sent', message = iif(attempts > 0, ?, '') || ? WHERE run = ?"
                " AND status = 'planned'",
                (SENT_BEFORE, not_sent, self.number),
            )

    def finish(self, *, finished_at: str, exit_code: int, stopped: str | None) -> None:
        """Close the run, and remember what it learned of its users."""
        with self.database.transaction():
            self.snapshots.remember()
            self.database.execute(
                "UPDATE run SET finished_at = ?, exit_code = ?, stopped = ? WHERE n = ?",
                (finished_at, exit_code, stopped, self.number),
            )

    def counts(self) -> dict[Status, int]:
        """Count the rows by public status."""
        found = self.database.all(
            f"SELECT status, sum(n) FROM (SELECT status, count(*) AS n FROM ({READ_ROWS}) WHERE run = ?1"
            " GROUP BY status UNION ALL SELECT 'unchanged', sum(json_array_length(ids)) FROM unchanged WHERE run = ?1)"
            " WHERE n > 0 GROUP BY status",
            (self.number,),
        )
        return {Status(status): count for status, count in found}

    def changed_fields(self, *statuses: Status) -> list[tuple[list[str], int, int]]:
        """Count the rows whose own status is one of these by changed fields: fields, rows, the first row's key."""
        found = self.database.all(
            f"SELECT min(new), count(*), min(key) FROM row WHERE run = ? AND status IN ({_marks(statuses)})"
            " GROUP BY changed ORDER BY min(key)",
            (self.number, *statuses),
        )
        return [(list(from_json(new or "{}")), rows, first) for new, rows, first in found]

    def first_by_code(self, shown: int) -> list[tuple[str, int, Row]]:
        """Return the first rows that need attention for each code: code, the number of all rows with it, row.

        A row with two codes is there for both; one without a code is there for its status, with a blank code.
        """
        needed = [status for status in Status if status.needs_attention]
        found = self.database.all(
            f"SELECT kind, n, {ROW_COLUMNS} FROM (SELECT found.*, item.value AS kind, count(*) OVER alike AS n,"
            f" row_number() OVER (alike ORDER BY found.key) AS nth FROM ({READ_ROWS}) AS found,"
            """ json_each('["' || replace(code, ';', '","') || '"]') AS item"""
            f" WHERE run = ? AND status IN ({_marks(needed)})"
            " WINDOW alike AS (PARTITION BY item.value, iif(code = '', status, ''))) WHERE nth <= ? ORDER BY kind, key",
            (self.number, *needed, shown),
        )
        return [(code, count, self._row(values)) for code, count, *values in found]


def _marks(values: Sequence[object]) -> str:
    """Return a parameter of SQL for each value."""
    return ", ".join("?" * len(values))


def user_columns(user: User | None) -> tuple[str | None, str | None, str | None, str]:
    """Return the columns name, display_name, email and custom_attributes of a user; secrets among these are `***`."""
    if user is None:
        return None, None, None, ""
    attributes = mask_secrets_in(to_json(user.custom_attributes).decode())
    return user.name, user.display_name, user.email, attributes
