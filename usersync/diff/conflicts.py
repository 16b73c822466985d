"""A change and what we wrote earlier in, the fields that a person changed meanwhile out."""

from __future__ import annotations

from collections.abc import Mapping

from usersync.models import SECRET_FIELDS, UNKNOWN, Change, FieldChange, Json
from usersync.values import canonical_json, same_value


def conflicts(change: Change, written: Mapping[str, Json]) -> tuple[FieldChange, ...]:
    """Give the fields whose present value is neither what we last wrote nor what the file wants.

    `written` holds, by field, the values that we wrote last; a field that we never wrote is nobody's conflict.
    """
    return tuple(
        item
        for item in change.fields
        if item.field in written
        and item.field not in SECRET_FIELDS
        and item.old is not UNKNOWN
        and not same_value(item.field, written[item.field], item.old)
    )


def told(items: tuple[FieldChange, ...], written: Mapping[str, Json]) -> str:
    """Say it with all three values."""
    parts = [
        f"{i.field}: we wrote {canonical_json(written[i.field])}, the platform holds {canonical_json(i.old)}, "
        f"the file wants {canonical_json(i.new)}"
        for i in items
    ]
    return f"{'; '.join(parts)}; settle it by hand, or set diff.on_conflict: overwrite"
