"""What the platform last confirmed to us of its users, kept from run to run."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from usersync.ledger.schema import IN_FLIGHT, text
from usersync.models import Json

if TYPE_CHECKING:
    from pandas import DataFrame


class Memory:
    """What is known of one platform's users, and what one run adds to it."""

    def __init__(self, db: sqlite3.Connection, number: int, platform: str) -> None:
        self._db, self._n, self._platform = db, number, platform

    def known(self, users: Sequence[int]) -> DataFrame:
        """Give what the platform last confirmed to us of these users.

        Index: the position in `users`, of those that are known; columns as the diff compares them.
        """
        import pandas as pd

        names = ("user", "name", "display_name", "email", "custom_attributes")
        asked = pd.Index(users)
        values: list[object]
        if len(users) and asked.max() - asked.min() < 1.5 * len(users):  # nearly all: one after the other
            where, values = "FROM known WHERE user BETWEEN ? AND ?", [int(asked.min()), int(asked.max())]
        else:  # CROSS: SQLite may turn another join round, and search the list for each user of the platform
            where, values = "FROM json_each(?) CROSS JOIN known ON user = value WHERE true", [text(users)]
        columns = ", ".join(f"json_group_array({name})" for name in names)  # each at once: no tuple for each user
        found = self._db.execute(f"SELECT {columns} {where} AND platform = ?", (*values, self._platform)).fetchone()
        known = pd.DataFrame({n: pd.Series(json.loads(c), dtype=object) for n, c in zip(names, found, strict=True)})
        known.index = asked.get_indexer(pd.Index(known.pop("user"), dtype="int64"))
        texts = list(set(known["custom_attributes"]))  # many users hold the same
        parsed = dict(zip(texts, json.loads(f"[{','.join(texts)}]"), strict=True))
        known["custom_attributes"] = known["custom_attributes"].map(parsed.__getitem__)
        return known[known.index >= 0].sort_index()

    def written(self, users: Sequence[int]) -> dict[int, dict[str, Json]]:
        """Give the values that we wrote last, of those users for whom we did: id -> field -> value."""
        found = self._db.execute(
            "SELECT user, written FROM json_each(?) AS asked CROSS JOIN known"
            " ON platform = ? AND user = asked.value WHERE written <> '{}'",
            (text(users), self._platform),
        )
        return {user: json.loads(ours) for user, ours in found}

    def remember(self) -> None:
        """Keep what this run learned of its users, for the next one to compare with.

        Users of whom it is in doubt what they hold now are forgotten, and read again.
        """
        self._db.execute(
            "DELETE FROM known WHERE platform = ?2 AND user IN (SELECT CAST(user AS INTEGER) FROM row"
            " WHERE run = ?1 AND (sent = 1 AND twin_of IS NULL AND status IN ('unknown', 'failed')"
            f" OR aside IS NOT NULL AND status <> 'updated' OR {IN_FLIGHT}))",
            (self._n, self._platform),
        )
        self._db.execute(
            "INSERT INTO known SELECT ?2, CAST(user AS INTEGER), name, display_name, email, custom_attributes,"
            " iif(status = 'updated' AND new <> '', new, '{}') FROM row WHERE run = ?1 AND custom_attributes <> ''"
            " AND status IN ('updated', 'unchanged') AND twin_of IS NULL"
            " ON CONFLICT (platform, user) DO UPDATE SET name = excluded.name,"
            " display_name = excluded.display_name, email = excluded.email,"
            " custom_attributes = excluded.custom_attributes,"
            " written = json_patch(known.written, excluded.written)",
            (self._n, self._platform),
        )
