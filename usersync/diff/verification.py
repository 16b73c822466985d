"""Compare changes with a user as the platform returned it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from usersync.models import ATTRIBUTE, MASK, SECRET_FIELDS, UNKNOWN, FieldChange, Json, Row, User, json_text, value_of
from usersync.values import canonical_json, same_value


def mismatched_fields(values: Mapping[str, Json], user: User) -> list[str]:
    """Name the fields whose value (field -> value) the user does not hold; a password is never answered."""
    return [
        name
        for name, value in values.items()
        if name not in SECRET_FIELDS and not same_value(name, value, value_of(user, name))
    ]


def is_applied(values: Mapping[str, Json], user: User) -> bool:
    """Return whether a user that was read proves that values were written; nothing proves a password."""
    return not mismatched_fields(values, user) and SECRET_FIELDS.isdisjoint(values)


def are_applied(changes: Iterable[FieldChange], user: User) -> bool:
    """Return whether a user that was read proves that changes were written; nothing proves a password."""
    return all(change.field not in SECRET_FIELDS and _is_held(change, user) for change in changes)


def dropped_attributes(row: Row, user: User) -> tuple[FieldChange, ...]:
    """Return, as changes, the attributes that a user lost although they were not sent.

    A platform that replaces attributes instead of merging them loses all that were not sent. `row` holds the user as
    last read before.
    """
    before = row.user if ATTRIBUTE in row.changed else None
    if before is None:
        return ()
    sent = row.new_values
    others = {key: value for key, value in before.custom_attributes.items() if f"{ATTRIBUTE}{key}" not in sent}
    if not others.keys().isdisjoint(user.custom_attributes):
        return ()
    return tuple(
        FieldChange(f"{ATTRIBUTE}{key}", UNKNOWN if MASK in json_text(value) else value, None)
        for key, value in others.items()
        if value is not None
    )


def stale_fields(changes: Iterable[FieldChange], user: User) -> tuple[str, ...]:
    """Name the fields that hold neither the old value, as planned, nor the new one: somebody else changed them."""
    return tuple(
        change.field
        for change in changes
        if change.old is not UNKNOWN
        and not same_value(change.field, change.old, value_of(user, change.field))
        and not _is_held(change, user)
    )


def split_changes(
    changes: Iterable[FieldChange], user: User, *, sent_before: bool = False
) -> tuple[list[FieldChange], list[str]]:
    """Return the changes that are still to be sent to a user, and the fields that somebody else changed.

    A change whose new value the user already holds is in neither, unless it may have been sent before: then the value
    may be this row's own. Where the old value is unknown, a change is sent anyway.
    """
    changes = tuple(changes)
    stale = stale_fields(changes, user)
    kept = [change for change in changes if change.field not in stale]
    return [change for change in kept if sent_before or not _stands(change, user)], sorted(stale)


def may_hold_new_values(changes: Iterable[FieldChange], user: User) -> bool:
    """Return whether a user may hold the new value of any change; a password, which cannot be read, counts."""
    return any(change.field in SECRET_FIELDS or _is_held(change, user) for change in changes)


def _stands(change: FieldChange, user: User) -> bool:
    known = change.old is not UNKNOWN and change.field not in SECRET_FIELDS
    return known and _is_held(change, user)


def _is_held(change: FieldChange, user: User) -> bool:
    """Return whether a user holds the new value; compared exactly if only its type differs from the old one."""
    held = value_of(user, change.field)
    if change.old is not UNKNOWN and same_value(change.field, change.new, change.old):
        return canonical_json(change.new) == canonical_json(held)
    return same_value(change.field, change.new, held)
