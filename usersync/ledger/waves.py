"""Keep the order in which e-mail addresses move: waves, dependencies and swaps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from usersync.ledger.run import UNSENT, LedgerRun
from usersync.ledger.unsent import IS_UNSENT
from usersync.models import Code, Row, Status

Swap = list[Row]
"""The rows of one e-mail swap: the one that moves to the placeholder, then the others in the order of their waves."""


class Waves:
    """The order in which the rows of one run are sent."""

    def __init__(self, run: LedgerRun) -> None:
        self._run, self._number = run, run.number
        self._database = run.database

    def holders(self) -> Iterator[tuple[int, str, str | None, str | None, str, int]]:
        """Return the rows of users whose address is known, or is to change.

        Each is key, status, the address that the user holds (None: unknown), the address of an unsent change, the
        user's id as text, and the position of the source.
        """
        return self._database.stream(
            "SELECT key, status, coalesce(email, json_extract(iif(old = '', '{}', old), '$.email')) AS held,"
            " iif(status IN (?, ?, ?, ?) AND new <> '', json_extract(new, '$.email'), NULL) AS wanted,"
            " id, source"
            " FROM row WHERE run = ? AND duplicate_of IS NULL AND (held IS NOT NULL OR wanted IS NOT NULL)"
            " ORDER BY key",
            (*UNSENT, Status.NOT_SENT, Status.LEFT_OUT, self._number),
        )

    def set(self, waves: Mapping[int, int], depends_on: Mapping[int, int], placeholders: Mapping[int, str]) -> None:
        """Let rows wait: key -> wave, key -> key of the row to be sent before, key -> placeholder address."""
        with self._database.transaction():
            self._database.execute(
                "UPDATE row SET wave = 0, depends_on = NULL, placeholder = NULL WHERE run = ? AND wave > 0",
                (self._number,),
            )
            self._database.execute_many(
                "UPDATE row SET placeholder = ? WHERE run = ? AND key = ?",
                ((address, self._number, key) for key, address in placeholders.items()),
            )
            self._database.execute_many(
                "UPDATE row SET wave = ?, depends_on = ? WHERE run = ? AND key = ?",
                ((wave, depends_on[key], self._number, key) for key, wave in waves.items()),
            )

    def reject(self, reasons: Mapping[int, str], code: Code) -> None:
        """Reject unsent rows: key -> message."""
        with self._database.transaction():
            self._database.execute_many(
                "UPDATE row SET status = 'rejected', code = ?, message = ? WHERE run = ? AND key = ?"
                " AND status = 'planned'",
                ((code, reason, self._number, key) for key, reason in reasons.items()),
            )

    def last(self) -> int:
        """Return the highest wave of an unsent row."""
        found = self._database.first(f"SELECT max(wave) FROM row WHERE run = ? AND {IS_UNSENT}", (self._number,))
        return int(found[0] or 0)

    def block(self, wave: int) -> None:
        """Reject the rows of a wave that wait for an address which was not given up.

        A row that failed gave it up where its user has the new one all the same. One that waits for a row which is
        not sent yet is not sent either. A user who holds a placeholder has to be reverted instead.
        """
        self._database.execute(
            "UPDATE row SET status = CASE WHEN status = 'parked' THEN 'reverting' WHEN EXISTS (SELECT 1 FROM row AS"
            " first WHERE first.run = row.run AND first.key = row.depends_on AND first.status = 'not-sent')"
            " THEN 'not-sent' ELSE 'rejected' END, code = 'blocked-by',"
            " message = iif(status = 'parked', 'reverted, because ', 'not sent: ') || coalesce((SELECT 'row '"
            " || first.row || ' has to give up this e-mail address first, and is ' || first.status FROM row AS first"
            " WHERE first.run = row.run AND first.key = row.depends_on),"
            " 'the row that has to give up this e-mail address first was left out')"
            f" WHERE run = ? AND wave = ? AND {IS_UNSENT} AND depends_on IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM row AS first WHERE first.run = row.run AND first.key = row.depends_on"
            " AND (first.status IN ('updated', 'unchanged', 'parked') OR first.status = 'failed'"
            " AND lower(first.email) = lower(json_extract(first.new, '$.email'))))",
            (self._number, wave),
        )

    def swaps(self) -> list[Swap]:
        """Return the e-mail swaps of the run."""
        starts = self._database.all(
            "SELECT key FROM row WHERE run = ? AND placeholder IS NOT NULL ORDER BY key", (self._number,)
        )
        return [self._swap(start) for (start,) in starts]

    def _swap(self, start: int) -> Swap:
        members = self._database.all(
            "WITH RECURSIVE member(at) AS (SELECT ?2 UNION SELECT depends_on FROM row, member WHERE run = ?1"
            " AND key = at AND depends_on IS NOT NULL) SELECT at FROM member",
            (self._number, start),
        )
        keys = {key for (key,) in members}
        return sorted(self._run.by_key(keys), key=lambda row: (row.placeholder is None, row.wave))


def is_open(swap: Iterable[Row]) -> bool:
    """Return whether a user of a swap holds a placeholder, or may hold one, or is being reverted."""
    moving = (Status.SENDING, Status.UNKNOWN)
    return any(
        row.status in (Status.PARKED, Status.REVERTING) or (row.placeholder is not None and row.status in moving)
        for row in swap
    )
