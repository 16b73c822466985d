"""Read files, addresses and DataFrames into one `Table` of text cells.

pandas and the readers are imported where they are needed: they take longer to start than the rest of the program,
and commands that read no file do not wait for them.
"""

from __future__ import annotations

import difflib
import hashlib
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from usersync.errors import SourceError, UsageError
from usersync.formulas import unescape_formula
from usersync.loader.export_base import base_beside, base_nearby, read_base
from usersync.loader.heading_words import normalize
from usersync.loader.headings import OUR_COLUMNS, Headings, Template
from usersync.loader.raw_sheet import RawSheet
from usersync.loader.rejects_columns import hold_back_rows
from usersync.loader.remote import fetch, is_remote, without_secrets
from usersync.loader.template_example import without_example
from usersync.loader.unpack import OLE, ZIP, is_text, unpack
from usersync.masking import is_secret
from usersync.models import MASK, Problem
from usersync.tables import Base, Column, Files, Source, Table

if TYPE_CHECKING:
    from pandas import DataFrame

    from usersync.settings import SourceSettings

WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
TEXTS = (".csv", ".tsv", ".txt")
#: How the file of a saved plan begins.
PLAN_START = '{\n "usersync_plan"'


def load(
    files: Files, *, options: SourceSettings, columns: Mapping[str, str] | None = None, base: Path | None = None
) -> Table:
    """Read files (CSV, Excel, OpenDocument; `-` is standard input), addresses and DataFrames as text.

    `columns` maps headings to fields, or fields to templates (`name: "{First name} {Last name}"`). `base` is the file
    with what an export held, for files that neither contain it nor have it beside them. Raises SourceError if a file
    as a whole cannot be read. Rows that cannot be read are in the table, with their problems.
    """
    if isinstance(files, str | Path) or not isinstance(files, Sequence):
        files = [files]
    if not files:
        raise UsageError("name at least one file")
    headings = Headings(columns, match_by=options.match_by)
    named = read_base(base) if base else None
    return hold_back_rows(_concatenate([_read(file, headings, options, named) for file in files]))


def read_bytes(file: str) -> bytes:
    """Read a file, an address or standard input as it is; SourceError where that cannot be done."""
    if is_remote(file):
        return fetch(file)
    if file == "-" and not sys.stdin:
        raise SourceError(file, "standard input is closed; name a file")
    try:
        file.encode()
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except UnicodeEncodeError:
        raise SourceError(ascii(file), "the file name is not valid UTF-8; rename the file") from None
    except FileNotFoundError:
        raise SourceError(file, f"there is no such file{_nearest(file)}") from None
    except IsADirectoryError:
        raise SourceError(file, "is a folder; name the files in it") from None
    except OSError as error:
        raise SourceError(file, f"cannot be read: {error.strerror}") from None


def _nearest(file: str) -> str:
    with suppress(OSError):
        names = [path.name for path in Path(file).parent.iterdir() if path.is_file()]
        for name in difflib.get_close_matches(Path(file).name, names, 1, 0.8):
            return f"; did you mean {Path(file).with_name(name)}?"
    return ""


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of the input, read."""

    source: Source
    sheet: RawSheet
    templates: tuple[Template, ...]


def _read(given: str | Path | DataFrame, headings: Headings, options: SourceSettings, named_base: Base | None) -> _Part:
    from usersync.loader.repeated_headers import apply_repeated_headers  # pandas is slow to import

    if isinstance(given, str | Path):
        file, data = without_secrets(str(given)), read_bytes(str(given))
        if not data.strip():
            raise SourceError(file, "the file is empty")
        digest = hashlib.sha256(data).hexdigest()
        beside = named_base or base_beside(str(given))
        sheet = _read_sheet(data, file, headings, options, exported=beside is not None)
        base = sheet.base or beside
        nearby = None if base else base_nearby(str(given))
    else:
        from usersync.loader.dataframe import FRAME, read_frame  # pandas is slow to import

        file = FRAME
        digest, sheet = read_frame(given, headings=headings)
        base, nearby = named_base, None
    columns = headings.columns(sheet.header, file)
    templates = headings.templates(sheet.header, file)
    sheet = without_example(apply_repeated_headers(sheet, headings), columns)
    source = Source(
        file=file,
        sha256=digest,
        sheet=sheet.sheet,
        header_row=sheet.header_row,
        columns=columns,
        composed={template.field: template.columns for template in templates},
        dialect=sheet.dialect,
        notes=tuple(_notes(sheet, headings, columns, templates, options, nearby)),
        skipped=sheet.skipped,
        base=base,
    )
    return _Part(source, sheet, templates)


def _notes(
    sheet: RawSheet,
    headings: Headings,
    columns: Sequence[Column],
    templates: Sequence[Template],
    options: SourceSettings,
    nearby: Path | None,
) -> Iterator[str]:
    """Yield what the author should know of a file; `nearby` is an export's base that it may belong to."""
    yield from sheet.notes
    if all(column.field != "id" for column in columns):
        yield "there is no id column, so rows are matched by e-mail address"
    elif options.match_by == "email":
        yield "the id column is not used, because rows are matched by e-mail address (source.match_by)"
    for template in templates:
        parts = " and ".join(repr(columns[i].heading.strip()) for i in template.columns)
        yield f"{template.field} is composed of {parts}"
    yield from _ignored_columns(columns, templates)
    if absent := ", ".join(headings.absent(sheet.header)):
        yield f"not in this file, but under columns: in the settings: {absent}"
    yield from _beyond_blank_column(sheet, columns)
    if nearby:
        yield f"if this file comes from the export of {nearby.name}, add: --base {shlex.quote(str(nearby))}"
    if line := headings.suggest_name(sheet.header):
        yield f"to send the name, add under columns: {line}"
    if not len(sheet.rows):
        yield f"there are no data rows below the header in row {sheet.header_row}"


def _ignored_columns(columns: Sequence[Column], templates: Sequence[Template]) -> Iterator[str]:
    used = {i for template in templates for i in template.columns}
    ignored = [
        column.heading.strip()
        for i, column in enumerate(columns)
        if column.field is None and i not in used and normalize(column.heading) not in OUR_COLUMNS
    ]
    named = [repr(heading) for heading in ignored if heading]
    if named:
        noun = "column" if len(named) == 1 else "columns"
        yield f"ignored {noun}: {', '.join(named)} (name a field, or map it under columns:)"


def _beyond_blank_column(sheet: RawSheet, columns: Sequence[Column]) -> Iterator[str]:
    """Note the fields on the other side of a blank column than the id: two tables may stand side by side."""
    filled = [bool(column.heading.strip()) or any(map(str.strip, sheet.cells[i])) for i, column in enumerate(columns)]
    fields = [column.field for column in columns]
    key = fields.index("id" if "id" in fields else "email")
    last = next((i for i in range(key, len(columns)) if not filled[i]), len(columns))
    first = next((i for i in range(key, -1, -1) if not filled[i]), -1)
    names = [repr(column.heading.strip()) for i, column in enumerate(columns) if column.field and not first < i < last]
    if names:
        verb, them = ("stands", "it") if len(names) == 1 else ("stand", "them")
        yield f"{', '.join(names)} {verb} beyond a blank column; if that is another table, delete {them}"


def _read_sheet(data: bytes, file: str, headings: Headings, options: SourceSettings, *, exported: bool) -> RawSheet:
    if Path(file).name.startswith("~$"):
        name = Path(file).name.removeprefix("~$")
        raise SourceError(file, f"is the lock file of a workbook that is open in Excel; name {name} itself")
    if data.startswith(PLAN_START.encode()):
        raise SourceError(file, f"is a saved plan; send it with `usersync apply {file}`")
    data, name = unpack(data, file, suffixes=(*TEXTS, *WORKBOOKS))
    suffix = Path(name).suffix.lower()
    if data.startswith((ZIP, OLE)) or (suffix in WORKBOOKS and not is_text(data)):
        from usersync.loader.workbook import read_workbook  # pandas is slow to import

        return read_workbook(data, file=file, headings=headings, options=options)
    if file != "-" and suffix not in (*TEXTS, *WORKBOOKS):
        known = ", ".join((*TEXTS, *WORKBOOKS))
        raise SourceError(file, f"usersync reads {known}; save the file as one of these")
    from usersync.loader.csv_reader import read_text  # pandas is slow to import

    sheet = read_text(data, file=file, headings=headings, options=options, exported=exported)
    if suffix in WORKBOOKS:
        return replace(sheet, notes=(f"the file is text under the name of a workbook ({suffix})", *sheet.notes))
    return sheet


def _concatenate(parts: list[_Part]) -> Table:
    import numpy as np  # slow to import: commands that read no file start without it
    import pandas as pd  # as numpy

    frames, places = [], []
    problems: list[Problem] = []
    start = 0
    for number, part in enumerate(parts):
        rows = part.sheet.rows
        frames.append(_fields_only(part))
        places.append(pd.DataFrame({"source": np.int32(number), "at": np.arange(len(rows)), "row": rows}))
        problems.extend(_problems(part, start))
        start += len(rows)
    cells = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True).astype(object)
    if len(frames) > 1:
        cells = cells.where(cells.notna(), None)
    return Table(
        cells.reset_index(drop=True),
        places[0] if len(places) == 1 else pd.concat(places, ignore_index=True),
        tuple(part.source for part in parts),
        tuple(part.sheet.cells for part in parts),
        tuple(problems),
    )


def _fields_only(part: _Part) -> DataFrame:
    cells, columns = part.sheet.cells, part.source.columns
    with_field = [i for i, column in enumerate(columns) if column.field]
    named = cells[with_field].set_axis([columns[i].field for i in with_field], axis=1).astype(object)
    for template in part.templates:
        rows = zip(*(cells[i] for i in template.columns), strict=True)
        named[template.field] = [template.fill(row) for row in rows]
    if part.source.base and part.source.base.is_escaped:
        named = named.map(unescape_formula)
    return named.astype(object)


def _problems(part: _Part, start: int) -> Iterator[Problem]:
    columns = part.source.columns
    composed = {i for template in part.templates for i in template.columns}
    for error in part.sheet.errors:
        column = columns[error.column] if error.column is not None else None
        if column and not column.field and error.column not in composed:
            continue
        secret = any(is_secret(c.field or "") for c in ([column] if column else columns))
        value = MASK if secret and error.value else error.value
        yield Problem(start + error.at, error.code, error.message, column.heading.strip() if column else "", value)
