"""Read what the platform answers that is asked for all users of an account.

The directory is used as a whole or not at all: whatever is wrong with it makes it unavailable, with the reason.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from usersync.models import Json, User
from usersync.platform.api import NoResponse, Response
from usersync.platform.body import BodyError, parse_body, quotable
from usersync.values import normalize_email

#: Where the directory of an account is, for the token of one of its users.
DIRECTORY_PATH: Final = "/api/v1/accounts/{account}/agents"
#: Where the ids of the same users are, for the token of the platform app.
ACCOUNT_USERS_PATH: Final = "/platform/api/v1/accounts/{account}/account_users"
_WHITE_SPACE: Final = re.compile(r"[ \t\n\r]*")
_NEXT_PAGE: Final = re.compile(r"rel\s*=\s*\"?\s*next", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Directory:
    """All users of an account, as the platform listed them at one moment."""

    account: int
    #: By id. `display_name` is None where it is not known, see `unknown_display_names`.
    users: Mapping[int, User]
    #: Normalized e-mail address -> id; users without an address are not in it.
    ids_by_email: Mapping[str, int]
    #: Ids of users whose display name is not known: the list looks the same if it equals the name or is missing.
    unknown_display_names: frozenset[int]


#: The directory where none was read: nobody is known to be in it.
NO_DIRECTORY: Final = Directory(0, {}, {}, frozenset())


@dataclass(frozen=True, slots=True)
class DirectoryUnavailable:
    """The directory cannot be used; `reason` is one sentence, with what to do after a semicolon."""

    reason: str


#: Reads the directory of the account that the settings name.
ReadDirectory: TypeAlias = Callable[[], Awaitable[Directory | DirectoryUnavailable]]


def parse_directory(
    response: Response | NoResponse, account: int, secrets: tuple[str, ...] = ()
) -> Directory | DirectoryUnavailable:
    """Return the directory that a response holds, or why it holds none."""
    if isinstance(response, NoResponse):
        large = "is too large" in response.message
        remedy = "; raise platform.directory_max_bytes" if large else ""
        return DirectoryUnavailable(f"{response.message}{remedy}")
    if response.status != 200:
        return DirectoryUnavailable(_refusal(response, account, secrets))
    if _NEXT_PAGE.search(response.headers.get("Link", "")):
        return DirectoryUnavailable("the platform lists the users in pages, which the Application API does not")
    try:
        return _directory(response.body, account)
    except BodyError as error:
        return DirectoryUnavailable(f"the platform answered 200 with {error}; check platform.url")


def _refusal(response: Response, account: int, secrets: tuple[str, ...]) -> str:
    status = response.status
    try:
        body = parse_body(response.body)
    except BodyError:
        body = None
    text = quotable(body.get("error") or body.get("errors") or "", secrets) if isinstance(body, dict) else ""
    if status == 401 and "not authorized" in text.lower():
        return (
            f"the user of the account's token does not belong to account {account}; "
            "use the token of one of its users, or correct platform.account"
        )
    if status == 401:
        return (
            f"the platform does not accept the account's token ({text or 'no reason given'}); "
            "use a user's own access token, from the profile page, not the platform app's"
        )
    if status == 403:
        return f"the user of the account's token may not list users ({text or 'no reason given'}); use another user's"
    if status == 404 and isinstance(body, dict):
        return f"there is no account {account}; correct platform.account"
    if status == 429:
        return "the limit is used up (429); wait, or find out who else uses this address"
    page = " with an HTML page, as a proxy does" if response.body.lstrip()[:1] == b"<" else ""
    return f"the platform answered {status}{page}{f': {text}' if text else ''}"


def _directory(body: bytes, account: int) -> Directory:
    users: dict[int, User] = {}
    ids_by_email: dict[str, int] = {}
    unknown: list[int] = []
    for position, entry in enumerate(_entries(body), start=1):
        user, knows_display_name = _user(entry, account, position)
        if user.id in users:
            raise BodyError(f"a list that holds user {user.id} twice")
        users[user.id] = user
        if email := normalize_email(user.email):
            if email in ids_by_email:
                raise BodyError(
                    f"a list in which users {ids_by_email[email]} and {user.id} have the same e-mail address"
                )
            ids_by_email[email] = user.id
        if not knows_display_name:
            unknown.append(user.id)
    if not users:
        raise BodyError("an empty list, though it should hold at least the user of the token")
    return Directory(account, users, ids_by_email, frozenset(unknown))


def _user(entry: Json, account: int, position: int) -> tuple[User, bool]:
    """Return the user of an entry, and whether its display name is known."""
    if not isinstance(entry, dict) or type(entry.get("id")) is not int or entry.get("account_id", account) != account:
        raise BodyError(f"a list whose entry {position} is not a user of account {account}")
    attributes = entry.get("custom_attributes") or {}
    if not isinstance(attributes, dict):
        raise BodyError(f"a list whose entry {position} has custom attributes that are not an object")
    if missing := {"name", "email"} - entry.keys():
        raise BodyError(f"a list whose entry {position} has no {min(missing)}")
    name = _text(entry, "name", position)
    available_name = _text(entry, "available_name", position)
    knows_display_name = bool(available_name) and available_name != name
    display_name = available_name if knows_display_name else None
    return User(
        entry["id"], name, display_name, _text(entry, "email", position), _cleaned(attributes)
    ), knows_display_name


def _text(entry: Mapping[str, Json], field: str, position: int) -> str | None:
    value = entry.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BodyError(f"a list whose entry {position} has no text as {field}")
    return value if value.isprintable() else str(_reparsed(value))


def _cleaned(attributes: dict[str, Json]) -> dict[str, Json]:
    """Return attributes as a single read does: without control characters, and bounded in depth."""
    for name, value in attributes.items():
        plain = value.isprintable() if isinstance(value, str) else not isinstance(value, dict | list)
        if not plain or not name.isprintable():
            return dict(_reparsed(attributes))
    return attributes


def _reparsed(value: Json) -> Json:
    return parse_body(json.dumps(value).encode())


def _entries(body: bytes) -> Iterator[Json]:
    """Parse the array one entry at a time, to save memory. Raises BodyError if it is not one whole array."""
    try:
        text = body.decode("utf-8-sig")
        yield from _array_items(text)
    except RecursionError:
        raise BodyError("JSON that is nested too deeply") from None
    except BodyError:
        raise
    except ValueError:
        raise BodyError("an HTML page" if body.lstrip()[:1] == b"<" else "something that is not a whole list") from None


def _array_items(text: str) -> Iterator[Json]:
    decode = json.JSONDecoder(parse_float=_finite, parse_constant=_not_finite).raw_decode
    position = _skip_white_space(text, 0)
    if not text.startswith("[", position):
        raise ValueError
    position = _skip_white_space(text, position + 1)
    more = not text.startswith("]", position)
    while more:
        item, position = decode(text, position)
        yield item
        position = _skip_white_space(text, position)
        more = text.startswith(",", position)
        if more:
            position = _skip_white_space(text, position + 1)
    if text[position:].rstrip(" \t\n\r") != "]":
        raise ValueError


def _skip_white_space(text: str, position: int) -> int:
    found = _WHITE_SPACE.match(text, position)
    return found.end() if found else position


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_finite(text)


def _not_finite(_: str) -> NoReturn:
    raise BodyError("a number that is not finite")


class ListError(ValueError):
    """A list cannot be used; the message is one sentence."""


def parse_account_users(response: Response | NoResponse, account: int, secrets: tuple[str, ...] = ()) -> list[int]:
    """Return the ids of the users of an account, sorted. Raises ListError."""
    if isinstance(response, NoResponse):
        raise ListError(response.message)
    try:
        body = parse_body(response.body)
    except BodyError as error:
        raise ListError(f"the platform answered {response.status} with {error}; check platform.url") from None
    if response.status == 404:
        raise ListError(f"there is no account {account}; correct platform.account")
    if response.status != 200:
        raise ListError(f"the platform answered {response.status}: {quotable(body, secrets)}")
    if not isinstance(body, list) or not all(map(_is_member, body)):
        raise ListError("the platform answered 200 with something that is not a list of users; check platform.url")
    return sorted({member["user_id"] for member in body})


def _is_member(entry: Json) -> bool:
    return isinstance(entry, dict) and type(entry.get("user_id")) is int
