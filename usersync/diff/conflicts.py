"""Find the fields that somebody changed since usersync last wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from usersync.models import SECRET_FIELDS, UNKNOWN, FieldChange, Json
from usersync.values import canonical_json, same_value


def find_conflicts(changes: Iterable[FieldChange], written: Mapping[str, Json]) -> tuple[FieldChange, ...]:
    """Return the changes whose present value is neither what usersync last wrote nor what the file wants.

    `written` holds, by field, the values that usersync wrote last; a field that it never wrote is no conflict.
    """
    return tuple(
        change
        for change in changes
        if change.field in written
        and change.field not in SECRET_FIELDS
        and change.old is not UNKNOWN
        and not same_value(change.field, written[change.field], change.old)
    )


def describe_conflicts(conflicts: Iterable[FieldChange], written: Mapping[str, Json]) -> str:
    """Describe conflicts with all three values."""
    parts = [
        f"{c.field}: usersync wrote {canonical_json(written[c.field])}, the platform holds {canonical_json(c.old)}, "
        f"the file wants {canonical_json(c.new)}"
        for c in conflicts
    ]
    return f"{'; '.join(parts)}; resolve it by hand, or set diff.on_conflict: overwrite"
