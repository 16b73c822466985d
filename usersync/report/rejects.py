"""Write the rows to correct, in their author's columns, as a workbook or text.

A row that nobody corrects is rejected again when the file comes back: a fault that its cells do not show is kept in
the column `usersync: why` (see `usersync.loader.rejects_columns`), and a hidden row of a workbook stays hidden.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from usersync.errors import SourceError
from usersync.loader.export_base import base_of_rows, base_path
from usersync.loader.rejects_columns import held_back, original_rows
from usersync.masking import is_secret
from usersync.models import ATTRIBUTE, SECRET_FIELDS, Code, Problem, Row, Status
from usersync.report.rejects_csv import write_csv
from usersync.report.rejects_rows import Layout, Reject
from usersync.tables import Base, DesiredValues, Source, Table

log = logging.getLogger(__name__)

#: Rows that belong in the file: `unknown` is for `usersync resume`, not for its author.
REJECTED: Final = tuple(status for status in Status if status.needs_attention and status is not Status.UNKNOWN)
#: Codes of rows that were refused later because of their id.
_ID_CODES: Final = (Code.NOT_FOUND, Code.NOT_PERMITTED, Code.PROTECTED)
#: What to do about a password, which the file does not hold.
_PASSWORD: Final = "enter the password again, which this file does not hold"  # noqa: S105 - no password
#: Digits that no id of a database has.
_ID_DIGITS: Final = 20
#: Reads and validates files, as they are read when they come back.
Reread = Callable[[Sequence[str | Path]], tuple[Table, DesiredValues]]
#: Writes rejects into a folder, and returns the file.
_Writer = Callable[[Path, Sequence[Reject]], Path]


def write_rejects(
    rows: Iterable[Row],
    folder: Path,
    *,
    table: Table,
    problems: Iterable[Problem],
    reread: Reread,
    header_row: int = 1,
) -> Path | None:
    """Write the rows to correct, which end as REJECTED says, into a folder; None where there are none.

    Stale rows are left out: running them again would bring an older value back.

    `table` and `problems` are the input and its problems; `header_row` is `source.header_row`. The file is verified by
    reading it back; if that gives other cells, it is written again in a less ambiguous format. Raises OSError.
    """
    layout = Layout.of(table.sources, header_row)
    builder = _RejectBuilder(table, problems, layout)
    rejected = [row for row in rows if row.code != Code.STALE]  # nothing to correct: a newer value stands
    rejects = [builder.reject(row) for row in rejected]
    if not rejects:
        return None
    base = base_of_rows((table.sources[row.source].base, _user_id(row)) for row in rejected)
    with TemporaryDirectory(prefix="rejects-", dir=folder) as drafts:
        draft = _write_verified(Path(drafts), rejects, _writers(layout, table.sources, base), reread)
        if base_path(draft).exists():
            base_path(draft).replace(base_path(folder / draft.name))
        return draft.replace(folder / draft.name)


def _user_id(row: Row) -> int | None:
    text = row.id.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < _ID_DIGITS else None


def _write_verified(folder: Path, rejects: Sequence[Reject], writers: Iterable[_Writer], reread: Reread) -> Path:
    for write in writers:
        path = write(folder, rejects)
        valid = _valid_rows(path, rejects, reread)
        if valid is not None:
            break
        log.info("%s does not read back as its source", path.name)
    else:
        log.warning("%s: some cells read differently than in the source; compare them before you run it", path.name)
        valid = range(len(rejects))
    to_hold = {i for i in valid if rejects[i].code}
    if not to_hold:
        return path
    held = (replace(one, why=held_back(one.code, one.why)) if i in to_hold else one for i, one in enumerate(rejects))
    return write(folder, list(held))


def _valid_rows(path: Path, rejects: Sequence[Reject], reread: Reread) -> Collection[int] | None:
    """Return the positions of rows that read back without a problem; None where any cell reads differently."""
    try:
        table, desired = reread([path])
    except SourceError:
        return None
    cells = table.sheets[0].iloc[:, 2:].to_numpy(object).tolist()
    if [_cut(row) for row in cells] != [_cut(reject.cells) for reject in rejects]:
        return None
    return sorted({*range(len(rejects))} - {problem.key for problem in desired.problems})


def _cut(cells: Sequence[str]) -> tuple[str, ...]:
    """Leave out blank cells at the end: an unnamed last column may be all blank."""
    stop = next((i for i in range(len(cells), 0, -1) if cells[i - 1]), 0)
    return tuple(cells[:stop])


def _writers(layout: Layout, sources: Sequence[Source], base: Base | None) -> Iterator[_Writer]:
    """Yield ways to write the file, the nearest to the source first; of an export, with its base."""
    if all(source.dialect for source in sources):
        given = dict(sources[0].dialect)
        doubled = given | {"escape": "doubled"}
        for dialect in (given, doubled, doubled | {"encoding": "utf-8-sig"}):
            yield partial(write_csv, layout, dialect, base)
    from usersync.report.rejects_workbook import write_workbook  # XlsxWriter is slow to import

    yield partial(write_workbook, layout, base)


class _RejectBuilder:
    """Turn rows into rejects: their cells, in the columns of all sources, and the faulty ones."""

    def __init__(self, table: Table, problems: Iterable[Problem], layout: Layout) -> None:
        self._table = table
        self._places = table.places[["source", "at", "row"]].to_numpy()
        self._sheets = [[sheet[i].to_numpy(object) for i in sheet.columns] for sheet in table.sheets]
        self._original = original_rows(table)
        self._problems: dict[int, list[Problem]] = defaultdict(list)
        for problem in problems:
            self._problems[problem.key].append(problem)
        self._layout = layout
        self._fields = {c.field: i for i, c in enumerate(layout.columns) if c.field}
        self._secret = [i for name, i in self._fields.items() if name in SECRET_FIELDS]
        self._headings = [_headings(s, t) for s, t in zip(table.sources, layout.targets, strict=True)]

    def reject(self, row: Row) -> Reject:
        """Return the reject of a row that is to be corrected."""
        source, at, number = self._places[row.key].tolist()
        cells = [""] * len(self._layout.columns)
        for target, column in zip(self._layout.targets[source], self._sheets[source], strict=True):
            if target is not None:
                cells[target] = column[at]
        problems = self._problems.get(row.key, [])
        why = self._why(row, problems, source, had_password=any(cells[i] for i in self._secret))
        for i in self._secret:
            cells[i] = ""
        return Reject(
            label=self._label(row, number),
            why=why,
            cells=tuple(cells),
            faulty=self._faulty(row, problems, source),
            code=problems[0].code if problems else "",
            hidden=any(problem.code is Code.ROW_HIDDEN for problem in problems),
        )

    def _label(self, row: Row, number: int) -> int | str:
        original = self._original.get(row.key, "")
        if original:
            return int(original) if original.isdecimal() else original
        return f"{number} of {row.file}" if len(self._table.sources) > 1 else number

    def _why(self, row: Row, problems: Sequence[Problem], source: int, *, had_password: bool) -> str:
        parts = [row.reason or row.code]
        if had_password:
            parts.append(_PASSWORD)
        if not any(is_secret(column.field or "") for column in self._table.sources[source].columns):
            values = [problem.value for problem in problems if problem.value and not problem.column]
            parts += [f"as written: {value.strip()}" for value in dict.fromkeys(values)]
        return "; ".join(parts)

    def _faulty(self, row: Row, problems: Sequence[Problem], source: int) -> dict[int, str]:
        if problems:
            faulty: dict[int, list[str]] = defaultdict(list)
            for problem in problems:
                if problem.column in self._headings[source]:
                    faulty[self._headings[source][problem.column]].append(problem.message)
            return {place: "; ".join(messages) for place, messages in faulty.items()}
        names = ["id"] if row.code in _ID_CODES else _named_fields(row)
        places = [self._fields.get(n, self._fields.get(n.partition(".")[0])) for n in names]
        return {place: row.message for place in places if place is not None}


def _headings(source: Source, targets: Sequence[int | None]) -> dict[str, int]:
    """Map headings to columns; of two with one heading, the one that means a field."""
    columns = sorted(zip(source.columns, targets, strict=True), key=lambda pair: bool(pair[0].field))
    return {column.heading.strip(): place for column, place in columns if place is not None}


def _named_fields(row: Row) -> list[str]:
    """Return the changed fields that the message names; all of them where somebody else changed the user."""
    changed = list(row.new_values)
    named = []
    text = row.message
    for name in sorted(changed, key=len, reverse=True):  # "display name" is not "name"
        words = re.escape(name.removeprefix(ATTRIBUTE)).replace("_", "[ _]")
        text, found = re.subn(rf"(?<!\w){words}(?!\w)", "", text, flags=re.IGNORECASE)
        named += [name] if found else []
    return named or (changed if row.status is Status.CONFLICT else [])
