"""What the platform last confirmed to us of its users, kept from run to run."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence

from usersync.ledger.schema import IN_FLIGHT
from usersync.model import Json, User


class Memory:
    """What is known of one platform's users, and what one run adds to it."""

    def __init__(self, db: sqlite3.Connection, number: int, platform: str) -> None:
        self._db, self._n, self._platform = db, number, platform

    def known(self, users: Sequence[int]) -> Iterator[tuple[User, dict[str, Json]]]:
        """Give what the platform last confirmed to us of these users, and what we wrote last."""
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS asked (user INTEGER PRIMARY KEY)")
        self._db.execute("DELETE FROM asked")
        self._db.executemany("INSERT OR IGNORE INTO asked VALUES (?)", ((user,) for user in users))
        found = self._db.execute(
            "SELECT user, name, display_name, email, custom_attributes, written FROM known JOIN asked USING (user)"
            " WHERE platform = ?",
            (self._platform,),
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
            " WHERE run = ?1 AND (sent = 1 AND twin_of IS NULL AND status IN ('unknown', 'failed')"
            f" OR {IN_FLIGHT}))",
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
