"""Define the rows and the columns of a rejects file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from usersync.models import Code, Column, Source

#: The first two headings, which the loader ignores when the file comes back.
ROW: Final = "usersync: row"
WHY: Final = "usersync: why"
_ERROR: Final = re.compile(r"#[A-Z0-9/]+[A!?]")


@dataclass(frozen=True, slots=True)
class Reject:
    """One row of the file."""

    source: int
    number: int
    """The row in its source, as the spreadsheet numbers it."""
    label: int | str
    """The same as people read it: with its file where there are several."""
    why: str
    cells: tuple[str, ...]
    """The author's columns, as they read when they come back."""
    faulty: Mapping[int, str]
    """Position in `cells` -> what is wrong there."""
    damaged: Mapping[int, float | None]
    """Position of a cell that must not become text -> its number, None for an error."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of the file: those of all sources, in the first one's order."""

    sources: tuple[Source, ...]
    columns: tuple[Column, ...]
    targets: tuple[tuple[int | None, ...], ...]
    """For each source, where its columns go; None for our own, which come back with a reject file."""

    @classmethod
    def of(cls, sources: tuple[Source, ...]) -> Layout:
        """Join columns that mean the same field, or have the same heading."""
        known: dict[object, tuple[int, Column]] = {}
        targets = []
        for source in sources:
            seen: Counter[str] = Counter()
            places: list[int | None] = []
            for column in source.columns:
                heading = " ".join(column.heading.split()).casefold()
                seen[heading] += 1
                ours = heading in (ROW, WHY)
                name = column.field or (heading, seen[heading])
                places.append(None if ours else known.setdefault(name, (len(known), column))[0])
            targets.append(tuple(places))
        return cls(sources, tuple(column for _, column in known.values()), tuple(targets))


def damaged(text: str, code: Code) -> tuple[str, float | None] | None:
    """Give the text and the number of a cell that would be thought whole if it were written as text."""
    if code is Code.FORMULA_UNSAVED:
        return "#N/A", None
    if code is Code.CELL_ERROR:
        return (text if _ERROR.fullmatch(text) else "#VALUE!"), None
    if code in (Code.ID_DAMAGED, Code.TYPE_INVALID) and re.fullmatch(r"-?\d{16,}|-?[\d.]+e\+\d+", text):
        number = float(text)
        return (text, number) if text in (f"{number:.0f}", repr(number)) else None
    return None
