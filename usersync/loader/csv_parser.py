"""Parse one CSV record strictly: RFC 4180 under a dialect."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Delimiters that are tried, with their names in messages.
DELIMITERS = {",": ",", ";": ";", "\t": "tab", "|": "|"}
_SWAP = {10: 13, 13: 10}
#: What letters stand for after a backslash; any other character stands for itself.
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a text file is written."""

    delimiter: str
    quote: str | None = '"'
    """None: no character is a quote."""
    backslash: bool = False
    """Whether a backslash escapes; a doubled quote is one quote either way."""
    letter_escapes: bool = False
    r"""Whether \n, \t and \r stand for a line break, a tab and a carriage return."""
    swapped: bool = False
    """Whether CR and LF are exchanged, which makes LF the line end of an old Mac's file; cells are exchanged back."""

    @property
    def delimiter_name(self) -> str:
        """What messages call the delimiter."""
        return DELIMITERS.get(self.delimiter, self.delimiter)


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
    """Parses records of one dialect.

    Two liberties are taken where no other reading is possible: blanks beside the quotes of a cell do not count, and
    an unquoted cell may hold pairs of quotes around words (`Team "North"`) and inch marks (`27" screen`).
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.delimiter = dialect.delimiter.encode("ascii")
        self.quote = (dialect.quote or "").encode("ascii")
        d, q = re.escape(self.delimiter), re.escape(self.quote)
        slash = rb"\\" if dialect.backslash else b""
        letters = b"ntr" if dialect.letter_escapes else b""
        escaped = rb"|\\[\\'\"" + letters + d + q + b"]" if slash else b""
        end = b"(?=" + d + (rb"|\n" if dialect.swapped else rb"|\r?\n") + rb"|\Z)"
        plain = b"(?:[^" + d + q + slash + rb"\r\n]++" + escaped + b")*+"
        inside = b"(?:[^" + q + slash + b"]++|" + q + q + escaped + b")*+"
        blank = b" *+" if self.delimiter == b"\t" else rb"[ \t]*+"
        quoted = blank + q + inside + q + blank
        self._cell = re.compile((b"(?:" + quoted + b"|" + plain + b")" if q else plain) + end)
        self._open = re.compile(blank + q + inside + rb"\\?+\Z") if q else None
        self._closed = re.compile(quoted) if q else None
        self._plain = re.compile(plain)
        self._with_quotes = re.compile(_quotes_inside(d, end)) if q == b'"' and not slash else None
        #: A line of one cell, without quotes except at its end.
        self.bare = re.compile(b"[^" + d + q + b"]++" + (q + b"?" if q else b""))
        self._escape = re.compile(rb"\\(.)" + (b"|" + q + q if q else b""), re.DOTALL)

    def parse(self, data: bytes, start: int, stop: int) -> ParsedRecord:
        """Parse the record at `start`; nothing from `stop` on is looked at."""
        raw, position = [], start
        while found := self._match_cell(data, position, stop):
            raw.append(found[0])
            position = found.end()
            if position >= stop or data[position] != self.delimiter[0]:
                return ParsedRecord(tuple(map(self._text, raw)), position)
            position += 1
        return self._failed(data, position, stop, len(raw) + 1)

    def _match_cell(self, data: bytes, position: int, stop: int) -> re.Match[bytes] | None:
        found = self._cell.match(data, position, stop)
        if found is None and self._with_quotes:
            return self._with_quotes.match(data, position, stop)
        return found

    def _text(self, raw: bytes) -> str:
        stripped = raw.strip(b" \t")
        is_quoted = bool(self.quote) and stripped.startswith(self.quote)
        if is_quoted:
            raw = stripped[1:-1]
        if self.dialect.backslash:
            raw = self._escape.sub(self._unescape if is_quoted else self._unescape_plain, raw)
        elif is_quoted:
            raw = raw.replace(self.quote * 2, self.quote)
        text = raw.decode("utf-8")
        return text.translate(_SWAP) if self.dialect.swapped else text

    def _unescape(self, found: re.Match[bytes]) -> bytes:
        return _ESCAPES.get(found[1], found[1]) if found[1] else self.quote

    @staticmethod
    def _unescape_plain(found: re.Match[bytes]) -> bytes:
        return _ESCAPES.get(found[1], found[1]) if found[1] else found[0]

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


def _quotes_inside(delimiter: bytes, end: bytes) -> bytes:
    """Return the pattern of an unquoted cell with quotes around words in it, or inch marks after numbers."""
    text = b"[^" + delimiter + rb"\"\r\n]"
    word = rb"(?<=[\s(\[{/=:\-])\"" + text + rb"++\"(?=[\s)\]}.,;:!?\-]|\Z|" + delimiter + b")"
    inch = rb"(?<=\d)\"(?=[ )])"
    return text + b"(?:" + text + b"++|" + word + b"|" + inch + b")*+" + end
