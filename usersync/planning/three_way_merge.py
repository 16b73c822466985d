"""Merge an export with the platform's values: only cells that were edited count.

A cell is compared with what it held when it was exported (its base), by user id and field: it does not matter where
its row and its column stand now. `diff.conflicts` finds the values that changed on both sides.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from usersync.errors import RefusedError
from usersync.models import Code, Problem
from usersync.tables import Base, Source, Table
from usersync.validation.cells import InvalidCellError, read_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Untouched:
    """The cells of exports that hold what they held when they were exported."""

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

    A hidden row (for example by a filter) is not rejected if nothing in it was touched.
    """
    if not any(source.base for source in table.sources) or "id" not in table.cells:
        return table, Untouched()
    merge = _Merge(table)
    for number, source in enumerate(table.sources):
        if source.base:
            merge.leave_untouched(number, source, source.base)
    problems = [p for p in table.problems if p.code is not Code.ROW_HIDDEN or p.key not in merge.untouched_rows]
    left_alone = len({p.key for p in table.problems}) - len({p.key for p in problems})
    problems = sorted([*problems, *merge.problems], key=lambda problem: problem.key)
    if left_alone:
        merge.notes.append(f"hidden rows that are not rejected, because nothing in them was touched: {left_alone:,}")
    cells = pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in merge.columns.items()})
    untouched = Untouched(frozenset(merge.exported_rows), tuple(merge.notes))
    return replace(table, cells=cells, problems=tuple(problems)), untouched


class _Merge:
    """Compares the rows of one source after the other with their base."""

    def __init__(self, table: Table) -> None:
        self.columns: Columns = {name: table.cells[name].to_numpy(object).copy() for name in table.cells.columns}
        self.exported_rows: set[int] = set()
        self.untouched_rows: set[int] = set()
        self.notes: list[str] = []
        self.problems: list[Problem] = []
        self._source_of = table.places["source"].to_numpy()
        self._count = 0  # of the untouched cells of one source

    def leave_untouched(self, number: int, source: Source, base: Base) -> None:
        """Set the untouched cells of a source to None."""
        keys = np.flatnonzero(self._source_of == number).tolist()
        ids = dict(_ids(self.columns["id"], keys))
        rows = {key: base.texts[user_id] for key, user_id in ids.items() if user_id in base.texts}
        touched: set[int] = set()
        self._count = 0
        for name, column in self.columns.items():
            if name != "id":
                at = base.fields.index(name) if name in base.fields else None
                touched.update(self._touched_rows(column, rows, at))
        self.exported_rows.update(rows)
        self.untouched_rows.update(rows.keys() - touched)
        changed = {key: user_id for key, user_id in ids.items() if key in touched or key not in rows}
        self.problems += self._rows_of_others(changed, frozenset(ids.values()), source, base)
        cells = "1 cell was" if self._count == 1 else f"{self._count:,} cells were"
        self.notes.append(f"{source.file}: {cells} not touched since the export of {base.exported_at}, and left alone")

    def _rows_of_others(
        self, changed: Mapping[int, int], present: Collection[int], source: Source, base: Base
    ) -> Iterator[Problem]:
        """Yield a problem for each row that holds another user's exported values: somebody changed its id.

        `changed` are key and id of the rows that were touched, or are not those of exported users; `present` are all
        ids. Where both users have rows, they may exchange their values.
        """
        fields = [at for at, name in enumerate(base.fields) if name in self.columns]
        identity = max((at for at in fields if base.fields[at] in ("name", "email")), default=None)
        if not changed or identity is None or len(fields) < 2:
            return
        owners: dict[str, list[int]] = {}
        for user_id, texts in base.texts.items():
            owners.setdefault(texts[identity] or "", []).append(user_id)
        for key, user_id in changed.items():
            own = base.texts.get(user_id)
            cells = [self.columns[base.fields[at]][key] for at in fields]
            held = [(own[at] if own and cell is None else cell) or "" for at, cell in zip(fields, cells, strict=True)]
            others = owners.get(held[fields.index(identity)], ())
            if len(others) != 1 or others[0] == user_id or (own and others[0] in present):
                continue
            if all(map(is_same_text, held, (base.texts[others[0]][at] or "" for at in fields))):
                message = f"the row holds what user {others[0]} had in the export; enter that id again"
                yield Problem(key, Code.ID_MISMATCH, message, source.heading_of("id"), str(user_id))

    def _touched_rows(
        self, column: NDArray[Any], rows: dict[int, tuple[str | None, ...]], at: int | None
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
                self._count += 1
            else:
                yield key


def _ids(ids: NDArray[Any], keys: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield key and id of each row that has one."""
    for key in keys:
        try:
            yield key, read_id(ids[key] or "")
        except InvalidCellError:
            continue


def is_same_text(cell: str, exported: str) -> bool:
    """Return whether a cell still holds what was exported, whatever a spreadsheet does to line ends and blanks."""
    return cell == exported or _plain(cell) == _plain(exported)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").strip())
