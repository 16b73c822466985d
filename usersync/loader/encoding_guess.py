"""Guess the encoding of text that is not Unicode, or list the candidates.

An encoding is plausible if the words with letters beyond ASCII look like words, and if one language (for
Windows-1252: western Europe) uses all those letters. A guess is safe if no other plausible encoding gives
another text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

_WESTERN = "äöüßÄÖÜẞéèêëàâçîïôùûœæåøñáíóúãõìòÉÈÊÀÂÇÎÔÛŒÆÅØÑÁÍÓÚÃÕª"
#: Characters between words: quotes, dashes, currencies and the like.
_MARKS = (
    "\u00a0\u00a1\u00a7\u00a9\u00ab\u00ae\u00b0\u00b1\u00b2\u00b3\u00b4\u00b5\u00b7\u00ba\u00bb\u00bc\u00bd\u00be"
    "\u00bf\u00a3\u00d7\u2013\u2014\u2018\u2019\u201a\u201c\u201d\u201e\u2022\u2026\u20ac\u2122"
)
_WORDS_OF_ONE = "àáèéòóÀ"
_LANGUAGES = {
    "German": "äöüß",
    "French": "éèêëàâçîïôùûüœæ",
    "Spanish": "áéíóúüñªº",
    "Portuguese": "áàâãçéêíóôõúü",
    "Italian": "àèéìíîòóùú",
    "Nordic": "åäöæøéü",
    "Icelandic": "áéíóúýþðæö",
    "Dutch": "éèëïöüóáê",
    "Polish": "ąćęłńóśźż",
    "Czech": "áčďéěíňóřšťúůýž",
    "Slovak": "áäčďéíĺľňóôŕšťúýž",
    "Hungarian": "áéíóöőúüű",
    "Croatian": "čćđšž",
    "Romanian": "ăâîşţșț",
    "Turkish": "çğıöşüâîûİ",
    "Estonian": "äöüõšž",
    "Latvian": "āčēģīķļņšūž",
    "Lithuanian": "ąčęėįšųūž",
}
#: A language's most frequent letters beyond ASCII.
_FREQUENT = {
    "Polish": "łąęśżó",
    "Czech": "áíšžěřý",
    "Slovak": "áíšžýľ",
    "Croatian": "ćšžđ",
    "Romanian": "ăşţ",
    "Latvian": "āīēš",
    "Lithuanian": "ėųšž",
}
#: Among so many different words one of those letters is expected; without it, the language is ruled out.
_ENOUGH = 8
_LATIN = {
    "cp1250": ("Polish", "Czech", "Slovak", "Hungarian", "Croatian", "Romanian", "German"),
    "iso8859_2": ("Polish", "Czech", "Slovak", "Hungarian", "Croatian", "Romanian", "German"),
    "cp1252": ("German", "French", "Spanish", "Portuguese", "Italian", "Nordic", "Icelandic", "Dutch"),
    "iso8859_15": ("French",),
    "cp1254": ("Turkish",),
    "cp1257": ("Polish", "Estonian", "Latvian", "Lithuanian"),
    "cp857": ("Turkish",),
    "cp850": ("German", "French", "Spanish", "Portuguese", "Italian", "Nordic", "Dutch"),
    "cp852": ("Polish", "Czech", "Slovak", "Hungarian", "Croatian", "Romanian"),
    "mac_roman": ("German", "French", "Spanish", "Portuguese", "Italian", "Nordic", "Dutch"),
}
_SCRIPTS = {
    "cp1251": "\u0400-\u045f",
    "koi8_r": "\u0410-\u044fёЁ",
    "cp866": "\u0410-\u044fёЁ",
    "cp1253": "\u0386-\u03ce",
    "cp1255": "\u05d0-\u05ea",
    "cp1256": "\u0621-\u064a",
    "shift_jis": "\u3005-\u30ff\u4e00-\u9fff",
    "gb18030": "\u4e00-\u9fff",
    "big5": "\u4e00-\u9fff",
    "euc_kr": "\uac00-\ud7a3\u4e00-\u9fff",
}
_WORD = re.compile(rb"[A-Za-z\x80-\xff'`]*[\x80-\xff][A-Za-z\x80-\xff'`]*")
_LINE = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")


@dataclass(frozen=True, slots=True)
class EncodingGuess:
    """The one safe encoding of some bytes, or all that are plausible."""

    safe: bool
    encoding: str = ""
    why: str = ""
    candidates: tuple[str, ...] = ()
    """Encodings, each with the letters that it gives."""


def guess_encoding(data: bytes) -> EncodingGuess:
    """Guess the encoding of bytes that are not UTF-8."""
    words = sorted(set(_WORD.findall(data)), key=lambda w: (-len(w), w))
    plausible = {name: text for name in _LATIN if (text := _latin(words, name))}
    western = plausible.get("cp1252") or _western(words)
    apart = {text: name for name, text in reversed(plausible.items()) if text != western}
    rivals = list(reversed(apart.values()))
    rivals += [name for name, script in _SCRIPTS.items() if _script(data, name, script)]
    if western and not rivals:
        return EncodingGuess(True, "cp1252", "all letters beyond ASCII are western European ones", ())
    names = (["cp1252"] if western else []) + rivals
    return EncodingGuess(False, candidates=tuple(f"{name}{_letters(data, name)}" for name in names))


def _latin(words: Iterable[bytes], encoding: str) -> tuple[str, ...] | None:
    """Decode words; None unless one language that is written in this encoding has all their letters."""
    texts = _words(words, encoding)
    if texts is None:
        return None
    letters = {c if c == "İ" else c.lower() for text in texts for c in text if c.isalpha() and not c.isascii()}
    fits = any(
        letters <= set(_LANGUAGES[language])
        and (len(texts) < _ENOUGH or letters & set(_FREQUENT.get(language, letters)) or not letters)
        for language in _LATIN[encoding]
    )
    return texts if fits else None


def _western(words: Iterable[bytes]) -> tuple[str, ...] | None:
    """Decode words as `_latin` does, for names from all over western Europe."""
    texts = _words(words, "cp1252")
    if texts is None or any(c.isalpha() and not c.isascii() and c not in _WESTERN for t in texts for c in t):
        return None
    return texts


def _words(words: Iterable[bytes], encoding: str) -> tuple[str, ...] | None:
    try:
        texts = tuple(word.decode(encoding) for word in words)
    except UnicodeDecodeError:
        return None
    dense = 2 if encoding == "cp1252" else 4
    return texts if all(_word_like(text, dense) for text in texts) else None


def _word_like(text: str, dense: int) -> bool:
    """Whether a text has the case of a word, few letters beyond ASCII in a row, and no sign inside."""
    if len(text) == 1 and text.isalpha():
        return text in _WORDS_OF_ONE
    for i, c in enumerate(text):
        if c.isascii():
            continue
        left, right = text[i - 1 : i] if i else "", text[i + 1 : i + 2]
        if not c.isalpha():
            apostrophe = c == "\u2019"
            if c not in _MARKS or (left.isalpha() and right.isalpha() and not apostrophe):
                return False
        elif right.isupper() if c.islower() else left.islower() or (left.isupper() and right.islower()):
            return False
    foreign = re.sub(r"[\x00-\x7f\W]", " ", text).split()
    return all(len(run) <= dense for run in foreign) and sum(map(len, foreign)) * dense <= max(len(text), 2) * (
        dense - 1
    )


def _script(data: bytes, encoding: str, script: str) -> bool:
    """Whether all words with letters beyond ASCII are of one other script, one of them longer than a letter."""
    inside, longest = re.compile(f"[{script}]+"), 0
    for line in _LINE.finditer(data):
        try:
            text = line[0].decode(encoding)
        except UnicodeDecodeError:
            return False
        for word in re.findall(r"[^\W\d_]+", text):
            if word.isascii():
                continue
            if not inside.fullmatch(word) or (word[:1].islower() and not word.islower()):
                return False
            longest = max(longest, len(word))
    return longest > 1


def _letters(data: bytes, encoding: str) -> str:
    """List the first letters beyond ASCII under an encoding, to choose by; not words, which may be secret."""
    text = "".join(line[0].decode(encoding, "replace") for line in islice(_LINE.finditer(data), 100))
    found = dict.fromkeys(c for c in text if c.isalpha() and not c.isascii())
    return f" ({' '.join(list(found)[:6])})" if found else ""
