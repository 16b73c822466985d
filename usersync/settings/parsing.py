"""Parse rates, durations, shares, addresses and field names of the settings."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from usersync.models import ATTRIBUTE, FIELDS, NEW_EMAIL

_UNITS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
#: Seconds that a duration may have: a hundred years, which calendars and timers have room for.
_LONGEST = 36_500 * _UNITS["d"]
_RATE = re.compile(r"\s*(\d+)\s*/\s*(\d+(?:\.\d+)?)?\s*(s|sec|min|m|h)\s*")
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|sec|min|m|h|d)?\s*")


@dataclass(frozen=True)
class Rate:
    """At most `count` requests in any window of `seconds`."""

    count: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds:g}s"


def parse_rate(text: object) -> object:
    """Parse `3000/min`, `50/s` or `7/3s` into a Rate, `off` into None; `auto` stays text."""
    if text is False:  # a bare `off`, as the YAML of other programs reads it
        return None
    if not isinstance(text, str):
        if isinstance(text, Rate) or text is None:
            return text
        raise ValueError("write a rate like 3000/min or 50/s")
    if text.strip().lower() in ("off", "auto"):
        return "auto" if text.strip().lower() == "auto" else None
    found = _RATE.fullmatch(text)
    if not found or int(found[1]) == 0 or float(found[2] or 1) == 0:
        raise ValueError("write a rate like 3000/min or 50/s (or auto, or off)")
    return Rate(int(found[1]), float(found[2] or 1) * _UNITS[found[3]])


def parse_duration(text: object) -> float:
    """Parse `90s`, `10m`, `2h`, `90d` or a number of seconds into seconds."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        seconds = float(text)
    else:
        found = _DURATION.fullmatch(text) if isinstance(text, str) else None
        if not found:
            raise ValueError("write a duration like 30, 90s, 10m, 2h or 90d")
        seconds = float(found[1]) * _UNITS[found[2] or "s"]
    if seconds > _LONGEST:
        raise ValueError(f"longer than {_LONGEST / _UNITS['d']:,.0f} days")
    return seconds


def parse_share(share: object) -> object:
    """Parse `10%` into 0.1; everything else stays as it is."""
    if isinstance(share, str) and re.fullmatch(r"\s*\d+(\.\d+)?\s*%\s*", share):
        return float(share.strip().rstrip("%")) / 100
    return share


def usable_file_name(name: str) -> str:
    """Return a file name that the system can open, `~` replaced by the home. Raises ValueError for the others."""
    if not name.strip():
        raise ValueError("write the name of a file")
    if "\0" in name:
        raise ValueError("holds a NUL character, which no file name may hold")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character (a lone surrogate); write the file name in full") from None
    return os.path.expanduser(name)  # noqa: PTH111 - a Path forgets a blank name, and takes no address


def _written(text: str) -> str:
    if not text.strip():
        raise ValueError("blank; write a value, or leave this line out")
    return text


def _path_name(given: object) -> object:
    return usable_file_name(str(given)) if isinstance(given, str | Path) else given


FilePath = Annotated[Path, BeforeValidator(_path_name)]
Written = Annotated[str, AfterValidator(_written)]
Seconds = Annotated[PositiveFloat, Field(allow_inf_nan=False), BeforeValidator(parse_duration)]


class Section(BaseModel):
    """One section of the settings file; unknown keys are errors, and values cannot be changed.

    A section or a mapping in which nothing is written is an empty one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)

    @model_validator(mode="before")
    @classmethod
    def _blank_section(cls, values: object) -> object:
        return {} if values is None else values

    @field_validator("*", mode="before")
    @classmethod
    def _blank_mapping_or_boolean(cls, value: object, info: ValidationInfo) -> object:
        annotation = cls.model_fields[str(info.field_name)].annotation
        if value is None and get_origin(annotation) is dict:
            return {}
        if isinstance(value, bool) and {bool, Rate}.isdisjoint((annotation, *get_args(annotation))):
            raise ValueError("cannot be true or false; write a value, text in quotes")  # pydantic takes true for 1
        return value


def is_address(url: str) -> bool:
    """Return whether `url` is an http or https address."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def web_address(url: str) -> str:
    """Return an address for a notification. Raises ValueError, without the address: it may be secret."""
    if not is_address(url) or "@" in urlsplit(url).netloc:
        raise ValueError("write the address with http:// or https://, without user or password")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("holds blanks or characters that no address has; percent-encode them")
    return url


def is_field(name: str) -> bool:
    """Return whether `name` is a field of a user that can be changed."""
    return name in FIELDS or (name.startswith(ATTRIBUTE) and len(name) > len(ATTRIBUTE))


def nearest_field(name: str) -> str:
    """Return a hint at the field that was probably meant, or an empty text."""
    near = difflib.get_close_matches(name.lower(), ["id", *FIELDS], 1, 0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def _field_name(name: str) -> str:
    if not is_field(name):
        raise ValueError(f"{name} is not a field{nearest_field(name)}")
    return name


def _column_meaning(name: str) -> str:
    is_template = "{" in name  # "{First name} {Last name}", checked where the headings are known
    return name if is_template or name in ("id", NEW_EMAIL, "ignore") else _field_name(name)


FieldName = Annotated[str, AfterValidator(_field_name)]
ColumnMeaning = Annotated[str, AfterValidator(_column_meaning)]
