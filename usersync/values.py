"""Compare values as the platform does, and normalize their texts."""

from __future__ import annotations

import json
import re
import unicodedata

from usersync.models import ATTRIBUTE, Json

#: Invisible characters, for the inside of a character class: soft hyphens, zero-width characters, direction marks.
INVISIBLE = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_INVISIBLE = re.compile(f"[{INVISIBLE}]")
#: Superscripts, fractions and enclosed letters and digits, for the inside of a character class.
MARKED = "\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209f\u2150-\u218f\u2460-\u24ff\u3200-\u33ff\U0001f100-\U0001f1ff"
#: What `normalize_text` normalizes: everything but MARKED characters, because 104² (an id with a footnote) is not 1042.
_PLAIN_FORM = re.compile(f"[^{MARKED}]+")


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


def normalize_text(text: str) -> str:
    """Remove invisible characters, surrounding blanks and full-width forms: for ids, headings and e-mails."""
    if text.isascii():
        return text.strip()
    return _PLAIN_FORM.sub(lambda found: unicodedata.normalize("NFKC", found[0]), _INVISIBLE.sub("", text)).strip()


def strip_accents(text: str) -> str:
    """Return a text without accents and in compatibility form (NFKD): Jose for José."""
    if text.isascii():
        return text
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
