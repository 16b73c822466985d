"""Answer what a plan says of the rows that are still to be sent."""

from __future__ import annotations

from collections.abc import Sequence

from usersync.ledger.run import UNSENT, LedgerRun
from usersync.models import Row

#: As a condition of SQL.
IS_UNSENT = "status IN ('{}', '{}')".format(*UNSENT)


class UnsentRows:
    """The rows of one run that are still to be sent."""

    def __init__(self, run: LedgerRun) -> None:
        self._run, self._number = run, run.number
        self._database = run.database

    def examples(self, count: int, *, also: Sequence[int]) -> list[Row]:
        """Return the first rows, and those with the keys `also`."""
        first = self._database.all(
            f"SELECT key FROM row WHERE run = ? AND {IS_UNSENT} ORDER BY key LIMIT ?", (self._number, count)
        )
        return self._run.by_key({key for (key,) in first} | set(also))

    def keys(self) -> list[int]:
        """Return the keys of the rows."""
        found = self._database.all(f"SELECT key FROM row WHERE run = ? AND {IS_UNSENT}", (self._number,))
        return [key for (key,) in found]

    def person_changes(self) -> list[tuple[int, str | None, str | None, str | None, str | None]]:
        """Return for each row the user's id, old and new name, old and new e-mail; None: not known, or kept."""
        sides = ", ".join(
            f"coalesce(json_extract(iif(old = '', '{{}}', old), '$.{f}'), {f}), json_extract(new, '$.{f}')"
            for f in ("name", "email")
        )
        return self._database.all(
            f"SELECT CAST(id AS INTEGER), {sides} FROM row WHERE run = ? AND {IS_UNSENT} AND new <> ''",
            (self._number,),
        )

    def text_attribute_changes(self) -> list[tuple[str, int, str | None, str]]:
        """Return each attribute that becomes a text: its field, the user's id, the old and the new text."""
        return self._database.all(
            "SELECT new.key, CAST(row.id AS INTEGER), old.value, new.value FROM row, json_each(row.new) AS new"
            " LEFT JOIN json_each(row.old) AS old ON old.key = new.key AND old.type = 'text'"
            f" WHERE row.run = ? AND row.{IS_UNSENT} AND row.new <> '' AND row.old <> ''"
            " AND new.key LIKE 'custom_attributes.%' AND new.type = 'text' ORDER BY row.key",
            (self._number,),
        )

    def most_common(self, field: str) -> tuple[str, int] | None:
        """Return the new value of a field that most rows share, and how many do."""
        found = self._database.first(
            "SELECT json_extract(new, '$.' || ?) AS value, count(*) AS n FROM row WHERE run = ?"
            f" AND {IS_UNSENT} AND value IS NOT NULL GROUP BY value ORDER BY n DESC, min(key) LIMIT 1",
            (field, self._number),
        )
        return (str(found[0]), found[1]) if found else None

    def keep_first(self, limit: int) -> None:
        """Mark all unsent rows but the first ones as left out; `drop_left_out` deletes them.

        As many are kept as make `limit` together with those that were sent before the run was interrupted. A row whose
        user could not be read may change its user later, and is one of them.
        """
        found = self._database.first(
            "SELECT key FROM row WHERE run = ?1 AND status IN ('planned', 'not-sent') ORDER BY key"
            " LIMIT 1 OFFSET max(0, ?2 -"
            " (SELECT count(*) FROM row WHERE run = ?1 AND status IN"
            " ('updated', 'failed', 'unknown', 'sending', 'parked', 'reverting')))",
            (self._number, limit),
        )
        if found:
            self._database.execute(
                "UPDATE row SET status = 'left-out' WHERE run = ? AND status IN ('planned', 'not-sent') AND key >= ?",
                (self._number, found[0]),
            )

    def drop_left_out(self) -> int:
        """Delete the rows that `keep_first` left out, and those that repeat them; returns how many."""
        with self._database.transaction():
            repeats = self._database.execute(
                "DELETE FROM row WHERE run = ?1 AND duplicate_of IN"
                " (SELECT key FROM row WHERE run = ?1 AND status = 'left-out')",
                (self._number,),
            )
            left_out = self._database.execute("DELETE FROM row WHERE run = ? AND status = 'left-out'", (self._number,))
        self._run.left_out = repeats + left_out
        return self._run.left_out
