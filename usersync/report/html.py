"""Write the rows of a run or a plan as one page for people, which asks no network.

A page stays small enough for phones and mail servers. Rows for which it has no room are in numbered files beside it,
which it loads when somebody searches beyond what it holds.
"""

from __future__ import annotations

import re
import secrets
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import compress, pairwise
from json.encoder import encode_basestring as quoted
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import yaml
from pydantic_core import from_json, to_json

from usersync.errors import UsageError
from usersync.ledger import Cells
from usersync.loader.row_names import NameOf, best_name, no_name
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
    WHO,
    Columns,
    lines_of_attention,
    name_of_line,
    reason_of,
)
from usersync.report.summary import write_whole
from usersync.report.timeline_chart import chart_of
from usersync.report.wording import OWNER_NAMES, OWNER_REMEDIES, STATUS_MEANINGS, need_attention, plural

if TYPE_CHECKING:
    from jinja2 import Template

#: Bytes of packed rows in a page: what a phone opens and a mail server lets through; and in each file beside it.
LIMIT: Final = 4_500_000
#: Where the row number stands among the cells of a row.
_NUMBER: Final = 3
#: How many columns of a row are encoded here; two more, the old and the new values, are JSON as the ledger has it.
_ENCODED: Final = 7
#: Rows that are packed together, at least.
_CHUNK: Final = 2_000
#: How hard zlib tries: twice as hard takes three times as long, for a tenth less.
_COMPRESSION: Final = 3
#: Characters of one text that are shown.
_LONGEST: Final = 300
#: Rows that are shown with each reason.
_EXAMPLES: Final = 3
#: Values that a browser would show in another way: lists and objects, and numbers that it would round or write anew.
_ALTERED: Final = re.compile(r": ?-?(?:[\[{NI]|\d+[.eE]|\d{16})")
_CHANGED: Final = (Status.UPDATED, Status.PLANNED)
#: Status -> which rows are on the page itself where it has no room for all: 0 first.
_RANKS: Final = {
    status.value: 0 if status.needs_attention else 1 if status is Status.NOT_SENT else 2 if status in _CHANGED else 3
    for status in Status
}

Value = TypeVar("Value")


class Page:
    """Collect the lines of a report, packed as they come, and write the page."""

    def __init__(self, name_of: NameOf = no_name) -> None:
        self._name_of = name_of
        self._words: dict[str, int] = {}
        #: Rows that need attention, those not sent, changed ones, and the rest.
        self._ranks = (_PackedRows(), _PackedRows(), _PackedRows(), _PackedRows())
        self._changed: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], list[tuple[int, str, str]]] = {}

    def add(self, columns: Columns) -> None:
        """Take lines in."""
        for line in lines_of_attention(columns):
            self._count_reason(line)
        ranks = list(map(_RANKS.__getitem__, columns[STATUS]))
        for rank in set(ranks):
            ranked = columns if len(set(ranks)) == 1 else _chosen(columns, [one == rank for one in ranks])
            self._ranks[rank].add(self._encoded(ranked), ranked[OLD], ranked[NEW])
            if ranked[STATUS][0] in _CHANGED:
                self._changed.update(ranked[CHANGED])

    def _count_reason(self, line: Cells) -> None:
        reason = (line[WHO], reason_of(line))
        self._reasons[reason] += 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append((line[ROW], _clipped(name_of_line(line, self._name_of)), _clipped(line[MESSAGE])))

    def _encoded(self, columns: Columns) -> list[Sequence[Json]]:
        """Return the columns of lines, but old and new values, in the order that page.html reads."""
        return [
            self._numbered(zip(columns[FILE], columns[SHEET], strict=True), lambda at: ", ".join(filter(None, at))),
            self._numbered(columns[STATUS], str),
            self._numbered(zip(columns[CODE], columns[STATUS], strict=True), _code),
            columns[ROW],
            _clipped_all(columns[ID]),
            self._names(columns),
            _clipped_all(columns[MESSAGE]),
        ]

    def _names(self, columns: Columns) -> list[Json]:
        """Return the names of the lines; 0 where the name is the new name, which is the first of the new values."""
        names = columns[NAME]
        if not all(names):
            found = zip(names, columns[EMAIL], columns[KEY], strict=True)
            names = [best_name(*line, self._name_of) for line in found]
        starts = [f'{{"name":{quoted(name)}' for name in names]
        found = zip(_clipped_all(names), starts, columns[NEW], strict=True)
        return [0 if new.startswith(start) else name for name, start, new in found]

    def _numbered(self, values: Iterable[Value], text_of: Callable[[Value], str]) -> list[int]:
        """Return the numbers of texts of which many lines have the same."""
        values = list(values)
        numbers = {value: self._word(text_of(value)) for value in set(values)}
        return [numbers[value] for value in values]

    def _word(self, text: str) -> int:
        return self._words.setdefault(text, len(self._words))

    def _fields(self) -> Counter[str]:
        """Count the changed fields."""
        found: Counter[str] = Counter()
        for changed, lines in self._changed.items():
            found.update(dict.fromkeys(filter(None, changed.split(";")), lines))
        return found

    def write(
        self,
        path: Path,
        summary: Mapping[str, Json],
        info: Mapping[str, Json],
        *,
        timeline: Sequence[TimeSlice] = (),
        rest: str,
    ) -> None:
        """Write the page, and beside it the files of rows for which it has no room. Raises OSError.

        `summary` is what a summary or a plan gives as JSON, `info` what the ledger keeps of the run; `rest` says
        where all rows are, should those files be missing.
        """
        words = json_text(list(self._words)).replace("<", "\\u003c")  # nothing may end the page's script element
        kept, (packed, *others) = self._split(LIMIT - len(words.encode()))
        token = secrets.token_hex(8)  # no page loads the rows of another, or what somebody put beside it
        parts = [f"{path.stem}-rows-{number}-{token}.js" for number in range(2, len(others) + 2)]
        for name, chunks in zip(parts, others, strict=True):
            write_whole(path.with_name(name), f"takeRows({json_text(chunks)});\n")
        data = f'{{"words":{words},"packed":{json_text(packed)}}}'
        write_whole(path, self._render(summary, info, timeline, rest=rest, kept=kept, parts=parts, data=data))
        for old in path.parent.iterdir():
            if old.name not in parts and re.fullmatch(rf"{re.escape(path.stem)}-rows-\d+-[0-9a-f]{{16}}\.js", old.name):
                old.unlink(missing_ok=True)

    def _render(
        self,
        summary: Mapping[str, Json],
        info: Mapping[str, Json],
        timeline: Sequence[TimeSlice],
        *,
        rest: str,
        kept: int,
        parts: Sequence[str],
        data: str,
    ) -> str:
        from markupsafe import Markup  # slow to import, and needed only at the end of a run

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
            parts=parts,
            rest=rest,
            n=plural,
            need_attention=need_attention,
            nonce=secrets.token_hex(16),
            data=Markup(data),  # noqa: S704 - JSON without a "<"
        )

    def _split(self, room: int) -> tuple[int, list[list[str]]]:
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


class _PackedRows:
    """Rows compressed some thousand at a time, in base64 for a script element.

    A chunk is a JSON array of columns, which compress better than rows; row numbers are differences.
    """

    def __init__(self) -> None:
        self._chunks: list[tuple[int, str]] = []
        self._clear()

    def _clear(self) -> None:
        self._columns: list[list[Json]] = [[] for _ in range(_ENCODED)]
        self._values: tuple[list[str], list[str]] = ([], [])

    def add(self, columns: Sequence[Sequence[Json]], *values: Sequence[str]) -> None:
        """Add rows: encoded columns, and the old and the new values, each as a JSON object or empty."""
        for column, more in zip(self._columns, columns, strict=True):
            column += more
        for texts, some in zip(self._values, values, strict=True):
            texts += _readable(some)
        if len(self._columns[0]) >= _CHUNK:
            self._pack()

    def _pack(self) -> None:
        numbers = self._columns[_NUMBER]
        self._columns[_NUMBER] = [number - before for before, number in pairwise([0, *numbers])]
        columns = [to_json(self._columns)[1:-1].decode(), *(f"[{','.join(texts)}]" for texts in self._values)]
        chunk = b64encode(zlib.compress(f"[{','.join(columns)}]".encode(), _COMPRESSION)).decode()
        self._chunks.append((len(numbers), chunk))
        self._clear()

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
        page.add(list(zip(*some, strict=True)))
    try:
        page.write(path, plan, info, rest="`usersync plan FILE -o plan.json` saves every row.")
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


def _code(code_and_status: tuple[str, str]) -> str:
    """Return the code that a page shows; of a row that needs attention and has none, its status."""
    code, status = code_and_status
    return code or (status if Status(status).needs_attention else "")


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _clipped_all(texts: Sequence[str]) -> Sequence[str]:
    return list(map(_clipped, texts)) if max(map(len, texts)) > _LONGEST else texts


def _readable(texts: Sequence[str]) -> Sequence[str]:
    """Return JSON objects, or empty texts, as texts that a browser reads as they are meant; most are so already."""
    if not all(texts):
        texts = [text or "{}" for text in texts]
    if _is_plain("\n".join(texts), longest=max(map(len, texts))):
        return texts
    return [text if _is_plain(text, longest=len(text)) else _readable_object(text) for text in texts]


def _is_plain(texts: str, *, longest: int) -> bool:
    return longest <= _LONGEST and not _ALTERED.search(texts)


def _readable_object(text: str) -> str:
    """Return an object whose texts are clipped, and whose other values are JSON text, each in a list."""
    return json_text({name: _cell(value) for name, value in from_json(text).items()})


def _cell(value: Json) -> Json:
    """Return text as text, nothing as null, any other value as JSON text in a list: a browser rounds numbers."""
    if isinstance(value, str):
        return _clipped(value)
    return None if value is None else [_clipped(json_text(value))]
