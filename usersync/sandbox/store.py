"""Keep the sandbox's users, and answer reads and updates as the platform does."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from usersync.models import Json

_TEXT_FIELDS: Final = ("name", "display_name", "email", "password")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_PASSWORD_RULES: Final = (
    ("uppercase character", re.compile("[A-Z]")),
    ("lowercase character", re.compile("[a-z]")),
    ("number", re.compile("[0-9]")),
    ("special character", re.compile(r"[^\w\s]|_")),
)
_TOKEN_PREFIX: Final = "sandbox-access-token-"  # noqa: S105 - opens nothing but a sandbox
#: Digits of the longest id.
LONGEST_ID: Final = 19
_MIN_PASSWORD: Final = 6
_MAX_PASSWORD: Final = 128


@dataclass(frozen=True, slots=True)
class Answer:
    """The platform's answer to one request."""

    status: int
    #: Text is sent as it is (as HTML if it begins with `<`), everything else as JSON.
    body: Json
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user as the platform stores it."""

    id: int
    name: str | None
    email: str | None
    display_name: str | None = None
    custom_attributes: Mapping[str, Json] = field(default_factory=dict)
    #: The last one set, so that tests can see that it arrived.
    password: str | None = field(default=None, repr=False)
    role: str = "agent"
    confirmed: bool = True
    #: The accounts that the user belongs to.
    accounts: tuple[int, ...] = (1,)


NOT_FOUND: Final = Answer(404, {"error": "Resource could not be found"})
NOT_PERMITTED: Final = Answer(401, {"error": "Non permissible resource"})


class UserStore:
    """All users by id; `forbidden` lists the ids that this platform app may not manage."""

    def __init__(self, users: Iterable[StoredUser], *, forbidden: Collection[int] = ()) -> None:
        self._users = {user.id: user for user in users}
        self._owners = {_stored_email(u.email): u.id for u in self._users.values() if u.email}
        self.users: Mapping[int, StoredUser] = MappingProxyType(self._users)
        self.forbidden = frozenset(forbidden)
        self.accounts = frozenset((1, *(account for user in self._users.values() for account in user.accounts)))

    def read(self, user_id: int) -> Answer:
        """Answer a GET."""
        return self._refusal(user_id) or Answer(200, user_as_json(self._users[user_id]))

    def user_with_token(self, token: str) -> StoredUser | None:
        """Return the user whose own access token this is."""
        number = token.removeprefix(_TOKEN_PREFIX)
        known = token.startswith(_TOKEN_PREFIX) and number.isascii() and number.isdigit()
        return self._users.get(int(number[:LONGEST_ID])) if known else None

    def update(self, user_id: int, body: Json) -> Answer:
        """Answer a PATCH; either all of it is stored or nothing."""
        if refusal := self._refusal(user_id):
            return refusal
        user = self._users[user_id]
        changes = _accepted(body)
        problems = [*self._email_problems(user, changes.get("email")), *_password_problems(changes.get("password"))]
        if problems:
            messages = ", ".join(message for _, message in problems)
            return Answer(422, {"message": messages, "attributes": list(dict(problems))})
        if "custom_attributes" in changes:
            changes["custom_attributes"] = {**user.custom_attributes, **changes["custom_attributes"]}
        self._store(replace(user, **changes))
        return self.read(user_id)

    def _refusal(self, user_id: int) -> Answer | None:
        if user_id in self.forbidden:
            return NOT_PERMITTED
        return None if user_id in self._users else NOT_FOUND

    def _email_problems(self, user: StoredUser, email: str | None) -> list[tuple[str, str]]:
        if not email:
            return []  # a blank clears the address, as the reference node showed
        if not _EMAIL.fullmatch(email):
            return [("email", "Email is invalid")]
        taken = self._owners.get(email, user.id) != user.id
        return [("email", "Email has already been taken")] if taken else []

    def _store(self, user: StoredUser) -> None:
        old = self._users[user.id]
        if old.email and user.email != old.email:
            self._owners.pop(_stored_email(old.email), None)
        if user.email:
            self._owners[_stored_email(user.email)] = user.id
        self._users[user.id] = user


def user_token(user_id: int) -> str:
    """Return a user's own access token, which lists the accounts of the user."""
    return f"{_TOKEN_PREFIX}{user_id}"


def user_as_json(user: StoredUser) -> dict[str, Json]:
    """Return a user as GET and PATCH answer it: with its secrets, and with attributes only if it has some."""
    answer = {
        "id": user.id,
        "uid": user.email,
        "name": user.name,
        "available_name": user.display_name or user.name,
        "display_name": user.display_name,
        "email": user.email,
        "account_id": user.accounts[0] if user.accounts else None,
        "role": user.role,
        "confirmed": user.confirmed,
        "access_token": user_token(user.id),
        "pubsub_token": f"sandbox-pubsub-token-{user.id}",
        "accounts": [{"id": account, "name": "Sandbox", "role": user.role} for account in user.accounts],
    }
    return {**answer, "custom_attributes": user.custom_attributes} if user.custom_attributes else answer


def _accepted(body: Json) -> dict[str, Json]:
    """Return the fields that the platform stores; it ignores everything else, such as attributes sent as text."""
    if not isinstance(body, dict):
        return {}
    accepted = {n: _text(body[n]) for n in _TEXT_FIELDS if n in body and not isinstance(body[n], dict | list)}
    if "email" in accepted:
        accepted["email"] = _stored_email(accepted["email"])
    if accepted.get("password", "") is None:
        del accepted["password"]
    if isinstance(body.get("custom_attributes"), dict):
        accepted["custom_attributes"] = body["custom_attributes"]
    return accepted


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) or value is None else json.dumps(value)


def _stored_email(email: str | None) -> str | None:
    return email and email.strip().lower()


def _password_problems(password: str | None) -> list[tuple[str, str]]:
    if password is None:
        return []
    broken = [f"must contain at least 1 {what}" for what, pattern in _PASSWORD_RULES if not pattern.search(password)]
    if len(password) < _MIN_PASSWORD:
        broken.insert(0, f"is too short (minimum is {_MIN_PASSWORD} characters)")
    if len(password) > _MAX_PASSWORD:
        broken.insert(0, f"is too long (maximum is {_MAX_PASSWORD} characters)")
    return [("password", f"Password {rule}") for rule in broken]
