"""Guess the encoding of text that is not Unicode, or list the candidates.

The words with letters beyond ASCII are what counts. An encoding is plausible if under it they look like words, each of
one language; words that another encoding than Windows-1252 reads in its own way must all be of one language, since
names from all over Europe are common in that one only. A guess is safe if all plausible encodings give the same text.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

#: Characters that may stand beside a letter: quotes, dashes and the like.
_PUNCTUATION: Final = (
    "\u00a0\u00a1\u00aa\u00ab\u00ae\u00b0\u00b4\u00b7\u00ba\u00bb\u00bf"
    "\u2013\u2014\u2018\u2019\u201a\u201c\u201d\u201e\u2022\u2026\u2122"
)
#: Characters that stand between words or after numbers: currencies, fractions and the like.
_SIGNS: Final = "\u00a3\u00a7\u00a9\u00b1\u00b2\u00b3\u00b5\u00bc\u00bd\u00be\u00d7\u20ac"
#: Words of one letter.
_WORDS_OF_ONE: Final = "àáèéòóÀ"
#: Letters before a superscript: m², km³.
_BEFORE_SUPERSCRIPT: Final = "m"
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
    "cp1252": ("German", "French", "Spanish", "Portuguese", "Italian", "Nordic", "Icelandic", "Dutch"),
    "cp1250": ("Polish", "Czech", "Slovak", "Hungarian", "Croatian", "Romanian", "German"),
    "iso8859_2": ("Polish", "Czech", "Slovak", "Hungarian", "Croatian", "Romanian", "German"),
    "iso8859_15": ("French",),
    "cp1254": ("Turkish",),
    "cp1257": ("Polish", "Estonian", "Latvian", "Lithuanian"),
    "cp850": ("German", "French", "Spanish", "Portuguese", "Italian", "Nordic", "Dutch"),
    "cp852": ("Polish", "Czech", "Slovak", "Hungarian", "Croatian", "Romanian"),
    "cp857": ("Turkish",),
    "mac_roman": ("German", "French", "Spanish", "Portuguese", "Italian", "Nordic", "Dutch"),
}
_SCRIPTS = {
    "cp1251": "\u0410-\u044fёЁ\u0404\u0406\u0407\u0454\u0456\u0457\u0490\u0491",
    "koi8_r": "\u0410-\u044fёЁ",
    "cp866": "\u0410-\u044fёЁ",
    "cp1253": "\u0386-\u03ce",
    "cp1255": "\u05d0-\u05ea",
    "cp1256": "\u0621-\u064a",
    "cp932": "\u3005-\u30ff\u4e00-\u9fff\uf900-\ufaff",
    "euc_jp": "\u3005-\u30ff\u4e00-\u9fff",
    "gb18030": "\u4e00-\u9fff",
    "big5": "\u4e00-\u9fff",
    "euc_kr": "\uac00-\ud7a3\u4e00-\u9fff",
}
#: Western languages whose letters are not those that another encoding has for the same bytes.
_DISTINCT: Final = ("German", "French", "Spanish", "Portuguese")
#: Encodings that are never guessed: other old ones, which are not known here, give words of the same bytes.
_NEVER_SAFE: Final = ("cp850", "cp852", "cp857", "mac_roman")
#: Encodings that give words of most bytes, and need more of them.
_MANY_WORDS: Final = ("cp866", "cp932", "euc_jp", "gb18030", "big5", "euc_kr")
#: Encodings whose texts have mostly letters of a smaller one: with others, the bytes are Japanese, and give Chinese
#: words of rare letters.
_USUAL_LETTERS: Final = {"gb18030": "gb2312"}
#: What may stand beside the letters of another script.
_SCRIPT_PUNCTUATION: Final = "\u00a0\u00ab\u00bb\u2013\u2014\u2026\u2116\u3001\u3002\u30fb"
#: Letters where no western language has them: õ stands before e (Simões), ñ before no consonant (Zieliñski).
_MISPLACED: Final = re.compile("õ(?!e)|Õ(?!E)|ñ(?=[b-df-hj-np-tv-z])|Ñ(?=[B-DF-HJ-NP-TV-Z])")
#: Bytes of words: letters, apostrophes and whatever is not ASCII; all other bytes end a word.
_WORD_BYTES: Final = bytes(b if chr(b).isalpha() or b >= 0x80 or b in b"'`" else 32 for b in range(256))
_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")
#: Bytes of a word, and of a line, that are looked at.
_LONGEST_WORD: Final = 50
_LONGEST_LINE: Final = 20_000
#: Bytes of lines that are enough to guess by.
_ENOUGH_TEXT: Final = 2_000_000
#: Different words that are looked at; more would not change the guess.
_MOST_WORDS: Final = 20_000
#: One word in so many may be odd: a brand, a typing error, a name from elsewhere.
_ODD_SHARE: Final = 50


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
    lines = list(_lines(data))
    words = _words(lines)
    western = _decode(words, "cp1252")
    latin: dict[tuple[str, ...], str] = {}
    for name in _LATIN:
        texts = _decode(words, name)
        if texts and _is_plausible(texts, name, western, western_is_plausible="cp1252" in latin.values()):
            latin.setdefault(texts, "cp1252" if texts == western else name)
    scripts = [name for name, script in _SCRIPTS.items() if _is_script(lines, name, script)]
    names = (*latin.values(), *scripts)
    if names == ("cp1252",) or (not scripts and _is_western_alone(latin)):
        return EncodingGuess(True, "cp1252", "all letters beyond ASCII are western European ones")
    if len(names) == 1 and _is_safe(names[0], next(iter(latin), ()), words):
        return EncodingGuess(True, names[0], f"the only known encoding that gives words{_letters(lines, names[0])}")
    return EncodingGuess(False, candidates=tuple(f"{name}{_letters(lines, name)}" for name in names))


def _is_western_alone(readings: Mapping[tuple[str, ...], str]) -> bool:
    """Return whether one western language explains all words, where any other encoding needs several languages."""
    languages = _LATIN | {"cp1252": _DISTINCT}
    return [name for texts, name in readings.items() if _has_one_language(texts, languages[name])] == ["cp1252"]


def _has_one_language(texts: Sequence[str], languages: Sequence[str]) -> bool:
    letters = set().union(*map(_letters_of, texts))
    return any(letters <= set(_LANGUAGES[language]) for language in languages)


def _is_safe(encoding: str, texts: Sequence[str], words: Sequence[bytes]) -> bool:
    """Return whether the only plausible encoding may be taken; a single word may be damage."""
    if encoding in _NEVER_SAFE or len(words) < (_ENOUGH if encoding in _MANY_WORDS else 2):
        return False
    if encoding not in _LATIN:
        return True
    letters = set().union(*map(_letters_of, texts))
    frequent = {c for language in _LATIN[encoding] for c in _FREQUENT.get(language, "")}
    beside = set(_LANGUAGES["German"]) if encoding in ("cp1250", "iso8859_2") else set()
    explained = any(letters <= set(_LANGUAGES[language]) | beside for language in _LATIN[encoding])
    return explained and (not frequent or not letters.isdisjoint(frequent))


def _lines(data: bytes) -> Iterator[bytes]:
    """Return lines that are not ASCII, cut to a readable length, up to a total that is enough to guess by."""
    total = 0
    for line in re.split(rb"[\r\n]+", data):
        first = _NOT_ASCII.search(line)
        if first:
            start = max(0, first.start() - _LONGEST_WORD)
            yield line[start : start + _LONGEST_LINE]
            total += _LONGEST_LINE if len(line) > _LONGEST_LINE else len(line)
            if total > _ENOUGH_TEXT:
                return


def _words(lines: Iterable[bytes]) -> list[bytes]:
    """Return the different words that are not ASCII, in the order of their first use."""
    found: dict[bytes, None] = {}
    for line in lines:
        for word in line.translate(_WORD_BYTES).split():
            first = _NOT_ASCII.search(word)
            if first:
                start = max(0, first.start() - _LONGEST_WORD)
                found[word[start : first.start() + _LONGEST_WORD]] = None
        if len(found) >= _MOST_WORDS:
            break
    return list(found)


def _decode(words: Iterable[bytes], encoding: str) -> tuple[str, ...] | None:
    try:
        return tuple(word.decode(encoding) for word in words)
    except UnicodeDecodeError:
        return None


def _is_plausible(
    texts: Sequence[str], encoding: str, western: Sequence[str] | None, *, western_is_plausible: bool
) -> bool:
    """Return whether nearly all words look like words of a language that is written in this encoding."""
    icelandic = encoding == "cp1252" and _has_one_language(texts, ("Icelandic",))
    languages = [set(_LANGUAGES[n]) for n in _LATIN[encoding] if icelandic or n != "Icelandic"]
    dense = 2 if encoding == "cp1252" else 4
    odd = 0
    own: list[set[str]] = []
    for i, text in enumerate(texts):
        letters = _letters_of(text)
        misplaced = encoding == "cp1252" and _MISPLACED.search(text)
        if misplaced or not _is_word_like(text, dense) or not any(letters <= language for language in languages):
            odd += 1
        elif western is None or text != western[i]:
            own.append(letters)
    if odd * _ODD_SHARE > len(texts):
        return False
    return encoding == "cp1252" or (_is_one_language(own, encoding) if own else not western_is_plausible)


def _is_one_language(words: Sequence[set[str]], encoding: str) -> bool:
    """Return whether one language has nearly all these words, and they have one of its frequent letters."""
    for language in _LATIN[encoding]:
        own = [letters for letters in words if letters <= set(_LANGUAGES[language])]
        letters = set().union(*own)
        frequent = set(_FREQUENT.get(language, letters))
        if (len(words) - len(own)) * _ODD_SHARE <= len(words) and (len(own) < _ENOUGH or letters & frequent):
            return True
    return False


def _letters_of(text: str) -> set[str]:
    return {c if c == "İ" else c.lower() for c in text if c.isalpha() and not c.isascii() and c not in "ªº"}


def _is_word_like(text: str, dense: int) -> bool:
    """Return whether a text has the case of a word, few letters beyond ASCII in a row, and no sign inside."""
    if len(text) == 1 and text.isalpha():
        return text in _WORDS_OF_ONE or text in "ªº"
    for i, c in enumerate(text):
        if c.isascii() or c in "ªº":
            continue
        left, right = text[i - 1 : i] if i else "", text[i + 1 : i + 2]
        if c.isalpha():
            if right.isupper() if c.islower() else left.islower() or (left.isupper() and right.islower()):
                return False
        elif c in _SIGNS:
            superscript = c in "\u00b2\u00b3" and left == _BEFORE_SUPERSCRIPT and not right.isalpha()
            if (left.isalpha() or right.isalpha()) and not superscript:
                return False
        elif c not in _PUNCTUATION or (left.isalpha() and right.isalpha() and c != "\u2019"):
            return False
    foreign = re.sub(r"[\x00-\x7f\W]", " ", text).split()
    most = max(len(text), 2) * (dense - 1)
    return all(len(run) <= dense for run in foreign) and sum(map(len, foreign)) * dense <= most


def _is_script(lines: Iterable[bytes], encoding: str, script: str) -> bool:
    """Return whether all words with letters beyond ASCII are of one other script, one of them longer than a letter."""
    inside, longest = re.compile(f"[{script}]+"), 0
    letters = usual = 0
    for line in lines:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            text = decoder.decode(line, final=len(line) < _LONGEST_LINE)
        except UnicodeDecodeError:
            return False
        if not all(c.isascii() or c.isalpha() or c in _SCRIPT_PUNCTUATION or c >= "\uff00" for c in set(text)):
            return False
        for word in re.findall(r"[^\W\d_]+", text):
            if word.isascii():
                continue
            if not inside.fullmatch(word) or not (word[1:] == word[1:].lower() or word == word.upper()):
                return False
            longest = max(longest, len(word))
            letters += len(word)
            usual += len(word.encode(_USUAL_LETTERS.get(encoding, encoding), "ignore").decode(encoding))
    return longest > 1 and usual * 2 > letters


def _letters(lines: Iterable[bytes], encoding: str) -> str:
    """List the first letters beyond ASCII under an encoding, to choose by; not words, which may be secret."""
    text = "".join(line[:10_000].decode(encoding, "replace") for line in islice(lines, 100))
    found = dict.fromkeys(c for c in text if c.isalpha() and not c.isascii())
    return f" ({' '.join(list(found)[:6])})" if found else ""
