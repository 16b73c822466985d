"""What was sent and what the platform answered in, the fields that differ out."""

from __future__ import annotations

from usersync.models import SECRET_FIELDS, UNKNOWN, Change, User, value_of
from usersync.values import same_value


def mismatched_fields(change: Change, user: User) -> tuple[str, ...]:
    """Name the fields whose sent value the answered user does not hold; a password is never answered."""
    return tuple(
        item.field
        for item in change.fields
        if item.field not in SECRET_FIELDS and not same_value(item.field, item.new, value_of(user, item.field))
    )


def is_applied(change: Change, user: User) -> bool:
    """Whether a user that was read proves a change carried out; with a password in it nothing does."""
    return not mismatched_fields(change, user) and not any(item.field in SECRET_FIELDS for item in change.fields)


def any_known(change: Change) -> bool:
    """Whether the plan knows an old value at all."""
    return any(item.old is not UNKNOWN for item in change.fields)


def stale(change: Change, user: User) -> tuple[str, ...]:
    """Name the fields that hold neither the old value, as planned, nor the new one: somebody else changed them."""
    return tuple(
        item.field
        for item in change.fields
        if item.old is not UNKNOWN
        and not same_value(item.field, item.old, value_of(user, item.field))
        and not same_value(item.field, item.new, value_of(user, item.field))
    )
