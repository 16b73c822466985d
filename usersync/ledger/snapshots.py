"""Remember what the platform last confirmed of its users."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic_core import from_json

from usersync.ledger.database import Database
from usersync.ledger.schema import json_value
from usersync.models import MASK, SECRET_FIELDS, Json, attribute_of, json_text
from usersync.values import normalize_email

if TYPE_CHECKING:
    from pandas import DataFrame

#: Fields that have a column; all others are attributes.
_TEXTS = ("name", "display_name", "email")
#: The range of ids is read instead of the ids one by one where it holds at most so many times as many.
_DENSE = 1.5
#: Attributes of which the ledger keeps no value, so that nothing can be compared with it.
_MASKED = f"instr(custom_attributes, '\"{MASK}\"')"
#: The platform has said what the user holds.
_CONFIRMED = "custom_attributes <> '' AND status IN ('updated', 'unchanged')"
#: Not what a run that is resumed knew before later runs began: it is remembered already, or was forgotten since.
_NEW = (
    "finished_at >= (SELECT coalesce(max(started_at), '') FROM run WHERE platform = ?2 AND n > ?1 AND kind <> 'plan')"
)
#: The directory did not say whether there is a display name (planning.users.UNKNOWN_DISPLAY_NAME); an update's answer
#: does, and a blank one there is blank.
_NAME_UNKNOWN = "status = 'unchanged' AND display_name IS ''"
#: What was sent later counts: by a later run, whatever the clock said then, or by one that was resumed.
_NEWER_VALUE = (
    "ON CONFLICT (platform, user, field) DO UPDATE SET value = excluded.value, run = excluded.run,"
    " sent_at = excluded.sent_at WHERE excluded.run > written.run OR excluded.sent_at >= written.sent_at"
)


class Snapshots:
    """What is known of the users of one platform, and what one run adds to it."""

    def __init__(self, database: Database, number: int, platform: str) -> None:
        self._database, self._number, self._platform = database, number, platform

    def last_known(self, users: Sequence[int], fields: Sequence[str]) -> DataFrame:
        """Return what the platform last confirmed of these users.

        Index: the position in `users`, ascending, of those that are known. Columns: `fields`, none of them secret: text
        or None; of attributes, JSON values.
        """
        import numpy as np  # takes longer to import than most commands take
        import pandas as pd  # as numpy

        asked = pd.Index(users, dtype=np.int64)
        values: list[object]
        if len(asked) and asked.max() - asked.min() < _DENSE * len(asked):
            where, values = "FROM snapshot WHERE user BETWEEN ? AND ?", [int(asked.min()), int(asked.max())]
        else:  # CROSS: SQLite may turn another join round, and search the list for each user of the platform
            where, values = "FROM json_each(?) CROSS JOIN snapshot ON user = value WHERE true", [json_text(users)]
        names = ["user", *(name for name in fields if name in _TEXTS)]
        columns = ", ".join(f"json_group_array({name})" for name in names)  # each at once: no tuple for each user
        attributes, *found = self._database.first(
            f"SELECT group_concat(custom_attributes, char(10)), {columns} {where} AND platform = ?",
            (*values, self._platform),
        )
        lists = (from_json(text, cache_strings="keys") for text in found)  # names and addresses hardly repeat
        held = dict(zip(names, lists, strict=True)) | _attribute_columns(attributes, fields)
        index = asked.get_indexer(pd.Index(held["user"], dtype=np.int64))
        order = np.argsort(index)
        order = order[index[order] >= 0]
        known = pd.DataFrame({name: pd.Series(held[name], dtype=object) for name in fields}, range(len(index)))
        return known.iloc[order].set_axis(index[order])

    def names(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the names of users, or else their addresses, as the platform last confirmed them, by id."""
        found = self._database.all(
            "SELECT asked.value, coalesce(nullif(name, ''), email, '') FROM json_each(?) AS asked CROSS JOIN snapshot"
            " ON platform = ? AND user = CAST(asked.value AS INTEGER) WHERE CAST(user AS TEXT) = asked.value",
            (json_text(list(ids)), self._platform),
        )
        return dict(found)

    def email_addresses(self) -> tuple[dict[str, int], str]:
        """Return whose address is whose as the platform last confirmed, and when the oldest of it was seen.

        Addresses are normalized; of two users with one address, the one seen last counts.
        """
        found = self._database.all(
            "SELECT email, user, seen_at FROM snapshot WHERE platform = ? AND trim(email) <> '' ORDER BY seen_at",
            (self._platform,),
        )
        return {normalize_email(email): user for email, user, _ in found}, found[0][2] if found else ""

    def last_written(self, users: Sequence[int], *, by_newer_runs: bool = False) -> dict[int, dict[str, Json]]:
        """Return the values that usersync last wrote to these users: id -> field -> value.

        `by_newer_runs`: only those that a run wrote which began after this one.
        """
        found = self._database.all(
            "SELECT user, field, written.value FROM json_each(?) AS asked CROSS JOIN written"
            " ON platform = ? AND user = asked.value WHERE run > ?",
            (json_text(users), self._platform, self._number if by_newer_runs else -1),
        )
        written: dict[int, dict[str, Json]] = defaultdict(dict)
        for user, field, value in found:
            written[user][field] = json.loads(value)
        return dict(written)

    def last_writer(self, user: int, field: str) -> tuple[str, Json]:
        """Return the run that last wrote a field of a user, and the value; a blank name where none did."""
        found = self._database.first(
            "SELECT run.run, written.value FROM written JOIN run ON run.n = written.run"
            " WHERE written.platform = ? AND user = ? AND field = ?",
            (self._platform, user, field),
        )
        return (found[0], json.loads(found[1])) if found else ("", None)

    def keep_written(self, user: int, values: Mapping[str, Json], *, sent_at: str) -> None:
        """Keep values (field -> value) that were written to a user, where no row says so, as in a revert."""
        self._database.execute_many(
            f"INSERT INTO written VALUES (?, ?, ?, ?, ?, ?) {_NEWER_VALUE}",
            ((self._platform, user, field, json_text(value), self._number, sent_at) for field, value in values.items()),
        )

    def remember(self, *, is_over: bool = True) -> None:
        """Keep what this run learned of its users, for the next one; what was confirmed later stays.

        Users whose current values are uncertain are forgotten, and read again by the next run. A run that may still
        be going on (not `is_over`) is remembered again later.
        """
        with self._database.transaction():
            self._keep_confirmed_users()
            self._forget_doubtful_users()
            self._keep_written_values()
            self._forget_doubtful_values()
            if is_over:
                self._database.execute("UPDATE run SET remembered = 1 WHERE n = ?", (self._number,))

    def _keep_confirmed_users(self) -> None:
        self._database.execute(
            "INSERT INTO snapshot SELECT ?2, CAST(id AS INTEGER), name, display_name, email, custom_attributes,"
            f" finished_at FROM main.row WHERE run = ?1 AND {_CONFIRMED} AND {_NEW}"
            f" AND NOT {_MASKED} AND NOT ({_NAME_UNKNOWN})"
            " ON CONFLICT (platform, user) DO UPDATE SET name = excluded.name, display_name = excluded.display_name,"
            " email = excluded.email, custom_attributes = excluded.custom_attributes, seen_at = excluded.seen_at"
            " WHERE excluded.seen_at >= snapshot.seen_at",
            (self._number, self._platform),
        )

    def _forget_doubtful_users(self) -> None:
        """Forget users whose update has no good end, or no whole answer, and those whose last one has no clear time."""
        doubtful = (
            "SELECT CAST(id AS INTEGER) FROM main.row WHERE run = ?1 AND ("
            "new <> '' AND status IN ('unknown', 'failed', 'sending', 'parked', 'reverting')"
            f" OR status = 'updated' AND custom_attributes = '' OR {_NAME_UNKNOWN} OR {_MASKED}"
            f" OR {_CONFIRMED} AND finished_at <> '' AND EXISTS (SELECT 1 FROM snapshot WHERE platform = ?2"
            " AND user = CAST(id AS INTEGER) AND seen_at > finished_at))"
        )
        self._database.execute(
            f"DELETE FROM snapshot WHERE platform = ?2 AND user IN ({doubtful})", (self._number, self._platform)
        )

    def _keep_written_values(self) -> None:
        secret = ", ".join(f"'{name}'" for name in sorted(SECRET_FIELDS))
        self._database.execute(
            f"INSERT INTO written SELECT ?2, CAST(row.id AS INTEGER), item.key, {json_value('row.new')}, ?1,"
            " row.finished_at FROM main.row AS row, json_each(row.new) AS item"
            " WHERE row.run = ?1 AND row.status = 'updated' AND row.new <> ''"
            f" AND {_NEW} AND item.key NOT IN ({secret})"
            f" {_NEWER_VALUE}",
            (self._number, self._platform),
        )

    def _forget_doubtful_values(self) -> None:
        """Forget earlier written values of fields that this run may have overwritten with an unknown result."""
        self._database.execute(
            "DELETE FROM written WHERE platform = ?2 AND run <= ?1 AND (user, field) IN"
            " (SELECT CAST(row.id AS INTEGER), item.key FROM main.row AS row, json_each(row.new) AS item"
            " WHERE row.run = ?1 AND row.new <> '' AND (row.status IN ('sending', 'unknown')"
            " OR row.status = 'failed' AND row.code = 'echo-differs'))",
            (self._number, self._platform),
        )


def _attribute_columns(lines: str | None, fields: Iterable[str]) -> dict[str, list[Json]]:
    """Return the values of those fields that are attributes, of users whose attributes are the lines: JSON objects."""
    texts = lines.split("\n") if lines is not None else []  # JSON is written without line breaks
    distinct = list(set(texts))  # many users hold the same
    parsed = json.loads(f"[{','.join(distinct)}]")
    columns = {}
    for field in fields:
        if field not in _TEXTS:
            values = dict(zip(distinct, (attribute_of(attributes, field) for attributes in parsed), strict=True))
            columns[field] = list(map(values.__getitem__, texts))
    return columns
