"""What the stages say of rows in, entries for the ledger and the plan out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from usersync.ledger import LedgerRun
from usersync.models import (
    Change,
    Code,
    Column,
    DesiredValues,
    Entry,
    Json,
    Outcome,
    Place,
    Problem,
    ProblemGroup,
    Source,
    Status,
    Table,
    User,
)
from usersync.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    from usersync.diff.compare import Comparison

PROBLEMS_SHOWN = 5
"""Problems of each kind that are told one by one; the report has all."""


class Rows:
    """Turns what the stages say of keys into entries for the ledger."""

    def __init__(self, table: Table, wanted: DesiredValues) -> None:
        self._table = table
        self._wanted = wanted
        self._sources = table.places["source"].to_numpy()
        self._numbers = table.places["row"].to_numpy()
        self._ids = table.cells["id"].to_numpy(object)

    @property
    def total(self) -> int:
        """How many rows there are."""
        return len(self._numbers)

    def rejected(self) -> Iterator[Entry]:
        """Rows with problems, every reason in one message."""
        reasons: dict[int, list[Problem]] = defaultdict(list)
        for problem in self._wanted.problems:
            reasons[problem.key].append(problem)
        for key, problems in reasons.items():
            codes = dict.fromkeys(p.code for p in problems)
            message = "; ".join(p.sentence() for p in problems)
            yield self._entry(key, Status.REJECTED, code=";".join(codes), message=message)

    def compared(
        self,
        values: DataFrame,
        known: DataFrame | None,
        settings: Settings,
        *,
        users: Mapping[int, User] | None = None,
        written: Mapping[int, Mapping[str, Json]] | None = None,
    ) -> Iterator[Entry]:
        """Rows of `values` against what is known of their users: unchanged, planned, or a conflict.

        `users` (by key) are those that were read just now, `written` (by user id) what we wrote earlier.
        """
        comparison = self.comparison(values, known, settings)
        for key in comparison.unchanged_keys.tolist():
            seen = Outcome(key, Status.UNCHANGED, user=users[key]) if users else None
            yield self._entry(key, Status.UNCHANGED, outcome=seen)
        yield from self.changes(comparison, settings, written=written)

    def comparison(self, values: DataFrame, known: DataFrame | None, settings: Settings) -> Comparison:
        """Hold rows of `values` against what is known of their users."""
        from usersync.diff.compare import compare

        careful = frozenset(name for name, f in settings.fields.items() if f.only_if_blank)
        return compare(values, known, only_if_blank=careful)

    def changes(
        self, comparison: Comparison, settings: Settings, *, written: Mapping[int, Mapping[str, Json]] | None = None
    ) -> Iterator[Entry]:
        """Rows that differ: planned, or a conflict."""
        from usersync.diff.conflicts import conflicts, told

        for change in comparison.changes():
            ours = (written or {}).get(change.user_id, {})
            if ours and settings.diff.on_conflict == "report" and (strange := conflicts(change, ours)):
                yield self._entry(change.key, Status.CONFLICT, change=change, message=told(strange, ours))
            else:
                yield self._entry(change.key, Status.PLANNED, change=change)

    def stretches(self, keys: NDArray[Any]) -> Iterator[tuple[int, int, int, str, list[str]]]:
        """Rows that follow each other, as `LedgerRun.enter_unchanged` takes them; a row with a note stands alone."""
        import numpy as np

        places = np.array((keys, self._numbers[keys], self._sources[keys]))
        noted = np.isin(keys, list(self._wanted.notes))
        parted = (np.diff(places) != [[1], [1], [0]]).any(axis=0) | noted[1:] | noted[:-1]
        bounds = [0, *(np.flatnonzero(parted) + 1).tolist(), len(keys)]
        for start, stop in pairwise(bounds if len(keys) else ()):
            key, row, source = places[:, start].tolist()
            yield key, source, row, self._wanted.notes.get(key, ""), self._ids[keys[start:stop]].tolist()

    def protected(self, reasons: Mapping[int, str]) -> Iterator[Entry]:
        """Rows of users who are never sent: key -> the entry of limits.protect."""
        for key, entry in reasons.items():
            yield self._entry(key, Status.REJECTED, code=Code.PROTECTED, message=protected_message(entry))

    def unread(self, outcome: Outcome) -> Entry:
        """A row whose user could not be read."""
        return self._entry(outcome.key, outcome.status, code=outcome.code, message=outcome.message, outcome=outcome)

    def twins(self) -> Iterator[Entry]:
        """Rows whose fate is that of another row, or that a later row outdoes."""
        for key, first in self._wanted.twins.items():
            yield self._entry(key, Status.PLANNED, twin_of=first)
        for key in sorted(self._wanted.superseded):
            yield self._entry(key, Status.UNCHANGED)

    def place(self, key: int) -> Place:
        """Where a row stands."""
        source = self._table.sources[int(self._sources[key])]
        return Place(source.file, source.sheet, int(self._numbers[key]))

    def problem_groups(self, shown: int | None = PROBLEMS_SHOWN) -> tuple[ProblemGroup, ...]:
        """All problems by kind, with the first `shown` of each; None: with all."""
        groups: dict[str, list[Problem]] = defaultdict(list)
        for problem in self._wanted.problems:
            groups[problem.code].append(problem)
        return tuple(
            ProblemGroup(code, len(found), tuple((self.place(p.key), p) for p in found[:shown]))
            for code, found in groups.items()
        )

    def _entry(
        self,
        key: int,
        status: Status,
        *,
        change: Change | None = None,
        code: str = "",
        message: str = "",
        outcome: Outcome | None = None,
        twin_of: int | None = None,
    ) -> Entry:
        user = str(change.user_id) if change else str(self._ids[key])
        note = self._wanted.notes.get(key, "")
        text = "; ".join(part for part in (message, note) if part)
        return Entry(
            key,
            int(self._sources[key]),
            int(self._numbers[key]),
            user,
            status,
            change,
            code,
            text,
            outcome,
            twin_of,
        )


def filled(values: DataFrame) -> tuple[str, ...]:
    """Name the fields that hold a value in any row."""
    return tuple(name for name in values.columns[1:] if values[name].notna().any())


def protected_message(entry: str) -> str:
    """Say why a protected user is not sent."""
    return f"this user is protected (limits.protect: {entry}); nothing is sent"


def single_row(cells: Mapping[str, str]) -> Table:
    """Make a table of one row, as if it had been read from a file."""
    import pandas as pd

    columns = tuple(Column(name, name) for name in cells)
    source = Source("command line", "", columns=columns)
    frame = pd.DataFrame({name: pd.Series([text], dtype=object) for name, text in cells.items()})
    return Table(frame, pd.DataFrame({"source": [0], "row": [1]}), (source,))


def rows_of(book: LedgerRun) -> tuple[Table, DesiredValues]:
    """Make the table of the rows that a former run updated; they want nothing of themselves."""
    import pandas as pd

    entries = [entry for entry, _, _ in book.changed_rows()]
    places = {"source": [e.source for e in entries], "row": [e.row for e in entries]}
    sources = tuple(Source(s["file"], s["sha256"], s["sheet"]) for s in book.info.sources)
    index = [entry.key for entry in entries]
    table = Table(pd.DataFrame({"id": [e.user for e in entries]}, index), pd.DataFrame(places, index), sources)
    return table, DesiredValues(pd.DataFrame({"id": pd.Series([], dtype="int64")}), ())


def frame(known: dict[int, User]) -> DataFrame:
    """Make the table that the diff compares with, from users by key."""
    import pandas as pd

    names = ("name", "display_name", "email", "custom_attributes")
    columns = {name: pd.Series([getattr(u, name) for u in known.values()], dtype=object) for name in names}
    return pd.DataFrame(columns).set_axis(list(known), axis=0)
