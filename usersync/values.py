"""Decide when two values of a field are the same to the platform."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from usersync.models import ATTRIBUTE, MASK, Json, json_text

#: Invisible characters, for the inside of a character class: soft hyphens, zero-width characters, direction marks.
INVISIBLE = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_INVISIBLE = re.compile(f"[{INVISIBLE}]")
#: How the names of passwords end.
PASSWORDS: Final = ("password", "passwort", "kennwort", "passwd", "pwd", "passphrase")
#: How the names of secrets end; `may_hold_secrets` looks for parts of these.
_SECRETS: Final = ("token", *PASSWORDS, "secret")
#: Superscripts, fractions and enclosed letters and digits, for the inside of a character class.
MARKED = "\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209f\u2150-\u218f\u2460-\u24ff\u3200-\u33ff\U0001f100-\U0001f1ff"
#: What `visible` normalizes: everything but MARKED characters, because 104² (an id with a footnote) is not 1042.
_PLAIN_FORM = re.compile(f"[^{MARKED}]+")
#: First characters of what a spreadsheet runs as a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
#: First characters of the texts that `escape_formula` may guard.
GUARDED: Final = frozenset((*_FORMULA, "'"))


def normalize_email(address: str | None) -> str:
    """Return an address as the platform stores it: trimmed, in lower case; "" for none.

    No case folding: `straße@` and `strasse@` are two addresses.
    """
    return (address or "").strip().lower()


def same_email(one: str | None, other: str | None) -> bool:
    """Return whether two addresses are one to the platform."""
    return bool(one and other) and normalize_email(one) == normalize_email(other)


def same_value(field: str, desired: Json, current: Json) -> bool:
    """Return whether the platform's current value counts as equal to the desired one.

    A text attribute equals the number that it spells: a spreadsheet does not distinguish `5` from `"5"`, and
    converting one into the other would change data that nobody meant to change. A missing name or address equals a
    blank one: platforms return either after a value was cleared.
    """
    if isinstance(desired, str) and desired == current:
        return True
    if field == "email":
        return normalize_email(desired) == normalize_email(current)
    if not field.startswith("custom_attributes") and not desired and not current:
        return True
    if field.startswith(ATTRIBUTE) and isinstance(desired, str) and not isinstance(current, str):
        return current is not None and desired == canonical_json(current)
    if isinstance(desired, str) and isinstance(current, str):
        return unicodedata.normalize("NFC", desired) == unicodedata.normalize("NFC", current)
    if isinstance(desired, str) or desired is None:
        return bool(desired == current)
    return canonical_json(desired) == canonical_json(current)


def canonical_json(value: Json) -> str:
    """Write a JSON value in one way only, so that equal values are equal texts."""
    return json.dumps(_with_whole_numbers(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _with_whole_numbers(value: Json) -> Json:
    """Return a value with 1 for 1.0: many platforms do not tell them apart."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list):
        return [_with_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: _with_whole_numbers(item) for name, item in value.items()}
    return value


def cell_text(value: Json) -> str:
    """Write a value as the text of a cell: nothing as a blank, text as it is, all else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical_json(value)


def visible(text: str) -> str:
    """Remove invisible characters, surrounding blanks and full-width forms: for ids, headings and e-mails."""
    if text.isascii():
        return text.strip()
    return _PLAIN_FORM.sub(lambda found: unicodedata.normalize("NFKC", found[0]), _INVISIBLE.sub("", text)).strip()


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
        return {name: shown(name, item) for name, item in value.items()}
    return value


def mask_secrets_in(text: str) -> str:
    """Mask the secrets of a JSON object given as text; blank text stays blank."""
    return json_text(mask_secrets(json.loads(text))) if may_hold_secrets(text) else text


def shown(field: str, value: Json) -> Json:
    """Return the value of a field, or the text of its cell, as people and reports may see it."""
    if is_secret(field):
        return None if value is None else MASK
    if field == "custom_attributes" and isinstance(value, str):  # JSON that cannot be read
        return MASK if may_hold_secrets(value) else value
    return mask_secrets(value)


def escape_formula(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would run as a formula; `unescape_formula` removes it."""
    return f"'{text}" if text[:1] in GUARDED and _is_formula(text) else text


def unescape_formula(text: str) -> str:
    """Undo `escape_formula`."""
    return text[1:] if text.startswith("'") and _is_formula(text) else text


def _is_formula(text: str) -> bool:
    bare = text.lstrip("'")
    return len(bare) > 1 and bare.startswith(_FORMULA)
