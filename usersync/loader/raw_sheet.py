"""Define what every reader returns: rows of text, and their errors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta
from typing import TYPE_CHECKING, Any

from usersync.models import NEW_EMAIL, Code
from usersync.tables import Base

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray
    from pandas import DataFrame

#: Fields that hold what a person typed as text.
_TEXT_FIELDS = ("name", "display_name", "email", NEW_EMAIL, "password")
_KINDS = ((timedelta, "a duration"), (time, "a time"), (date, "a date"))
#: Python's class of booleans, and numpy's by version.
_BOOLEANS = ("bool", "bool_")


@dataclass(frozen=True, slots=True)
class CellError:
    """Something wrong with one data row, or with one cell of it, as it is written in the file."""

    at: int
    """Position of the row in `RawSheet.cells`."""
    code: Code
    message: str
    column: int | None = None
    """Position of the column; None when the whole row is meant."""
    value: str = ""
    """The cell as seen, cut to a readable length."""


@dataclass(frozen=True, slots=True)
class RawSheet:
    """One sheet: header, data rows, errors."""

    header: tuple[str, ...]
    """The headings as written."""
    header_row: int
    """As the spreadsheet numbers it, from 1."""
    cells: DataFrame
    """Columns 0..len(header)-1, text only, one row per data row; blank cells are ""."""
    rows: NDArray[int64]
    """The row number of each data row, as the spreadsheet numbers it."""
    sheet: str = ""
    errors: tuple[CellError, ...] = ()
    """In order of `at`. An error in a column without a field does not reject its row."""
    notes: tuple[str, ...] = ()
    """What the author should know about the file, in sentences."""
    skipped: int = 0
    """Rows that are left out, each kind with a note."""
    dialect: Mapping[str, str] = field(default_factory=dict)
    base: Base | None = None
    """What an exported workbook held."""

    def without(self, positions: Collection[int]) -> RawSheet:
        """Return the sheet without some rows; the caller adds a note that says why."""
        left_out = set(positions)
        kept = [at for at in range(len(self.rows)) if at not in left_out]
        new_positions = {old: new for new, old in enumerate(kept)}
        return replace(
            self,
            cells=self.cells.iloc[kept].reset_index(drop=True),
            rows=self.rows[kept],
            errors=tuple(replace(e, at=new_positions[e.at]) for e in self.errors if e.at in new_positions),
            skipped=self.skipped + len(self.rows) - len(kept),
        )


def first_few(items: Sequence[object], most: int = 5) -> str:
    """List the first items, and how many more there are: `3, 4, 5 and 12 more`."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more


def no_text(value: Any, field: str | None) -> str:
    """Return why a date, time or boolean is not valid in a text field; blank if the value is valid."""
    if field not in _TEXT_FIELDS or value.__class__ is str:
        return ""
    is_boolean = value.__class__.__name__ in _BOOLEANS
    kind = "TRUE or FALSE" if is_boolean else next((name for kind, name in _KINDS if isinstance(value, kind)), "")
    if not kind or value != value:  # pandas' NaT, a blank
        return ""
    return f"the cell holds {kind}, not text; format the cell as text and type the value again"
