"""Convert a file's bytes to UTF-8; refuse a file whose encoding is in doubt.

Bytes that cannot be decoded become U+FFFD, the replacement character. The row that holds one is rejected, also where
an earlier program has left it.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, replace

from usersync.errors import SourceError
from usersync.loader.encoding_guess import EncodingGuess, guess_encoding

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: The codec that writes an encoding with its byte-order mark.
_WITH_MARK = {"utf-8": "utf-8-sig", "utf-16-le": "utf-16", "utf-32-le": "utf-32"}
_BLOCK = 1 << 22
_REMEDY = "set source.encoding"
#: In a file that is plain ASCII otherwise, one line in so many may be damaged.
_DAMAGED_SHARE = 50


@dataclass(frozen=True, slots=True)
class DecodedText:
    """A file's text, and how its encoding was found."""

    data: bytes
    """UTF-8, valid throughout."""
    start: int
    """Where the text begins in `data`: after a byte-order mark."""
    encoding: str
    """The codec under which Python writes the text in the same way, with the mark if there was one."""
    why: str
    notes: tuple[str, ...] = ()


def to_utf8(data: bytes, *, file: str, encoding: str | None = None) -> DecodedText:
    """Decode a file, under `encoding` where it is given.

    Raises SourceError listing the candidates where several encodings are plausible, or none is.
    """
    bom = _bom(data)
    if bom and (encoding is None or _same(encoding, bom[1]) or _decodes(data[len(bom[0]) :], bom[1])):
        note = f"source.encoding says {encoding}, but the file's byte-order mark says {bom[1]}: read as that"
        text = _as_utf8(data, len(bom[0]), bom[1], file=file, why="byte-order mark", note=note)
        notes = text.notes if encoding and not _same(encoding, bom[1]) else ()
        return replace(text, encoding=_WITH_MARK.get(bom[1], bom[1]), notes=notes)
    if encoding:
        start = len(bom[0]) if bom and bom[1] == "utf-8" else 0
        return _as_utf8(data, start, _marked(encoding, data), file=file, why="source.encoding")
    wide = _wide(data)
    if wide:
        return _as_utf8(data, 0, wide, file=file, why="NUL bytes in every other place")
    if data.isascii() and not (b"\x1b" in data and b"\x1b$" in data and _decodes(data, "iso2022_jp")):
        return DecodedText(data, 0, "utf-8", "plain ASCII")
    if data.isascii():
        raise SourceError(file, f"the encoding is in doubt: it may be utf-8 or iso2022_jp; {_REMEDY}")
    if is_utf8(data):
        return DecodedText(data, 0, "utf-8", "valid UTF-8")
    return _guessed(data, file)


def is_utf8(data: bytes) -> bool:
    """Return whether all of it is valid UTF-8; checked block by block, so that no second copy is made."""
    view, at = memoryview(data), 0
    try:
        while at < len(data):
            final = at + _BLOCK >= len(data)
            at += codecs.utf_8_decode(view[at : at + _BLOCK], "strict", final)[1]
    except UnicodeDecodeError:
        return False
    return True


def _bom(data: bytes) -> tuple[bytes, str] | None:
    for mark, name in _BOMS:
        if data.startswith(mark) and (not name.startswith("utf-32") or _decodes(data[4:], name)):
            return mark, name
    return None


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeError:
        return False
    return True


def _same(one: str, other: str) -> bool:
    """Return whether two names mean one encoding; `utf-16` and `utf-8-sig` leave the byte order to the mark."""
    first, second = codecs.lookup(one).name, codecs.lookup(other).name
    return first == second or second.startswith(first + "-") or first == second + "-sig"


def _marked(encoding: str, data: bytes) -> str:
    """Find the byte order where neither the name nor a mark gives it."""
    name = codecs.lookup(encoding).name
    if name in ("utf-16", "utf-32"):
        wide = _wide(data)
        return wide if wide and wide.startswith(name) else name + "-le"
    return name.removesuffix("-sig")


def _wide(data: bytes) -> str | None:
    """Find UTF-16 or UTF-32 without a mark: many NULs, in some places only."""
    sample = data[: 1 << 16]
    if sample.count(0) * 8 < len(sample):
        return None
    size = max(len(sample) // 4, 1)
    nul = [sample[i::4].count(0) / size for i in range(4)]
    for name, full, empty in (
        ("utf-32-le", (2, 3), (0,)),
        ("utf-32-be", (0, 1), (3,)),
        ("utf-16-le", (1, 3), (0, 2)),
        ("utf-16-be", (0, 2), (1, 3)),
    ):
        least = min(nul[i] for i in full)
        if least > (0.9 if "32" in name else 0.2) and max(nul[i] for i in empty) < least / 10:
            return name
    return None


def _as_utf8(data: bytes, start: int, encoding: str, *, file: str, why: str, note: str = "") -> DecodedText:
    notes = (note,) if note else ()
    if encoding == "utf-8" and is_utf8(data):
        return DecodedText(data, start, encoding, why, notes)
    try:
        text = data[start:].decode(encoding, "replace").encode("utf-8", "replace")
    except (UnicodeError, ValueError) as error:
        raise SourceError(file, f"cannot be read as {encoding}: {error}; name another source.encoding") from None
    return DecodedText(text, 0, encoding, why, notes)


def _guessed(data: bytes, file: str) -> DecodedText:
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    valid = len(text) - len(text.encode("ascii", "ignore")) - broken
    if valid >= 2 * broken:
        note = f"read as utf-8; the rows that hold invalid bytes are rejected ({broken} found)"
        why = f"valid UTF-8 but for {broken} of {valid + broken} letters"
        return _as_utf8(data, 0, "utf-8", file=file, why=why, note=note)
    best = guess_encoding(data)
    if best.safe:
        note = f"the encoding is a guess: {best.encoding}, {best.why}; {_REMEDY} if it is wrong"
        return _as_utf8(data, 0, best.encoding, file=file, why=best.why, note=note)
    if not valid and _few(data):
        note = f"read as utf-8, but the rows that hold other bytes are rejected; {_readings(best)}; {_REMEDY}"
        return _as_utf8(data, 0, "utf-8", file=file, why=f"ASCII but for {broken} bytes", note=note)
    raise SourceError(file, f"the encoding is in doubt: {_readings(best)}; {_REMEDY}, or save the file as UTF-8")


def _few(data: bytes) -> bool:
    """Return whether so few lines hold bytes beyond ASCII that those are damage, not another encoding."""
    lines = re.split(rb"[\r\n]+", data.strip())
    odd = [i for i, line in enumerate(lines) if not line.isascii()]
    return len(lines) > 2 and 0 not in odd and len(odd) <= max(1, len(lines) // _DAMAGED_SHARE)


def _readings(best: EncodingGuess) -> str:
    if not best.candidates:
        return "the bytes fit none of the known encodings"
    return "it may be " + " or ".join(best.candidates)
