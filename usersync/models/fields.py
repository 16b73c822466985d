"""Define the fields of a user, and what stands for special values."""

from __future__ import annotations

import json
from typing import Any, Final

#: Whatever `json.loads` returns.
Json = Any

#: Writes a JSON value as compact text.
json_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

FIELDS: Final = ("name", "display_name", "email", "password", "custom_attributes")
#: A column with new addresses; the column `email` then only says who is meant.
NEW_EMAIL: Final = "new_email"
#: Before a key, the name of one attribute's field: `custom_attributes.seats`.
ATTRIBUTE: Final = "custom_attributes."
#: Fields whose values are never shown, logged or stored.
SECRET_FIELDS: Final = frozenset({"password"})
#: Stands for the value of a secret field.
MASK: Final = "***"


class Unknown:
    """The old value of a field that nobody looked up."""

    def __repr__(self) -> str:
        return "UNKNOWN"


class Clear:
    """A desired value: set the attribute to null."""

    def __repr__(self) -> str:
        return "CLEAR"


UNKNOWN: Final = Unknown()
CLEAR: Final = Clear()
