"""Read one cell as an id, an e-mail address, a password or an attribute."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable
from datetime import date, datetime
from itertools import chain

from usersync.models import Code, Json
from usersync.settings import FieldSettings
from usersync.values import normalize_email, normalize_text

#: The largest id that the platform's database can hold.
MAX_ID = 2**63 - 1
#: More digits than any number that a database holds; conversion of far more is slow.
_MAX_DIGITS = 400
_TWO_MEANINGS = "this number can have a thousands separator, or decimals; enter it as 1000 or 1.0"
_FRACTION = re.compile(r"[+-]?[0-9]*\.[0-9]+")
_WHOLE = re.compile(r"[+-]?[0-9]+(?:\.0+)?")
#: 1.000 and 12'500: groups of three digits, which can be thousands or, behind a point, decimals.
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}([.,'\u2019 ])[0-9]{3}(?:\1[0-9]{3})*")
_E_NOTATION = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+")
_PLAIN_ITEM = r"(?:-?[0-9][0-9.eE+-]*|true|false|null)"
#: How a list begins as JSON, which no list with separators does; one of numbers alone to its end.
_JSON_LIST = re.compile(rf"""\s*\[\s*(?:["\[{{\]]|{_PLAIN_ITEM}(?:\s*,\s*{_PLAIN_ITEM})*\s*\]\s*\Z)""")
_SIGN = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]"
_ATOM = rf"{_SIGN}+"
_EMAIL = (
    rf"(?=[^@\n]{{1,64}}@)(?=[^\n]{{3,254}}(?:\n|\Z)){_ATOM}(?:\.{_ATOM})*@"
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"
)
#: Most addresses: too short for any limit of length, so that each character is looked at once.
_SHORT_EMAIL = (
    rf"{_SIGN}{{1,31}}+(?:\.{_SIGN}{{1,31}}+)?+@(?:[a-z0-9]{{1,20}}+(?:-[a-z0-9]{{1,20}}+)?+\.){{1,4}}+"
    r"[a-z]{2,20}+"
)
_ID = r"[1-9][0-9]{0,17}"
#: Frequent reasons of email_validator, and what we say.
_EMAIL_REASONS = {
    "An email address must have an @-sign.": "no @-sign",
    "There must be something before the @-sign.": "nothing before the @-sign",
    "There must be something after the @-sign.": "nothing after the @-sign",
    "The part after the @-sign is not valid. It should have a period.": "no period after the @-sign",
    "The part after the @-sign is not valid. It is not within a valid top-level domain.": "no such top-level domain",
}
PLAIN_EMAIL = re.compile(_EMAIL)
PLAIN_ID = re.compile(_ID)
#: A whole column, its cells joined by line ends: what matches needs no look at single cells.
PLAIN_COLUMNS = {
    "id": re.compile(rf"(?:{_ID}\n)*+"),
    "email": re.compile(rf"(?:(?:{_SHORT_EMAIL}|{_EMAIL})?\n)*+"),
}


class InvalidCellError(ValueError):
    """A cell that cannot be used; the message says what is wrong and what to enter."""

    def __init__(self, code: Code, message: str) -> None:
        self.code = code
        super().__init__(message)


def read_id(text: str) -> int:
    """Read a user's id, a whole number of at least 1."""
    digits = normalize_text(text)
    if not digits:
        raise InvalidCellError(Code.ID_MISSING, "the id is missing; enter the user's id")
    if _E_NOTATION.fullmatch(digits):
        raise InvalidCellError(
            Code.ID_DAMAGED,
            "the spreadsheet rounded this id; format the column as text and enter the id again",
        )
    if _THOUSANDS.fullmatch(digits):
        raise InvalidCellError(
            Code.ID_DAMAGED,
            "this id has a thousands separator, or decimals; format the column as whole numbers without separators",
        )
    if not re.fullmatch(r"[0-9]+(?:\.0+)?", digits, re.ASCII):
        raise InvalidCellError(Code.ID_INVALID, "an id is a whole number written in digits only, such as 1042")
    number = int(digits.partition(".")[0][:40])
    if not 0 < number <= MAX_ID:
        raise InvalidCellError(Code.ID_INVALID, f"an id is between 1 and {MAX_ID}")
    return number


def read_email(text: str) -> str:
    """Read an e-mail address as the platform stores it: trimmed, in lower case."""
    address = normalize_email(normalize_text(text))
    if address.count("@") > 1 and re.search(r"[\s,;]", address):
        raise InvalidCellError(Code.EMAIL_INVALID, "more than one e-mail address; enter only one")
    if PLAIN_EMAIL.fullmatch(address):
        return address
    from email_validator import EmailNotValidError, validate_email  # few addresses need it, and it is slow to import

    try:
        found = validate_email(address, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as error:
        raise InvalidCellError(Code.EMAIL_INVALID, f"not a valid e-mail address: {_email_reason(str(error))}") from None
    return normalize_email(found.normalized)


def _email_reason(message: str) -> str:
    short = re.sub(r"^(?:An|The) email address ", "it ", message.rstrip("."))
    return _EMAIL_REASONS.get(message) or f"{short[:1].lower()}{short[1:]}"


#: Zero-width characters and direction marks. Joiners stay between letters of scripts (and emoji) that need them.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
    "|(?<![\u0600-\u1fff\u2190-\U0010ffff])[\u200c\u200d]|[\u200c\u200d](?![\u0600-\u1fff\u2190-\U0010ffff])"
)
#: White space with a tab, a line break or a special blank in it.
_BLANKS = re.compile(r"(?<! ) *+[^\S ]\s*")

_PASSWORD_RULES: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("6 to 128 characters", lambda text: 6 <= len(text) <= 128),
    ("an upper-case letter", re.compile("[A-Z]").search),
    ("a lower-case letter", re.compile("[a-z]").search),
    ("a digit", re.compile("[0-9]").search),
    ("a special character such as ! or #", re.compile(r"[^\w\s]|_").search),
)


def read_password(text: str) -> str:
    """Check a password against the platform's rules; surrounding blanks are part of it."""
    missing = [rule for rule, is_met in _PASSWORD_RULES if not is_met(text)]
    if missing:
        raise InvalidCellError(Code.PASSWORD_WEAK, f"the password needs {', '.join(missing)}")
    return text


def read_text(text: str) -> str:
    """Return a text in its composed form (NFC) without invisible characters; reject control characters.

    White space is none of them.
    """
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r" for c in text):
        raise InvalidCellError(Code.ENCODING, "a control character in the cell; type the text again")
    return _INVISIBLE.sub("", unicodedata.normalize("NFC", text))


def read_name(text: str) -> str:
    """Return a name as `read_text` does, on one line, without blanks of other kinds."""
    name = _BLANKS.sub(" ", read_text(text))
    return name if name == text else name.strip()


def _unique_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    values: dict[str, Json] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"the key {name!r} occurs twice")
        values[name] = value
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text} is too large")
    return number


_decode_json = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_finite
).decode


#: Levels of nesting that a JSON cell may have: `platform.body` reads 64, and a list of users takes three of them.
MAX_JSON_DEPTH = 60


def read_json(text: str) -> Json:
    """Read strict JSON: no repeated keys, no NaN, no half characters; texts in it as `read_text` returns them.

    It is not nested deeper than what the platform answers can be read.
    """
    try:
        value = _decode_json(_INVISIBLE.sub("", unicodedata.normalize("NFC", text)))
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidCellError(Code.JSON_INVALID, f"not valid JSON: {_json_reason(text, error)}") from None
    if text.count("[") + text.count("{") > MAX_JSON_DEPTH and _is_deeper(value, MAX_JSON_DEPTH):
        raise InvalidCellError(Code.JSON_INVALID, f"nested deeper than {MAX_JSON_DEPTH} levels")
    return value


def _is_deeper(value: Json, levels: int) -> bool:
    level: list[Json] = [value]
    for _ in range(levels):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = list(chain.from_iterable(inner))
    return any(isinstance(item, dict | list) for item in level)


def _json_reason(text: str, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        quotes = "straight double quotes, not curly ones" if re.search("[\u2018-\u201f]", text) else "double quotes"
        return (
            f"an error at character {error.pos + 1}; "
            f'put names and texts in {quotes}, such as {{"plan": "pro", "seats": 5}}'
        )
    return str(error).rstrip(".")


def read_attributes(text: str) -> dict[str, Json]:
    """Read the JSON object of a `custom_attributes` cell."""
    value = read_json(text)
    if not isinstance(value, dict):
        raise InvalidCellError(Code.JSON_INVALID, 'custom attributes must be a JSON object, such as {"seats": 5}')
    return value


def _integer(text: str) -> int:
    if _THOUSANDS.fullmatch(text):
        raise ValueError(_TWO_MEANINGS)
    if not _WHOLE.fullmatch(text) or len(text) > _MAX_DIGITS:
        raise ValueError("not a whole number; enter one such as 12")
    return int(text.partition(".")[0])


def has_decimals(text: str) -> bool:
    """Return whether a number shows that the points of its column are decimal points, not thousands separators."""
    return _FRACTION.fullmatch(text) is not None and _THOUSANDS.fullmatch(text) is None


def read_number(text: str) -> float | int:
    """Read a number that cannot have a thousands separator; raises ValueError."""
    if _THOUSANDS.fullmatch(text):
        raise ValueError(_TWO_MEANINGS)
    return _number(text)


def _number(text: str) -> float | int:
    if re.fullmatch(r"[+-]?[0-9]+", text) and len(text) <= _MAX_DIGITS:
        return int(text)
    if re.fullmatch(r"[+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?", text) and math.isfinite(float(text)):
        return float(text)
    raise ValueError("not a number; enter one such as 1.5, with a decimal point")


def read_boolean(text: str) -> bool:
    """Read true or false, in words as spreadsheets of many languages write them; raises ValueError."""
    word = _BOOLEANS.get(text.casefold())
    if word is None:
        raise ValueError("neither true nor false; enter one of them")
    return word


def _date(text: str) -> str:
    for kind in (date, datetime):
        try:
            kind.fromisoformat(text)
        except ValueError:
            continue
        if re.match(r"\d{4}-\d\d-\d\d", text):
            return text
    raise ValueError("not a date; enter year-month-day, such as 2026-11-24")


def _list(text: str, separator: str) -> list[Json]:
    """Read several texts with a separator between them, or a list as JSON, as an export writes it."""
    if _JSON_LIST.match(text):
        return list(read_json(text))
    return [part.strip() for part in read_text(text).split(separator) if part.strip()]


_TRUE = "true yes 1 wahr vrai verdadero verdadeiro vero waar sant sand sann tosi prawda pravda igaz истина doğru"
_FALSE = "false no 0 falsch faux falso onwaar falskt falsk usann epätosi fałsz nepravda hamis ложь yanl\u0131ş yanliş"
_BOOLEANS = dict.fromkeys(_TRUE.split(), True) | dict.fromkeys(_FALSE.split(), False)
_TYPES: dict[str, Callable[[str], Json]] = {
    "integer": _integer,
    "number": _number,
    "boolean": read_boolean,
    "date": _date,
}


def typed_reader(field: FieldSettings, *, reject_thousands: bool = False) -> Callable[[str], Json]:
    """Return the function that reads a cell of the field's type; it raises InvalidCellError.

    With `reject_thousands`, the number 1.000 is rejected; as a whole number it always is.
    """
    if field.type == "text":
        return read_text
    if field.type == "json":
        return read_json
    if field.type == "list":
        return lambda text: _list(text, field.separator)
    read = read_number if reject_thousands else _TYPES[field.type]

    def read_typed(text: str) -> Json:
        try:
            return read(normalize_text(text))
        except ValueError as error:
            raise InvalidCellError(Code.TYPE_INVALID, str(error)) from None

    return read_typed
