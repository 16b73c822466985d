"""Define the columns of report.csv and report.xlsx, and their cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from usersync.models import Row, owner_of

#: The columns, in the order that the contract fixes.
COLUMNS: Final = (
    "file", "sheet", "row", "id", "status", "changed", "old", "new", "http_status", "attempts", "code", "message",
    "who", "name", "email", "custom_attributes", "finished_at",
)  # fmt: skip
#: Columns of text that people wrote: `escape_formula` guards them in report.csv.
FREE_TEXT: Final = ("file", "sheet", "id", "changed", "message", "name", "email")
#: First characters of what a spreadsheet runs as a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_GUARDED: Final = frozenset((*_FORMULA, "'"))


def row_cells(row: Row, escape: Callable[[str], str] = str) -> tuple[str | int | None, ...]:
    """Return the cells of a row in the order of COLUMNS; `escape` is applied to the columns FREE_TEXT."""
    return (
        escape(row.file), escape(row.sheet), row.row, escape(row.id), row.status,
        escape(row.changed), row.old, row.new, row.http_status, row.attempts, row.code,
        escape(row.reason), owner_of(row.first_code), escape(row.name or ""), escape(row.email or ""),
        row.custom_attributes, row.finished_at,
    )  # fmt: skip


def escape_formula(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would run as a formula; `unescape_formula` removes it."""
    return f"'{text}" if text[:1] in _GUARDED and _is_formula(text) else text


def unescape_formula(text: str) -> str:
    """Undo `escape_formula`."""
    return text[1:] if text.startswith("'") and _is_formula(text) else text


def _is_formula(text: str) -> bool:
    bare = text.lstrip("'")
    return len(bare) > 1 and bare.startswith(_FORMULA)
