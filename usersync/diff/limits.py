"""What a plan weighs and what settings allow in, refusals with every number out; and whose rows are protected."""

from __future__ import annotations

import difflib
import math
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase, translate
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from usersync.errors import UsageError
from usersync.models import FIELDS, shown
from usersync.settings import FieldLimit, Limits, is_field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame

WHOLE = "custom_attributes"
ALIKE = ("name", "password")
"""Fields of which many equal new values speak of a fill-down."""
ROWS_TO_COMPARE = 50
"""Rows that the last run had at least, for the size of its source to tell anything."""


@dataclass(frozen=True, slots=True)
class PlanStats:
    """What is counted of a plan, before the first update."""

    rows: int
    """Data rows of the input."""
    changes: int
    """Users who would be changed."""
    fields: Mapping[str, int] = field(default_factory=dict)
    """Field -> users for whom it changes."""
    same_values: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """`name`, `password` -> the most frequent new value as shown, and the users who would all get it."""
    last_rows: int | None = None
    """Rows of the last finished run of the same source."""
    blank_columns: tuple[str, ...] = ()
    """Fields whose column is wholly blank now, and was not at the last run."""


@dataclass(frozen=True, slots=True)
class LimitViolation:
    """One limit that a plan is beyond."""

    rule: str
    """The word for `--override`: `changes`, `email-percent`, `same-name`, `rows-shrunk` ..."""
    limit: str
    """What settings allow, in words with numbers."""
    found: str
    """What the plan holds, in words with numbers."""

    def sentence(self) -> str:
        """Say what is allowed, what was found, and how to send it all the same."""
        word = shlex.quote(self.rule)
        return f"{self.rule}: {self.limit}, but {self.found}; to send it all the same: --override {word}"


def weigh(weights: PlanStats, limits: Limits, *, overrides: frozenset[str] = frozenset()) -> tuple[LimitViolation, ...]:
    """Hold a plan against its limits; an empty answer lets it pass.

    `overrides` are rules that a person set aside; without them, the answer has every limit the plan is beyond.
    Raises UsageError where one of them is no rule.
    """
    check_overrides(overrides, limits)
    found = (*_changes(weights, limits), *_same(weights, limits), *_size(weights, limits))
    return tuple(refusal for refusal in found if refusal.rule not in overrides)


def check_overrides(names: Collection[str], limits: Limits) -> None:
    """Raise UsageError for names that are no rule, each with the nearest that is."""
    known = rules(limits)
    blank = [name for name in names if name.startswith("blank-") and is_field(name.removeprefix("blank-"))]
    wrong = sorted({*names} - {*known, *blank})
    if wrong:
        hints = (f"{name} is no limit's rule; {_nearest(name, known)}" for name in wrong)
        raise UsageError(f"--override: {'; '.join(hints)}")


def rules(limits: Limits) -> tuple[str, ...]:
    """Give the words for `--override`; `blank-` also goes before attributes that `limits` does not name."""
    fields = tuple(dict.fromkeys((*FIELDS, *limits.fields)))
    counted = [f"{name}-{kind}" for name in fields if name != WHOLE for kind in ("changes", "percent")]
    same, blank = [f"same-{name}" for name in ALIKE], [f"blank-{name}" for name in fields]
    return ("changes", "changes-percent", *counted, *same, "min-rows", "rows-shrunk", "rows-grown", *blank)


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def _changes(weights: PlanStats, limits: Limits) -> Iterator[LimitViolation]:
    whole = FieldLimit(changes=limits.changes, percent=limits.changes_percent)
    yield from _counted(("changes", "changes-percent"), whole, "be changed", weights.changes, weights.rows)
    for name, limit in limits.fields.items():
        words = (f"{name}-changes", f"{name}-percent")
        yield from _counted(words, limit, f"get another {name}", weights.fields.get(name, 0), weights.rows)


def _counted(rule: tuple[str, str], limit: FieldLimit, verb: str, users: int, rows: int) -> Iterator[LimitViolation]:
    if limit.changes is not None and users > limit.changes:
        yield LimitViolation(rule[0], f"at most {_count(limit.changes, 'user')} may {verb}", _would(users, verb))
    if limit.percent is not None and users > (most := _share(limit.percent, rows)):
        allowed = f"at most {limit.percent:g} % of {_count(rows, 'row')} ({_count(most, 'user')}) may {verb}"
        share = f" ({100 * users / rows:.3g} %)" if rows else ""
        yield LimitViolation(rule[1], allowed, _would(users, verb) + share)


def _same(weights: PlanStats, limits: Limits) -> Iterator[LimitViolation]:
    for name, (value, users) in weights.same_values.items():
        if limits.same_value is not None and users > limits.same_value:
            allowed = f"at most {_count(limits.same_value, 'user')} may get the same {name}"
            yield LimitViolation(f"same-{name}", allowed, _would(users, f"all get {value}"))


def _size(weights: PlanStats, limits: Limits) -> Iterator[LimitViolation]:
    rows, last = weights.rows, weights.last_rows
    found = f"there {'is' if rows == 1 else 'are'} {_count(rows, 'row')}"
    if limits.min_rows is not None and rows < limits.min_rows:
        yield LimitViolation("min-rows", f"there must be at least {_count(limits.min_rows, 'row')}", found)
    if limits.rows_percent is not None and last is not None and last >= ROWS_TO_COMPARE:
        span = _share(limits.rows_percent, last)
        least, most, share = _count(last - span, "row"), _count(last + span, "row"), f"{limits.rows_percent:g} %"
        shrunk = f"there must be at least {least} ({last:,} last time, less {share})"
        grown = f"there may be at most {most} ({last:,} last time, and {share} more)"
        if not last - span <= rows <= last + span:
            yield (
                LimitViolation("rows-shrunk", shrunk, found)
                if rows < last
                else LimitViolation("rows-grown", grown, found)
            )
    for name in weights.blank_columns if limits.blank_column else ():
        allowed = "a column that held something at the last run may not be blank throughout"
        yield LimitViolation(f"blank-{name}", allowed, f"{name} is blank in all of {_count(rows, 'row')}")


def _share(percent: float, of: int) -> int:
    """Give the whole rows in a share, by decimal arithmetic: 0.29 % of 10,000 are 29, not 28.999."""
    return math.floor(Fraction(str(percent)) * of / 100)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _would(users: int, verb: str) -> str:
    return f"{_count(users, 'user')} would {verb}"


def same_values(
    values: DataFrame, *, differs: Mapping[str, NDArray[np.bool_]] | None = None
) -> dict[str, tuple[str, int]]:
    """Find the most frequent wanted name and password in rows of `DesiredValues.values`, and how many want it.

    With `Comparison.differs`, only users for whom the value changes count. A password is shown as `***`.
    """
    most = {}
    for name in ALIKE:
        if name not in values:
            continue
        wanted = values[name] if differs is None else values[name][differs[name]]
        counts = wanted.value_counts(sort=False)  # in order of appearance: the first of equals wins
        if len(counts):
            most[name] = (str(shown(name, counts.idxmax())), int(counts.max()))
    return most


def protected(values: DataFrame, protect: Sequence[str]) -> dict[int, str]:
    """Find the rows of `DesiredValues.values` that `limits.protect` covers: key -> the entry.

    An entry is an id, or a pattern (`*@example.org`, in any case) for the e-mail that the row wants.
    """
    hit: Any = values["id"].isin([int(entry) for entry in protect if entry.isdecimal()])
    patterns = [translate(entry.casefold()) for entry in protect if not entry.isdecimal()]
    if patterns and "email" in values:
        hit |= values["email"].str.casefold().str.fullmatch(re.compile("|".join(patterns)), na=False).astype(bool)
    rows = values[hit]
    emails = rows["email"] if "email" in rows else [None] * len(rows)
    found = {
        int(key): protects_user(protect, user_id, email)
        for key, user_id, email in zip(rows.index, rows["id"], emails, strict=True)
    }
    return {key: entry for key, entry in found.items() if entry is not None}


def protects_user(protect: Sequence[str], user_id: int, email: str | None) -> str | None:
    """Give the first entry of `limits.protect` that covers a user as the platform holds them; None if none does."""
    address = (email or "").strip().casefold()
    for entry in protect:
        if int(entry) == user_id if entry.isdecimal() else address and fnmatchcase(address, entry.casefold()):
            return entry
    return None
