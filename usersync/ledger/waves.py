"""Owner of a run's rows waits for whom: turns, predecessors, and rings of e-mail addresses."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

from usersync.ledger.schema import change_of, together
from usersync.models import RingRow, Status


class Turns:
    """The order in which the rows of one run are sent."""

    def __init__(self, db: sqlite3.Connection, number: int) -> None:
        self._db, self._n = db, number

    def moves(self) -> list[tuple[int, str | None, str]]:
        """Give the planned changes of e-mail: key, old (None: unknown), new."""
        return self._db.execute(
            "SELECT key, json_extract(old, '$.email'), json_extract(new, '$.email') AS fresh FROM row WHERE run = ?"
            " AND status = 'planned' AND twin_of IS NULL AND fresh IS NOT NULL ORDER BY key",
            (self._n,),
        ).fetchall()

    def set(self, turns: Mapping[int, int], after: Mapping[int, int], aside: Mapping[int, str] | None = None) -> None:
        """Let rows wait: key -> turn, and key -> key of the row that must be updated first.

        `aside` (key -> placeholder address) opens rings: that row's user steps aside before the first turn.
        """
        with together(self._db):
            self._db.executemany(
                "UPDATE row SET aside = ? WHERE run = ? AND key = ?",
                ((address, self._n, key) for key, address in (aside or {}).items()),
            )
            self._db.executemany(
                "UPDATE row SET turn = ?, waits_for = ? WHERE run = ? AND key = ?",
                ((turn, after[key], self._n, key) for key, turn in turns.items()),
            )

    def refuse(self, reasons: Mapping[int, str], code: str) -> None:
        """Take planned rows out of the plan: key -> why."""
        with together(self._db):
            self._db.executemany(
                "UPDATE row SET status = 'rejected', code = ?, message = ? WHERE run = ? AND key = ?",
                ((code, why, self._n, key) for key, why in reasons.items()),
            )

    def last(self) -> int:
        """Give the highest turn of a row that is still to be sent."""
        found = self._db.execute(
            "SELECT max(turn) FROM row WHERE run = ? AND status = 'planned' AND sent = 0", (self._n,)
        ).fetchone()
        return found[0] or 0

    def rings(self) -> Iterator[tuple[RingRow, ...]]:
        """Give each ring of e-mail addresses: who steps aside, then the others in the order of their turns."""
        starts = self._db.execute(
            "SELECT key, turn FROM row WHERE run = ? AND aside IS NOT NULL", (self._n,)
        ).fetchall()
        for start, turn in starts:
            found = self._db.execute(
                "WITH RECURSIVE ring(at) AS (SELECT ?2 UNION SELECT waits_for FROM row, ring WHERE run = ?1"
                " AND key = at AND waits_for IS NOT NULL)"
                " SELECT key, row, user, status, aside, old, new FROM row, ring WHERE run = ?1 AND key = at"
                " ORDER BY aside IS NULL, turn",
                (self._n, start),
            ).fetchall()
            if len(found) == turn:  # else a part of it was left out, and nobody moves
                yield tuple(
                    RingRow(row, Status(status), aside, change_of(key, user, old, new))
                    for key, row, user, status, aside, old, new in found
                )

    def asides(self) -> dict[int, str]:
        """Give the placeholder addresses: key -> address."""
        found = self._db.execute("SELECT key, aside FROM row WHERE run = ? AND aside IS NOT NULL", (self._n,))
        return dict(found.fetchall())

    def block(self, turn: int) -> None:
        """Take the rows of a turn out whose predecessor was not updated, or did not step aside."""
        self._db.execute(
            "UPDATE row SET status = 'rejected', code = 'blocked-by', message = coalesce((SELECT"
            " 'not sent: row ' || first.row || ' must give up this e-mail address first, and is ' || first.status"
            " FROM row AS first WHERE first.run = row.run AND first.key = row.waits_for),"
            " 'not sent: the row that must give up this e-mail address first was left out')"
            " WHERE run = ? AND turn = ? AND status = 'planned' AND waits_for IS NOT NULL"
            " AND coalesce((SELECT status FROM row AS first WHERE first.run = row.run"
            " AND first.key = row.waits_for), '') NOT IN ('updated',"
            " iif(turn = 1 AND waits_for IN (SELECT key FROM row AS one WHERE one.run = row.run"
            " AND aside IS NOT NULL), 'planned', 'updated'))",
            (self._n, turn),
        )
