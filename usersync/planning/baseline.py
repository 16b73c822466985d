"""Look up what an export file says that the platform holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from usersync.diff.compare import current_values
from usersync.errors import SettingsError
from usersync.loader import load
from usersync.models import ATTRIBUTE, CLEAR, Code, Json, User
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
        return current_values(list(_users(values.iloc[places[here]])), fields).set_axis(here)

    return look_up


def _users(values: DataFrame) -> Iterator[User]:
    """Yield the users whom the rows of `DesiredValues.values` describe."""
    for row in values.itertuples(index=False, name=None):
        cells = dict(zip(values.columns, row, strict=True))
        name, display_name, email = (cells.get(field) for field in ("name", "display_name", "email"))
        yield User(cells["id"], name, display_name, email, _attributes(cells))


def _attributes(cells: dict[str, Any]) -> dict[str, Json]:
    return dict(cells.get("custom_attributes") or {}) | {
        name[len(ATTRIBUTE) :]: None if value is CLEAR else value
        for name, value in cells.items()
        if name.startswith(ATTRIBUTE) and value is not None
    }
