"""Judge whether changes are about the users that they would be sent to."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final, NamedTuple

from usersync.masking import mask_field
from usersync.models import Json, User, value_of
from usersync.values import normalize_email, strip_accents

#: Addresses, telephone numbers, and numbers of nine digits or more; no dates with times, and no links.
_PERSONAL: Final = re.compile(
    r".*@.*|\+\d.*|(?!\d{4}-\d\d-\d\d|\d{1,2}[./-]\d{1,2}[./-]\d{4}|.*://)(?:\D*\d){9}.*", re.DOTALL
)
#: Rows from which a pattern is no coincidence: a swap, a chain or a few successors stay possible.
MIN_ROWS: Final = 5
#: Share of the rows sent that take values of other users, from which columns must have been shifted or sorted.
SHIFTED_SHARE: Final = 0.2
#: Share of the rows sent that make other people of their users, beyond which the ids must be those of others.
IDENTITY_SHARE: Final = 0.5
#: How alike two words must be to be two spellings of one.
_ALIKE: Final = 0.7
_EXAMPLES: Final = 2


class PersonChange(NamedTuple):
    """Who a user is before and after a row is sent. Old values: None where unknown; new ones: None where kept."""

    user_id: int
    old_name: str | None
    new_name: str | None
    old_email: str | None
    new_email: str | None


@dataclass(frozen=True, slots=True)
class ImplausibleRows:
    """How many rows of a plan look like a mistake, out of how many that would be sent, and the first of them."""

    rows: int
    of: int
    examples: tuple[str, ...]

    def sentence(self) -> str:
        """Say what was found, with numbers and examples."""
        return f"{self.rows:,} of {self.of:,} rows do, such as {' and '.join(self.examples)}"


def find_shifted(
    changes: Sequence[PersonChange], users: Iterable[User] = (), *, sent: int = 0
) -> ImplausibleRows | None:
    """Find names or e-mails that were shifted or sorted apart from their ids, or have the ids of other users.

    `changes` are all rows that would be sent, after `sent` others; `users` all users of the platform, if it lists them.
    A row counts if another user holds its new name or e-mail now; of rows with the same new value, only the first
    counts. None where only a few rows count.
    """
    holders = _Holders(changes, users if len(changes) >= MIN_ROWS else ())
    seen: set[str] = set()
    examples: list[str] = []
    for change in changes:
        taken = holders.taken_by(change)
        fresh = [sentence for value, sentence in taken.items() if value not in seen]
        examples.extend(fresh[:1])
        seen.update(taken)
    rows = len(examples)
    if rows < max(MIN_ROWS, SHIFTED_SHARE * (sent + len(changes))):
        return None
    return ImplausibleRows(rows, len(changes), tuple(examples[:_EXAMPLES]))


class _Holders:
    """Which users hold a name or an e-mail now; up to two each, so that one of them is not the user in question."""

    def __init__(self, changes: Iterable[PersonChange], users: Iterable[User]) -> None:
        self._users: defaultdict[str, set[int]] = defaultdict(set)
        for change in changes:
            self._add(change.user_id, change.old_name, change.old_email)
        for user in users:
            self._add(user.id, user.name, user.email)

    def _add(self, user_id: int, name: str | None, email: str | None) -> None:
        for value in (_plain(name), normalize_email(email)):
            if value and len(self._users[value]) < 2:
                self._users[value].add(user_id)

    def taken_by(self, change: PersonChange) -> dict[str, str]:
        """Return the new values of a row that others hold, each with a sentence.

        None are returned where the name begins to fit the address, or the address the name: that corrects a shift.
        """
        if _is_corrected(change):
            return {}
        taken = {}
        for text, old, new in (
            (change.new_name, _plain(change.old_name), _plain(change.new_name)),
            (change.new_email, normalize_email(change.old_email), normalize_email(change.new_email)),
        ):
            others = self._users.get(new, set()) - {change.user_id}
            if old and new and old != new and others:
                taken[new] = f"user {change.user_id} gets {text!r}, which user {min(others)} holds now"
        return taken


def _is_corrected(change: PersonChange) -> bool:
    """Return whether name or address alone changes, and has a word of the other one only now."""
    name, email = _plain(change.new_name), normalize_email(change.new_email)
    old_name, old_email = _words(change.old_name or ""), _words(_local_part(change.old_email or ""))
    if not email or email == normalize_email(change.old_email):
        return bool(_words(name) & old_email) and not old_name & old_email
    if not name or name == _plain(change.old_name):
        return bool(_words(_local_part(email)) & old_name) and not old_name & old_email
    return False


def find_shifted_attribute(
    changes: Iterable[tuple[str, int, str | None, str]],
    users: Collection[User] = (),
    rows_with: Callable[[str], int] = lambda field: 0,
) -> ImplausibleRows | None:
    """Find an attribute that was shifted or sorted in the same way; None where there is none.

    `changes` are field, user, old text, if any, and new text, in the order of their rows; `rows_with` returns how
    many rows have a value of a field. A text counts if one user holds it, one other user gets it, and it belongs to a
    person, as a telephone number does: scores, dates, teams and desks may move. So may a few numbers among many,
    unless they come from the next row.
    """
    by_field: defaultdict[str, list[tuple[int, str | None, str]]] = defaultdict(list)
    for field, user_id, old, new in changes:
        by_field[field].append((user_id, old, new))
    for field, found in by_field.items():
        texts = {user.id: value_of(user, field) for user in users if len(found) >= MIN_ROWS}
        texts |= {user_id: old for user_id, old, _ in found}
        held, wanted = Counter(filter(_is_personal, texts.values())), Counter(new for _, _, new in found)
        owners = {text: user_id for user_id, text in texts.items() if held[text] == 1}
        taken = [(user_id, new) for user_id, _, new in found if new in owners and wanted[new] == 1]
        places = {user_id: at for at, (user_id, _, _) in enumerate(found)}
        steps = Counter(places[user_id] - places.get(owners[new], len(found)) for user_id, new in taken)
        rows = max(len(found), rows_with(field))
        if len(taken) >= max(MIN_ROWS, SHIFTED_SHARE * rows) or max(steps[1], steps[-1]) >= MIN_ROWS:
            examples = (
                f"user {user_id} gets {field} {mask_field(field, new)!r}, which user {owners[new]} holds now"
                for user_id, new in taken[:_EXAMPLES]
            )
            return ImplausibleRows(len(taken), len(found), tuple(examples))
    return None


def _is_personal(value: Json) -> bool:
    return isinstance(value, str) and _PERSONAL.fullmatch(value) is not None


def find_other_people(changes: Sequence[PersonChange], *, sent: int = 0) -> ImplausibleRows | None:
    """Return the rows that turn users into other people, if they are most rows of the plan; else None.

    `changes` are all rows that would be sent, after `sent` others. Another domain, another surname or a corrected
    spelling is no other person.
    """
    found = [change for change in changes if is_other_person(change)]
    if len(found) < MIN_ROWS or len(found) <= IDENTITY_SHARE * (sent + len(changes)):
        return None
    examples = (
        f"user {c.user_id}: {c.old_name!r} <{c.old_email}> becomes {c.new_name!r} <{c.new_email}>"
        for c in found[:_EXAMPLES]
    )
    return ImplausibleRows(len(found), len(changes), tuple(examples))


def is_other_person(change: PersonChange) -> bool:
    """Return whether name and local part of the e-mail both become unlike the old ones."""
    if not (change.old_name and change.new_name and change.old_email and change.new_email):
        return False
    old_local, new_local = (_local_part(email) for email in (change.old_email, change.new_email))
    if old_local == new_local or _are_alike(change.old_name, change.new_name):
        return False
    old_name, new_name = _words(change.old_name), _words(change.new_name)
    return not (old_name & _words(new_local) or new_name & _words(old_local))


def _local_part(email: str) -> str:
    return normalize_email(email).rpartition("@")[0]


def _are_alike(old: str, new: str) -> bool:
    """Return whether two names share a word, a spelling of it, or all their letters."""
    old_words, new_words = _words(old), _words(new)
    if old_words & new_words:
        return True
    spellings = [(one, other) for one in old_words for other in new_words if min(len(one), len(other)) > 2]
    return any(_is_spelling(*pair) for pair in (*spellings, ("".join(old.split()), "".join(new.split()))))


def _is_spelling(one: str, other: str) -> bool:
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.real_quick_ratio() >= _ALIKE and matcher.quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE


def _words(text: str) -> frozenset[str]:
    """Return the words of a name or a local part, without accents; initials and digits say too little."""
    return frozenset(word for word in re.findall(r"[^\W\d_]+", _plain(text)) if len(word) > 1)


def _plain(text: str | None) -> str:
    return strip_accents(" ".join((text or "").casefold().split()))
