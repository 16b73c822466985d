"""Write the rows of a run or plan as an HTML page that needs no network.

A page stays small enough for phones and mail servers. Rows for which it has no room are in numbered files beside it,
which it loads when somebody searches beyond what it holds.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import compress
from json.encoder import encode_basestring as quoted
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import yaml
from pydantic_core import from_json

from usersync.errors import UsageError
from usersync.ledger import Cells
from usersync.loader.row_texts import NameOf, RowTexts, best_name
from usersync.models import Json, Status, TimeSlice, json_text
from usersync.report.columns import (
    CHANGED,
    CODE,
    EMAIL,
    FILE,
    ID,
    KEY,
    MESSAGE,
    NAME,
    NEW,
    OLD,
    ROW,
    SHEET,
    STATUS,
    Columns,
    by_column,
)
from usersync.report.output_file import is_plain, write_whole
from usersync.report.packed_rows import PackedRows, clipped, clipped_all
from usersync.report.row_counter import RowCounter
from usersync.report.timeline_chart import chart_of
from usersync.wording import OWNER_REMEDIES, STATUS_MEANINGS, need_attention, plural

if TYPE_CHECKING:
    from jinja2 import Template

#: Bytes of packed rows in a page: what a phone opens and a mail server lets through; and in each file beside it.
LIMIT: Final = 4_500_000
#: How a page begins.
PAGE_START: Final = '<!DOCTYPE html>\n<html lang="en">'
#: Where all rows of a plan are, for a page that cannot show them.
_PLAN_REST: Final = "`usersync plan FILE -o plan.json` saves every row."
_CHANGED: Final = (Status.UPDATED, Status.PLANNED)
#: Status -> which rows are on the page itself where it has no room for all: 0 first.
_RANKS: Final = {
    status.value: 0 if status.needs_attention else 1 if status is Status.NOT_SENT else 2 if status in _CHANGED else 3
    for status in Status
}

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class PageText:
    """What a page shows besides the rows."""

    summary: Mapping[str, Json]
    """A summary or a plan as JSON."""
    info: Mapping[str, Json]
    """The fields of the ledger's RunInfo."""
    fields: Mapping[str, int]
    """Field -> users for whom it was or would be changed."""
    rest: str
    """Where all rows are, should the files beside the page be missing."""
    timeline: Sequence[TimeSlice] = ()


class Page:
    """Packs the lines of a report as they come, and writes the page."""

    def __init__(self, name_of: NameOf) -> None:
        self._name_of = name_of
        self._words: dict[str, int] = {}
        #: Rows that need attention, those not sent, changed ones, and the rest.
        self._ranks = (PackedRows(), PackedRows(), PackedRows(), PackedRows())
        #: Text of changed fields -> the names of these fields.
        self._names_of_fields: dict[str, list[str]] = {"": []}

    def add(self, columns: Columns) -> None:
        """Add lines."""
        for place in dict.fromkeys(zip(columns[FILE], columns[SHEET], strict=True)):
            self._word(_place(place))  # numbered in input order, by which the page sorts
        ranks = list(map(_RANKS.__getitem__, columns[STATUS]))
        present = set(ranks)
        for rank in present:
            ranked = columns if len(present) == 1 else _chosen(columns, [one == rank for one in ranks])
            self._ranks[rank].add(self._encoded(ranked), ranked[OLD], ranked[NEW])
        for changed, new in dict(zip(columns[CHANGED], columns[NEW], strict=True)).items():
            if changed not in self._names_of_fields:
                self._names_of_fields[changed] = list(from_json(new or "{}"))

    def _encoded(self, columns: Columns) -> list[Sequence[Json]]:
        """Return the columns of lines, but old and new values, in the order that page.html reads."""
        return [
            self._numbered(zip(columns[FILE], columns[SHEET], strict=True), _place),
            self._numbered(columns[STATUS], str),
            self._numbered(zip(columns[CODE], columns[STATUS], strict=True), _code),
            columns[ROW],
            clipped_all(columns[ID]),
            self._names(columns),
            clipped_all(columns[MESSAGE]),
        ]

    def _names(self, columns: Columns) -> list[Json]:
        """Return the names of the lines; 0 where the name is the new name, which is the first of the new values."""
        names = columns[NAME]
        if not all(names):
            found = zip(names, columns[EMAIL], columns[KEY], strict=True)
            names = [best_name(*line, self._name_of) for line in found]
        starts = [f'{{"name":{quoted(name)}' for name in names]
        found = zip(clipped_all(names), starts, columns[NEW], strict=True)
        return [0 if new.startswith(start) else name for name, start, new in found]

    def _numbered(self, values: Iterable[Value], text_of: Callable[[Value], str]) -> list[int]:
        """Return the numbers of texts of which many lines have the same."""
        values = list(values)
        numbers = {value: self._word(text_of(value)) for value in set(values)}
        return [numbers[value] for value in values]

    def _word(self, text: str) -> int:
        return self._words.setdefault(text, len(self._words))

    def write(self, path: Path, counter: RowCounter, text: PageText) -> None:
        """Write the page, and beside it the files of rows for which it has no room. Raises OSError.

        `counter` has counted the same lines.
        """
        words = json_text(list(self._words)).replace("<", "\\u003c")  # nothing may end the page's script element
        room = LIMIT - len(words.encode()) if is_plain(path) else inf  # nothing can stand beside a pipe
        kept, (packed, *others) = self._split(room)
        token = secrets.token_hex(8)  # no page loads the rows of another, or what somebody put beside it
        parts = [f"{path.stem}-rows-{number}-{token}.js" for number in range(2, len(others) + 2)]
        data = f'{{"words":{words},"packed":{json_text(packed)}}}'
        offered = sorted(set().union(*self._names_of_fields.values()))
        try:
            for name, chunks in zip(parts, others, strict=True):
                write_whole(path.with_name(name), f"takeRows({json_text(chunks)});\n")
            write_whole(path, _render(counter, text, offered=offered, kept=kept, parts=parts, data=data))
        except OSError:
            for name in parts:
                path.with_name(name).unlink(missing_ok=True)
            raise
        delete_rows_beside(path, keep=parts)

    def _split(self, room: float) -> tuple[int, list[list[str]]]:
        """Return how many rows the page has room for, and the chunks of the page and of each file beside it."""
        kept = 0
        files: list[list[str]] = [[]]
        for rows, chunk in (found for rank in self._ranks for found in rank.chunks()):
            if len(chunk) > room:
                files.append([])
                room = LIMIT
            room -= len(chunk)
            files[-1].append(chunk)
            kept += rows if len(files) == 1 else 0
        return kept, files


def _render(
    counter: RowCounter, text: PageText, *, offered: Sequence[str], kept: int, parts: Sequence[str], data: str
) -> str:
    """Fill in page.html: `offered` fields to filter by, `kept` rows on the page as `data`, others in files `parts`."""
    from markupsafe import Markup  # slow to import, and needed only at the end of a run

    return _template().render(
        summary=text.summary,
        info=text.info,
        fields=Counter(text.fields).most_common(),
        offered=offered,
        reasons=counter.reasons(),
        owners=OWNER_REMEDIES.items(),
        attention=counter.need_attention,
        owned=counter.by_owner,
        chart=chart_of(text.timeline) if text.timeline else None,
        settings=yaml.safe_dump(text.info.get("settings", {}), sort_keys=False, allow_unicode=True),
        meanings={status.value: meaning for status, meaning in STATUS_MEANINGS.items()},
        kept=kept,
        parts=parts,
        rest=text.rest,
        n=plural,
        need_attention=need_attention,
        clipped=clipped,
        nonce=secrets.token_hex(16),
        data=Markup(data),  # noqa: S704 - JSON without a "<"
    )


def delete_rows_beside(path: Path, *, keep: Collection[str] = ()) -> None:
    """Delete the files of rows beside a page, but those named `keep`. Raises OSError."""
    name = re.compile(rf"{re.escape(path.stem)}-rows-\d+-[0-9a-f]{{16}}\.js(?:\.new)?")
    for file in path.parent.iterdir():
        if name.fullmatch(file.name) and file.name not in keep and file.is_file():
            file.unlink(missing_ok=True)


def write_plan_page(
    path: Path,
    lines: Iterable[Sequence[Cells]],
    plan: Mapping[str, Json],
    info: Mapping[str, Json],
    texts: RowTexts,
) -> None:
    """Write a plan as a page; `plan` is its JSON, `info` as `PageText` has it. Raises UsageError."""
    page, counter = Page(texts.name_of), RowCounter(texts)
    for some in lines:
        columns = by_column(some)
        page.add(columns)
        counter.add(columns)
    try:
        page.write(path, counter, PageText(plan, info, plan["fields"], _PLAN_REST))
    except OSError as error:
        raise UsageError(
            f"{path}: the page cannot be written: {error.strerror}; name another file with --html"
        ) from None


def _chosen(columns: Columns, chosen: Sequence[bool]) -> Columns:
    return [list(compress(column, chosen)) for column in columns]


@cache  # compiling it takes longer than a small run, and a program or a test may write many pages
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader  # slow to import, and needed only at the end of a run

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")


def _place(file_and_sheet: tuple[str, str]) -> str:
    return ", ".join(filter(None, file_and_sheet))


def _code(code_and_status: tuple[str, str]) -> str:
    """Return the code that a page shows; of a row that needs attention and has none, its status."""
    code, status = code_and_status
    return code or (status if Status(status).needs_attention else "")
