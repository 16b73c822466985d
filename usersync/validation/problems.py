"""Collect problems and notes under the headings that the author wrote."""

from __future__ import annotations

from collections.abc import Container

from usersync.masking import mask_field
from usersync.models import Code, Problem
from usersync.tables import Table
from usersync.validation.cells import InvalidCellError

#: Characters of a cell that a problem shows.
_VALUE_SHOWN = 80


class ProblemLog:
    """All problems and notes of a table's rows, those of the loader included."""

    def __init__(self, table: Table) -> None:
        self.problems = list(table.problems)
        self.notes: dict[int, str] = {}
        self._sources = table.sources
        self._source_of = table.places["source"].to_numpy()
        self._numbers = table.places["row"].to_numpy()
        self._unreadable = {p.key for p in table.problems if not p.column}
        self._reported = {(p.key, p.column) for p in table.problems}
        self._headings = [{c.field: c.heading.strip() for c in reversed(s.columns)} for s in table.sources]

    def rejected_keys(self) -> frozenset[int]:
        """Return the keys of all rows with a problem."""
        return frozenset(problem.key for problem in self.problems)

    def row_name(self, key: int) -> str:
        """Name a row as its author finds it; with its file where there are several."""
        name = f"row {self._numbers[key]}"
        return f"{name} of {self._sources[int(self._source_of[key])].file}" if len(self._sources) > 1 else name

    def heading(self, field: str, key: int) -> str:
        """Return the heading of a field's column in the row's file."""
        return self._headings[int(self._source_of[key])].get(field, field)

    def reject(self, key: int, field: str, error: InvalidCellError, value: str) -> None:
        """Record a problem, unless the loader has reported the same cell or could not read the row."""
        heading = self.heading(field, key)
        if (key, heading) in self._reported or key in self._unreadable:
            return
        seen = value and mask_field(field, value)[:_VALUE_SHOWN]
        self.problems.append(Problem(key, error.code, str(error), heading, seen))

    def reject_part(self, key: int, field: str, heading: str, error: InvalidCellError, value: str) -> None:
        """Record a problem of one of the columns that a field is composed of; the field's others do not matter."""
        if key not in self._unreadable:
            self.problems.append(Problem(key, error.code, str(error), heading, value[:_VALUE_SHOWN]))
            self._reported.add((key, self.heading(field, key)))

    def reject_row(self, key: int, code: Code, message: str) -> None:
        """Record a problem of a whole row, unless the loader could not read it."""
        if key not in self._unreadable:
            self.problems.append(Problem(key, code, message))

    def drop_cell_problems(self, keys: Container[int]) -> None:
        """Forget what is wrong with single cells of rows that are rejected as a whole."""
        self.problems = [p for p in self.problems if p.key not in keys or not p.column]

    def note(self, key: int, remark: str) -> None:
        """Add a remark to a row; it stays in the report whatever becomes of the row."""
        self.notes[key] = f"{self.notes[key]}; {remark}" if key in self.notes else remark
