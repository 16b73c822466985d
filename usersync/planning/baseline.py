"""A file of what the platform held (yesterday's export) in, a look-up of its users out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from usersync.errors import SettingsError
from usersync.models import ATTRIBUTE, CLEAR, Json
from usersync.settings import Settings

if TYPE_CHECKING:
    from pandas import DataFrame

LookUp = Callable[[Sequence[int]], "DataFrame"]
"""Ids in, what is known of them out, as `Memory.known` gives it."""


def known_from_file(path: str, settings: Settings) -> LookUp:
    """Read an export with the settings' columns and fields; users that it does not hold have to be read.

    Raises SettingsError where rows of it cannot be understood: half a memory is worse than none.
    """
    import numpy as np
    import pandas as pd

    from usersync.loader import load
    from usersync.validation import check

    table = load([path], options=settings.source, columns=settings.columns)
    wanted = check(table, settings.fields, duplicates="last")
    if wrong := [p for p in wanted.problems if p.code != "nothing-to-do"]:
        row = int(table.places["row"].iloc[wrong[0].key])
        raise SettingsError(
            "diff.compare_with",
            (f"{table.sources[0].file} has {len(wrong)} problems, the first in row {row}: {wrong[0].message}",),
        )
    values = wanted.values
    ids = pd.Index(values["id"])

    def look_up(users: Sequence[int]) -> DataFrame:
        places = ids.get_indexer(users)
        here = np.flatnonzero(places >= 0)
        found = values.iloc[places[here]].set_axis(here).drop(columns="id")
        known: DataFrame = found.reindex(columns=["name", "display_name", "email"]).astype(object)
        known[known.isna()] = None
        cells = (dict(zip(found.columns, row, strict=True)) for row in found.itertuples(index=False, name=None))
        known["custom_attributes"] = pd.Series(map(_attributes, cells), here, dtype=object)
        return known

    return look_up


def _attributes(cells: dict[str, Any]) -> dict[str, Json]:
    return dict(cells.get("custom_attributes") or {}) | {
        name[len(ATTRIBUTE) :]: None if value is CLEAR else value
        for name, value in cells.items()
        if name.startswith(ATTRIBUTE) and value is not None
    }
