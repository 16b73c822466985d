"""DesiredValues values in, the rows that stand in each other's way out: one user twice, one e-mail for two users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from usersync.models import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame, Series

NAMED = 5
"""How many rows a message names before it counts the rest."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of rivals."""

    problems: tuple[Problem, ...] = ()
    notes: Mapping[int, str] = field(default_factory=dict)
    twins: Mapping[int, int] = field(default_factory=dict)
    """Key of a row that need not be sent -> key of the row that is."""
    superseded: frozenset[int] = frozenset()


def settle_rivals(values: DataFrame, bad: frozenset[int], *, row: Callable[[int], str], duplicates: str) -> Settled:
    """Collapse rows that say the same of one user, refuse those that contradict each other.

    `bad` rows have problems already; an id of 0 stands for none; `row(key)` names a row to its author;
    `duplicates` is reject or last.
    """
    problems: list[Problem] = []
    notes: dict[int, str] = {}
    twins: dict[int, int] = {}
    superseded: set[int] = set()
    for keys in _shared(values["id"][values["id"] > 0]):
        same = all(_row_values(values, key) == _row_values(values, keys[0]) for key in keys)
        if same and bad.isdisjoint(keys):
            twins.update(dict.fromkeys(keys[1:], keys[0]))
            notes.update({key: f"says the same as {_others(keys, key, row)}; sent once" for key in keys})
        elif duplicates == "last" and keys[-1] not in bad:
            superseded.update(key for key in keys[:-1] if key not in bad)
            notes.update({key: f"nothing sent: {row(keys[-1])} for the same user wins" for key in keys[:-1]})
            notes[keys[-1]] = f"wins over {_others(keys, keys[-1], row)} for the same user"
        else:
            problems.extend(_contradiction(values, keys, row))
    problems.extend(_claims(values, superseded.union(twins), row))
    return Settled(tuple(problems), notes, twins, frozenset(superseded))


def _contradiction(values: DataFrame, keys: Sequence[int], row: Callable[[int], str]) -> list[Problem]:
    rows = [_row_values(values, key) for key in keys]
    unlike = [name for name, *cells in zip(values.columns, *rows, strict=True) if len(set(cells)) > 1]
    about = f" ({', '.join(unlike)})" if unlike else ""
    user = values["id"].iat[keys[0]]
    return [
        Problem(
            key,
            Code.DUPLICATE,
            f"{_others(keys, key, row)} asks for other values for user {user}{about}; keep one row",
            "id",
            str(user),
        )
        for key in keys
    ]


def _claims(values: DataFrame, out: set[int], row: Callable[[int], str]) -> list[Problem]:
    problems: list[Problem] = []
    if "email" not in values:
        return problems
    emails = values["email"].dropna()
    for group in _shared(emails):
        keys = [key for key in group if key not in out]
        if values["id"].iloc[keys].nunique() < 2:
            continue
        problems.extend(
            Problem(
                key,
                Code.EMAIL_CLAIMED,
                f"{_others(keys, key, row)} wants this address as well; an address belongs to one user",
                "email",
                emails[key],
            )
            for key in keys
        )
    return problems


def _shared(column: Series[Any]) -> list[list[int]]:
    doubled = column[column.duplicated(keep=False)]
    return [list(map(int, group)) for group in doubled.groupby(doubled).groups.values()]


def _row_values(values: DataFrame, key: int) -> list[Any]:
    return [repr(value) for value in values.iloc[key]]


def _others(keys: Sequence[int], own: int, row: Callable[[int], str]) -> str:
    others = [row(key) for key in keys if key != own]
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    return ", ".join(others[:NAMED]) + more
