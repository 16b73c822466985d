"""Compare what was sent with what the platform holds.

A change is a sequence of `FieldChange`; the user is the one that the platform answered with.
"""

from __future__ import annotations

from collections.abc import Sequence

from usersync.models import SECRET_FIELDS, UNKNOWN, FieldChange, User, value_of
from usersync.values import same_value


def mismatched_fields(changes: Sequence[FieldChange], user: User) -> tuple[str, ...]:
    """Name the fields whose new value the user does not hold; a password is never answered."""
    return tuple(
        change.field for change in changes if change.field not in SECRET_FIELDS and not _holds(user, change, change.new)
    )


def is_applied(changes: Sequence[FieldChange], user: User) -> bool:
    """Tell whether a user that was read proves the change carried out; nothing proves a new password."""
    return not mismatched_fields(changes, user) and not any(change.field in SECRET_FIELDS for change in changes)


def any_known(changes: Sequence[FieldChange]) -> bool:
    """Tell whether the old value of any field is known."""
    return any(change.old is not UNKNOWN for change in changes)


def stale_fields(changes: Sequence[FieldChange], user: User) -> tuple[str, ...]:
    """Name the fields that hold neither the known old value nor the new one: somebody else changed them."""
    return tuple(
        change.field
        for change in changes
        if change.old is not UNKNOWN and not _holds(user, change, change.old) and not _holds(user, change, change.new)
    )


def _holds(user: User, change: FieldChange, value: object) -> bool:
    return same_value(change.field, value, value_of(user, change.field))
