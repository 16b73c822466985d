"""Make desired and current values of a few users."""

from dataclasses import replace
from typing import Any

import pandas as pd

from usersync.diff.compare import current_values, readable_fields
from usersync.models import User

#: The field of an attribute, as `desired` takes it.
SEATS = "custom_attributes__seats"


def desired(**fields: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": [7], **{n.replace("__", "."): pd.Series([v], dtype=object) for n, v in fields.items()}})


def current(rows: pd.DataFrame, **fields: Any) -> pd.DataFrame:
    user = replace(User(7, "Ann", None, "ann@x.org", {}), **fields)
    return current_values([user] * len(rows), readable_fields(rows)).set_axis(rows.index)
