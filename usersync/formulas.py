"""Escape texts that a spreadsheet would run as a formula (CSV injection)."""

from __future__ import annotations

from typing import Final

#: First characters of what a spreadsheet runs as a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
#: First characters of the texts that `escape_formula` may guard.
GUARDED: Final = frozenset((*_FORMULA, "'"))


def escape_formula(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would run as a formula; `unescape_formula` removes it."""
    return f"'{text}" if text[:1] in GUARDED and _is_formula(text) else text


def unescape_formula(text: str) -> str:
    """Undo `escape_formula`."""
    return text[1:] if text.startswith("'") and _is_formula(text) else text


def _is_formula(text: str) -> bool:
    bare = text.lstrip("'")
    return len(bare) > 1 and bare.startswith(_FORMULA)
