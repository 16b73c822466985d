"""Make up plausible users; the same number gives the same users."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Final

from usersync.models import Json
from usersync.sandbox.store import StoredUser

#: The lengths have no common divisor, so that 24 x 25 names pass before one comes back.
FIRST_NAMES: Final = (
    *("Aigerim", "Anna", "Bakary", "Chiara", "Dmitri", "Elif", "Fatima", "Georgi", "Hana", "Ingrid"),
    *("José", "Kenji", "Laila", "Máire", "Ngozi", "Oleksandra", "Priya", "Quang", "Rosa", "Søren"),
    *("Thandiwe", "Uche", "Wei", "Zoë"),
)
LAST_NAMES: Final = (
    *("Nurlanova", "Kowalska", "Traoré", "Bianchi", "Volkov", "Öztürk", "El Amrani", "Petrov", "Nováková"),
    *("Lindqvist", "García", "Tanaka", "Haddad", "O'Brien", "Okafor", "Shevchenko", "Raman", "Nguyen"),
    *("Oliveira", "Østergaard", "Dlamini", "Eze", "Zhang", "de Vries", "Smith-Jones"),
)
_PLAIN: Final = str.maketrans({"ø": "o", "Ø": "O", "'": None, " ": None})
_TEAMS: Final = ("Support", "Sales", "Billing", "Onboarding")
_PLANS: Final = ("free", "team", "business")


def fake_users(count: int) -> Iterator[StoredUser]:
    """Make up the users 1 to `count`, each with an e-mail address of its own."""
    return (_fake_user(number) for number in range(count))


def _fake_user(number: int) -> StoredUser:
    first, last = FIRST_NAMES[number % len(FIRST_NAMES)], LAST_NAMES[number % len(LAST_NAMES)]
    namesakes = number // (len(FIRST_NAMES) * len(LAST_NAMES))
    return StoredUser(
        id=number + 1,
        name=f"{first} {last}",
        email=f"{plain(first)}.{plain(last)}{namesakes + 1 if namesakes else ''}@example.org",
        display_name=first if number % 4 == 0 else None,
        custom_attributes=_attributes(number % 60),
        role="administrator" if number % 10 == 0 else "agent",
        confirmed=number % 17 != 16,
    )


def plain(name: str) -> str:
    """Spell a name in the ASCII letters of an e-mail address."""
    letters = unicodedata.normalize("NFKD", name.translate(_PLAIN))
    return letters.encode("ascii", "ignore").decode().lower()


@cache
def _attributes(number: int) -> dict[str, Json]:
    """Make up attributes, none for every fifth user. Users share these objects: an update creates new ones."""
    if number % 5 == 4:
        return {}
    attributes: dict[str, Json] = {"team": _TEAMS[number % len(_TEAMS)], "plan": _PLANS[number % len(_PLANS)]}
    return {**attributes, "seats": 1 + number % 20} if number % 2 == 0 else attributes
