"""Define the columns of report.csv and report.xlsx, and guard their cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from usersync.formulas import GUARDED, escape_formula
from usersync.ledger import Cells
from usersync.models import Json

#: Some lines of a report, by column: the cells of COLUMNS, and the rows' keys.
Columns: TypeAlias = Sequence[Sequence[Json]]

#: The columns, in the order that the contract fixes.
COLUMNS: Final = (
    "file", "sheet", "row", "id", "status", "changed", "old", "new", "http_status", "attempts", "code", "message",
    "who", "name", "email", "custom_attributes", "finished_at",
)  # fmt: skip
#: Where the columns stand among the cells of a line, and after them the row's key.
(
    FILE, SHEET, ROW, ID, STATUS, CHANGED, OLD, NEW, HTTP_STATUS, ATTEMPTS, CODE, MESSAGE,
    WHO, NAME, EMAIL, ATTRIBUTES, FINISHED_AT, KEY,
) = range(len(COLUMNS) + 1)  # fmt: skip
#: Columns of text that people wrote: `escape_formula` guards them in report.csv.
FREE_TEXT: Final = ("file", "sheet", "id", "changed", "message", "name", "email")


def by_column(lines: Sequence[Cells]) -> Columns:
    """Return lines, at least one, by column."""
    return list(zip(*lines, strict=True))


def escape_formulas(column: Sequence[str]) -> Sequence[str]:
    """Apply `escape_formula` to a column, where any of its cells may need it."""
    return column if GUARDED.isdisjoint({text[:1] for text in column}) else list(map(escape_formula, column))
