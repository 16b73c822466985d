"""Compare desired values with current ones, whole columns at a time."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from usersync.diff.auto_conversion import accented_letters, is_auto_converted, is_without_accents
from usersync.masking import mask_field
from usersync.models import ATTRIBUTE, CLEAR, SECRET_FIELDS, UNKNOWN, FieldChange, Json, User, value_of
from usersync.validation.cells import read_boolean, read_json, read_number
from usersync.values import cell_text, same_value

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    Objects = NDArray[Any]

#: The column that holds attributes as one JSON object.
_ATTRIBUTES = "custom_attributes"
_REWRITTEN = "a spreadsheet may have rewritten the text, as 007 to 7; format the cell as text and enter it as it was"
_WITHOUT_ACCENTS = "the same without its accents, as old programs write it; enter it with all letters"
#: Rows that may lose a letter because somebody asked for it: so many, and a fifth of the cells with it; one anyway.
_MOST = 20
#: Rows of a column from which whole numbers are no coincidence.
_SEVERAL = 5
#: What messages call the values that are not text.
KINDS = {list: "a list", dict: "a JSON object", bool: "true or false", int: "a number", float: "a number"}


class InputColumns:
    """All cells of the input, by field; what comparisons ask of a column, batch after batch, is found out once."""

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


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which desired values differ from the current ones."""

    desired: DataFrame
    current: DataFrame | None
    differs: Mapping[str, NDArray[np.bool_]]
    """Field -> for each row of `desired`, whether the field changes."""
    typed_fields: frozenset[str] = frozenset()
    """Attributes whose type is configured, text included."""
    only_if_blank: frozenset[str] = frozenset()
    """Fields that change only where the platform has no value."""
    kept: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Field -> for each row of `desired`, whether the platform has another value that stays."""

    def kept_fields(self) -> dict[int, list[str]]:
        """Return key -> the fields whose other values on the platform stay, for the rows with any."""
        found: dict[int, list[str]] = {}
        for name, mask in self.kept.items():
            for i, changes in self._changes_of(name, np.flatnonzero(mask)):
                stay = [change.field for change in changes if _stays(change, name, self.only_if_blank)]
                found.setdefault(int(self.desired.index[i]), []).extend(stay)
        return found

    @property
    def changed(self) -> NDArray[np.bool_]:
        """For each row, whether any field changes."""
        rows = np.zeros(len(self.desired), dtype=bool)
        for mask in self.differs.values():
            rows |= mask
        return rows

    @property
    def unchanged_keys(self) -> NDArray[np.int64]:
        """Keys of the rows whose values the platform holds already."""
        return self.desired.index.to_numpy()[~self.changed]

    def changes(self) -> Iterator[tuple[int, int, tuple[FieldChange, ...]]]:
        """Yield key, user id and changed fields of each row that changes, in input order."""
        rows = np.flatnonzero(self.changed)
        keys = self.desired.index.to_numpy()[rows].tolist()
        user_ids = self.desired["id"].to_numpy()[rows].tolist()
        fields: list[list[FieldChange]] = [[] for _ in keys]
        places = {row: at for at, row in enumerate(rows.tolist())}
        for name, mask in self.differs.items():
            for i, changes in self._changes_of(name, np.flatnonzero(mask)):
                fields[places[i]] += [change for change in changes if not _stays(change, name, self.only_if_blank)]
        for key, user_id, changed in zip(keys, user_ids, fields, strict=True):
            yield key, user_id, tuple(changed)

    def _changes_of(self, name: str, rows: NDArray[np.intp]) -> Iterator[tuple[int, Iterator[FieldChange]]]:
        """Yield the changes of a field, in these rows."""
        new, old = self.desired[name].to_numpy(object)[rows], self._old_values(name, rows)
        is_typed = name in self.typed_fields
        for i, before, after in zip(rows.tolist(), old, new, strict=True):
            yield i, _field_changes(name, before, after, is_typed=is_typed)

    def type_mismatches(
        self, cells: InputColumns | None = None, *, is_typed: bool = False
    ) -> dict[int, dict[str, str]]:
        """Return key -> field -> what is wrong, where text would replace a number, a boolean or JSON.

        So it is where the same value would come in the form of a spreadsheet, or without accents. The type of the field
        is not configured, so that nobody said that it may change. `cells` are all that the input holds: where they
        have the accents that few rows lose, or no decimals in any row, these rows are meant as they are. So are all
        where a person typed them (`is_typed`).
        """
        found: dict[int, dict[str, str]] = {}
        for name, mask in self.differs.items():
            if (
                name in ("id", "email", *SECRET_FIELDS, _ATTRIBUTES)
                or name in self.typed_fields
                or self.current is None
            ):
                continue
            rows = np.flatnonzero(mask)
            held = self._old_values(name, rows)
            texts = self.desired[name].to_numpy(object)[rows]
            known = cells if cells and name in cells else InputColumns({name: texts})
            meant = _written_without_accents(name, texts, held, known) | _whole_again(name, texts, held, known)
            keys = self.desired.index.to_numpy()[rows].tolist()
            for at, (key, new, old) in enumerate(zip(keys, texts, held, strict=True)):
                is_meant = is_typed or at in meant
                if not isinstance(new, str) or old is UNKNOWN:
                    continue
                if message := _type_mismatch(name, new, old, is_meant=is_meant):
                    found.setdefault(key, {})[name] = message
        return found

    def _old_values(self, name: str, rows: NDArray[np.intp]) -> Objects:
        if self.current is None or name in SECRET_FIELDS:
            return np.full(len(rows), UNKNOWN, dtype=object)
        return self.current[name].to_numpy(object)[rows]


def compare(
    desired: DataFrame,
    current: DataFrame | None = None,
    *,
    only_if_blank: frozenset[str] = frozenset(),
    typed_fields: frozenset[str] = frozenset(),
) -> Comparison:
    """Compare rows of `DesiredValues.values` with what the platform holds.

    `current` has the same index and the columns `readable_fields(desired)`, as `current_values` makes them; None where
    nothing is known: then every desired value is a change.
    Fields in `only_if_blank` change only where the platform has no value. The text of an attribute that is not in
    `typed_fields` is read as a number, a boolean or JSON if the platform's current value is one.
    """
    differs, kept = {}, {}
    for name in desired.columns:
        if name == "id":
            continue
        mask = desired[name].notna().to_numpy()
        if current is not None and name not in SECRET_FIELDS:
            old, new = current[name].to_numpy(object), desired[name].to_numpy(object)
            is_typed = name in typed_fields
            mask = mask & _unequal(name, new, old, mask, is_typed=is_typed)
            if name in only_if_blank or (name == _ATTRIBUTES and only_if_blank):
                kept[name], mask = _split_by_blank(name, new, old, mask, only_if_blank, is_typed=is_typed)
        differs[name] = mask
    return Comparison(desired, current, differs, typed_fields, only_if_blank, kept)


def readable_fields(desired: DataFrame) -> list[str]:
    """Return the fields of `DesiredValues.values` whose present values can be read: all but passwords."""
    return [name for name in desired.columns if name != "id" and name not in SECRET_FIELDS]


def current_values(users: Sequence[User], fields: Iterable[str]) -> DataFrame:
    """Return the values of users: columns `fields`, one row for each user, numbered from 0."""
    columns = {name: pd.Series([value_of(user, name) for user in users], dtype=object) for name in fields}
    return pd.DataFrame(columns, range(len(users)))


def attribute_keys(desired: DataFrame) -> set[str]:
    """Return the attribute keys that rows of `DesiredValues.values` set, in columns and in JSON objects."""
    columns = [name for name in desired.columns if name.startswith(ATTRIBUTE) and desired[name].notna().any()]
    objects = desired[_ATTRIBUTES].dropna() if _ATTRIBUTES in desired else ()
    return {name[len(ATTRIBUTE) :] for name in columns}.union(*objects)


def _unequal(name: str, new: Objects, old: Objects, mask: NDArray[np.bool_], *, is_typed: bool) -> NDArray[np.bool_]:
    """For each row in `mask`, whether the two values differ; False for the others."""
    candidates = np.flatnonzero(mask & (new != old).astype(bool)) if _all_text(new) else np.flatnonzero(mask)
    unequal = np.zeros(len(new), dtype=bool)
    unequal[candidates] = [any(_field_changes(name, old[i], new[i], is_typed=is_typed)) for i in candidates.tolist()]
    return unequal


def _split_by_blank(
    name: str, new: Objects, old: Objects, mask: NDArray[np.bool_], only_if_blank: frozenset[str], *, is_typed: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for each row in `mask` whether any value stays, and whether any changes: of a JSON object, some may."""
    kept, differs = np.zeros_like(mask), np.zeros_like(mask)
    for i in np.flatnonzero(mask).tolist():
        changes = _field_changes(name, old[i], new[i], is_typed=is_typed)
        stays = [_stays(change, name, only_if_blank) for change in changes]
        kept[i], differs[i] = any(stays), not all(stays)
    return kept, differs


def _stays(change: FieldChange, column: str, only_if_blank: frozenset[str]) -> bool:
    """Return whether a value that the platform has stays, because its field changes only where there is none."""
    is_blank = change.old is UNKNOWN or change.old in (None, "")
    return not is_blank and not only_if_blank.isdisjoint((column, change.field))


def _all_text(values: Objects) -> bool:
    return infer_dtype(values, skipna=True) in ("string", "empty")


def _field_changes(name: str, old: Json, new: Json, *, is_typed: bool) -> Iterator[FieldChange]:
    """Yield the change of a field; of a JSON object, those of its keys, because the platform merges objects."""
    if name == _ATTRIBUTES:  # values in a JSON object have types of their own
        for key, value in new.items():
            held = UNKNOWN if old is UNKNOWN else old.get(key)
            yield from _field_changes(f"{ATTRIBUTE}{key}", held, value, is_typed=True)
        return
    if new is CLEAR:
        value = None
    else:
        value = _as_held(new, old) if isinstance(new, str) and name.startswith(ATTRIBUTE) and not is_typed else new
    if old is UNKNOWN or not same_value(name, value, _composed(old)):
        yield FieldChange(name, old, value)


def _as_held(text: str, old: Json) -> Json:
    """Convert a text to the type that the platform holds (number, boolean, list, object), if it can be read as one."""
    try:
        return _read_as_held(text, old)
    except ValueError:
        return text


def _written_without_accents(name: str, new: Objects, old: Objects, cells: InputColumns) -> set[int]:
    """Return the positions of texts that lose letters which the cells have elsewhere, and more often.

    A program that cannot write a letter writes none at all; a person who asks for another spelling is one of few.
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


def _whole_again(name: str, new: Objects, old: Objects, cells: InputColumns) -> set[int]:
    """Return the positions of whole numbers that were spoilt as 5.0, as pandas writes them; they are several.

    Where a spreadsheet makes 2 of version 2.0, other versions keep their decimals.
    """
    found = {at for at, (text, held) in enumerate(zip(new, old, strict=True)) if text and held == f"{text}.0"}
    return found if len(found) >= _SEVERAL and not cells.has_decimals(name) else set()


def _type_mismatch(name: str, text: str, old: Json, *, is_meant: bool) -> str:
    """Return why a text must not replace the current value; blank if it may. `is_meant`: in the form that it has."""
    try:
        _read_as_held(text, old)
    except ValueError as error:
        return f"{error} (the platform holds {KINDS[type(old)]})"
    held = cell_text(old)
    reason = ""
    if name.startswith(ATTRIBUTE) and is_auto_converted(text, held):
        reason = _REWRITTEN
    elif is_without_accents(text, held):
        reason = _WITHOUT_ACCENTS
    return f"{reason} (the platform holds {mask_field(name, old)!r})" if reason and not is_meant else ""


def _read_as_held(text: str, old: Json) -> Json:
    if isinstance(old, list | dict):
        value = read_json(text)
        if not isinstance(value, type(old)):
            raise ValueError("JSON of another kind; enter it as it was")
        return value
    if isinstance(old, bool):
        return read_boolean(text)
    if isinstance(old, int | float):
        number = read_number(text)
        return int(number) if number == int(number) else number
    return text


def _composed(value: Json) -> Json:
    """Normalize a text to NFC, the form in which texts are sent."""
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value
