"""The lines of a run or a plan in, one page for people out: whole in itself, fetching nothing."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from usersync.errors import UsageError
from usersync.models import Json, Line, Status, TimeSlice, owner_of
from usersync.report.timeline_chart import drawn

LIMIT = 3_400_000
"""Bytes of rows in a page: what a phone opens and a mail server lets through; the rest is in report.csv."""
_NEEDED = (Status.REJECTED, Status.FAILED, Status.CONFLICT, Status.UNKNOWN, Status.NOT_SENT)
_CHANGED = (Status.UPDATED, Status.PLANNED)
_LONGEST = 300
"""Characters of one text that are shown."""
_EXAMPLES = 3

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Page:
    """Looks at lines as they pass, keeps as many as a page can hold, and makes the page of them."""

    def __init__(self) -> None:
        self._words: dict[str, int] = {}
        self._rows: tuple[list[tuple[int, str]], ...] = ([], [], [])
        """Key and JSON of the rows that need a person, of the changed ones, and of the rest."""
        self._room = [LIMIT] * 3
        self._fields: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], list[tuple[int, str]]] = {}

    def noting(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Pass lines on, taking in what the page tells of them."""
        for line in lines:
            self._note(line)
            yield line

    def _note(self, line: Line) -> None:
        rank = 0 if line.status in _NEEDED else 1 if line.status in _CHANGED else 2
        if rank == 0:
            code = line.code.partition(";")[0]
            reason = (owner_of(code).value, code or line.status.value)
            self._reasons[reason] += 1
            if len(examples := self._examples.setdefault(reason, [])) < _EXAMPLES:
                examples.append((line.row, _clipped(line.message)))
        if rank == 1 and line.changed:
            self._fields.update(line.changed.split(";"))
        if self._room[rank] > 0:
            row = self._row(line)
            self._room[rank] -= len(row.encode()) + 2
            self._rows[rank].append((line.key, row))

    def _row(self, line: Line) -> str:
        place = f"{line.file}, {line.sheet}" if line.sheet else line.file
        code = line.code or (line.status.value if line.status in _NEEDED else "")
        old, new = json.loads(line.old or "{}"), json.loads(line.new or "{}")
        changes = [[self._word(name), _cell(old[name]) if name in old else 0, _cell(new[name])] for name in new]
        name = _clipped(line.name or line.email or "")
        words = (self._word(place), self._word(line.status), self._word(code))
        row = (*words, line.row, _clipped(line.id), name, _clipped(line.message), changes)
        return _compact(row).replace("<", "\\u003c")  # nothing may end the page's script element

    def _word(self, text: str) -> int:
        return self._words.setdefault(text, len(self._words))

    def text(
        self, told: Mapping[str, Json], head: Mapping[str, Json], *, timeline: Sequence[TimeSlice] = (), rest: str
    ) -> str:
        """Make the page.

        `told` is what a summary or a plan gives as JSON, `head` what the ledger keeps of the run's head; `rest`
        says where the rows are for which the page has no room.
        """
        import yaml
        from jinja2 import Environment, FileSystemLoader
        from markupsafe import Markup

        words = _compact(list(self._words)).replace("<", "\\u003c")
        rows = self._kept(LIMIT - len(words.encode()))
        data = "".join(('{"words":', words, ',"rows":[\n', ",\n".join(rows), "\n]}"))
        environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        return environment.get_template("page.html").render(
            told=told,
            head=head,
            fields=Counter(told.get("fields") or self._fields).most_common(),
            reasons=[(*reason, n, self._examples[reason]) for reason, n in self._reasons.most_common()],
            needed=self._reasons.total(),
            timeline=drawn(timeline) if timeline else None,
            settings=yaml.safe_dump(head.get("settings", {}), sort_keys=False, allow_unicode=True),
            statuses=[status.value for status in Status],
            kept=len(rows),
            rest=rest,
            nonce=secrets.token_hex(16),
            data=Markup(data),  # noqa: S704 - JSON without a "<"
        )

    def _kept(self, room: int) -> list[str]:
        kept = []
        for key, row in (found for rank in self._rows for found in rank):
            room -= len(row.encode()) + 2
            if room < 0:
                break
            kept.append((key, row))
        return [row for _, row in sorted(kept)]


def write_plan_page(path: Path, lines: Iterable[Line], told: Mapping[str, Json], head: Mapping[str, Json]) -> None:
    """Write a plan as a page. Raises UsageError where that cannot be."""
    page = Page()
    for _ in page.noting(lines):
        pass
    rest = "`usersync plan FILE -o plan.json` holds every row."
    try:
        path.write_text(page.text(told, head, rest=rest), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path}: the page cannot be written: {error.strerror}; name another place after --html"
        ) from None


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _cell(value: Json) -> Json:
    """Give text as text, nothing as null, and of any other value its JSON in a list: a browser rounds numbers."""
    return _clipped(value) if isinstance(value, str) else value if value is None else [_clipped(_compact(value))]
