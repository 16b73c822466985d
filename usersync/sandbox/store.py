"""What a client asks in, what the platform answers out: the users of the sandbox and the rules they live by."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from usersync.models import Json

_TEXTS: Final = ("name", "display_name", "email", "password")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_PASSWORD_NEEDS: Final = (
    ("uppercase character", re.compile("[A-Z]")),
    ("lowercase character", re.compile("[a-z]")),
    ("number", re.compile("[0-9]")),
    ("special character", re.compile(r"[^\w\s]|_")),
)
_SHORTEST, _LONGEST = 6, 128


@dataclass(frozen=True, slots=True)
class Answer:
    """What the platform says to one request."""

    status: int
    body: Json
    """Text is sent as it is (as HTML where it begins with `<`), all else as JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user as the platform keeps it."""

    id: int
    name: str | None
    email: str | None
    display_name: str | None = None
    custom_attributes: Mapping[str, Json] = field(default_factory=dict)
    password: str | None = field(default=None, repr=False)
    """The last one set, so that tests can see it arrive; None where none was set."""
    role: str = "agent"
    confirmed: bool = True


NOT_FOUND: Final = Answer(404, {"error": "Resource could not be found"})
NOT_PERMITTED: Final = Answer(401, {"error": "Non permissible resource"})


class UserStore:
    """All users, by id. `forbidden` ids are those that this platform app may not manage."""

    def __init__(self, users: Iterable[StoredUser], *, forbidden: Collection[int] = ()) -> None:
        self._users = {user.id: user for user in users}
        self._owners = {_stored_email(u.email): u.id for u in self._users.values() if u.email}
        self.users: Mapping[int, StoredUser] = MappingProxyType(self._users)
        self.forbidden = frozenset(forbidden)

    def read(self, user_id: int) -> Answer:
        """Answer a GET."""
        return self._refusal(user_id) or Answer(200, user_as_json(self._users[user_id]))

    def update(self, user_id: int, body: Json) -> Answer:
        """Answer a PATCH: all of it is taken in, or nothing."""
        if refusal := self._refusal(user_id):
            return refusal
        user, wanted = self._users[user_id], _taken(body)
        problems = [*self._email_problems(user, wanted.get("email")), *_password_problems(wanted.get("password"))]
        if problems:
            messages = ", ".join(message for _, message in problems)
            return Answer(422, {"message": messages, "attributes": list(dict(problems))})
        if "custom_attributes" in wanted:
            wanted["custom_attributes"] = {**user.custom_attributes, **wanted["custom_attributes"]}
        self._store(replace(user, **wanted))
        return self.read(user_id)

    def _refusal(self, user_id: int) -> Answer | None:
        if user_id in self.forbidden:
            return NOT_PERMITTED
        return None if user_id in self._users else NOT_FOUND

    def _email_problems(self, user: StoredUser, email: str | None) -> list[tuple[str, str]]:
        if not email:
            return []  # a blank wipes the address, as the reference node was seen to do
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


def user_as_json(user: StoredUser) -> dict[str, Json]:
    """Write a user as GET and PATCH answer it: with its secrets, and with attributes only where it has some."""
    answer = {
        "id": user.id,
        "uid": user.email,
        "name": user.name,
        "available_name": user.display_name or user.name,
        "display_name": user.display_name,
        "email": user.email,
        "account_id": 1,
        "role": user.role,
        "confirmed": user.confirmed,
        "access_token": f"sandbox-access-token-{user.id}",
        "pubsub_token": f"sandbox-pubsub-token-{user.id}",
        "accounts": [{"id": 1, "name": "Sandbox", "role": user.role}],
    }
    return {**answer, "custom_attributes": user.custom_attributes} if user.custom_attributes else answer


def _taken(body: Json) -> dict[str, Json]:
    """Give what of a body counts; all else, such as attributes that are a text, is dropped without a word."""
    if not isinstance(body, dict):
        return {}
    taken = {n: _text(body[n]) for n in _TEXTS if n in body and not isinstance(body[n], dict | list)}
    if "email" in taken:
        taken["email"] = _stored_email(taken["email"])
    if taken.get("password", "") is None:
        del taken["password"]
    if isinstance(body.get("custom_attributes"), dict):
        taken["custom_attributes"] = body["custom_attributes"]
    return taken


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) or value is None else json.dumps(value)


def _stored_email(email: str | None) -> str | None:
    return email and email.strip().lower()


def _password_problems(password: str | None) -> list[tuple[str, str]]:
    if password is None:
        return []
    needs = [f"must contain at least 1 {what}" for what, holds in _PASSWORD_NEEDS if not holds.search(password)]
    if len(password) < _SHORTEST:
        needs.insert(0, f"is too short (minimum is {_SHORTEST} characters)")
    if len(password) > _LONGEST:
        needs.insert(0, f"is too long (maximum is {_LONGEST} characters)")
    return [("password", f"Password {need}") for need in needs]
