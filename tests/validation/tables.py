"""Make tables as the loader makes them."""

import pandas as pd

from usersync.models import Problem
from usersync.tables import Column, Source, Table

GOOD_PASSWORD = "Str0ng!pass"


def table(*rows: dict[str, str], headings: dict[str, str] | None = None) -> Table:
    """Make a table as the loader gives it: the header is row 1, so the first data row is row 2."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = pd.DataFrame({name: [row.get(name, "") for row in rows] for name in names}, dtype=object)
    columns = tuple(Column((headings or {}).get(name, name), name) for name in names)
    places = pd.DataFrame({"source": [0] * len(rows), "row": range(2, len(rows) + 2)})
    return Table(cells, places, (Source("staff.csv", "", columns=columns),))


def codes(problems: tuple[Problem, ...]) -> list[tuple[int, str]]:
    return [(p.key, p.code) for p in problems]
