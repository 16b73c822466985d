"""Invert the changes of a row: old and new values change places."""

from __future__ import annotations

from collections.abc import Iterable

from usersync.models import SECRET_FIELDS, UNKNOWN, FieldChange, Json

_TEXTS = ("name", "display_name", "email")


def invert(changes: Iterable[FieldChange]) -> tuple[tuple[FieldChange, ...], tuple[str, ...]]:
    """Return the changes that restore the old values, and a phrase for each field that cannot be restored.

    A text that was not there before becomes blank, an attribute null.
    """
    inverted: list[FieldChange] = []
    kept: list[str] = []
    for change in changes:
        if change.field in SECRET_FIELDS:
            kept.append(f"{change.field} (cannot be restored)")
        elif change.old is UNKNOWN:
            kept.append(f"{change.field} (the old value was never read)")
        else:
            inverted.append(FieldChange(change.field, change.new, _restorable(change.field, change.old)))
    return tuple(inverted), tuple(kept)


def _restorable(field: str, value: Json) -> Json:
    return "" if value is None and field in _TEXTS else value
