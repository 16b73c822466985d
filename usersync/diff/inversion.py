"""Invert the changes of a row: old and new values change places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from usersync.models import ALTERED, MASK, SECRET_FIELDS, UNKNOWN, FieldChange, Json, Row, User, json_text, value_of
from usersync.values import same_value

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


def invert_row(row: Row) -> tuple[tuple[FieldChange, ...], tuple[str, ...]]:
    """Invert the changes of a row that was sent; its new values are those that the platform returned.

    Where the platform gave no answer, the values that were read later are not used: they may be somebody else's.
    """
    user = row.user if row.message.startswith(ALTERED) else None
    return invert(_as_stored(row.changes, user) if user else row.changes)


def _as_stored(changes: Iterable[FieldChange], user: User) -> tuple[FieldChange, ...]:
    """Return changes with the new values that the platform returned in `user`.

    A value that is still the old one is not used, because the update may not be visible yet; nor is a masked one.
    """
    return tuple(
        change
        if change.field in SECRET_FIELDS
        or same_value(change.field, change.old, stored := value_of(user, change.field))
        or MASK in json_text(stored)
        else replace(change, new=stored)
        for change in changes
    )


def _restorable(field: str, value: Json) -> Json:
    return "" if value is None and field in _TEXTS else value
