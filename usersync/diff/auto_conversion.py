"""Recognize texts that a spreadsheet has converted, or an old program written.

A spreadsheet takes what looks like a number or a date for one, and writes it in its own form: 007 becomes 7, and
2026-01-05 becomes 05.01.2026. Old programs write letters without their accents: Jose for José.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, TypeAlias

from usersync.validation.cells import read_boolean
from usersync.values import strip_accents

#: Year, month, day.
Day: TypeAlias = tuple[int, int, int]

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,60}(?:[.,][0-9]{1,60})?(?:[eE][+-]?[0-9]{1,2})?%?")
_GROUPED: Final = re.compile(r"[+-]?[0-9]{1,3}([,.' \u00a0\u202f])[0-9]{3}(?:\1[0-9]{3})*")
#: How many digits a spreadsheet keeps of a number, and writes into a text file of one with decimals.
_DIGITS_KEPT: Final = 15
_DIGITS_WRITTEN: Final = 10
_FRACTION: Final = re.compile(r"[+-]?[0-9]{1,60}[.,][0-9]{1,60}")
_TIME: Final = r"(?:[T ,]+(\d{1,2}):(\d\d)(?::(\d\d))?(?:\.(\d+))?(?:Z| ?([AP]M))?)?"
_DATE: Final = re.compile(rf"(\d{{1,4}})([./ -]+)(\d{{1,2}})\2(\d{{1,4}}){_TIME}\.?", re.IGNORECASE)
#: Numbers as spreadsheets and pandas spoil them: 4.9E+11, and 4711.0, which is too long for a version.
_SPOILT: Final = re.compile(r"[+-]?[0-9](?:[.,][0-9]+)?E[+-][0-9]+|[0-9]{3,}\.0")
#: 1.2.3 and 1.2.10: versions, not dates.
_VERSION: Final = re.compile(r"\d{1,2}\.\d{1,2}\.\d{1,2}")
_CLOCK: Final = re.compile(r"\d{1,3}:\d\d(?::\d\d)?")
#: 1.5, 1/5 and Mar1, which spreadsheets read as the fifth of January, the first of May or of March.
_DAY_AND_MONTH: Final = re.compile(r"(\d{1,2})[./-](\d{1,2})")
_NAMED_DAY: Final = re.compile(r"([^\W\d_]{3,9})[ .-]?(\d{1,2})|(\d{1,2})[ .-]?([^\W\d_]{3,9})")
#: How they write that in a text file, by language: 01. Mai, 1-May, May-01, 01.maj.
_WRITTEN: Final = re.compile(r"([^\W\d_]{3,5})[. -]{1,2}(\d\d)|(\d{1,2})[. -]{1,2}([^\W\d_]{3,5})\.?")
#: How the names of months begin: English, German, French, Spanish, Italian, Portuguese, Dutch and Scandinavian ones,
#: Polish, Czech, Hungarian, Turkish, Russian.
_MONTHS: Final = {
    beginning: number
    for number, beginnings in enumerate(
        (
            "jan jän ene gen sty led oca янв", "feb fév fev lut úno şub фев", "mar mär mrz maa már bře мар",
            "apr avr abr ápr kwi dub nis апр", "may mai maj mag mei máj kvě май мая",
            "jun juin giu jún cze čvn haz июн",
            "jul juil lug júl lip čvc tem июл", "aug ago aoû sie srp ağu авг", "sep set sze wrz zář eyl сен",
            "oct okt ott out paź říj eki окт", "nov lis kas ноя", "dec dez déc dic gru pro ara дек",
        ),
        1,
    )
    for beginning in beginnings.split()
}  # fmt: skip
#: How spreadsheets store a day from 1954 to 2119: as a serial number.
_SERIAL_NUMBER: Final = re.compile(r"[2-7]\d{4}(?:[.,]\d+)?")
#: How letters that Unicode cannot divide into letter and accent are written in ASCII; umlauts have two ways.
_LETTERS: Final = {"ß": "ss", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "\u0131": "i", "þ": "th", "ð": "d"}
_ONE_LETTER: Final = str.maketrans(_LETTERS | {"ø": "o"})
_TWO_LETTERS: Final = str.maketrans(_LETTERS | {"ø": "oe", "ä": "ae", "ö": "oe", "ü": "ue", "å": "aa"})
_ASCII: Final = frozenset(map(chr, range(128)))
_NO_BOOLEANS: Final = frozenset(("1", "0", "yes", "no"))


def is_without_accents(new: str, old: str) -> bool:
    """Return whether `new` is `old` in ASCII, as old programs write it: Muller or Mueller for Müller; in any case."""
    if old.isascii() or not new.isascii():
        return False
    text = old.casefold()
    return new.casefold() in (strip_accents(text.translate(_ONE_LETTER)), strip_accents(text.translate(_TWO_LETTERS)))


def accented_letters(text: str) -> frozenset[str]:
    """Return the letters of a text that are not ASCII, in lower case."""
    return frozenset() if text.isascii() else frozenset(unicodedata.normalize("NFC", text.lower())) - _ASCII


def is_auto_converted(new: str, old: str) -> bool:
    """Return whether `new` may be what a spreadsheet made of `old`: the same value in another form."""
    if new == old or not (old and new) or max(len(old), len(new)) > 80:
        return False
    return (
        _is_same_number(new, old)
        or _is_same_day(new, old)
        or _is_read_as_day(new, old)
        or _is_serial_number_of_day(new, old)
        or _is_same_clock(new, old)
        or _is_same_boolean(new, old)
    )


def _is_same_number(new: str, old: str) -> bool:
    """Return whether two texts are the same number, and the new one is not a correction.

    People add leading zeros or a plus, and restore what a spreadsheet has damaged before.
    """
    is_corrected = _is_padded(new, old) or _SPOILT.fullmatch(old)
    if not is_corrected and not _values(new).isdisjoint(_values(old)):
        return True
    return _is_rounded_whole(new, old) or _is_rounded_fraction(new, old)


def _is_padded(new: str, old: str) -> bool:
    return len(new) >= len(old) and new.lstrip("+0") == old.lstrip("+0")


def _is_rounded_whole(new: str, old: str) -> bool:
    if not (new.isdecimal() and old.isdecimal() and len(new) == len(old) > _DIGITS_KEPT):
        return False
    step = int(10 ** (len(old) - _DIGITS_KEPT))
    return int(new) % step == 0 and abs(int(new) - int(old)) < step


def _is_rounded_fraction(new: str, old: str) -> bool:
    """Return whether a number lost its last decimals, as 52.5200066 did, which was 52.52000659999999."""
    if not _FRACTION.fullmatch(old) or not _NUMBER.fullmatch(new) or new.endswith("%"):
        return False
    value, exact = (Decimal(text.replace(",", ".")) for text in (new, old))
    digits = (Decimal(f"{exact:.{count}g}") for count in (_DIGITS_KEPT, _DIGITS_WRITTEN))
    decimals = (Decimal(f"{exact:.{count}f}") for count in (_DIGITS_WRITTEN - 1, _DIGITS_WRITTEN))
    return value != exact and value in (*digits, *decimals)


def _values(text: str) -> set[Decimal]:
    """Return the numbers that a text may be: 1,500 is one and a half, or a thousand and a half."""
    found = set()
    if _NUMBER.fullmatch(text):
        value = Decimal(text.rstrip("%").replace(",", "."))
        found.add(value / 100 if text.endswith("%") else value)
    if _GROUPED.fullmatch(text):
        found.add(Decimal(re.sub("[^0-9+-]", "", text)))
    return found


def _is_same_day(new: str, old: str) -> bool:
    """Return whether two texts can be the same day; where both have the same order of parts, in that order alone."""
    found, former = _DATE.fullmatch(new), _DATE.fullmatch(old)
    if not found or not former or not _is_same_time(found, former):
        return False
    if found[2] == former[2] and len(found[1]) // 3 == len(former[1]) // 3:
        return next(_days(found)) == next(_days(former))
    return not set(_days(found)).isdisjoint(_days(former))


def _is_same_time(found: re.Match[str], former: re.Match[str]) -> bool:
    """Return whether two times can be the same: seconds or the whole may be missing; an added time is midnight."""
    new, old = _time(found), _time(former)
    if not old:
        return not any(new)
    return all(one == other for one, other in zip(new, old, strict=False))


def _time(found: re.Match[str]) -> list[int]:
    """Return hours, minutes, seconds and microseconds, as many as there are."""
    hour, minute, second, fraction, half = found.groups()[-5:]
    if hour is None:
        return []
    hours = int(hour) % 12 + 12 * (half.upper() == "PM") if half else int(hour)
    parts = [hours, int(minute)] + ([int(second)] if second else [])
    return [*parts, int(fraction[:6].ljust(6, "0"))] if second and fraction else parts


def _days(found: re.Match[str]) -> Iterator[Day]:
    first, second, third = int(found[1]), int(found[3]), int(found[4])
    if len(found[1]) > 2:
        yield first, second, third
        return
    year = third % 100 + 2000 if third < 70 else third % 100 + 1900 if third < 100 else third
    yield year, second, first
    yield year, first, second


def _is_read_as_day(new: str, old: str) -> bool:
    """Return whether a spreadsheet read a text such as 1.5, 1/5 or Mar1 as this day."""
    parts = _DAY_AND_MONTH.fullmatch(old)
    numbers = set(map(int, parts.groups())) if parts else _named_day(_NAMED_DAY.fullmatch(old))
    if not numbers:
        return False
    if written := _WRITTEN.fullmatch(new):
        return numbers == _named_day(written)
    date = None if _VERSION.fullmatch(new) else _DATE.fullmatch(new)
    return date is not None and any(numbers <= {month, day, year % 100} for year, month, day in _days(date))


def _named_day(found: re.Match[str] | None) -> set[int]:
    """Return the number of a month that is named and the number beside it; empty where no month is named."""
    if not found:
        return set()
    name, number = (found[1], found[2]) if found[1] else (found[4], found[3])
    month = next((_MONTHS[name.lower()[:n]] for n in (5, 4, 3) if name.lower()[:n] in _MONTHS), 0)
    return {month, int(number)} if month else set()


def _is_serial_number_of_day(new: str, old: str) -> bool:
    """Return whether a date was replaced by its serial number."""
    return _SERIAL_NUMBER.fullmatch(new) is not None and _DATE.fullmatch(old) is not None


def _is_same_clock(new: str, old: str) -> bool:
    if not _CLOCK.fullmatch(new) or not _CLOCK.fullmatch(old):
        return False
    one, other = ([int(part) for part in f"{text}:0".split(":")[:3]] for text in (new, old))
    return one == other and new.count(":") >= old.count(":")


def _is_same_boolean(new: str, old: str) -> bool:
    if not new.isupper() or {new.casefold(), old.casefold()} & _NO_BOOLEANS:
        return False
    try:
        return read_boolean(new) == read_boolean(old)
    except ValueError:
        return False
