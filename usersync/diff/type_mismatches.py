"""Find texts of another type than the value they replace, or damaged ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from usersync.diff.auto_conversion import accented_letters, is_auto_converted, is_without_accents
from usersync.diff.compare import Comparison, read_as_held
from usersync.masking import mask_field
from usersync.models import ATTRIBUTE, SECRET_FIELDS, UNKNOWN, Json
from usersync.values import cell_text

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    Objects = NDArray[Any]

_REWRITTEN = "a spreadsheet may have rewritten the text, as 007 to 7; format the cell as text and enter it as it was"
_WITHOUT_ACCENTS = "the same without its accents, as old programs write it; enter it with all letters"
#: So many rows may lose a letter on purpose, but no more than a fifth of the cells that keep it; one always may.
_MOST = 20
#: From so many rows on, whole numbers in a column are no coincidence.
_SEVERAL = 5
#: Fields that are always text, or JSON whose values have types of their own.
_NEVER_MISMATCHED = frozenset({"email", "custom_attributes", *SECRET_FIELDS})
#: What messages call the values that are not text.
KINDS = {list: "a list", dict: "a JSON object", bool: "true or false", int: "a number", float: "a number"}


class InputColumns:
    """The columns of the whole input, of which comparisons see a batch at a time; caches what is asked about them."""

    def __init__(self, cells: DataFrame | Mapping[str, Objects]) -> None:
        self._cells = cells
        self._letters: dict[str, Counter[str]] = {}
        self._decimals: dict[str, bool] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._cells

    def accented_letters(self, name: str) -> Counter[str]:
        """Count the cells of a column that have each letter with an accent."""
        if name not in self._letters:
            letters = (letter for cell in self._cells[name] if cell for letter in accented_letters(cell))
            self._letters[name] = Counter(letters)
        return self._letters[name]

    def has_decimals(self, name: str) -> bool:
        """Return whether any cell of a column has a decimal point or comma."""
        if name not in self._decimals:
            self._decimals[name] = any("." in cell or "," in cell for cell in self._cells[name] if cell)
        return self._decimals[name]


def type_mismatches(
    comparison: Comparison, cells: InputColumns, *, is_hand_typed: bool = False
) -> dict[int, dict[str, str]]:
    """Return key -> field -> what is wrong, for fields whose type is not configured.

    Wrong is a text in place of a number, a boolean or JSON, and the same value in the form of a spreadsheet or without
    accents. Such a form is accepted where a person typed it (`is_hand_typed`), or where the other `cells` of the column
    show that it is meant: they keep the accents that these rows lose, or have no decimals at all.
    """
    found: dict[int, dict[str, str]] = {}
    if comparison.current is None:
        return found
    keys = comparison.desired.index.to_numpy()
    for name, mask in comparison.differs.items():
        if name in _NEVER_MISMATCHED or name in comparison.typed_fields:
            continue
        rows = np.flatnonzero(mask)
        held = comparison.old_values(name, rows)
        texts = comparison.desired[name].to_numpy(object)[rows]
        known = cells if name in cells else InputColumns({name: texts})
        meant = _drop_accents_on_purpose(name, texts, held, known) | _drop_decimals_on_purpose(name, texts, held, known)
        for at, (key, new, old) in enumerate(zip(keys[rows].tolist(), texts, held, strict=True)):
            if not isinstance(new, str) or old is UNKNOWN:
                continue
            if message := _type_mismatch(name, new, old, is_meant=is_hand_typed or at in meant):
                found.setdefault(key, {})[name] = message
    return found


def _drop_accents_on_purpose(name: str, new: Objects, old: Objects, cells: InputColumns) -> set[int]:
    """Return the positions of texts that lose accented letters which other cells of the column keep.

    A program that cannot write a letter loses it everywhere; a person who corrects a spelling changes few cells.
    """
    lost = {
        at: accented_letters(held)
        for at, (text, held) in enumerate(zip(new, old, strict=True))
        if isinstance(text, str) and isinstance(held, str) and is_without_accents(text, held)
    }
    if not lost:
        return set()
    losing = Counter(letter for letters in lost.values() for letter in letters)
    kept = cells.accented_letters(name)
    few = {letter: max(1, min(_MOST, kept[letter] // 5)) if kept[letter] else 0 for letter in losing}
    return {at for at, letters in lost.items() if all(losing[letter] <= few[letter] for letter in letters)}


def _drop_decimals_on_purpose(name: str, new: Objects, old: Objects, cells: InputColumns) -> set[int]:
    """Return the positions of whole numbers that correct a 5.0, as pandas writes 5, where there are several.

    Where a spreadsheet has made 2 of version 2.0, other versions in the column keep their decimals.
    """
    found = {at for at, (text, held) in enumerate(zip(new, old, strict=True)) if text and held == f"{text}.0"}
    return found if len(found) >= _SEVERAL and not cells.has_decimals(name) else set()


def _type_mismatch(name: str, text: str, old: Json, *, is_meant: bool) -> str:
    """Return why a text must not replace the current value; blank if it may. `is_meant`: its form is intended."""
    try:
        read_as_held(text, old)
    except ValueError as error:
        return f"{error} (the platform holds {KINDS[type(old)]})"
    held = cell_text(old)
    reason = ""
    if name.startswith(ATTRIBUTE) and is_auto_converted(text, held):
        reason = _REWRITTEN
    elif is_without_accents(text, held):
        reason = _WITHOUT_ACCENTS
    return f"{reason} (the platform holds {mask_field(name, old)!r})" if reason and not is_meant else ""
