"""Define the tables of the input: what files hold, and what their rows ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from usersync.models import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pandas import DataFrame

#: What rows come from: files, addresses as text (`s3://...`), DataFrames; one, or several for one run.
Files: TypeAlias = "str | Path | DataFrame | Sequence[str | Path | DataFrame]"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a source: its heading, and the field it means (None: ignored)."""

    heading: str
    field: str | None


@dataclass(frozen=True, slots=True)
class Base:
    """What the cells of an export held when it was written; a cell that equals its base was not touched."""

    platform: str
    exported_at: str
    fields: tuple[str, ...]
    texts: Mapping[int, tuple[str | None, ...]] = field(repr=False)
    """User id -> the texts of `fields`. None: the cell was left blank although the user may hold a value."""
    digest: str
    """SHA-256 of all of it."""
    is_escaped: bool = False
    """Whether the file guards texts that a spreadsheet would run as a formula (`escape_formula`)."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file (and sheet) that rows came from, and how it was understood."""

    file: str
    sha256: str
    sheet: str = ""
    header_row: int = 1
    columns: tuple[Column, ...] = ()
    composed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Field that is composed of several columns -> their positions in `columns`."""
    dialect: Mapping[str, str] = field(default_factory=dict)
    """How a text file is written: `encoding`, `delimiter`, `quote`, `escape`, and `why` we think so."""
    notes: tuple[str, ...] = ()
    """What the author should know, in sentences."""
    skipped: int = 0
    """Rows left out by choice: hidden rows where settings say `skip`, the template's example row."""
    base: Base | None = None
    """What the file held when it was exported; None where it is no export."""

    def heading_of(self, field: str) -> str:
        """Return the heading of a field as its author wrote it; the field where there is none."""
        return next((column.heading.strip() for column in self.columns if column.field == field), field)

    def recorded(self) -> Mapping[str, str]:
        """Return what a run keeps of the source."""
        base = {"base": self.base.digest} if self.base else {}
        return {"file": self.file, "sheet": self.sheet, "sha256": self.sha256, **base}


@dataclass(frozen=True, slots=True)
class Table:
    """Every data row of the input, as text, whatever is wrong with it."""

    cells: DataFrame
    """One text column per field (`id`, `email`, `custom_attributes.seats`), one row per data row; the index,
    0..n-1, is the row's key. A blank cell is ""; None where the row's file has no such column."""
    places: DataFrame
    """Same index; whole numbers: `source` (position in `sources`), `at` (position in that source's sheet), `row`
    (as the spreadsheet numbers it)."""
    sources: tuple[Source, ...]
    sheets: tuple[DataFrame, ...] = ()
    """For each source, all its cells as read, meaningless columns too: 0.. in the order of `Source.columns`."""
    problems: tuple[Problem, ...] = ()
    """Of rows that could not be read, in input order."""
    left_out: int = 0
    """Rows left out by choice (`--where`, `--skip`); they have no key."""

    def source_of(self, key: int) -> Source:
        """Return the source of a row."""
        return self.sources[int(self.places["source"].to_numpy()[key])]

    def row_number(self, key: int) -> int:
        """Return the number that the spreadsheet gives a row."""
        return int(self.places["row"].to_numpy()[key])


@dataclass(frozen=True, slots=True)
class DesiredValues:
    """What valid rows ask for."""

    values: DataFrame
    """Index: key. `id` (int64), then one object column per field: the value to set, `CLEAR`
    for null, or None where the field is left alone. The column `custom_attributes` holds dicts."""
    problems: tuple[Problem, ...]
    """Of all other rows, in input order; every reason of a row, not the first alone."""
    notes: Mapping[int, str] = field(default_factory=dict)
    """Key -> a remark for the report, such as two rows that say the same."""
    duplicates: Mapping[int, int] = field(default_factory=dict)
    """Key of a row that repeats another -> key of the row that is sent for both."""
    superseded: frozenset[int] = frozenset()
    """Keys of rows replaced by a later row for the same user (`duplicates: last`)."""
    untouched: frozenset[int] = frozenset()
    """Keys of rows of an export in which nothing was changed."""
