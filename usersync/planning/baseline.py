"""Look up what an export file says that the platform holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from usersync.errors import SettingsError
from usersync.loader import load
from usersync.models import ATTRIBUTE, CLEAR, UNKNOWN, Code, Json
from usersync.validation import validate

if TYPE_CHECKING:
    from pandas import DataFrame

    from usersync.settings import Settings

LookUp = Callable[[Sequence[int], Sequence[str]], "DataFrame"]
"""Returns fields of users as they are known, by id, as `Snapshots.last_known` does."""


def baseline_from_file(path: str, settings: Settings) -> LookUp:
    """Read an export with the columns and fields of the settings; users that it lacks have to be read.

    Raises SettingsError if any of its rows is invalid: a partial baseline would be misleading; SourceError where it has
    no ids.
    """
    table = load([path], options=settings.source.model_copy(update={"match_by": "id"}), columns=settings.columns)
    held = validate(table, settings.fields, duplicates="last", suspect="accept")
    wrong = [problem for problem in held.problems if problem.code != Code.NOTHING_TO_DO]
    if wrong:
        more = f"; and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
        found = f"{table.sources[0].file}, row {table.row_number(wrong[0].key)}: {wrong[0].message}{more}"
        raise SettingsError("diff.compare_with", (found,))
    values = held.values
    ids = pd.Index(values["id"])

    def look_up(users: Sequence[int], fields: Sequence[str]) -> DataFrame:
        places = ids.get_indexer(users)
        here = np.flatnonzero(places >= 0)
        rows = list(_rows(values.iloc[places[here]]))
        held = {name: pd.Series([_held(row, name) for row in rows], dtype=object) for name in fields}
        return pd.DataFrame(held, range(len(rows))).set_axis(here)

    return look_up


def _rows(values: DataFrame) -> Iterator[dict[str, Json]]:
    """Yield the cells of rows of `DesiredValues.values`, all attributes of a row as one object."""
    for row in values.itertuples(index=False, name=None):
        cells = dict(zip(values.columns, row, strict=True))
        yield {**cells, "custom_attributes": _attributes(cells)}


def _held(cells: Mapping[str, Json], name: str) -> Json:
    """Return what a row says of a field; UNKNOWN where its cell is blank, which does not say that there is no value."""
    if name.startswith(ATTRIBUTE):
        return cells["custom_attributes"].get(name[len(ATTRIBUTE) :], UNKNOWN)
    value = cells.get(name)
    return UNKNOWN if value is None else value


def _attributes(cells: Mapping[str, Any]) -> dict[str, Json]:
    return dict(cells.get("custom_attributes") or {}) | {
        name[len(ATTRIBUTE) :]: None if value is CLEAR else value
        for name, value in cells.items()
        if name.startswith(ATTRIBUTE) and value is not None
    }
