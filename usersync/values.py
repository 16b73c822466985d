"""Decide when two values of a field are the same to the platform."""

from __future__ import annotations

import json
import re
import unicodedata

from usersync.models import ATTRIBUTE, Json

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


def normalize_email(address: str | None) -> str:
    """Return an address as the platform stores it: trimmed, in lower case; "" for none.

    No case folding: `straße@` and `strasse@` are two addresses.
    """
    return (address or "").strip().lower()


def same_email(one: str | None, other: str | None) -> bool:
    """Tell whether two addresses are one to the platform."""
    return bool(one and other) and normalize_email(one) == normalize_email(other)


def same_value(field: str, wanted: Json, held: Json) -> bool:
    """Tell whether the platform's value `held` is as good as the wanted one.

    A text attribute equals the number that it spells: a spreadsheet cannot tell `5` from `"5"`, and turning one into
    the other would change data that nobody meant to change.
    """
    if field == "email":
        both_text = isinstance(wanted, str) and isinstance(held, str)
        return both_text and normalize_email(wanted) == normalize_email(held)
    if field.startswith(ATTRIBUTE) and isinstance(wanted, str) and not isinstance(held, str):
        return held is not None and wanted == canonical_json(held)
    if isinstance(wanted, str) and isinstance(held, str):
        return unicodedata.normalize("NFC", wanted) == unicodedata.normalize("NFC", held)
    if isinstance(wanted, str) or wanted is None:
        return bool(wanted == held)
    return canonical_json(wanted) == canonical_json(held)


def canonical_json(value: Json) -> str:
    """Write a JSON value in one way only, so that equal values are equal texts."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def cell_text(value: Json) -> str:
    """Write a value as the text of a cell: nothing as a blank, text as it is, all else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical_json(value)


def visible(text: str) -> str:
    """Remove invisible characters, surrounding blanks and full-width forms: for ids, headings and e-mails."""
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).strip()
