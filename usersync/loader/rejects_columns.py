"""Write and read the two columns that usersync adds to a rejects file.

`usersync: row` holds where the row stood in the author's file. `usersync: why` holds the reason, which is not read
when the file comes back, unless it is held back: such a row has no fault that its cells show (it was hidden, its
formula has no saved value), so it stays rejected until a person empties the cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from usersync.loader.heading_words import normalize
from usersync.loader.headings import OUR_COLUMNS
from usersync.models import Code, Problem
from usersync.tables import Table

ROW: Final = OUR_COLUMNS[0]
WHY: Final = OUR_COLUMNS[1]
_CODES: Final = frozenset(Code)
_HELD_BACK: Final = re.compile(r"held back \(([a-z-]+)\) until this cell is emptied: (.*)", re.DOTALL)


def held_back(code: str, reason: str) -> str:
    """Return the text of `usersync: why` for a row that stays rejected with `code` until the cell is emptied."""
    return f"held back ({code}) until this cell is emptied: {reason}"


def hold_back_rows(table: Table) -> Table:
    """Return the table with a problem for every row of a rejects file that is still held back."""
    problems = dict.fromkeys([*table.problems, *_held_back_problems(table)])
    if len(problems) == len(table.problems):
        return table
    return replace(table, problems=tuple(sorted(problems, key=lambda problem: problem.key)))


def _held_back_problems(table: Table) -> Iterator[Problem]:
    for key, text in _cells(table, WHY):
        found = _HELD_BACK.match(text) if text.startswith("held back") else None
        if found and found[1] in _CODES:
            yield Problem(key, Code(found[1]), found[2])


def original_rows(table: Table) -> dict[int, str]:
    """Map the keys of rows that come from a rejects file to where they stood first: `17`, or `17 of users.csv`."""
    return {key: text for key, text in _cells(table, ROW) if text}


def _cells(table: Table, heading: str) -> Iterator[tuple[int, str]]:
    """Yield key and text of one of our columns, for the rows whose source has it."""
    for number, (source, sheet) in enumerate(zip(table.sources, table.sheets, strict=True)):
        headings = [normalize(column.heading) for column in source.columns]
        if heading not in headings:
            continue
        texts = sheet.iloc[:, headings.index(heading)].to_numpy(object)
        places = table.places[table.places["source"] == number]
        for key, at in zip(places.index.tolist(), places["at"].tolist(), strict=True):
            yield key, texts[at].strip()
