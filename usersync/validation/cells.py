"""One cell's text in, the value that is wanted out; CellError says what is wrong and what to write."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable
from datetime import date, datetime

from usersync.models import Code, Json
from usersync.settings import FieldSettings
from usersync.values import visible

MAX_ID = 2**63 - 1
_WHOLE = re.compile(r"[+-]?[0-9]+(?:\.0+)?")
_E_NOTATION = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+")
_SIGN = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]"
_ATOM = rf"{_SIGN}+"
_EMAIL = (
    rf"(?=[^@\n]{{1,64}}@)(?=[^\n]{{3,254}}(?:\n|\Z)){_ATOM}(?:\.{_ATOM})*@"
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"
)
_SHORT_EMAIL = (
    rf"{_SIGN}{{1,31}}+(?:\.{_SIGN}{{1,31}}+)?+@(?:[a-z0-9]{{1,20}}+(?:-[a-z0-9]{{1,20}}+)?+\.){{1,4}}+"
    r"[a-z]{2,20}+"
)
"""Most addresses: too short for any limit of length, so that each character is looked at once."""
_ID = r"[1-9][0-9]{0,17}"
PLAIN_EMAIL = re.compile(_EMAIL)
PLAIN_ID = re.compile(_ID)
PLAIN_COLUMNS = {
    "id": re.compile(rf"(?:{_ID}\n)*+"),
    "email": re.compile(rf"(?:(?:{_SHORT_EMAIL}|{_EMAIL})?\n)*+"),
}
"""A whole column, its cells joined by line ends: what matches needs no look at single cells."""


class CellError(ValueError):
    """A cell that cannot be used, with its code."""

    def __init__(self, code: Code, message: str) -> None:
        self.code = code
        super().__init__(message)


def read_id(text: str) -> int:
    """Read a user's id, a whole number from 1 on."""
    digits = visible(text)
    if not digits:
        raise CellError(Code.ID_MISSING, "the id is missing; write the user's number")
    if _E_NOTATION.fullmatch(digits):
        raise CellError(
            Code.ID_DAMAGED,
            "the spreadsheet rounded this id; format the column as text and enter the id again",
        )
    if not re.fullmatch(r"[0-9]+(?:\.0+)?", digits, re.ASCII):
        raise CellError(Code.ID_INVALID, "an id is a whole number written in digits only, such as 1042")
    number = int(digits.partition(".")[0][:40])
    if not 0 < number <= MAX_ID:
        raise CellError(Code.ID_INVALID, f"an id lies between 1 and {MAX_ID}")
    return number


def read_email(text: str) -> str:
    """Read an e-mail address, as the platform stores it: trimmed, in lower case."""
    address = visible(text).lower()
    if address.count("@") > 1 and re.search(r"[\s,;]", address):
        raise CellError(Code.EMAIL_INVALID, "this is more than one e-mail address; write one only")
    if PLAIN_EMAIL.fullmatch(address):
        return address
    from email_validator import EmailNotValidError, validate_email

    try:
        found = validate_email(address, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as error:
        raise CellError(Code.EMAIL_INVALID, f"this is no e-mail address: {_lower_first(str(error))}") from None
    return found.normalized.lower()


_PASSWORD_RULES: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("6 to 128 characters", lambda text: 6 <= len(text) <= 128),
    ("an upper-case letter", re.compile("[A-Z]").search),
    ("a lower-case letter", re.compile("[a-z]").search),
    ("a digit", re.compile("[0-9]").search),
    ("a special character such as ! or #", re.compile(r"[^\w\s]|_").search),
)


def read_password(text: str) -> str:
    """Check a password against the platform's rules; blanks around it are part of it."""
    missing = [rule for rule, holds in _PASSWORD_RULES if not holds(text)]
    if missing:
        raise CellError(Code.PASSWORD_WEAK, f"the password needs {', '.join(missing)}")
    return text


def read_name(text: str) -> str:
    """Accept a name that can be stored: no control characters but those of white space."""
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r" for c in text):
        raise CellError(Code.ENCODING, "the cell holds a control character; type the text again")
    return text


def _no_doubles(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    names = [name for name, _ in pairs]
    double = next((n for n in names if names.count(n) > 1), None) if len(set(names)) < len(names) else None
    if double is not None:
        raise ValueError(f"the key {double!r} stands twice")
    return dict(pairs)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is too large a number")
    return number


def read_json(text: str) -> Json:
    """Read strict JSON: no doubled keys, no NaN, no half characters."""
    try:
        value = json.loads(text, object_pairs_hook=_no_doubles, parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise CellError(Code.JSON_INVALID, f"this is no JSON: {_json_reason(text, error)}") from None
    return value


def _json_reason(text: str, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        curly = " and straight ones, not curly" if re.search("[\u2018-\u201f]", text) else ""
        return (
            f"it goes wrong at character {error.pos + 1}; "
            f'put names and texts in double quotes{curly}, such as {{"plan": "pro", "seats": 5}}'
        )
    return _lower_first(str(error))


def read_attributes(text: str) -> dict[str, Json]:
    """Read the JSON object of a `custom_attributes` cell."""
    value = read_json(text)
    if not isinstance(value, dict):
        raise CellError(Code.JSON_INVALID, 'custom attributes are a JSON object, such as {"seats": 5}')
    return value


def _integer(text: str) -> int:
    if not _WHOLE.fullmatch(text) or len(text) > 400:
        raise ValueError("a whole number, such as 12")
    return int(text.partition(".")[0])


def _number(text: str) -> float | int:
    if re.fullmatch(r"[+-]?[0-9]+", text) and len(text) < 400:
        return int(text)
    if re.fullmatch(r"[+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?", text) and math.isfinite(float(text)):
        return float(text)
    raise ValueError("a number with a decimal point, such as 1.5")


def _boolean(text: str) -> bool:
    word = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(text.casefold())
    if word is None:
        raise ValueError("true or false (other words: map them with replace)")
    return word


def _date(text: str) -> str:
    for kind in (date, datetime):
        try:
            kind.fromisoformat(text)
        except ValueError:
            continue
        if re.match(r"\d{4}-\d\d-\d\d", text):
            return text
    raise ValueError("a date as year-month-day, such as 2026-11-24")


_TYPES: dict[str, Callable[[str], Json]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "json": read_json,
}


def typed_reader(field: FieldSettings) -> Callable[[str], Json]:
    """Give the function that reads one attribute's cell under its settings."""
    if field.type == "text":
        return read_name
    if field.type == "list":
        return lambda text: [part.strip() for part in text.split(field.separator) if part.strip()]
    read = _TYPES[field.type]

    def typed(text: str) -> Json:
        try:
            return read(visible(text) if field.type != "json" else text)
        except CellError:
            raise
        except ValueError as error:
            raise CellError(Code.TYPE_INVALID, f"this column holds {_kind(field)}: write {error}") from None

    return typed


def _kind(field: FieldSettings) -> str:
    return {"integer": "whole numbers", "number": "numbers", "boolean": "true or false", "date": "dates"}[field.type]


def _lower_first(text: str) -> str:
    start = text[:1].lower() if text[1:2].islower() else text[:1]
    return start + text[1:].rstrip(".")
