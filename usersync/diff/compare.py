"""Compare desired values with current ones, whole columns at a time."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from usersync.models import ATTRIBUTE, CLEAR, SECRET_FIELDS, UNKNOWN, FieldChange, Json, User, value_of
from usersync.validation.cells import read_boolean, read_json, read_number
from usersync.values import same_value

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    Objects = NDArray[Any]

#: The column that holds attributes as one JSON object.
_ATTRIBUTES = "custom_attributes"


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
        new, old = self.desired[name].to_numpy(object)[rows], self.old_values(name, rows)
        is_typed = name in self.typed_fields
        for i, before, after in zip(rows.tolist(), old, new, strict=True):
            yield i, _field_changes(name, before, after, is_typed=is_typed)

    def old_values(self, name: str, rows: NDArray[np.intp]) -> Objects:
        """Return what the platform holds in a field, for these rows; UNKNOWN where that was never read."""
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
        return read_as_held(text, old)
    except ValueError:
        return text


def read_as_held(text: str, old: Json) -> Json:
    """Read a text as a value of the type that the platform holds. Raises ValueError."""
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
