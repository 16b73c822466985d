"""Make the rows of a run from the rows of its files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic_core import to_json

from usersync.diff.conflicts import describe_conflicts, find_conflicts
from usersync.ledger import UnchangedRange
from usersync.ledger.run import user_columns
from usersync.masking import mask_field
from usersync.models import Code, FieldChange, Json, Owner, Problem, Result, Row, Status, User, encode_changes, owner_of
from usersync.planning.input import Input
from usersync.validation.cells import InvalidCellError, read_id

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RowFactory:
    """Makes a Row for each row of the input; a row is named by its key."""

    def __init__(self, given: Input) -> None:
        self._desired = given.desired
        self._sources = given.table.places["source"].to_numpy()
        self._numbers = given.table.places["row"].to_numpy()
        self._ids = given.table.cells["id"].to_numpy(object)
        self._table = given.table
        self._notes = dict(given.desired.notes)

    def add_notes(self, notes: Mapping[int, str]) -> None:
        """Add remarks that stay whatever becomes of the rows: key -> remark."""
        for key, note in notes.items():
            known = self._notes.get(key, "")
            if note not in known:  # a row may be compared with the last run first, and then with its user
                self._notes[key] = f"{known}; {note}" if known else note

    def row(self, key: int, status: Status, *, user_id: int | None = None, remark: str = "", **values: Any) -> Row:
        """Make a row with what is known of its place; `user_id` where the id of the sheet was understood."""
        shown = str(self._ids[key] or "") if user_id is None else str(user_id)
        note = "; ".join(filter(None, (self._notes.get(key), remark)))
        return Row(key, int(self._sources[key]), int(self._numbers[key]), shown, status, note=note, **values)

    def rejected(self, users: Mapping[int, User]) -> Iterator[Row]:
        """Make the rows with problems, with all reasons of a row in one message; `users` are those that were listed."""
        problems: dict[int, list[Problem]] = defaultdict(list)
        for problem in self._desired.problems:
            problems[problem.key].append(problem)
        for key, found in problems.items():
            codes = ";".join(dict.fromkeys(p.code for p in found))
            row = self.row(key, Status.REJECTED, code=codes, message="; ".join(p.sentence() for p in found))
            yield with_user(row, users.get(_id_of(row)))

    def duplicates(self) -> Iterator[Row]:
        """Make the rows that repeat another one, and those that a later row of the same user replaces."""
        for key, first in self._desired.duplicates.items():
            yield self.row(key, Status.PLANNED, duplicate_of=first)
        for key in sorted(self._desired.superseded):
            yield self.row(key, Status.UNCHANGED)

    def unchanged(self, key: int, user: User, seen_at: str) -> Row:
        """Make a row whose user holds its values already."""
        return with_user(self.row(key, Status.UNCHANGED, user_id=user.id, finished_at=seen_at), user)

    def changed(
        self,
        key: int,
        user_id: int,
        changes: Sequence[FieldChange],
        *,
        user: User | None,
        written: Mapping[str, Json],
        exported: Mapping[str, str],
        mismatches: Mapping[str, str],
    ) -> Row:
        """Make a row that changes its user: planned, a conflict, or rejected.

        It is a conflict where somebody changed what usersync wrote earlier (`written`), or what the file held when it
        was exported (`exported`). `mismatches` are the fields that reject it, and what is wrong with them.
        """
        conflicts = find_conflicts(changes, written, exported)
        if mismatches and not conflicts:
            problems = self._type_mismatches(key, changes, mismatches)
            return self.rejected_row(key, user_id, Code.TYPE_INVALID, "; ".join(p.sentence() for p in problems), user)
        status = Status.CONFLICT if conflicts else Status.PLANNED
        message = describe_conflicts(conflicts, written, exported)
        changed, old, new = encode_changes(changes)
        row = self.row(key, status, user_id=user_id, message=message, changed=changed, old=old, new=new)
        return with_user(row, user)

    def _type_mismatches(
        self, key: int, changes: Sequence[FieldChange], mismatches: Mapping[str, str]
    ) -> Iterator[Problem]:
        """Yield the problems of a row that would replace a number, say, with text: attribute -> what is wrong."""
        source = self._table.source_of(key)
        for c in changes:
            if c.field in mismatches:
                heading, value = source.heading_of(c.field), str(mask_field(c.field, c.new))
                yield Problem(key, Code.TYPE_INVALID, mismatches[c.field], heading, value)

    def rejected_row(self, key: int, user_id: int, code: Code, message: str, user: User | None) -> Row:
        """Make a row that what is known of its user rejects."""
        return with_user(self.row(key, Status.REJECTED, user_id=user_id, code=code, message=message), user)

    def unread(self, key: int, result: Result) -> Row:
        """Make a row whose user could not be read."""
        return unread_row(self.row(key, result.status), result)

    def unread_unchanged(self, keys: NDArray[Any], remark: str = "") -> tuple[list[Row], Iterator[UnchangedRange]]:
        """Make the rows with `keys` (ascending), whose users hold their values as far as known, in ranges.

        Rows that others repeat, or that have a remark of their own, are returned one by one.
        """
        alone = np.isin(keys, [*self._notes, *self._desired.duplicates.values()])
        rows = [self.row(key, Status.UNCHANGED, remark=remark) for key in keys[alone].tolist()]
        return rows, self._unchanged_ranges(keys[~alone], remark)

    def _unchanged_ranges(self, keys: NDArray[Any], remark: str) -> Iterator[UnchangedRange]:
        places = np.array((keys, self._numbers[keys], self._sources[keys]))
        parted = (np.diff(places) != [[1], [1], [0]]).any(axis=0)
        bounds = [0, *(np.flatnonzero(parted) + 1).tolist(), len(keys)]
        for start, stop in pairwise(bounds if len(keys) else ()):
            key, row, source = places[:, start].tolist()
            yield UnchangedRange(key, source, row, remark, to_json(self._ids[keys[start:stop]].tolist()).decode())


def _id_of(row: Row) -> int:
    """Return the id of a row that may not be valid; 0, which no user has, where it has none."""
    try:
        return read_id(row.id)
    except InvalidCellError:
        return 0


def with_user(row: Row, user: User | None) -> Row:
    """Return the row with what the platform answered about its user."""
    if user is None:
        return row
    name, display_name, email, attributes = user_columns(user)
    return replace(row, name=name, display_name=display_name, email=email, custom_attributes=attributes)


def unread_row(row: Row, result: Result) -> Row:
    """Return the row with the result of a read that failed: nothing was sent, so that it is never `failed`.

    A fault of its own makes it rejected; where the platform fails, `usersync resume` reads the user again. The attempts
    of a row that is still to be sent are those to send it (`Row.was_sent_before`).
    """
    if result.status is Status.NOT_SENT:
        return with_result(row, replace(result, attempts=row.attempts))
    if owner_of(result.code) is Owner.PLATFORM:
        message = f"not sent: the user could not be read: {result.message}"
        not_sent = replace(result, status=Status.NOT_SENT, attempts=row.attempts, message=message)
        return with_result(row, not_sent)
    return with_result(row, replace(result, status=Status.REJECTED))


def revert_if_parked(row: Row, ended: Row) -> Row:
    """Return `ended`, a row that is not sent; `reverting` instead if its user still has the placeholder address."""
    return replace(ended, status=Status.REVERTING) if row.status is Status.PARKED else ended


def with_result(row: Row, result: Result) -> Row:
    """Return the row with the result of its requests."""
    ended = replace(
        row,
        status=result.status,
        code=result.code,
        message=result.message,
        http_status=result.http_status,
        attempts=result.attempts,
        finished_at=result.finished_at,
    )
    return with_user(ended, result.user)
