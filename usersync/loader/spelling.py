"""Tell misspellings of a word from other words."""

from __future__ import annotations

from typing import Final

#: Letters of a word in which one more, or two that changed places, are a misspelling, but no other one: `game` is not
#: `name`, and `Mai` (May in German and French) is not `mail`.
_SHORT: Final = 4
#: Letters from which a word may have two mistakes.
_LONG: Final = 10


def is_misspelling(text: str, word: str) -> bool:
    """Return whether `text` is `word` with a mistake or, in a long word, two; both in lower case."""
    allowed = 2 if len(word) >= _LONG else 1
    if text == word or abs(len(text) - len(word)) > allowed:
        return False
    if len(word) <= _SHORT and len(text) <= len(word) and sorted(text) != sorted(word):
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
