"""When two values of a field are the same to the platform: the diff and the echo agree on this."""

from __future__ import annotations

import json

from usersync.models import ATTRIBUTE, Json


def same_value(name: str, wanted: Json, held: Json) -> bool:
    """Whether the platform's value `held` is as good as the wanted one.

    E-mails are compared without case; a text attribute equals the number that it spells (a spreadsheet
    cannot tell `5` from `"5"`, and turning one into the other would change data that nobody meant to change).
    """
    if name == "email":
        return (
            isinstance(wanted, str) and isinstance(held, str) and wanted.strip().casefold() == held.strip().casefold()
        )
    if name.startswith(ATTRIBUTE) and isinstance(wanted, str) and not isinstance(held, str):
        return held is not None and wanted == json_text(held)
    if isinstance(wanted, str) or wanted is None:
        return bool(wanted == held)
    return json_text(wanted) == json_text(held)


def json_text(value: Json) -> str:
    """Write a JSON value in one way only, so that equal values are equal texts."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
