"""Find the fields that somebody changed since usersync last wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from usersync.masking import mask_field
from usersync.models import SECRET_FIELDS, UNKNOWN, FieldChange, Json
from usersync.values import canonical_json, cell_text, same_value


def find_conflicts(
    changes: Iterable[FieldChange], written: Mapping[str, Json], exported: Mapping[str, str]
) -> tuple[FieldChange, ...]:
    """Return the changes whose current value is not the one that was last known.

    `written` holds, by field, the values that usersync wrote last; `exported` the texts of the file when it was
    exported, which take precedence because its author saw them. A field in neither cannot conflict.
    """
    return tuple(
        change
        for change in changes
        if change.field not in SECRET_FIELDS
        and change.old is not UNKNOWN
        and not _is_known(change.field, change.old, written, exported)
    )


def _is_known(field: str, held: Json, written: Mapping[str, Json], exported: Mapping[str, str]) -> bool:
    if field in exported:
        seen = cell_text(held)
        if field == "display_name" and not seen:
            seen = exported.get("name", "")  # which is what a user without a display name is shown as
        return seen == exported[field] or same_value(field, exported[field], held)
    return field not in written or same_value(field, written[field], held)


def describe_conflicts(
    conflicts: Sequence[FieldChange], written: Mapping[str, Json], exported: Mapping[str, str]
) -> str:
    """Describe conflicts with all three values; blank for none."""
    if not conflicts:
        return ""
    parts = [
        f"{c.field}: {_known_text(c.field, written, exported)}, the platform holds {_text(c.field, c.old)}, "
        f"the file wants {_text(c.field, c.new)}"
        for c in conflicts
    ]
    again = "export again and decide" if any(c.field in exported for c in conflicts) else "resolve it by hand"
    return f"{'; '.join(parts)}; {again}, or set diff.on_conflict: overwrite"


def _known_text(field: str, written: Mapping[str, Json], exported: Mapping[str, str]) -> str:
    if field in exported:
        return f"the export held {_text(field, exported[field])}"
    return f"usersync wrote {_text(field, written[field])}"


def _text(field: str, value: Json) -> str:
    return canonical_json(mask_field(field, value))
