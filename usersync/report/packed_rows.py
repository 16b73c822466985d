"""Pack the rows of a page: some thousand at a time, compressed, in base64."""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from pydantic_core import from_json, to_json

from usersync.models import Json, json_text

#: Position of the row number among the columns.
_NUMBER: Final = 3
#: How many columns are encoded here; two more, the old and the new values, are JSON in the ledger already.
_ENCODED: Final = 7
#: The fewest rows that are packed together; and the most bytes of a chunk with more than one row.
_CHUNK: Final = 2_000
_LARGEST_CHUNK: Final = 500_000
#: The level of zlib: level 6 takes three times as long to save a tenth.
_COMPRESSION: Final = 3
#: The most characters of one text that are shown.
_LONGEST: Final = 300
#: Values that a browser would show in another way: lists and objects, and numbers that it would round or write anew.
_ALTERED: Final = re.compile(r": ?-?(?:[\[{NI]|\d+[.eE]|\d{16})")


class PackedRows:
    """Rows compressed some thousand at a time, in base64 for a script element.

    A chunk is a JSON array of columns, which compress better than rows; row numbers are differences.
    """

    def __init__(self) -> None:
        self._chunks: list[tuple[int, str]] = []
        self._clear()

    def _clear(self) -> None:
        self._columns: list[list[Json]] = [[] for _ in range(_ENCODED)]
        self._old: list[str] = []
        self._new: list[str] = []

    def add(self, columns: Sequence[Sequence[Json]], old: Sequence[str], new: Sequence[str]) -> None:
        """Add rows: columns to encode, and the old and the new values, each as a JSON object or empty."""
        for column, more in zip(self._columns, columns, strict=True):
            column += more
        self._old += _readable(old)
        self._new += _readable(new)
        if len(self._columns[0]) >= _CHUNK:
            self._pack()

    def _pack(self) -> None:
        self._chunks += _packed(self._columns, (self._old, self._new))
        self._clear()

    def chunks(self) -> list[tuple[int, str]]:
        """Return all chunks: number of rows, and their text."""
        if self._columns[0]:
            self._pack()
        return self._chunks


def _packed(columns: Sequence[Sequence[Json]], values: Sequence[Sequence[str]]) -> Iterator[tuple[int, str]]:
    """Yield rows as one chunk, or as several where that would be too large: number of rows, and their text."""
    numbers = columns[_NUMBER]
    differences = [number - before for before, number in pairwise([0, *numbers])]
    encoded = to_json([*columns[:_NUMBER], differences, *columns[_NUMBER + 1 :]])[1:-1].decode()
    texts = ",".join([encoded, *(f"[{','.join(some)}]" for some in values)])
    chunk = b64encode(zlib.compress(f"[{texts}]".encode(), _COMPRESSION)).decode()
    half = len(numbers) // 2
    if len(chunk) <= _LARGEST_CHUNK or not half:
        yield len(numbers), chunk
        return
    for part in (slice(half), slice(half, None)):
        yield from _packed([column[part] for column in columns], [some[part] for some in values])


def clipped(text: str) -> str:
    """Return a text, cut where it is too long to be shown."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def clipped_all(texts: Sequence[str]) -> Sequence[str]:
    """Return texts, each cut where it is too long to be shown."""
    return list(map(clipped, texts)) if max(map(len, texts)) > _LONGEST else texts


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
        return clipped(value)
    return None if value is None else [clipped(json_text(value))]
