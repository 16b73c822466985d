"""Leave out the example row of a template, and find what is left of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from usersync.loader.raw_sheet import CellError, RawSheet
from usersync.models import Code
from usersync.tables import Column

#: The id of the example row, which is left out.
EXAMPLE: Final = "EXAMPLE"
#: The texts of that row.
EXAMPLE_TEXTS: Final = {"name": "Ann Jones", "display_name": "Ann", "email": "ann@example.org"}
#: Cells of a row that hold such texts, at least, where somebody wrote over the example.
_CELLS: Final = 2


def without_example(sheet: RawSheet, columns: Sequence[Column]) -> RawSheet:
    """Leave out the example row, with a note; reject what is left of it where its id was overwritten."""
    key = next((i for i, column in enumerate(columns) if column.field == "id"), None)
    if key is None:
        return sheet
    examples = (sheet.cells[key].to_numpy(object) == EXAMPLE).nonzero()[0].tolist()
    if examples:
        rows = ", ".join(str(sheet.rows[at]) for at in examples)
        sheet = replace(sheet.without(examples), notes=(*sheet.notes, f"left out the template's example: row {rows}"))
    errors = sorted([*sheet.errors, *_texts_left(sheet, columns)], key=lambda error: error.at)
    return replace(sheet, errors=tuple(errors))


def _texts_left(sheet: RawSheet, columns: Sequence[Column]) -> Iterator[CellError]:
    """Yield an error for each text of the example in rows with several of them."""
    texts = [(i, EXAMPLE_TEXTS[column.field]) for i, column in enumerate(columns) if column.field in EXAMPLE_TEXTS]
    found = [(at, i) for i, text in texts for at in (sheet.cells[i].to_numpy(object) == text).nonzero()[0].tolist()]
    count = Counter(at for at, _ in found)
    message = "a text of the template's example; enter what the user is to have, or empty the cell"
    for at, i in found:
        if count[at] >= _CELLS:
            yield CellError(at, Code.VALUE_SUSPECT, message, i, sheet.cells[i].iloc[at])
