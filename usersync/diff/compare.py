"""What is wanted and what is known in, what differs out; whole columns at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pandas.api.types import infer_dtype

from usersync.models import ATTRIBUTE, CLEAR, SECRET_FIELDS, UNKNOWN, Change, FieldChange, Json
from usersync.values import same_value

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    Objects = NDArray[Any]

WHOLE = "custom_attributes"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which wanted values differ from what is known."""

    wanted: DataFrame
    known: DataFrame | None
    differs: Mapping[str, NDArray[np.bool_]]
    """Field -> for each row of `wanted`, whether the field is to change."""

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Which rows change anything at all."""
        rows = np.zeros(len(self.wanted), dtype=bool)
        for mask in self.differs.values():
            rows |= mask
        return rows

    @property
    def unchanged_keys(self) -> NDArray[np.int64]:
        """Keys of the rows that the platform holds already."""
        return self.wanted.index.to_numpy()[~self.changed]

    def changes(self) -> Iterator[Change]:
        """Give the changes one by one, in input order."""
        rows = np.flatnonzero(self.changed)
        keys, ids = self.wanted.index.to_numpy()[rows].tolist(), self.wanted["id"].to_numpy()[rows].tolist()
        columns = [
            (name, mask[rows].tolist(), self.wanted[name].to_numpy(object)[rows], self._old(name, rows))
            for name, mask in self.differs.items()
        ]
        for i, key in enumerate(keys):
            fields: list[FieldChange] = []
            for name, mask, new, old in columns:
                if not mask[i]:
                    continue
                if name == WHOLE:
                    fields.extend(_attribute_changes(new[i], old[i]))
                else:
                    fields.append(FieldChange(name, old[i], None if new[i] is CLEAR else new[i]))
            yield Change(key, ids[i], tuple(fields))

    def _old(self, name: str, rows: NDArray[np.intp]) -> Objects:
        if self.known is None or name in SECRET_FIELDS:
            return np.full(len(rows), UNKNOWN, dtype=object)
        return _known_values(name, self.known.iloc[rows])


def compare(
    wanted: DataFrame, known: DataFrame | None = None, *, only_if_blank: frozenset[str] = frozenset()
) -> Comparison:
    """Compare rows of `DesiredValues.values` with what the platform holds.

    `known` has the same index and the columns `name`, `display_name`, `email` (text or None) and
    `custom_attributes` (dicts); None means that nothing is known, and every wanted value is a change.
    Fields in `only_if_blank` change only where the platform has no value.
    """
    differs = {}
    for name in wanted.columns:
        if name == "id":
            continue
        new = wanted[name].to_numpy(object)
        mask = wanted[name].notna().to_numpy()
        if known is not None and name not in SECRET_FIELDS:
            old = _known_values(name, known)
            mask = mask & _unequal(name, new, old, mask)
            if name in only_if_blank:
                mask = mask & np.fromiter((value in (None, "") for value in old), bool, len(old))
        differs[name] = mask
    return Comparison(wanted, known, differs)


def _unequal(name: str, new: Objects, old: Objects, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if name == WHOLE:
        pairs = zip(new, old, strict=True)
        return np.fromiter((bool(n and any(_attribute_changes(n, o))) for n, o in pairs), bool, len(new))
    suspects = np.flatnonzero(mask & (new != old).astype(bool)) if _all_text(new) else np.flatnonzero(mask)
    unequal = np.zeros(len(new), dtype=bool)
    unequal[suspects] = [not same_value(name, None if new[i] is CLEAR else new[i], old[i]) for i in suspects.tolist()]
    return unequal


def _all_text(values: Objects) -> bool:
    return infer_dtype(values, skipna=True) in ("string", "empty")


def _known_values(name: str, known: DataFrame) -> Objects:
    if not name.startswith(ATTRIBUTE):
        return known[name].to_numpy(object)
    key = name[len(ATTRIBUTE) :]
    return np.fromiter((attributes.get(key) for attributes in known[WHOLE]), object, len(known))


def _attribute_changes(wanted: Mapping[str, Json], held: Mapping[str, Json] | Any) -> Iterator[FieldChange]:
    """Compare a JSON object key by key: the platform merges, so keys that are not named stay."""
    for key, new in wanted.items():
        old = UNKNOWN if held is UNKNOWN else held.get(key)
        name = f"{ATTRIBUTE}{key}"
        if old is UNKNOWN or not same_value(name, new, old):
            yield FieldChange(name, old, new)
