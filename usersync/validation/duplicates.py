"""Resolve rows that share a user, and addresses that several users claim."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from usersync.models import CLEAR, Code, Problem
from usersync.values import canonical_json

#: Rows that a message names before it counts the others; naming all of them is quadratic work for large groups.
NAMED = 5


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What becomes of rows that share a user or an address."""

    problems: tuple[Problem, ...] = ()
    """With the field's name as `column`."""
    notes: Mapping[int, str] = field(default_factory=dict)
    repeats: Mapping[int, int] = field(default_factory=dict)
    """Key of a row that repeats another -> key of the row that is sent for both."""
    superseded: frozenset[int] = frozenset()
    """Keys of rows that a later row of the same user replaces."""


def resolve_duplicates(
    values: DataFrame,
    rejected: AbstractSet[int],
    *,
    row_name: Callable[[int], str],
    keep: str,
    names: Mapping[int, str] | None = None,
) -> Duplicates:
    """Send equal rows of a user once, reject those that differ, and addresses that several users claim.

    `values` is as `DesiredValues.values`, indexed 0..n-1, with all rows of the table: an id of 0 stands for none, and
    the keys in `rejected` have problems already. `row_name` names a row to its author. `keep` is `reject`, or `last`:
    of rows that differ, the last one is sent. `names` says how the author calls a user, where that is not the id.
    """
    problems: list[Problem] = []
    notes: dict[int, str] = {}
    repeats: dict[int, int] = {}
    superseded: set[int] = set()
    columns = {name: values[name].to_numpy(object) for name in values.columns if name != "id"}
    for user, keys in _groups(values["id"][values["id"] > 0]):
        differing = _differing(columns, keys)
        others = _OtherRows(keys, row_name)
        if not differing and rejected.isdisjoint(keys):
            repeats.update(dict.fromkeys(keys[1:], keys[0]))
            notes.update((key, f"same values as {others.than(key)}") for key in keys)
        elif keep == "last" and keys[-1] not in rejected:
            superseded.update(key for key in keys[:-1] if key not in rejected)
            winner = row_name(keys[-1])
            notes.update((key, f"not sent: replaced by {winner} for the same user") for key in keys[:-1])
            notes[keys[-1]] = f"replaces {others.than(keys[-1])} for the same user"
        else:
            problems.extend(_contradictions((names or {}).get(user, str(user)), keys, differing, others))
    problems.extend(_claimed_addresses(values, superseded.union(repeats), row_name))
    return Duplicates(tuple(problems), notes, repeats, frozenset(superseded))


class _OtherRows:
    """Names the other rows of a group: the first few, and how many more there are."""

    def __init__(self, keys: Sequence[int], row_name: Callable[[int], str]) -> None:
        self._count = len(keys) - 1
        self._first = {key: row_name(key) for key in keys[: NAMED + 1]}

    def than(self, own: int) -> str:
        names = [name for key, name in self._first.items() if key != own][:NAMED]
        more = self._count - len(names)
        return ", ".join(names) + (f" and {more:,} more" if more else "")


def _groups(column: Series[Any]) -> Iterator[tuple[Any, list[int]]]:
    """Yield each value that occurs more than once, with the keys of its rows in input order."""
    repeated = column[column.duplicated(keep=False)]
    for value, keys in repeated.groupby(repeated, sort=False).groups.items():
        yield value, [int(key) for key in keys]


def _maybe_repeated(texts: Series[Any]) -> Series[Any]:
    """Leave out texts that occur once, by their hashes: equal numbers are found faster than equal texts."""
    hashes = np.fromiter(map(hash, texts.to_numpy(object)), np.int64, len(texts))
    return texts[pd.Series(hashes).duplicated(keep=False).to_numpy()]


def _differing(columns: Mapping[str, Any], keys: Sequence[int]) -> list[str]:
    """Name the columns whose values differ within a group of rows."""
    return [name for name, cells in columns.items() if len({_comparable(cells[key]) for key in keys}) > 1]


def _comparable(value: Any) -> object:
    """Return something hashable that is equal for equal values; the text "5" and the number 5 stay two."""
    if value is None or value is CLEAR or isinstance(value, str):
        return value
    return (canonical_json(value),)


def _contradictions(user: str, keys: Sequence[int], differing: Sequence[str], others: _OtherRows) -> Iterator[Problem]:
    for key in keys:
        message = (
            f"other values for user {user} in {others.than(key)} ({', '.join(differing)}); keep one row"
            if differing
            else f"user {user} is also in {others.than(key)}, and not all of these rows are valid; keep one row"
        )
        yield Problem(key, Code.DUPLICATE, message, "id", user)


def _claimed_addresses(
    values: DataFrame, left_out: AbstractSet[int], row_name: Callable[[int], str]
) -> Iterator[Problem]:
    if "email" not in values:
        return
    ids = values["id"].to_numpy()
    for address, group in _groups(_maybe_repeated(values["email"].dropna())):
        keys = [key for key in group if key not in left_out]
        if len(set(ids[keys].tolist())) < 2:
            continue
        others = _OtherRows(keys, row_name)
        for key in keys:
            message = f"this address is also claimed in {others.than(key)}; an address can belong to only one user"
            yield Problem(key, Code.EMAIL_CLAIMED, message, "email", address)
