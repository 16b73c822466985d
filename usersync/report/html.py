"""Write the rows of a run or a plan as one page for people, which fetches nothing."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from usersync.errors import UsageError
from usersync.models import Json, Row, Status, TimeSlice, json_text, owner_of
from usersync.report.summary import write_whole
from usersync.report.timeline_chart import chart_of
from usersync.report.wording import OWNER_NAMES, OWNER_REMEDIES, need_attention, plural

#: Bytes of rows in a page: what a phone opens and a mail server lets through; the rest is in report.csv.
LIMIT: Final = 3_400_000
#: Characters of one text that are shown.
_LONGEST: Final = 300
#: Rows that are shown with each reason.
_EXAMPLES: Final = 3
_CHANGED: Final = (Status.UPDATED, Status.PLANNED)


class Page:
    """Collect rows, as many as a page can hold, and render the page."""

    def __init__(self) -> None:
        self._words: dict[str, int] = {}
        #: Key and JSON of the rows that need attention or were not sent, of the changed ones, and of the rest.
        self._rows: tuple[list[tuple[int, str]], ...] = ([], [], [])
        self._room = [LIMIT] * 3
        self._fields: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], list[tuple[int, str]]] = {}

    def add(self, row: Row) -> None:
        """Take a row in."""
        if row.status.needs_attention:
            self._count_reason(row)
        if row.status in _CHANGED and row.changed:
            self._fields.update(row.changed.split(";"))
        rank = _rank(row.status)
        if self._room[rank] > 0:
            text = self._encode(row)
            self._room[rank] -= len(text.encode()) + 2
            self._rows[rank].append((row.key, text))

    def _count_reason(self, row: Row) -> None:
        reason = (owner_of(row.first_code).value, row.first_code or row.status.value)
        self._reasons[reason] += 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append((row.row, _clipped(row.reason)))

    def _encode(self, row: Row) -> str:
        place = f"{row.file}, {row.sheet}" if row.sheet else row.file
        code = row.code or (row.status.value if row.status.needs_attention else "")
        old = json.loads(row.old or "{}")
        new = json.loads(row.new or "{}")
        changes = [[self._word(name), _cell(old[name]) if name in old else 0, _cell(new[name])] for name in new]
        name = _clipped(row.name or row.email or "")
        words = (self._word(place), self._word(row.status), self._word(code))
        cells = (*words, row.row, _clipped(row.id), name, _clipped(row.reason), changes)
        return _in_script(json_text(cells))

    def _word(self, text: str) -> int:
        return self._words.setdefault(text, len(self._words))

    def render(
        self, summary: Mapping[str, Json], info: Mapping[str, Json], *, timeline: Sequence[TimeSlice] = (), rest: str
    ) -> str:
        """Return the page.

        `summary` is what a summary or a plan gives as JSON, `info` what the ledger keeps of the run; `rest` says
        where the rows are for which the page has no room.
        """
        import yaml
        from jinja2 import Environment, FileSystemLoader
        from markupsafe import Markup

        words = _in_script(json_text(list(self._words)))
        rows = self._kept(LIMIT - len(words.encode()))
        data = "".join(('{"words":', words, ',"rows":[\n', ",\n".join(rows), "\n]}"))
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
            statuses=[status.value for status in Status],
            kept=len(rows),
            rest=rest,
            n=plural,
            need_attention=need_attention,
            nonce=secrets.token_hex(16),
            data=Markup(data),  # noqa: S704 - JSON without a "<"
        )

    def _kept(self, room: int) -> list[str]:
        """Return the rows that fit, in input order; those of the first rank fit first."""
        kept = []
        for key, text in (found for rank in self._rows for found in rank):
            room -= len(text.encode()) + 2
            if room < 0:
                break
            kept.append((key, text))
        return [text for _, text in sorted(kept)]


def write_plan_page(path: Path, rows: Iterable[Row], plan: Mapping[str, Json], info: Mapping[str, Json]) -> None:
    """Write a plan as a page; `plan` is its JSON, `info` what a ledger would keep of the run. Raises UsageError."""
    page = Page()
    for row in rows:
        page.add(row)
    rest = "`usersync plan FILE -o plan.json` saves every row."
    try:
        write_whole(path, page.render(plan, info, rest=rest))
    except OSError as error:
        raise UsageError(
            f"{path}: the page cannot be written: {error.strerror}; name another file with --html"
        ) from None


def _rank(status: Status) -> int:
    if status.needs_attention or status is Status.NOT_SENT:
        return 0
    return 1 if status in _CHANGED else 2


def _in_script(text: str) -> str:
    """Escape JSON so that nothing in it ends the page's script element."""
    return text.replace("<", "\\u003c")


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _cell(value: Json) -> Json:
    """Return text as text, nothing as null, any other value as JSON text in a list: a browser rounds numbers."""
    if value is None:
        return None
    return _clipped(value) if isinstance(value, str) else [_clipped(json_text(value))]
