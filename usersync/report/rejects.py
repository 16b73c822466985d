"""The rows that still need a person in, `rejects.xlsx` or `rejects.csv` out: the author's own sheet, to correct.

What was damaged in the source stays damaged in the file: a row that nobody corrects is refused again.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree
from zipfile import ZipFile

from usersync.errors import SourceError
from usersync.model import ATTRIBUTE, SECRET_FIELDS, Code, Column, Line, Problem, Source, Status, Table
from usersync.report.files import harmless

log = logging.getLogger(__name__)

ROW: Final = "usersync: row"
WHY: Final = "usersync: why"
"""The first two headings, which the loader ignores when the file comes back."""
NEEDS_PERSON: Final = frozenset({Status.REJECTED, Status.FAILED, Status.CONFLICT})
REREAD_BYTES: Final = 10_000_000
"""A larger source is not opened again for its formats; its rejects are text cells."""
COMMENTS: Final = 10_000
"""Excel gets slow beyond so many; further guilty cells are coloured only."""
_WIDTH: Final = 60
_PASSWORD: Final = "enter the password again"  # noqa: S105 - what to do, not a password
_ESCAPED: Final = re.compile("_(?=x[0-9A-Fa-f]{4}_)|[\0-\x08\x0b-\x1f\ufffe\uffff]")
_ERROR: Final = re.compile(r"#[A-Z0-9/]+[A!?]")
_TYPED: Final = (bool, int, float, date, time, timedelta)

Reread = Callable[[Sequence[str | Path]], Table]
"""How a file is read when it comes back."""


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
    guilty: Mapping[int, str]
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
        """Put together what means the same field, or has the same heading."""
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
            if place is not None and (found := _damaged(cells[place], problem.code)):
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


def _damaged(text: str, code: Code) -> tuple[str, float | None] | None:
    """Give the text and the number of a cell that would be thought whole if it were written as text."""
    if code is Code.FORMULA_UNSAVED:
        return "#N/A", None
    if code is Code.CELL_ERROR:
        return (text if _ERROR.fullmatch(text) else "#VALUE!"), None
    if code in (Code.ID_DAMAGED, Code.TYPE_INVALID) and re.fullmatch(r"-?\d{16,}|-?[\d.]+e\+\d+", text):
        number = float(text)
        return (text, number) if text in (f"{number:.0f}", repr(number)) else None
    return None


_Way = Callable[[Path, Sequence[Reject]], Path]


def _ways(layout: Layout, header_row: int) -> Iterator[_Way]:
    """Ways to write the file, the nearest to the source first; a CSV cannot hold what a workbook has damaged."""
    if all(source.dialect for source in layout.sources):
        given = dict(layout.sources[0].dialect)
        doubled = given | {"escape": "doubled"}
        for dialect in (given, doubled, doubled | {"encoding": "utf-8-sig"}):
            yield partial(_write_text, layout, header_row, dialect)
    else:
        yield partial(_write_workbook, layout, header_row, reopen=True)
    yield partial(_write_workbook, layout, header_row, reopen=False)


def _write_text(
    layout: Layout, header_row: int, dialect: Mapping[str, str], home: Path, rejects: Sequence[Reject]
) -> Path:
    path, encoding = home / "rejects.csv", dialect["encoding"]
    marked = dialect["why"].startswith("byte-order mark") and encoding in ("utf-16-be", "utf-32-be")
    try:
        with path.open("w", encoding=encoding, newline="") as file:
            file.write("\ufeff" * marked)
            file.writelines(_text_lines(layout, header_row, dialect, rejects))
    except UnicodeEncodeError:
        return _write_text(layout, header_row, {**dialect, "encoding": "utf-8-sig"}, home, rejects)
    return path


def _text_lines(
    layout: Layout, header_row: int, dialect: Mapping[str, str], rejects: Iterable[Reject]
) -> Iterator[str]:
    end = {"CR": "\r", "LF": "\n", "none": "\n"}.get(dialect["line_end"], "\r\n")
    delimiter = {"tab": "\t"}.get(dialect["delimiter"], dialect["delimiter"])
    encoding, quoted = dialect["encoding"], _quoting(dialect, delimiter)
    yield end * (header_row - 1)
    yield delimiter.join(map(quoted, (ROW, WHY, *(column.heading for column in layout.columns)))) + end
    for reject in rejects:
        why = harmless(reject.why).encode(encoding, "replace").decode(encoding)
        if dialect["quote"] == "none":
            why = " ".join(why.replace(delimiter, " ").split())
        ours = quoted(str(reject.label)), quoted(why, always=True)  # a quote in every row says what the quote is
        yield delimiter.join((*ours, *map(quoted, reject.cells))) + end


def _quoting(dialect: Mapping[str, str], delimiter: str) -> Callable[..., str]:
    quote, backslash = dialect["quote"], dialect["escape"] == "backslash"
    plain = re.compile("[^'\"\r\n\\\\" + re.escape(delimiter) + "]*+")

    def quoted(text: str, *, always: bool = False) -> str:
        if quote == "none" or (not always and quote == '"' and plain.fullmatch(text)):
            return text
        text = (
            text.replace("\\", "\\\\").replace(quote, "\\" + quote) if backslash else text.replace(quote, quote * 2)
        )
        return f"{quote}{text}{quote}"

    return quoted


def _write_workbook(
    layout: Layout, header_row: int, home: Path, rejects: Sequence[Reject], *, reopen: bool
) -> Path:
    from openpyxl import Workbook

    originals = [_Original()] * len(layout.sources)
    if reopen:
        numbers = [{r.number for r in rejects if r.source == i} for i in range(len(layout.sources))]
        originals = list(map(_original, layout.sources, layout.targets, numbers))
    book = Workbook(write_only=True)
    name = next((source.sheet for source in layout.sources if source.sheet), "Rejects")
    sheet = book.create_sheet(re.sub(r"[\\*?:/\[\]]", " ", name)[:31])
    pen = _Pen(sheet, layout, originals)
    pen.frame(header_row, header_row + len(rejects))
    for _ in range(header_row - 1):
        sheet.append([])
    sheet.append(pen.header())
    for number, reject in enumerate(rejects, header_row + 1):
        if len(reject.why) > _WIDTH:  # not every program makes room for wrapped text by itself
            sheet.row_dimensions[number].height = 15.0 * min(5, -(-len(reject.why) // _WIDTH))
        sheet.append(pen.row(reject))
    path = home / "rejects.xlsx"
    book.save(path)
    return path


class _Pen:
    """Makes the cells of a workbook."""

    def __init__(self, sheet: Any, layout: Layout, originals: Sequence[_Original]) -> None:
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.styles import Alignment, Font, PatternFill

        self._sheet, self._layout, self._originals = sheet, layout, originals
        self._new: Callable[..., Any] = partial(WriteOnlyCell, sheet)
        self._red, self._bold = PatternFill("solid", fgColor="FFC7CE"), Font("Calibri", 11, bold=True)
        self._wrap = Alignment(wrap_text=True)
        self._comments = 0

    def frame(self, header_row: int, last_row: int) -> None:
        """Set widths, the frozen header and the filter, which come before the first row."""
        from openpyxl.utils import get_column_letter as letter

        widths = {1: 14.0, 2: float(_WIDTH)}
        widths |= {i + 3: self._originals[0].widths.get(i, 18.0) for i in range(len(self._layout.columns))}
        for column, width in widths.items():
            self._sheet.column_dimensions[letter(column)].width = width
        self._sheet.freeze_panes = f"A{header_row + 1}"
        self._sheet.auto_filter.ref = f"A{header_row}:{letter(len(widths))}{last_row}"

    def header(self) -> list[Any]:
        """Make the headings, as they looked in the first source."""
        cells = []
        for place, heading in enumerate((ROW, WHY, *(column.heading for column in self._layout.columns)), -2):
            cell = self._text(heading)
            model = self._originals[0].header.get(place)
            cell.font = copy(model.font) if model else self._bold
            if model:
                cell.fill, cell.alignment = copy(model.fill), copy(model.alignment)
            cells.append(cell)
        return cells

    def row(self, reject: Reject) -> list[Any]:
        """Make the cells of one row."""
        why = self._text(reject.why)
        why.alignment = self._wrap
        if not reject.guilty:
            why.fill = self._red
        label = reject.label if isinstance(reject.label, int) else self._text(reject.label)
        original = self._originals[reject.source]
        models = original.cells.get(reject.number, {})
        return [label, why, *(self._cell(reject, i, models.get(i), original) for i in range(len(reject.cells)))]

    def _cell(self, reject: Reject, place: int, model: Any, original: _Original) -> Any:
        text, guilty = reject.cells[place], reject.guilty.get(place)
        if not text and not guilty and not model:
            return None
        cell = self._value(reject, place, model)
        if model:
            cell.number_format = model.number_format
        is_id = guilty and self._layout.columns[place].field == "id"
        is_text = cell.data_type == "s" or cell.value is None
        if place in reject.damaged or (is_text and (is_id or not original.header)):
            cell.number_format = "@"  # what is typed here next stays as it is typed
        if guilty:
            cell.fill = self._red
            self._remark(cell, guilty)
        return cell

    def _value(self, reject: Reject, place: int, model: Any) -> Any:
        text = reject.cells[place]
        if place in reject.damaged:
            number = reject.damaged[place]
            return self._error(text) if number is None else self._new(number)
        if model and text and model.data_type == "e":
            return self._error(text)
        return self._new(model.value) if model and text and isinstance(model.value, _TYPED) else self._text(text)

    def _remark(self, cell: Any, text: str) -> None:
        from openpyxl.comments import Comment

        self._comments += 1
        if self._comments <= COMMENTS:
            cell.comment = Comment(text, "usersync", width=320, height=100)

    def _text(self, text: str) -> Any:
        """Make a cell that is text whatever it begins with."""
        if not text:
            return self._new()
        cell = self._new(_ESCAPED.sub(lambda m: f"_x{ord(m[0]):04X}_", text))
        cell.data_type = "s"
        return cell

    def _error(self, text: str) -> Any:
        cell = self._new(text)
        cell.data_type = "e"
        return cell


@dataclass(slots=True)
class _Original:
    """What the source workbook shows of the rejected rows, beyond their text."""

    widths: dict[int, float] = field(default_factory=dict)
    """Target column -> width in characters."""
    header: dict[int, Any] = field(default_factory=dict)
    """Target column -> the heading's cell."""
    cells: dict[int, dict[int, Any]] = field(default_factory=dict)
    """Row number -> target column -> cell."""


def _original(source: Source, targets: Sequence[int | None], numbers: set[int]) -> _Original:
    """Open the source again, where it is a small .xlsx and still the file that was read."""
    path = Path(source.file)
    try:
        if not numbers or path.suffix.lower() not in (".xlsx", ".xlsm") or path.stat().st_size > REREAD_BYTES:
            return _Original()
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != source.sha256:
            return _Original()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _look(data, source, targets, numbers)
    except Exception as error:  # whatever openpyxl trips over: text cells say the same
        log.info("%s: written without its formats: %s", source.file, error)
        return _Original()


def _look(data: bytes, source: Source, targets: Sequence[int | None], numbers: set[int]) -> _Original:
    from openpyxl import load_workbook

    found = _Original()
    with closing(load_workbook(io.BytesIO(data), read_only=True, data_only=True)) as book:
        sheet: Any = book[source.sheet]
        sheet.reset_dimensions()
        first, left = source.header_row, 0
        for number, row in enumerate(sheet.iter_rows(min_row=first, max_row=max(numbers)), first):
            if number == first:
                left = _left(row, source)
                found.header = _placed(row[left:], targets)
            elif number in numbers:
                found.cells[number] = _placed(row[left:], targets)
        widths = _widths(data, sheet._worksheet_path)
    found.widths = {
        t: widths[i + left + 1] for i, t in enumerate(targets) if t is not None and i + left + 1 in widths
    }
    return found


def _left(row: Sequence[Any], source: Source) -> int:
    """How many columns stand before the table: the headings tell."""
    heads = [c.heading for c in source.columns if c.field]
    places = [i for i, c in enumerate(source.columns) if c.field]
    for left in range(len(row)):
        if [row[i + left].value if i + left < len(row) else None for i in places] == heads:
            return left
    raise ValueError("its headings are not where they were")


def _placed(row: Sequence[Any], targets: Sequence[int | None]) -> dict[int, Any]:
    pairs = zip(targets, row, strict=False)
    return {t: cell for t, cell in pairs if t is not None and (cell.value is not None or cell.number_format)}


def _widths(data: bytes, part: str) -> dict[int, float]:
    """Column (from 1) -> width, from the lines above a sheet's cells."""
    widths: dict[int, float] = {}
    with ZipFile(io.BytesIO(data)) as archive, archive.open(part) as xml:
        for _, element in ElementTree.iterparse(xml, ("start",)):  # noqa: S314 - the loader has vetted the file
            tag = element.tag.rpartition("}")[2]
            if tag == "sheetData":
                break
            if tag == "col" and element.get("width"):
                last = min(int(element.get("max", 0)), 1000)
                for column in range(int(element.get("min", 1)), last + 1):
                    widths[column] = float(element.get("width", 0))
    return widths
