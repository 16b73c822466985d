"""Mask passwords, tokens and other secrets in values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from usersync.models import MASK, Json, json_text

#: How the names of passwords end.
PASSWORDS: Final = ("password", "passwort", "kennwort", "passwd", "pwd", "passphrase")
#: How the names of secrets end; `may_hold_secrets` looks for parts of these.
_SECRETS: Final = ("token", *PASSWORDS, "secret")


def is_token(name: str) -> bool:
    """Return whether the value under a key is a token: `access_token`, `botToken`."""
    return name.lower().endswith("token")


def is_secret(name: str) -> bool:
    """Return whether the value of a field is a secret: a password, an attribute `botToken` or `wifi_password`."""
    return name.lower().endswith(_SECRETS)


def may_hold_secrets(text: str) -> bool:
    """Return whether JSON may have keys of secrets, without reading it."""
    text = text.lower()  # plain `in` tests: this runs for every user that is read
    return "token" in text or "pass" in text or "pwd" in text or "kennwort" in text or "secret" in text


def mask_secrets(value: Json) -> Json:
    """Return a JSON value with `***` in place of the value of every secret key; null stays null."""
    if isinstance(value, list):
        return [mask_secrets(item) for item in value]
    if isinstance(value, Mapping):
        return {name: mask_field(name, item) for name, item in value.items()}
    return value


def mask_secrets_in(text: str) -> str:
    """Mask the secrets of a JSON object given as text; blank text stays blank."""
    return json_text(mask_secrets(json.loads(text))) if may_hold_secrets(text) else text


def mask_field(field: str, value: Json) -> Json:
    """Return the value of a field, or the text of its cell, as people and reports may see it."""
    if is_secret(field):
        return None if value is None else MASK
    if field == "custom_attributes" and isinstance(value, str):  # JSON that cannot be read
        return MASK if may_hold_secrets(value) else value
    return mask_secrets(value)
