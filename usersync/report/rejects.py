"""Write the rows to correct as `rejects.xlsx` or `rejects.csv`, in the author's own columns.

What was damaged in the source stays damaged in the file: a row that nobody corrects is refused again.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from usersync.errors import SourceError
from usersync.models import ATTRIBUTE, SECRET_FIELDS, Code, Problem, Row, Source, Status, Table
from usersync.report.rejects_csv import write_text
from usersync.report.rejects_rows import Layout, Reject
from usersync.report.rejects_rows import damaged as read_damaged
from usersync.report.rejects_workbook import write_workbook

log = logging.getLogger(__name__)

#: What to do about a password, which the file does not hold.
_PASSWORD: Final = "enter the password again"  # noqa: S105 - no password
#: Reads a file as it is read when it comes back.
Reread = Callable[[Sequence[str | Path]], Table]
#: Writes a file of rejects into a folder.
_Writer = Callable[[Path, Sequence[Reject]], Path]


def is_reject(status: Status) -> bool:
    """Tell whether a row belongs in the rejects file: `unknown` is for `usersync resume`, not for its author."""
    return status.needs_attention and status is not Status.UNKNOWN


def write_rejects(
    rows: Iterable[Row],
    home: Path,
    *,
    table: Table,
    problems: Iterable[Problem],
    header_row: int = 1,
    reread: Reread | None = None,
) -> Path | None:
    """Write the rows to correct into the folder `home`; None where there are none.

    `header_row` is where `source.header_row` says that headings stand. With `reread` the file is verified by reading
    it back; where it reads differently, it is written again in a way that leaves less to guess.
    """
    builder = _RejectBuilder(table, problems)
    rejects = [builder.reject(row) for row in rows if is_reject(row.status)]
    path = None
    for write in _writers(builder.layout, header_row) if rejects else ():
        if path:
            path.unlink()
        path = write(home, rejects)
        if reread is None or _reads_back(path, rejects, reread):
            return path
        log.info("%s does not read back as its source", path)
    if path:
        log.warning("%s: some cells read differently than in the source; compare them before you run it", path)
    return path


def _reads_back(path: Path, rejects: Sequence[Reject], reread: Reread) -> bool:
    try:
        rows = reread([path]).sheets[0].iloc[:, 2:].to_numpy(object).tolist()
    except SourceError:
        return False
    return [_cut(row) for row in rows] == [_cut(reject.cells) for reject in rejects]


def _cut(cells: Sequence[str]) -> tuple[str, ...]:
    """Leave out blank cells at the end: a nameless last column may be all blank."""
    stop = next((i for i in range(len(cells), 0, -1) if cells[i - 1]), 0)
    return tuple(cells[:stop])


class _RejectBuilder:
    """Turn rows into rejects: their cells, in the columns of all sources, and the faulty ones."""

    def __init__(self, table: Table, problems: Iterable[Problem]) -> None:
        self._sources = table.sources
        self._where = tuple(table.places[name].to_numpy() for name in ("source", "at", "row"))
        self._sheets = [[frame[i].to_numpy(object) for i in frame.columns] for frame in table.sheets]
        self._problems: dict[int, list[Problem]] = defaultdict(list)
        for problem in problems:
            self._problems[problem.key].append(problem)
        self.layout = Layout.of(table.sources)
        self._fields = {c.field: i for i, c in enumerate(self.layout.columns) if c.field}
        self._secret = [i for name, i in self._fields.items() if name in SECRET_FIELDS]
        self._headings = [_headings(s, t) for s, t in zip(table.sources, self.layout.targets, strict=True)]

    def reject(self, row: Row) -> Reject:
        source, at, number = (int(where[row.key]) for where in self._where)
        cells = [""] * len(self.layout.columns)
        for target, column in zip(self.layout.targets[source], self._sheets[source], strict=True):
            if target is not None:
                cells[target] = column[at]
        had_password = any(cells[i] for i in self._secret)
        for i in self._secret:
            cells[i] = ""
        faulty = self._faulty(row, source)
        damaged: dict[int, float | None] = {}
        for problem in self._problems.get(row.key, ()):
            place = self._headings[source].get(problem.column)
            if place is not None and (found := read_damaged(cells[place], problem.code)):
                cells[place], damaged[place] = found
        label: int | str = f"{number} of {row.file}" if len(self._sources) > 1 else number
        why = self._why(row, source, had_password=had_password)
        return Reject(source, number, label, why, tuple(cells), faulty, damaged)

    def _why(self, row: Row, source: int, *, had_password: bool) -> str:
        parts = [row.reason or row.code]
        if had_password:
            parts.append(_PASSWORD)
        if not any(c.field in SECRET_FIELDS for c in self._sources[source].columns):
            whole = [p.value for p in self._problems.get(row.key, ()) if p.value and not p.column]
            parts += [f"as written: {text.strip()}" for text in dict.fromkeys(whole)]
        return "; ".join(parts)

    def _faulty(self, row: Row, source: int) -> dict[int, str]:
        found: dict[int, str] = {}
        if row.status is Status.REJECTED:
            for problem in self._problems.get(row.key, ()):
                place = self._headings[source].get(problem.column)
                if place is not None:
                    found[place] = f"{found[place]}; {problem.message}" if place in found else problem.message
            return found
        names = ["id"] if row.code in (Code.NOT_FOUND, Code.NOT_PERMITTED) else _named_fields(row)
        places = [self._fields.get(n, self._fields.get(n.partition(".")[0])) for n in names]
        return {place: row.message for place in places if place is not None}


def _headings(source: Source, targets: Sequence[int | None]) -> dict[str, int]:
    """Map headings to columns; of two with one heading, the one that means a field."""
    columns = sorted(zip(source.columns, targets, strict=True), key=lambda pair: bool(pair[0].field))
    return {column.heading.strip(): place for column, place in columns if place is not None}


def _named_fields(row: Row) -> list[str]:
    """Return the changed fields that the message names; all of them where somebody else changed the user."""
    changed = row.changed.split(";") if row.changed else []
    named, text = [], row.message
    for name in sorted(changed, key=len, reverse=True):  # "display name" is not "name"
        words = re.escape(name.removeprefix(ATTRIBUTE)).replace("_", "[ _]")
        text, found = re.subn(rf"(?<!\w){words}(?!\w)", "", text, flags=re.IGNORECASE)
        named += [name] if found else []
    return named or (changed if row.status is Status.CONFLICT else [])


def _writers(layout: Layout, header_row: int) -> Iterator[_Writer]:
    """Yield ways to write the file, the nearest to the source first; a CSV cannot hold a workbook's damage."""
    if all(source.dialect for source in layout.sources):
        given = dict(layout.sources[0].dialect)
        doubled = given | {"escape": "doubled"}
        for dialect in (given, doubled, doubled | {"encoding": "utf-8-sig"}):
            yield partial(write_text, layout, header_row, dialect)
    else:
        yield partial(write_workbook, layout, header_row, reopen=True)
    yield partial(write_workbook, layout, header_row, reopen=False)
