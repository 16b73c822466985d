"""Look up what an export file says that the platform holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from usersync.errors import SettingsError
from usersync.loader import load
from usersync.models import ATTRIBUTE, CLEAR, Code, Json
from usersync.validation import validate

if TYPE_CHECKING:
    from pandas import DataFrame

    from usersync.settings import Settings

LookUp = Callable[[Sequence[int]], "DataFrame"]
"""Returns what is known of users by id, as `Snapshots.last_known` does."""


def baseline_from_file(path: str, settings: Settings) -> LookUp:
    """Read an export with the columns and fields of the settings; users that it lacks have to be read.

    Raises SettingsError where rows of it are not valid: half a baseline is worse than none.
    """
    table = load([path], options=settings.source, columns=settings.columns)
    held = validate(table, settings.fields, duplicates="last", suspect="accept")
    wrong = [problem for problem in held.problems if problem.code != Code.NOTHING_TO_DO]
    if wrong:
        row = int(table.places["row"].to_numpy()[wrong[0].key])
        found = f"{table.sources[0].file} has {len(wrong)} problems, the first in row {row}: {wrong[0].message}"
        raise SettingsError("diff.compare_with", (found,))
    values = held.values
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
