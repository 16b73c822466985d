"""Recognize UTF-8 that was read in another encoding, as in JÃ¼rgen for Jürgen."""
# ruff: noqa: RUF001 - characters that are easily taken for others are what this module is about

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

#: Letters and signs beyond ASCII that names and texts hold.
_LATIN: Final = "".join(map(chr, chain(range(0xA0, 0x180), (0x219, 0x21B, 0x218, 0x21A))))
_CYRILLIC: Final = "".join(map(chr, chain(range(0x410, 0x450), (0x401, 0x451))))
_GREEK: Final = "".join(map(chr, range(0x391, 0x3CF)))
_SIGNS: Final = "‘’‚“”„–—…•™€‹›\u200b\ufeff"
#: Encodings in which UTF-8 is read by mistake, and the characters to look for in each: Windows, old Macs, consoles.
_MISTAKES: Final = (
    ("latin-1", _LATIN + _CYRILLIC + _GREEK),
    ("cp1252", _LATIN + _CYRILLIC + _GREEK + _SIGNS),
    ("cp1250", _LATIN + _SIGNS),
    ("mac_roman", _LATIN),
    ("cp437", _LATIN),
    ("cp850", _LATIN),
)
#: What may end a quotation: after a capital such as Ã it is damage only where a letter follows.
_CLOSING: Final = frozenset("’”»›…–—™ \u00a0")


def _misread(characters: str, encoding: str) -> Iterator[str]:
    for character in characters:
        try:
            yield character.encode().decode(encoding)
        except UnicodeDecodeError:
            continue


def _pairs(mistakes: Iterable[tuple[str, str]]) -> list[str]:
    """Return a pattern for each character that can begin a misread letter: that one, and what may follow it."""
    tails: defaultdict[str, set[str]] = defaultdict(set)
    for encoding, characters in mistakes:
        for text in _misread(characters, encoding):
            tails[text[0]].add(text[1:])
    return [f"{re.escape(lead)}(?:{'|'.join(_alternatives(found))})" for lead, found in sorted(tails.items())]


def _alternatives(tails: set[str]) -> Iterator[str]:
    single = "".join(sorted(tail for tail in tails - _CLOSING if len(tail) == 1))
    if single:
        yield f"[{re.escape(single)}]"
    closing = "".join(sorted(tails & _CLOSING))
    if closing:
        yield rf"[{re.escape(closing)}](?=[^\W\d_])"
    yield from sorted(re.escape(tail) for tail in tails if len(tail) > 1)


_WESTERN: Final = _pairs(_MISTAKES)
#: Cyrillic in the Cyrillic encoding of Windows, two letters at least: a single pair of characters can be Ukrainian.
_PAIR: Final = _pairs([("cp1251", _CYRILLIC)])
_CYRILLIC_TWICE: Final = [f"{pair}(?:{'|'.join(_PAIR)})" for pair in _PAIR]
#: The à of "voilà" whose no-break space is lost.
_LOST_SPACE: Final = r"Ã(?<=[a-z]Ã)(?=[ \u00a0]|$)"
#: Pattern of letters damaged in that way. Each branch begins with one character, so that a search for it is quick.
MISREAD: Final = "|".join((*_WESTERN, *_CYRILLIC_TWICE, _LOST_SPACE))
#: Pattern of four accented letters in a row: Cyrillic or Greek read as Western European. Written out, again for speed.
ACCENTED_RUN: Final = "[À-ÖØ-öø-ÿ]" * 4
