"""Parse one CSV record strictly: RFC 4180 under a dialect."""

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
    """Whether a backslash escapes; a doubled quote is one quote either way."""
    swapped: bool = False
    """Whether CR and LF are exchanged, which makes LF the line end of an old Mac's file; cells are exchanged back."""


@dataclass(frozen=True, slots=True)
class ParsedRecord:
    """The cells of a record, or the error that parsing stopped at."""

    cells: tuple[str, ...] | None
    end: int
    """Offset after the last cell, where a line end or the end of the text stands."""
    error: str = ""
    unclosed: bool = False
    """The text ended inside quotes: a later line may close them."""
    cells_before: int = 0
    """Cells that were read before the error."""


class RecordParser:
    """Parses records of one dialect."""

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
        """A line of one cell, without quotes except at its end."""
        self._escape = re.compile(rb"\\(.)", re.DOTALL)

    def parse(self, data: bytes, start: int, stop: int) -> ParsedRecord:
        """Parse the record at `start`; nothing from `stop` on is looked at."""
        raw, position = [], start
        while found := self._cell.match(data, position, stop):
            raw.append(found[0])
            position = found.end()
            if position >= stop or data[position] != self.delimiter[0]:
                return ParsedRecord(tuple(map(self._text, raw)), position)
            position += 1
        return self._failed(data, position, stop, len(raw) + 1)

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

    def _failed(self, data: bytes, position: int, stop: int, cell: int) -> ParsedRecord:
        quote = self.dialect.quote
        if self._open and self._open.match(data, position, stop):
            error = f"the {quote} that opens cell {cell} is never closed; close or remove it"
            return ParsedRecord(None, stop, error, unclosed=True, cells_before=cell - 1)
        closed = self._closed and self._closed.match(data, position, stop)
        place = closed or self._plain.match(data, position, stop)
        at = data[place.end() : place.end() + 1] if place else b""
        if at in (b"\r", b"\n"):
            error = f"cell {cell} holds a lone line-end character; put the cell in quotes"
        elif closed:
            error = f"text follows the {quote} that closes cell {cell}; double the {quote} inside the cell"
        elif at == self.quote and place and place.end() > position:
            error = f"cell {cell} holds a stray {quote}; put the cell in quotes and double the {quote} inside"
        else:
            error = f"the \\ in cell {cell} is not a valid escape; write \\\\ for a backslash"
        return ParsedRecord(None, position, error)
