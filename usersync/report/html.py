"""Write the rows of a run or a plan as one page for people, which fetches nothing."""

from __future__ import annotations

import secrets
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import yaml
from pydantic_core import from_json, to_json

from usersync.errors import UsageError
from usersync.ledger import Cells
from usersync.loader.row_names import NameOf, no_name
from usersync.models import Json, Status, TimeSlice, json_text
from usersync.report.columns import (
    CHANGED,
    CODE,
    FILE,
    ID,
    MESSAGE,
    NEW,
    OLD,
    ROW,
    SHEET,
    STATUS,
    WHO,
    lines_of_attention,
    name_of_line,
    reason_of,
)
from usersync.report.summary import write_whole
from usersync.report.timeline_chart import chart_of
from usersync.report.wording import OWNER_NAMES, OWNER_REMEDIES, STATUS_MEANINGS, need_attention, plural

if TYPE_CHECKING:
    from jinja2 import Template

#: Bytes of packed rows in a page: what a phone opens and a mail server lets through; the rest is in report.csv.
LIMIT: Final = 4_500_000
#: Where the row number stands among the cells of a row.
_NUMBER: Final = 3
#: How many cells a row has.
_COLUMNS: Final = 8
#: Rows that are packed together, at least.
_CHUNK: Final = 2_000
#: How hard zlib tries.
_COMPRESSION: Final = 6
#: Characters of one text that are shown.
_LONGEST: Final = 300
#: Rows that are shown with each reason.
_EXAMPLES: Final = 3
_CHANGED: Final = (Status.UPDATED, Status.PLANNED)
#: Status -> which rows are kept where a page has no room for all: 0 first.
_RANKS: Final = {
    status: 0 if status.needs_attention or status is Status.NOT_SENT else 1 if status in _CHANGED else 2
    for status in Status
}

Value = TypeVar("Value")


class Page:
    """Collect the lines of a report, packed as they come, and render the page."""

    def __init__(self, name_of: NameOf = no_name) -> None:
        self._name_of = name_of
        self._words: dict[str, int] = {}
        #: Rows that need attention or were not sent, changed ones, and the rest.
        self._ranks = (_PackedRows(), _PackedRows(), _PackedRows())
        self._changed: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], list[tuple[int, str, str]]] = {}

    def add(self, lines: Sequence[Cells]) -> None:
        """Take lines in."""
        for line in lines_of_attention(lines):
            self._count_reason(line)
        self._changed.update(line[CHANGED] for line in lines if line[STATUS] in _CHANGED)
        for rank, packed in enumerate(self._ranks):
            if ranked := [line for line in lines if _RANKS[line[STATUS]] == rank]:
                packed.add(self._columns(ranked))

    def _count_reason(self, line: Cells) -> None:
        reason = (line[WHO], reason_of(line))
        self._reasons[reason] += 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append((line[ROW], _clipped(name_of_line(line, self._name_of)), _clipped(line[MESSAGE])))

    def _columns(self, lines: Sequence[Cells]) -> list[list[Json]]:
        """Return the cells of lines by column, in the order that page.html reads."""
        return [
            self._numbered([(line[FILE], line[SHEET]) for line in lines], lambda place: ", ".join(filter(None, place))),
            self._numbered([line[STATUS] for line in lines], str),
            self._numbered([(line[CODE], line[STATUS]) for line in lines], _code),
            [line[ROW] for line in lines],
            [_clipped(line[ID]) for line in lines],
            [_clipped(name_of_line(line, self._name_of)) for line in lines],
            [_clipped(line[MESSAGE]) for line in lines],
            self._changes([line[OLD] or "{}" for line in lines], [line[NEW] or "{}" for line in lines]),
        ]

    def _numbered(self, values: list[Value], text_of: Callable[[Value], str]) -> list[int]:
        """Return the numbers of texts of which many lines have the same."""
        numbers = {value: self._word(text_of(value)) for value in dict.fromkeys(values)}
        return [numbers[value] for value in values]

    def _changes(self, old: Sequence[str], new: Sequence[str]) -> list[Json]:
        """Return for each line its changed fields: name, old value (0: unknown) and new value."""
        word = self._word
        return [
            [[word(name), _cell(before[name]) if name in before else 0, _cell(value)] for name, value in after.items()]
            for before, after in zip(*(from_json(f"[{','.join(texts)}]") for texts in (old, new)), strict=True)
        ]

    def _word(self, text: str) -> int:
        return self._words.setdefault(text, len(self._words))

    def _fields(self) -> Counter[str]:
        """Count the changed fields."""
        found: Counter[str] = Counter()
        for changed, lines in self._changed.items():
            found.update(dict.fromkeys(filter(None, changed.split(";")), lines))
        return found

    def render(
        self, summary: Mapping[str, Json], info: Mapping[str, Json], *, timeline: Sequence[TimeSlice] = (), rest: str
    ) -> str:
        """Return the page.

        `summary` is what a summary or a plan gives as JSON, `info` what the ledger keeps of the run; `rest` says
        where the rows are for which the page has no room.
        """
        from markupsafe import Markup  # slow to import, and needed only at the end of a run

        words = json_text(list(self._words)).replace("<", "\\u003c")  # nothing may end the page's script element
        kept, packed = self._packed(LIMIT - len(words.encode()))
        return _template().render(
            summary=summary,
            info=info,
            fields=Counter(summary.get("fields") or self._fields()).most_common(),
            reasons=[(*reason, n, self._examples[reason]) for reason, n in self._reasons.most_common()],
            owners=[(owner.value, OWNER_NAMES[owner], OWNER_REMEDIES[owner]) for owner in OWNER_NAMES],
            attention=self._reasons.total(),
            chart=chart_of(timeline) if timeline else None,
            settings=yaml.safe_dump(info.get("settings", {}), sort_keys=False, allow_unicode=True),
            meanings={status.value: meaning for status, meaning in STATUS_MEANINGS.items()},
            kept=kept,
            rest=rest,
            n=plural,
            need_attention=need_attention,
            nonce=secrets.token_hex(16),
            data=Markup(f'{{"words":{words},"packed":{json_text(packed)}}}'),  # noqa: S704 - JSON without a "<"
        )

    def _packed(self, room: int) -> tuple[int, list[str]]:
        """Return how many rows fit, and their chunks, those of the first rank first."""
        kept = 0
        packed = []
        for rows, chunk in (found for rank in self._ranks for found in rank.chunks()):
            room -= len(chunk)
            if room < 0:
                break
            kept += rows
            packed.append(chunk)
        return kept, packed


class _PackedRows:
    """Rows compressed some thousand at a time, in base64 for a script element.

    A chunk is a JSON array of columns, which compress better than rows; row numbers are differences.
    """

    def __init__(self) -> None:
        self._chunks: list[tuple[int, str]] = []
        self._columns: list[list[Json]] = [[] for _ in range(_COLUMNS)]
        self._size = 0

    def add(self, columns: list[list[Json]]) -> None:
        """Add rows, unless the page is full of others."""
        if self._size > LIMIT:
            return
        for column, more in zip(self._columns, columns, strict=True):
            column += more
        if len(self._columns[0]) >= _CHUNK:
            self._pack()

    def _pack(self) -> None:
        numbers = self._columns[_NUMBER]
        self._columns[_NUMBER] = [number - before for before, number in pairwise([0, *numbers])]
        chunk = b64encode(zlib.compress(to_json(self._columns), _COMPRESSION)).decode()
        self._chunks.append((len(numbers), chunk))
        self._size += len(chunk)
        self._columns = [[] for _ in self._columns]

    def chunks(self) -> list[tuple[int, str]]:
        """Return all chunks: number of rows, and their text."""
        if self._columns[0]:
            self._pack()
        return self._chunks


def write_plan_page(
    path: Path,
    lines: Iterable[Sequence[Cells]],
    plan: Mapping[str, Json],
    info: Mapping[str, Json],
    *,
    name_of: NameOf = no_name,
) -> None:
    """Write a plan as a page; `plan` is its JSON, `info` what a ledger would keep of the run. Raises UsageError."""
    page = Page(name_of)
    for some in lines:
        page.add(some)
    rest = "`usersync plan FILE -o plan.json` saves every row."
    try:
        write_whole(path, page.render(plan, info, rest=rest))
    except OSError as error:
        raise UsageError(
            f"{path}: the page cannot be written: {error.strerror}; name another file with --html"
        ) from None


@cache  # compiling it takes longer than a small run, and a program or a test may write many pages
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader  # slow to import, and needed only at the end of a run

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")


def _code(code_and_status: tuple[str, str]) -> str:
    """Return the code that a page shows; of a row that needs attention and has none, its status."""
    code, status = code_and_status
    return code or (status if Status(status).needs_attention else "")


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _cell(value: Json) -> Json:
    """Return text as text, nothing as null, any other value as JSON text in a list: a browser rounds numbers."""
    if isinstance(value, str):
        return _clipped(value)
    return None if value is None else [_clipped(json_text(value))]
