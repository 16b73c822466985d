"""Find misspellings of headings and of attribute keys."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Final

#: Letters of a word in which one more, one less, or two that changed places are a misspelling, but no other one: `game`
#: is not `name`.
_SHORT: Final = 4
#: Words that are one letter short of `mail`, and mean something else: May in German and French, times, thousand.
_OTHER_WORDS: Final = frozenset(("mai", "mal", "mil"))
#: Letters from which a word may have two mistakes.
_LONG: Final = 10


def is_misspelling(text: str, word: str) -> bool:
    """Return whether `text` is `word` with a mistake or, in a long word, two; both in lower case."""
    allowed = 2 if len(word) >= _LONG else 1
    if text == word or text in _OTHER_WORDS or abs(len(text) - len(word)) > allowed:
        return False
    if len(word) <= _SHORT and len(text) == len(word) and sorted(text) != sorted(word):
        return False
    if len(set(text) ^ set(word)) > 2 * allowed:  # each mistake changes two letters at most
        return False
    return edits(text, word) <= allowed


def edits(one: str, other: str) -> int:
    """Count the letters that are missing, added, exchanged or swapped with their neighbour between two words."""
    before, last = [0], list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, others_letter in enumerate(other, 1):
            fewest = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != others_letter))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == others_letter:
                fewest = min(fewest, before[j - 2] + 1)
            row.append(fewest)
        before, last = last, row
    return last[-1]


def similar_keys(new: Iterable[str], held: Collection[str]) -> dict[str, str]:
    """Find attribute keys of a file that no user holds, but that are nearly one that users hold: new -> held.

    `new` are the keys that rows set, `held` those of all users that were looked up. Case, separators and one letter
    more, less or exchanged, and words in brackets, do not make another key (`Plan`, `seat`, `seats (number)`); another
    last letter and other digits do (`phone2`).
    """
    squashed: dict[str, str] = {}
    for key in held:
        squashed.setdefault(_letters_and_digits(key), key)
    found = {}
    for key in dict.fromkeys(new):
        if key in held:
            continue
        letters = _letters_and_digits(key)
        near = squashed.get(letters) or next((k for text, k in squashed.items() if _is_slip(letters, text)), None)
        if near is not None:
            found[key] = near
    return found


def _letters_and_digits(key: str) -> str:
    bare = re.sub(r"\(.*?\)|\[.*?\]", "", key) or key
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", bare).casefold())


def _is_slip(one: str, other: str) -> bool:
    """Return whether two keys are one mistake apart; another last letter makes another key."""
    if min(len(one), len(other)) < _SHORT or re.sub(r"\D", "", one) != re.sub(r"\D", "", other):
        return False
    return edits(one, other) == 1 and one[:-1] != other[:-1]
