"""What every reader returns: the data rows of one sheet as text, and the faults in its writing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from usersync.models import Code

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray
    from pandas import DataFrame

FindsId = Callable[[Sequence[str]], bool]
"""Whether these cells are a header row, that is: whether one of them names the id column."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with one data row or one cell of it, as it is written in the file."""

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
    """One sheet: header, data rows, faults."""

    header: tuple[str, ...]
    """The headings as written."""
    header_row: int
    """As the spreadsheet numbers it, from 1."""
    cells: DataFrame
    """Columns 0..len(header)-1, text only, one row per data row; blank cells are ""."""
    rows: NDArray[int64]
    """The row number of each data row, as the spreadsheet numbers it."""
    sheet: str = ""
    faults: tuple[Fault, ...] = ()
    """In order of `at`. A fault in a column that means nothing does not reject its row."""
    notes: tuple[str, ...] = ()
    """What the author should know about the file, in sentences."""
    skipped: int = 0
    dialect: Mapping[str, str] = field(default_factory=dict)
