"""The rows that still need a person in, `rejects.xlsx` or `rejects.csv` out: the author's own sheet, to correct.

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
from usersync.models import ATTRIBUTE, SECRET_FIELDS, Code, Line, Problem, Source, Status, Table
from usersync.report.rejects_csv import write_text
from usersync.report.rejects_rows import Layout, Reject
from usersync.report.rejects_rows import damaged as read_damaged
from usersync.report.rejects_workbook import write_workbook

NEEDS_PERSON: Final = frozenset({Status.REJECTED, Status.FAILED, Status.CONFLICT})
_PASSWORD: Final = "enter the password again"  # noqa: S105 - what to do, not a password
Reread = Callable[[Sequence[str | Path]], Table]
"""How a file is read when it comes back."""


log = logging.getLogger(__name__)


def write_rejects(
    lines: Iterable[Line],
    home: Path,
    *,
    table: Table,
    problems: Iterable[Problem],
    header_row: int = 1,
    reread: Reread | None = None,
) -> Path | None:
    """Write the lines that need a person into the folder `home`; None where there are none.

    `header_row` is where `source.header_row` says that headings stand. With `reread` the file is proved by reading
    it back; where it reads otherwise, it is written again in a way that leaves less to guess.
    """
    rows = _Rows(table, problems)
    rejects = [rows.reject(line) for line in lines if line.status in NEEDS_PERSON]
    path = None
    for write in _ways(rows.layout, header_row) if rejects else ():
        if path:
            path.unlink()
        path = write(home, rejects)
        if reread is None or _reads_back(path, rejects, reread):
            return path
        log.info("%s does not read back as its source", path)
    if path:
        log.warning("%s: some cells read otherwise than in the source; compare them before you run it", path)
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


class _Rows:
    """Knows for every row of the table its cells, in the columns of all sources, and the guilty ones."""

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

    def reject(self, line: Line) -> Reject:
        source, at, number = (int(where[line.key]) for where in self._where)
        cells = [""] * len(self.layout.columns)
        for target, column in zip(self.layout.targets[source], self._sheets[source], strict=True):
            if target is not None:
                cells[target] = column[at]
        had_password = any(cells[i] for i in self._secret)
        for i in self._secret:
            cells[i] = ""
        guilty = self._guilty(line, source)
        damaged: dict[int, float | None] = {}
        for problem in self._problems.get(line.key, ()):
            place = self._headings[source].get(problem.column)
            if place is not None and (found := read_damaged(cells[place], problem.code)):
                cells[place], damaged[place] = found
        label: int | str = f"{number} of {line.file}" if len(self._sources) > 1 else number
        why = self._why(line, source, had_password=had_password)
        return Reject(source, number, label, why, tuple(cells), guilty, damaged)

    def _why(self, line: Line, source: int, *, had_password: bool) -> str:
        parts = [line.message or line.code]
        if had_password:
            parts.append(_PASSWORD)
        if not any(c.field in SECRET_FIELDS for c in self._sources[source].columns):
            whole = [p.value for p in self._problems.get(line.key, ()) if p.value and not p.column]
            parts += [f"as written: {text.strip()}" for text in dict.fromkeys(whole)]
        return "; ".join(parts)

    def _guilty(self, line: Line, source: int) -> dict[int, str]:
        found: dict[int, str] = {}
        if line.status is Status.REJECTED:
            for problem in self._problems.get(line.key, ()):
                place = self._headings[source].get(problem.column)
                if place is not None:
                    found[place] = f"{found[place]}; {problem.message}" if place in found else problem.message
            return found
        names = ["id"] if line.code in (Code.NOT_FOUND, Code.NOT_PERMITTED) else _named(line)
        places = [self._fields.get(n, self._fields.get(n.partition(".")[0])) for n in names]
        return {place: line.message for place in places if place is not None}


def _headings(source: Source, targets: Sequence[int | None]) -> dict[str, int]:
    """Where problems find their column; of two with one heading, the one that means something."""
    columns = sorted(zip(source.columns, targets, strict=True), key=lambda pair: bool(pair[0].field))
    return {column.heading.strip(): place for column, place in columns if place is not None}


def _named(line: Line) -> list[str]:
    """Which of the changed fields the message names; all of them where somebody else changed the user."""
    changed = line.changed.split(";") if line.changed else []
    named, text = [], line.message
    for name in sorted(changed, key=len, reverse=True):  # "display name" is not "name"
        words = re.escape(name.removeprefix(ATTRIBUTE)).replace("_", "[ _]")
        text, found = re.subn(rf"(?<!\w){words}(?!\w)", "", text, flags=re.IGNORECASE)
        named += [name] if found else []
    return named or (changed if line.status is Status.CONFLICT else [])


_Way = Callable[[Path, Sequence[Reject]], Path]


def _ways(layout: Layout, header_row: int) -> Iterator[_Way]:
    """Ways to write the file, the nearest to the source first; a CSV cannot hold what a workbook has damaged."""
    if all(source.dialect for source in layout.sources):
        given = dict(layout.sources[0].dialect)
        doubled = given | {"escape": "doubled"}
        for dialect in (given, doubled, doubled | {"encoding": "utf-8-sig"}):
            yield partial(write_text, layout, header_row, dialect)
    else:
        yield partial(write_workbook, layout, header_row, reopen=True)
    yield partial(write_workbook, layout, header_row, reopen=False)
