"""Check a plan against the configured limits, and find protected users."""

from __future__ import annotations

import difflib
import math
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from fractions import Fraction

from usersync.diff.plausibility import ImplausibleRows
from usersync.errors import UsageError
from usersync.models import FIELDS
from usersync.settings import FieldLimit, Limits, is_field
from usersync.values import normalize_email
from usersync.wording import plural

#: The field of all attributes together, which has no limits of its own but that for blank columns.
_ATTRIBUTES = "custom_attributes"
_BLANK_COLUMN = "blank_column"
#: Placeholder for the name of a field in `_RULES`.
_FIELD = "FIELD"
#: Setting -> its rules: the words that `--override` takes, besides the names of settings.
_RULES = {
    "changes": ("changes",),
    "changes_percent": ("changes-percent",),
    "fields.FIELD.changes": ("FIELD-changes",),
    "fields.FIELD.percent": ("FIELD-percent",),
    "same_value": ("same-name", "same-password"),
    "shifted": ("shifted",),
    "identity": ("identity",),
    "unusual": ("unusual",),
    "min_rows": ("min-rows",),
    "rows_percent": ("rows-shrunk", "rows-grown"),
    _BLANK_COLUMN: ("blank-FIELD",),
}
#: The size of a source is compared with its last run if that read at least so many rows.
ROWS_TO_COMPARE = 50
#: Changes are unusual if they are more than UNUSUAL_CHANGES, and more than so many times the most of the last runs.
UNUSUAL_FACTOR = 10
UNUSUAL_CHANGES = 100


@dataclass(frozen=True, slots=True)
class PlanStats:
    """The numbers that limits are checked against; all but the input's size count rows that would be sent."""

    changes: int
    """Users who would be changed."""
    fields: Mapping[str, int] = field(default_factory=dict)
    """Field -> users for whom it changes."""
    same_values: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """`name`, `password` -> the most frequent new value as shown, and the users who would all get it."""
    rows_read: int | None = None
    """Data rows of the input; None where the rows come from no file: then its size is not checked."""
    last_rows_read: int | None = None
    """The same for the last finished run of these files."""
    shifted: ImplausibleRows | None = None
    """Rows that take a value which another user holds now, where there are many."""
    other_people: ImplausibleRows | None = None
    """Rows that give a user name and e-mail of somebody else, where these are most of them."""
    usual_changes: int | None = None
    """The most users whom one of the last runs of these files would change; None where there was none."""
    blank_columns: tuple[str, ...] = ()
    """Fields whose column is blank throughout now, and was not at the last run."""


@dataclass(frozen=True, slots=True)
class LimitViolation:
    """One limit that a plan exceeds."""

    rule: str
    """The word for `--override`: `changes`, `email-percent`, `same-name`, `rows-shrunk` ..."""
    limit: str
    """What settings allow, in words with numbers."""
    found: str
    """What the plan holds, in words with numbers."""

    def is_overridden(self, names: Collection[str]) -> bool:
        """Return whether its rule or its setting is among the names given with `--override`."""
        return not {_spelled(self.rule), _spelled(_setting_of(self.rule))}.isdisjoint(map(_spelled, names))

    def sentence(self) -> str:
        """Say what is allowed, what was found, and how to send it anyway."""
        word = shlex.quote(self.rule)
        return f"{self.rule}: {self.limit}, but {self.found}; to send it anyway: --override {word}"


def check_limits(stats: PlanStats, limits: Limits) -> tuple[LimitViolation, ...]:
    """Return every limit that a plan exceeds, including overridden ones; empty if it exceeds none."""
    checks = (_changes, _same_values, _plausible, _unusual, _size)
    return tuple(violation for check in checks for violation in check(stats, limits))


def check_overrides(names: Collection[str], limits: Limits) -> None:
    """Raise UsageError for names that are neither rules nor their settings, each with the nearest one."""
    known = [*dict.fromkeys(name for pair in rules(limits).items() for name in pair)]
    spelled = set(map(_spelled, known))
    wrong = sorted(n for n in {*names} if _spelled(n) not in spelled and _setting_of(n) != _BLANK_COLUMN)
    if wrong:
        hints = (f"{name} is not a limit's rule; {_nearest(name, known)}" for name in wrong)
        raise UsageError(f"--override: {'; '.join(hints)}")


def rules(limits: Limits) -> dict[str, str]:
    """Return the words for `--override`, each with its setting; `blank-` also goes before other attributes."""
    fields = tuple(dict.fromkeys((*FIELDS, *limits.fields)))
    return {
        rule.replace(_FIELD, name): setting.replace(_FIELD, name)
        for setting, words in _RULES.items()
        for rule in words
        for name in (fields if _FIELD in rule else fields[:1])
        if name != _ATTRIBUTES or setting == _BLANK_COLUMN
    }


def _setting_of(rule: str) -> str:
    """Return the setting that a rule belongs to; empty for a word that is no rule."""
    for setting, words in _RULES.items():
        for word in words:
            before, has_field, after = word.partition(_FIELD)
            name = rule.removeprefix(before).removesuffix(after) if has_field else ""
            if rule == f"{before}{name}{after}" and (is_field(name) or not has_field):
                return setting.replace(_FIELD, name)
    return ""


def _spelled(name: str) -> str:
    """Return a name as rules and settings are compared: `changes-percent` is `changes_percent`."""
    return name.replace("-", "_")


def _nearest(name: str, known: Sequence[str]) -> str:
    if near := difflib.get_close_matches(name, known, 1, 0.6):
        return f"did you mean {near[0]}?"
    listed = [
        " and ".join(words) + ("" if _spelled(words[0]) == setting else f" ({setting})")
        for setting, words in _RULES.items()
    ]
    return f"rules, and their settings where these have another name: {', '.join(listed)}"


def _changes(stats: PlanStats, limits: Limits) -> Iterator[LimitViolation]:
    whole = FieldLimit(changes=limits.changes, percent=limits.changes_percent)
    yield from _counted(("changes", "changes-percent"), whole, "be changed", stats.changes, stats.rows_read)
    for name, limit in limits.fields.items():
        rules = (f"{name}-changes", f"{name}-percent")
        yield from _counted(rules, limit, f"get another {name}", stats.fields.get(name, 0), stats.rows_read)


def _counted(
    rule: tuple[str, str], limit: FieldLimit, verb: str, users: int, rows: int | None
) -> Iterator[LimitViolation]:
    if limit.changes is not None and users > limit.changes:
        yield LimitViolation(rule[0], f"at most {plural(limit.changes, 'user')} may {verb}", _would(users, verb))
    if limit.percent is None or rows is None:
        return
    most = _share(limit.percent, rows)
    if users > most:
        allowed = f"at most {limit.percent:g} % of {plural(rows, 'row')} ({plural(most, 'user')}) may {verb}"
        share = f" ({100 * users / rows:.3g} %)" if rows else ""
        yield LimitViolation(rule[1], allowed, _would(users, verb) + share)


def _same_values(stats: PlanStats, limits: Limits) -> Iterator[LimitViolation]:
    for name, (value, users) in stats.same_values.items():
        if limits.same_value is not None and users > limits.same_value:
            allowed = f"at most {plural(limits.same_value, 'user')} may get the same {name}"
            yield LimitViolation(f"same-{name}", allowed, _would(users, f"all get {value}"))


def _plausible(stats: PlanStats, limits: Limits) -> Iterator[LimitViolation]:
    if limits.shifted and stats.shifted:
        allowed = "new values may not be those that other users hold now"
        yield LimitViolation("shifted", allowed, stats.shifted.sentence())
    if limits.identity and stats.other_people:
        allowed = "most rows may not give a user the name and the e-mail of somebody else"
        yield LimitViolation("identity", allowed, stats.other_people.sentence())


def _unusual(stats: PlanStats, limits: Limits) -> Iterator[LimitViolation]:
    if not limits.unusual or stats.usual_changes is None:
        return
    most = max(UNUSUAL_FACTOR * stats.usual_changes, UNUSUAL_CHANGES)
    if stats.changes > most:
        usual = f"{plural(stats.usual_changes, 'user')} at most in the last runs of this source"
        allowed = f"at most {plural(most, 'user')} may be changed ({usual})"
        yield LimitViolation("unusual", allowed, _would(stats.changes, "be changed"))


def _size(stats: PlanStats, limits: Limits) -> Iterator[LimitViolation]:
    rows = stats.rows_read
    if rows is None:
        return
    found = f"there {'is' if rows == 1 else 'are'} {plural(rows, 'row')}"
    if limits.min_rows is not None and rows < limits.min_rows:
        yield LimitViolation("min-rows", f"there must be at least {plural(limits.min_rows, 'row')}", found)
    yield from _size_since_last_run(rows, stats.last_rows_read, limits.rows_percent, found)
    for name in stats.blank_columns if limits.blank_column else ():
        allowed = "a column that held something at the last run may not be blank throughout"
        yield LimitViolation(f"blank-{name}", allowed, f"{name} is blank in all of {plural(rows, 'row')}")


def _size_since_last_run(rows: int, last: int | None, percent: float | None, found: str) -> Iterator[LimitViolation]:
    if percent is None or last is None or last < ROWS_TO_COMPARE:
        return
    span = _share(percent, last)
    if rows < last - span:
        least = plural(last - span, "row")
        allowed = f"there must be at least {least} ({last:,} last time, less {percent:g} %)"
        yield LimitViolation("rows-shrunk", allowed, found)
    if rows > last + span:
        most = plural(last + span, "row")
        allowed = f"there may be at most {most} ({last:,} last time, and {percent:g} % more)"
        yield LimitViolation("rows-grown", allowed, found)


def _share(percent: float, of: int) -> int:
    """Return the whole rows in a share, by decimal arithmetic: 0.29 % of 10,000 are 29, not 28.999."""
    return math.floor(Fraction(str(percent)) * of / 100)


def _would(users: int, verb: str) -> str:
    return f"{plural(users, 'user')} would {verb}"


def protecting_entry(protect: Sequence[str], user_id: int, *emails: str | None) -> str | None:
    """Return the first entry of `limits.protect` that covers a user with this id or any of these addresses.

    An entry is an id, or a pattern (`*@example.org`, in any case) for an address. None where no entry does.
    """
    addresses = [address for email in emails if (address := normalize_email(email))]
    for entry in protect:
        if int(entry) == user_id if entry.isdecimal() else any(fnmatchcase(a, entry.lower()) for a in addresses):
            return entry
    return None


def has_email_patterns(protect: Sequence[str]) -> bool:
    """Return whether protection depends on a user's current address, which therefore has to be read."""
    return not all(entry.isdecimal() for entry in protect)
