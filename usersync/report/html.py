"""Write the rows of a run or a plan as one page for people, which fetches nothing."""

from __future__ import annotations

import json
import secrets
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import yaml

from usersync.errors import UsageError
from usersync.loader.row_names import NameOf, name_of_row, no_name
from usersync.models import Json, Row, Status, TimeSlice, json_text, owner_of
from usersync.report.summary import write_whole
from usersync.report.timeline_chart import chart_of
from usersync.report.wording import OWNER_NAMES, OWNER_REMEDIES, STATUS_MEANINGS, need_attention, plural

#: Bytes of packed rows in a page: what a phone opens and a mail server lets through; the rest is in report.csv.
LIMIT: Final = 4_500_000
#: Where the row number stands among the cells of a row.
_NUMBER: Final = 3
#: Rows that are packed together.
_CHUNK: Final = 2_000
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


class Page:
    """Collect rows, packed as they come, and render the page."""

    def __init__(self, name_of: NameOf = no_name) -> None:
        self._name_of = name_of
        self._words: dict[str, int] = {}
        #: Rows that need attention or were not sent, changed ones, and the rest.
        self._ranks = (_PackedRows(), _PackedRows(), _PackedRows())
        self._fields: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], list[tuple[int, str, str]]] = {}

    def add(self, row: Row) -> None:
        """Take a row in."""
        name = _clipped(name_of_row(row, self._name_of))
        if row.status.needs_attention:
            self._count_reason(row, name)
        if row.status in _CHANGED and row.changed:
            self._fields.update(row.changed.split(";"))
        self._ranks[_RANKS[row.status]].add(self._cells(row, name))

    def _count_reason(self, row: Row, name: str) -> None:
        reason = (owner_of(row.first_code).value, row.first_code or row.status.value)
        self._reasons[reason] += 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append((row.row, name, _clipped(row.reason)))

    def _cells(self, row: Row, name: str) -> tuple[Json, ...]:
        """Return the cells of a row, in the order that page.html reads."""
        place = f"{row.file}, {row.sheet}" if row.sheet else row.file
        code = row.code or (row.status.value if row.status.needs_attention else "")
        old = json.loads(row.old) if row.old else {}
        new = json.loads(row.new) if row.new else {}
        changes = [[self._word(field), _cell(old[field]) if field in old else 0, _cell(new[field])] for field in new]
        words = (self._word(place), self._word(row.status), self._word(code))
        return (*words, row.row, _clipped(row.id), name, _clipped(row.reason), changes)

    def _word(self, text: str) -> int:
        return self._words.setdefault(text, len(self._words))

    def render(
        self, summary: Mapping[str, Json], info: Mapping[str, Json], *, timeline: Sequence[TimeSlice] = (), rest: str
    ) -> str:
        """Return the page.

        `summary` is what a summary or a plan gives as JSON, `info` what the ledger keeps of the run; `rest` says
        where the rows are for which the page has no room.
        """
        from jinja2 import Environment, FileSystemLoader  # slow to import, and needed only at the end of a run
        from markupsafe import Markup  # as above

        words = json_text(list(self._words)).replace("<", "\\u003c")  # nothing may end the page's script element
        kept, packed = self._packed(LIMIT - len(words.encode()))
        environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        return environment.get_template("page.html").render(
            summary=summary,
            info=info,
            fields=Counter(summary.get("fields") or self._fields).most_common(),
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
        self._rows: list[tuple[Json, ...]] = []
        self._size = 0

    def add(self, row: tuple[Json, ...]) -> None:
        """Add a row, unless the page is full of others."""
        if self._size > LIMIT:
            return
        self._rows.append(row)
        if len(self._rows) == _CHUNK:
            self._pack()

    def _pack(self) -> None:
        columns = [list(column) for column in zip(*self._rows, strict=True)]
        numbers = columns[_NUMBER]
        columns[_NUMBER] = [number - before for before, number in pairwise([0, *numbers])]
        chunk = b64encode(zlib.compress(json_text(columns).encode("utf-8", "replace"), 9)).decode()
        self._chunks.append((len(numbers), chunk))
        self._size += len(chunk)
        self._rows = []

    def chunks(self) -> list[tuple[int, str]]:
        """Return all chunks: number of rows, and their text."""
        if self._rows:
            self._pack()
        return self._chunks


def write_plan_page(
    path: Path,
    rows: Iterable[Row],
    plan: Mapping[str, Json],
    info: Mapping[str, Json],
    *,
    name_of: NameOf = no_name,
) -> None:
    """Write a plan as a page; `plan` is its JSON, `info` what a ledger would keep of the run. Raises UsageError."""
    page = Page(name_of)
    for row in rows:
        page.add(row)
    rest = "`usersync plan FILE -o plan.json` saves every row."
    try:
        write_whole(path, page.render(plan, info, rest=rest))
    except OSError as error:
        raise UsageError(
            f"{path}: the page cannot be written: {error.strerror}; name another file with --html"
        ) from None


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _cell(value: Json) -> Json:
    """Return text as text, nothing as null, any other value as JSON text in a list: a browser rounds numbers."""
    if value is None:
        return None
    return _clipped(value) if isinstance(value, str) else [_clipped(json_text(value))]
