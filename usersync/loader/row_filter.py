"""Keep only the rows that `--where` and `--skip` select.

Rows that are left out are counted, and have no key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from usersync.errors import UsageError
from usersync.loader.heading_words import normalize
from usersync.loader.raw_sheet import first_few
from usersync.tables import Source, Table

#: Values that are listed where `--where` names none of them.
_VALUES_SHOWN = 10


def select(table: Table, *, where: Sequence[str] = (), skip: int = 0) -> Table:
    """Keep the rows for which every `COLUMN=VALUE` holds, but for the first `skip` of them.

    COLUMN is a heading or a field, VALUE the whole cell without surrounding blanks. Raises UsageError for a
    malformed condition, a column that no file has, a value that no row has, or where all rows would be skipped.
    """
    keep = np.ones(len(table.cells), dtype=bool)
    for condition in where:
        column, value = split_condition(
            condition, lambda name: any(_position(s, name) is not None for s in table.sources)
        )
        holds = _holds(table, column, value)
        if len(table.cells) and not holds.any():
            raise UsageError(f"--where {condition}: no row has this value; {_values(table, column)}")
        keep &= holds
    if 0 < keep.sum() <= skip:
        raise UsageError(f"--skip {skip}: no row is left ({keep.sum():,} without it); skip fewer")
    chosen = np.flatnonzero(keep)[skip:]
    return table if len(chosen) == len(table.cells) else _only(table, chosen)


def split_condition(condition: str, is_column: Callable[[str], bool]) -> tuple[str, str]:
    """Return the column and the value of `COLUMN=VALUE`; a column may have `=` in its name. Raises UsageError."""
    splits = [(condition[:at], condition[at + 1 :].strip()) for at, letter in enumerate(condition) if letter == "="]
    if not splits:
        raise UsageError(f"--where {condition}: write COLUMN=VALUE")
    return next((split for split in splits if is_column(split[0])), splits[0])


def _holds(table: Table, column: str, value: str) -> NDArray[np.bool_]:
    positions = [_position(source, column) for source in table.sources]
    if set(positions) == {None}:
        known = ", ".join(c.heading.strip() for c in table.sources[0].columns if c.heading.strip())
        raise UsageError(f"--where {column}={value}: there is no such column; the columns are {known}")
    parts = []
    for position, sheet in zip(positions, table.sheets, strict=True):
        cells = sheet[position] if position is not None else [""] * len(sheet)
        parts.append(np.fromiter((cell.strip() == value for cell in cells), bool, len(sheet)))
    return np.concatenate(parts)


def _values(table: Table, column: str) -> str:
    counts: Counter[str] = Counter()
    for source, sheet in zip(table.sources, table.sheets, strict=True):
        position = _position(source, column)
        if position is not None:
            counts.update(filter(None, (cell.strip() for cell in sheet[position])))
    return list_values(counts, none="the column is blank")


def list_values(counts: Counter[str], *, none: str) -> str:
    """List values, the most frequent ones first; `none` is said where there are none."""
    values = [value for value, _ in counts.most_common()]
    return f"there are: {first_few(values, _VALUES_SHOWN)}" if values else none


def _position(source: Source, column: str) -> int | None:
    name = normalize(column)
    fits = [i for i, c in enumerate(source.columns) if name in (normalize(c.heading), normalize(c.field or ""))]
    return fits[0] if fits and name else None


def _only(table: Table, chosen: NDArray[np.intp]) -> Table:
    new_keys = {int(old): new for new, old in enumerate(chosen)}
    return replace(
        table,
        cells=table.cells.iloc[chosen].reset_index(drop=True),
        places=table.places.iloc[chosen].reset_index(drop=True),
        problems=tuple(replace(p, key=new_keys[p.key]) for p in table.problems if p.key in new_keys),
        left_out=len(table.cells) - len(chosen),
    )
