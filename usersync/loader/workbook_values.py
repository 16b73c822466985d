"""Convert the values of a column to text, and find what is wrong with each.

A number is written as its cell shows it if that has the same value; a rounded display never replaces it.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Self

from usersync.loader.raw_sheet import no_text
from usersync.loader.workbook_cell_info import Place, Sheet, digits_format, hides_number
from usersync.models import Code

#: Spreadsheets keep 15 digits of a number; from here on the last ones may be lost.
_DIGITS: Final = 10**15
_E_NOTATION: Final = re.compile(r"\s*[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+\s*")
#: The readers' value for 1900-02-29, a day that exists in Excel and not in the calendar.
_NO_DAY: Final = date(1900, 2, 28)
#: The day of a number below 1 in .ods; elsewhere such a number is a time of day, even with the format of a date.
_DAY_ZERO: Final = (1899, 12, 30)
#: Stands for a zero that a format has as text, not as the place of a digit.
_LITERAL_ZERO: Final = "\0"


class DamagedText(str):
    """The text of a cell that cannot be used, and why."""

    code: Code
    message: str

    def __new__(cls, text: str, code: Code, message: str) -> Self:  # noqa: D102 - as `__init__`
        found = super().__new__(cls, text)
        found.code, found.message = code, message
        return found


def column_texts(
    values: Sequence[Any], overrides: Mapping[int, str], *, field: str | None = None
) -> tuple[list[str], list[tuple[int, DamagedText]]]:
    """Convert every value to text, or take its text from `overrides` (by position); also list the damaged ones.

    `field` is what the column means, where it means one.
    """
    is_id = field == "id"
    if overrides:
        values = [overrides.get(i, value) for i, value in enumerate(values)]
    kinds = set(map(type, values))
    if time in kinds and not kinds.isdisjoint((date, datetime)):
        values = [_zero_day(value) if value.__class__ is time else value for value in values]
    if kinds == {float} and (whole := _whole(values)):
        return whole, []
    texts = list(values) if kinds == {str} else [v if isinstance(v, str) else _text(v, field) for v in values]
    wrong = [] if kinds == {str} else [(i, text) for i, text in enumerate(texts) if isinstance(text, DamagedText)]
    if is_id:
        odd = [i for i, t in enumerate(texts) if ("e" in t or "E" in t) and t.__class__ is str]
        wrong += [(i, _damaged_id(texts[i])) for i in odd if _E_NOTATION.fullmatch(texts[i])]
    for i, text in wrong:
        texts[i] = str(text)
    return texts, wrong


def _whole(values: Sequence[float]) -> list[str] | None:
    """Convert a column of only whole numbers of up to 15 digits; None where it is not one."""
    if not -_DIGITS < min(values) <= max(values) < _DIGITS or not all(map(float.is_integer, values)):
        return None
    return list(map(str, map(int, values)))


def _text(value: Any, field: str | None) -> str:
    is_id = field == "id"
    if value.__class__ is float or value.__class__ is int:
        return _number(value, is_id)
    if value is None:
        return ""
    if message := no_text(value, field):
        return DamagedText(_text(value, None), Code.TYPE_INVALID, message)
    if value.__class__ is bool:
        return "TRUE" if value else "FALSE"
    if is_id and isinstance(value, date | time | timedelta):
        message = "the spreadsheet turned this id into a date or time; format the cell as text and type the id again"
        return DamagedText(iso_text(value), Code.ID_DAMAGED, message)
    if value.__class__ is date and value == _NO_DAY:
        message = "this date may be 1900-02-29, which does not exist; type it as text"
        return DamagedText(str(value), Code.CELL_ERROR, message)
    if isinstance(value, date) and value.timetuple()[:3] == _DAY_ZERO:
        return _zero_day(value)
    return iso_text(value)


def _zero_day(value: date | time) -> DamagedText:
    message = "the cell holds a number below 1 as a date, often of a formula that refers to a blank cell; correct it"
    return DamagedText(iso_text(value), Code.CELL_ERROR, message)


def _number(value: float, is_id: bool) -> str:
    if not math.isfinite(value):
        return DamagedText(str(value), Code.CELL_ERROR, "not a number that a cell can hold; type the value again")
    if -_DIGITS < value < _DIGITS:
        whole = int(value)
        return str(whole) if whole == value else plain_decimal(value)
    shown = f"{value:.0f}" if abs(value) < 1e25 else repr(value)
    if is_id:
        return _damaged_id(shown)
    message = (
        "a spreadsheet keeps only the first 15 digits of a number, so the last digits may be lost; "
        "format the cell as text and type the value again"
    )
    return DamagedText(shown, Code.TYPE_INVALID, message)


def _damaged_id(text: str) -> DamagedText:
    message = (
        "a spreadsheet keeps only the first 15 digits of a number, so the last digits of this id are lost; "
        "format the column as text and type or paste the id again"
    )
    return DamagedText(text, Code.ID_DAMAGED, message)


def plain_decimal(value: float) -> str:
    """Write a fraction without E-notation, and without the noise of binary sums (3.3000000000000003)."""
    text = repr(value)
    if len(text) > 17:
        short = f"{value:.15g}"
        text = short if len(short) < 14 else text
    if "e" in text and abs(value) > 1e-20:
        return format(Decimal(text), "f")
    return text


def iso_text(value: date | time | timedelta) -> str:
    """Write dates and times as ISO 8601 (a date alone where it has no time), durations as hours:mm:ss."""
    if isinstance(value, timedelta):
        seconds = round(value.total_seconds())
        sign = "-" if seconds < 0 else ""
        minutes, second = divmod(abs(seconds), 60)
        return f"{sign}{minutes // 60}:{minutes % 60:02}:{second:02}"
    if isinstance(value, datetime):
        value = _whole_seconds(value)
        if value.time() == time(0):
            return value.date().isoformat()
        return value.isoformat(timespec="milliseconds" if value.microsecond else "seconds")
    if isinstance(value, time):
        value = _whole_seconds(datetime.combine(date(2000, 1, 1), value)).time()
        return value.isoformat(timespec="milliseconds" if value.microsecond else "seconds")
    return value.isoformat()


def _whole_seconds(value: datetime) -> datetime:
    """Undo the rounding of a fraction of a day, of up to 1.5 milliseconds."""
    off = value.microsecond
    if off >= 998_500:
        return value.replace(microsecond=0) + timedelta(seconds=1)
    return value.replace(microsecond=0) if off <= 1500 else value


def formatted_number(value: float, code: str) -> str | None:
    """Write a number as the format `code` (digits, decimals, percent, dashes) shows it; None if that rounds."""
    pattern, decimals, percent = _format_parts(code)
    if not -_DIGITS < value < _DIGITS:
        return None
    if not percent and pattern == "0":
        text = f"{value:.{decimals}f}"
        if float(text) == value:
            return text
    exact = Decimal(plain_decimal(value)).scaleb(2 if percent else 0)
    digits = f"{abs(exact):.{decimals}f}"
    if Decimal(digits) != abs(exact):
        if not percent:
            return None
        digits = format(abs(exact).normalize(), "f")
    whole, dot, rest = digits.partition(".")
    return ("-" if value < 0 else "") + _fill(pattern, whole).replace(_LITERAL_ZERO, "0") + dot + rest + percent


@lru_cache
def _format_parts(code: str) -> tuple[str, int, str]:
    """`00-00.0%` -> pattern of the whole digits, number of decimals, percent sign."""
    code = re.sub(r'\\(.)|"([^"]*)"|_\)', lambda m: (m[1] or m[2] or "").replace("0", _LITERAL_ZERO), code)
    percent = "%" if code.endswith("%") else ""
    pattern, _, decimals = code.rstrip("%").partition(".")
    return pattern, len(decimals), percent


def _fill(pattern: str, digits: str) -> str:
    """Put digits into the zeros of a pattern from the right; surplus digits go in front of the first zero."""
    remaining = list(digits)
    reversed_text: list[str] = []
    first = pattern.find("0")
    for at in range(len(pattern) - 1, -1, -1):
        if pattern[at] != "0":
            reversed_text.append(pattern[at])
        else:
            reversed_text.append(remaining.pop() if remaining else "0")
        if at == first:
            reversed_text.extend(reversed(remaining))
    return "".join(reversed(reversed_text))


def resolve_overrides(sheet: Sheet, id_column: int | None) -> dict[int, dict[int, str]]:
    """Return column -> row -> the text that replaces a value because of the sheet's cell info.

    A text that is an error is a `DamagedText`.
    """
    overrides: defaultdict[int, dict[int, str]] = defaultdict(dict)
    for (row, column), text in _overriding_texts(sheet, id_column):
        overrides[column][row] = text
    return overrides


def _overriding_texts(sheet: Sheet, id_column: int | None) -> Iterator[tuple[Place, str]]:
    """Yield the texts that replace values; of several for a cell, the last one counts."""
    info = sheet.info
    for place, code in info.formats.items():
        value = sheet.value(*place)
        if value.__class__ not in (float, int):
            continue
        if hides_number(code, value):
            yield place, _unseen(value)
            continue
        shown = digits_format(code)
        text = formatted_number(value, shown) if shown and not (place[1] == id_column and shown.strip("0")) else None
        if text is not None:
            yield place, text
    for place in info.unseen_zeros:
        yield place, _unseen(0)
    for place in info.negative:
        if isinstance(sheet.value(*place), date | time):
            message = "a negative number cannot be shown as a date; correct the cell"
            yield place, DamagedText("####", Code.CELL_ERROR, message)
    for place, error in info.errors.items():
        message = f"the cell shows {error} instead of a value; correct its formula or type the value"
        yield place, DamagedText(error, Code.CELL_ERROR, message)
    for place in info.unsaved:
        message = "the file does not hold the result of this formula; open it in Excel, save it, and try again"
        yield place, DamagedText("", Code.FORMULA_UNSAVED, message)
    for place in info.partly_struck:
        message = "a part of the text is struck through; delete that part"
        yield place, DamagedText(str(sheet.value(*place)), Code.VALUE_SUSPECT, message)


def _unseen(value: float) -> DamagedText:
    message = "the cell is shown as a blank one, but holds a number; empty it, or have the number shown"
    return DamagedText(f"{value:g}", Code.CELL_ERROR, message)
