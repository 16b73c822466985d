"""Define the rows and the columns of a rejects file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from usersync.loader.heading_words import normalize
from usersync.loader.rejects_columns import ROW, WHY
from usersync.tables import Column, Source


@dataclass(frozen=True, slots=True)
class Reject:
    """One row of the file."""

    label: int | str
    """The row as its author's file numbers it; with the file where there are several."""
    why: str
    cells: tuple[str, ...]
    """The author's columns, as they read when they come back; passwords are blank."""
    faulty: Mapping[int, str]
    """Position in `cells` -> what is wrong there."""
    code: str = ""
    """Why the row could not be read or is not valid; empty where it was refused later, by a plan or the platform."""
    hidden: bool = False
    """Whether the row is hidden in its workbook, and stays so."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of the file: those of all sources, in the first one's order."""

    columns: tuple[Column, ...]
    targets: tuple[tuple[int | None, ...], ...]
    """For each source, where its columns go; None for our own, which come back with a rejects file."""
    header_row: int
    """Where `source.header_row` says that headings stand."""
    sheet: str
    """The name of the sheet, where a source has one."""

    @classmethod
    def of(cls, sources: Sequence[Source], header_row: int) -> Layout:
        """Join columns that mean the same field, or have the same heading."""
        joined: dict[object, tuple[int, Column]] = {}
        targets = []
        for source in sources:
            seen: Counter[str] = Counter()
            places: list[int | None] = []
            for column in source.columns:
                heading = normalize(column.heading)
                seen[heading] += 1
                meaning = column.field or (heading, seen[heading])
                is_ours = heading in (ROW, WHY)
                places.append(None if is_ours else joined.setdefault(meaning, (len(joined), column))[0])
            targets.append(tuple(places))
        sheet = next((source.sheet for source in sources if source.sheet), "Rejects")
        return cls(tuple(column for _, column in joined.values()), tuple(targets), header_row, sheet)

    @property
    def headings(self) -> tuple[str, ...]:
        """Our two headings, and those of the authors."""
        return (ROW, WHY, *(column.heading for column in self.columns))
