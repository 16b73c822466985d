"""Find what the input says about a row: its name, and its problems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from usersync.models import Row
from usersync.tables import Table

#: Returns the name of a row as its sheet has it, by the row's key; empty where the sheet has none.
NameOf: TypeAlias = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class RowTexts:
    """What the input says about rows, by their keys; nothing where there is no sheet."""

    name_of: NameOf = lambda key: ""
    message_of: Callable[[int, str], str] = lambda key, code: ""
    """Returns what the problems of one code say about a row; empty where it has none."""


def names_in(table: Table) -> NameOf:
    """Return the function that finds a row's name in its sheet, or else its e-mail address."""
    columns = [table.cells[field].to_numpy(object) for field in ("name", "email") if field in table.cells]

    def name_of(key: int) -> str:
        texts = [(column[key] or "").strip() for column in columns]
        return next(filter(None, texts), "")

    return name_of


def name_of_row(row: Row, name_of: NameOf) -> str:
    """Return the name that people know a row by."""
    return best_name(row.name, row.email, row.key, name_of)


def best_name(name: str | None, email: str | None, key: int, name_of: NameOf) -> str:
    """Return the name that the platform has, or else its e-mail address, or else what the sheet has."""
    return name or email or name_of(key)
