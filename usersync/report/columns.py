"""Define the columns of report.csv and report.xlsx, and guard their cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from usersync.ledger import Cells
from usersync.loader.row_names import NameOf, best_name
from usersync.models import Json, Status
from usersync.values import GUARDED, escape_formula

#: Some lines of a report, by column: the cells of COLUMNS, and the rows' keys.
Columns: TypeAlias = Sequence[Sequence[Json]]

#: Returns what the problems of one code say of a row, by the row's key and the code; empty where that is not known.
MessageOf: TypeAlias = Callable[[int, str], str]

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
_ATTENTION: Final = frozenset(status.value for status in Status if status.needs_attention)


def by_column(lines: Sequence[Cells]) -> Columns:
    """Return lines, at least one, by column."""
    return list(zip(*lines, strict=True))


def lines_of_attention(columns: Columns) -> Iterator[Cells]:
    """Return the lines that somebody has to look at."""
    if _ATTENTION.isdisjoint(columns[STATUS]):
        return iter(())
    return (line for line in zip(*columns, strict=True) if line[STATUS] in _ATTENTION)


def reasons_of(line: Cells) -> Iterable[str]:
    """Return the codes of a line that needs attention, or else its status; it counts under each of them."""
    return dict.fromkeys(line[CODE].split(";")) if line[CODE] else (line[STATUS],)


def no_message(key: int, code: str) -> str:
    """Return no message, where there is no sheet."""
    return ""


def message_under(code: str, line: Cells, message_of: MessageOf) -> str:
    """Return what a line says under one of its codes: of several, what belongs to that one."""
    is_one_of_several = line[CODE] != code and line[CODE]
    return (message_of(line[KEY], code) if is_one_of_several else "") or str(line[MESSAGE])


def name_of_line(line: Cells, name_of: NameOf) -> str:
    """Return the name that people know a line by."""
    return best_name(line[NAME], line[EMAIL], line[KEY], name_of)


def escape_formulas(column: Sequence[str]) -> Sequence[str]:
    """Apply `escape_formula` to a column, where any of its cells may need it."""
    return column if GUARDED.isdisjoint({text[:1] for text in column}) else list(map(escape_formula, column))
