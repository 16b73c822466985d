"""What a run changed and what the platform holds now in, the changes that put the old values back out."""

from __future__ import annotations

from collections.abc import Mapping

from usersync.models import SECRET_FIELDS, FieldChange, Json, User, value_of
from usersync.values import same_value


def reverse(
    old: Mapping[str, Json], new: Mapping[str, Json], user: User
) -> tuple[tuple[FieldChange, ...], tuple[str, ...]]:
    """Give the changes that undo `old` -> `new`, and a sentence for each field that is kept.

    Only where the present value is still the one that the run wrote: what a person changed since stays. A text
    that was not there before becomes blank, an attribute null.
    """
    changes: list[FieldChange] = []
    kept: list[str] = []
    for name, ours in new.items():
        if name in SECRET_FIELDS:
            kept.append(f"{name} (it cannot be put back)")
            continue
        if name not in old:
            kept.append(f"{name} (the old value was never looked up)")
            continue
        now, before = value_of(user, name), _restored(name, old[name])
        if same_value(name, ours, now):
            if not same_value(name, before, now):
                changes.append(FieldChange(name, now, before))
        elif not same_value(name, before, now):
            kept.append(f"{name} (somebody changed it since)")
    return tuple(changes), tuple(kept)


def _restored(name: str, value: Json) -> Json:
    return "" if value is None and name in ("name", "display_name", "email") else value
