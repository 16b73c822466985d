"""Bytes of UTF-8 and a place in, the one record that is written there out: exact, and never guessing."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SWAP = {10: 13, 13: 10}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a text file is written."""

    delimiter: str
    quote: str | None = '"'
    """None: no character is a quote."""
    backslash: bool = False
    """Whether a backslash escapes; a doubled quote is a quote either way."""
    swapped: bool = False
    """A file of CR line ends is read with CR and LF exchanged; its cells are exchanged back."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the grammar makes of one place: cells, or the flaw that it stopped at."""

    cells: tuple[str, ...] | None
    end: int
    """Offset behind the last cell, where a line end or the end of the text stands."""
    flaw: str = ""
    unclosed: bool = False
    """The text ended inside quotes: a later line may close them."""
    before: int = 0
    """Cells that were read before the flaw."""


class Grammar:
    """RFC 4180 under a dialect, and not a byte more."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.delimiter = dialect.delimiter.encode("ascii")
        self.quote = (dialect.quote or "").encode("ascii")
        d, q = re.escape(self.delimiter), re.escape(self.quote)
        slash = rb"\\" if dialect.backslash else b""
        escaped = rb"|\\[\\" + d + q + b"]" if slash else b""
        end = b"(?=" + d + (rb"|\n" if dialect.swapped else rb"|\r?\n") + rb"|\Z)"
        plain = b"(?:[^" + d + q + slash + rb"\r\n]++" + escaped + b")*+"
        inside = b"(?:[^" + q + slash + b"]++|" + q + q + escaped + b")*+"
        quoted = q + inside + q
        self._cell = re.compile((b"(?:" + quoted + b"|" + plain + b")" if q else plain) + end)
        self._open = re.compile(q + inside + rb"\\?+\Z") if q else None
        self._closed = re.compile(quoted) if q else None
        self._plain = re.compile(plain)
        self.bare = re.compile(b"[^" + d + q + b"]++" + (q + b"?" if q else b""))
        """A line of one cell, without quotes but maybe at its end."""
        self._escape = re.compile(rb"\\(.)", re.DOTALL)

    def read(self, data: bytes, start: int, stop: int) -> Reading:
        """Read the record at `start`; nothing behind `stop` is looked at."""
        raw, position = [], start
        while found := self._cell.match(data, position, stop):
            raw.append(found[0])
            position = found.end()
            if position >= stop or data[position] != self.delimiter[0]:
                return Reading(tuple(map(self._text, raw)), position)
            position += 1
        return self._stopped(data, position, stop, len(raw) + 1)

    def _text(self, raw: bytes) -> str:
        if self.quote and raw.startswith(self.quote):
            raw = raw[1:-1]
            if not self.dialect.backslash:
                raw = raw.replace(self.quote * 2, self.quote)
            else:
                raw = re.sub(rb"\\(.)|" + self.quote * 2, lambda m: m[1] or self.quote, raw)
        elif self.dialect.backslash:
            raw = self._escape.sub(rb"\1", raw)
        text = raw.decode("utf-8")
        return text.translate(_SWAP) if self.dialect.swapped else text

    def _stopped(self, data: bytes, position: int, stop: int, cell: int) -> Reading:
        quote = self.dialect.quote
        if self._open and self._open.match(data, position, stop):
            flaw = f"the {quote} that opens cell {cell} is never closed; close it, or take it away"
            return Reading(None, stop, flaw, True, cell - 1)
        closed = self._closed and self._closed.match(data, position, stop)
        place = closed or self._plain.match(data, position, stop)
        at = data[place.end() : place.end() + 1] if place else b""
        if at in (b"\r", b"\n"):
            flaw = f"a lone line-end character stands in cell {cell}; put the cell in quotes"
        elif closed:
            flaw = f"text follows the {quote} that closes cell {cell}; double the {quote} inside the cell"
        elif at == self.quote and place and place.end() > position:
            flaw = f"a stray {quote} stands in cell {cell}; put the cell in quotes and double the {quote} inside"
        else:
            flaw = f"a \\ in cell {cell} escapes nothing that needs it; write \\\\ for a backslash"
        return Reading(None, position, flaw)
