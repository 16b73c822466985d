"""Leave alone the cells of an export that nobody touched since.

A cell is compared with what it held when it was exported (its base), by user id and field: it does not matter where
its row and its column stand now.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from usersync.errors import RefusedError
from usersync.models import Base, Code, Source, Table
from usersync.report.columns import unescape_formula
from usersync.validation.cells import CellError, read_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Untouched:
    """The cells of exports that hold what they held when they were exported."""

    cells: int = 0
    fields: frozenset[str] = frozenset()
    """The fields of those cells that are not blank."""
    keys: frozenset[int] = frozenset()
    """Keys of rows whose users were exported: such a row may ask for nothing."""
    notes: tuple[str, ...] = ()


def require_platform_of_bases(sources: Iterable[Source], platform: str) -> None:
    """Raise RefusedError where a file was exported from another platform than `platform`."""
    for source in sources:
        if source.base and source.base.platform != platform:
            raise RefusedError(
                f"{source.file} was exported from {source.base.platform}, not from {platform}: its ids are those of "
                "other users; nothing was sent. Export the users of this platform, and enter the changes there"
            )


def without_untouched(table: Table) -> tuple[Table, Untouched]:
    """Return the table with None for each cell that was not touched, and what these cells are.

    A row that is hidden, by a filter say, is no problem where nothing in it was touched.
    """
    if not any(source.base for source in table.sources) or "id" not in table.cells:
        return table, Untouched()
    merge = _Merge(table)
    for number, source in enumerate(table.sources):
        if source.base:
            merge.leave_untouched(number, source, source.base)
    problems = tuple(p for p in table.problems if p.code is not Code.ROW_HIDDEN or p.key not in merge.untouched_rows)
    left_alone = len({p.key for p in table.problems}) - len({p.key for p in problems})
    if left_alone:
        merge.notes.append(f"hidden rows that are not rejected, because nothing in them was touched: {left_alone:,}")
    cells = pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in merge.columns.items()})
    untouched = Untouched(merge.cells, frozenset(merge.fields), frozenset(merge.exported_rows), tuple(merge.notes))
    return replace(table, cells=cells, problems=problems), untouched


class _Merge:
    """Compares the rows of one source after the other with their base."""

    def __init__(self, table: Table) -> None:
        self.columns: Columns = {name: table.cells[name].to_numpy(object).copy() for name in table.cells.columns}
        self.cells = 0
        self.fields: set[str] = set()
        self.exported_rows: set[int] = set()
        self.untouched_rows: set[int] = set()
        self.notes: list[str] = []
        self._source_of = table.places["source"].to_numpy()

    def leave_untouched(self, number: int, source: Source, base: Base) -> None:
        """Set the untouched cells of a source to None."""
        keys = np.flatnonzero(self._source_of == number).tolist()
        if base.is_escaped:
            self._unescape(keys)
        rows = dict(_exported_rows(self.columns["id"], keys, base))
        touched: set[int] = set()
        before = self.cells
        for name, column in self.columns.items():
            if name != "id":
                at = base.fields.index(name) if name in base.fields else None
                touched.update(self._touched_rows(name, column, rows, at))
        self.exported_rows.update(rows)
        self.untouched_rows.update(rows.keys() - touched)
        count = self.cells - before
        noun, verb = ("cell", "was") if count == 1 else ("cells", "were")
        self.notes.append(
            f"{source.file}: {count:,} {noun} {verb} not touched since the export of {base.exported_at}, and left alone"
        )

    def _unescape(self, keys: Sequence[int]) -> None:
        for column in self.columns.values():
            for key in keys:
                if column[key]:
                    column[key] = unescape_formula(column[key])

    def _touched_rows(
        self, name: str, column: NDArray[Any], rows: dict[int, tuple[str | None, ...]], at: int | None
    ) -> Iterator[int]:
        """Set the untouched cells of a column to None, and yield the keys of the other rows.

        `at` is the position of the field in the base; None where it was not exported.
        """
        for key, texts in rows.items():
            cell = column[key]
            if cell is None:
                continue
            if at is None:
                if cell.strip():
                    yield key
            elif is_same_text(cell, texts[at] or ""):
                column[key] = None
                self.cells += 1
                if cell.strip():
                    self.fields.add(name)
            else:
                yield key


def _exported_rows(ids: NDArray[Any], keys: Sequence[int], base: Base) -> Iterator[tuple[int, tuple[str | None, ...]]]:
    """Yield key and exported texts of each row whose user was exported."""
    for key in keys:
        try:
            texts = base.texts.get(read_id(ids[key] or ""))
        except CellError:
            continue
        if texts is not None:
            yield key, texts


def is_same_text(cell: str, exported: str) -> bool:
    """Tell whether a cell still holds what was exported, whatever a spreadsheet does to line ends and blanks."""
    return cell == exported or _plain(cell) == _plain(exported)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").strip())
