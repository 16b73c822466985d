"""Find the row that numbers the columns below a header, as official forms have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from usersync.tables import Table

#: Columns of such a row, at least: user 1 may have the number 2 in another column.
_COLUMNS: Final = 3


def find_column_numbers(table: Table) -> Iterator[int]:
    """Yield the keys of first rows in which every column with a heading holds its number."""
    if not table.sheets:
        return
    firsts = np.flatnonzero(table.places["at"].to_numpy() == 0).tolist()
    for key in firsts:
        source = int(table.places["source"].to_numpy()[key])
        sheet, columns = table.sheets[source], table.sources[source].columns
        headed = [i for i, column in enumerate(columns) if column.heading.strip() and i in sheet]
        numbers = [str(number) for number in range(1, len(headed) + 1)]
        if len(headed) >= _COLUMNS and [sheet[i].iloc[0].strip() for i in headed] == numbers:
            yield key
