"""Write requests to the platform's API and read its responses, without I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from pydantic_core import to_json

from usersync.models import ATTRIBUTE, Code, Json, User
from usersync.platform.body import BodyError, NoJsonError, parse_body, quotable
from usersync.platform.user_decoder import decode_plain

JSON_TYPE = "application/json; charset=utf-8"
#: The fields of a user that are text or null, and those that are in each answer.
_TEXTS = ("name", "display_name", "email")
_ALWAYS_ANSWERED = {"name", "email"}


# Not frozen, as those of models.py: one is made for each request.
@dataclass(slots=True)
class Request:
    """One call of the API."""

    method: str
    user_id: int
    body: bytes | None = None


@dataclass(slots=True)
class Response:
    """What came back, as it is."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Origin(Enum):
    """Who is behind a failure, as far as one can tell."""

    PLATFORM = "platform"
    #: The proxy of the settings.
    PROXY = "proxy"
    #: Something that is not the API: another server at this address, a firewall, a page of maintenance.
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class NoResponse:
    """No response came: the request may or may not have been carried out."""

    code: Code
    message: str
    #: False where the platform cannot have seen the request: the connection was never made.
    reached: bool = True
    origin: Origin = Origin.PLATFORM
    #: Whether every other request will end like this, however long one waits.
    permanent: bool = False


@dataclass(slots=True)
class Success:
    """200 and the user."""

    user: User
    #: Whether it says what the user holds: a name or an address that is left out is not none.
    is_complete: bool = True
    #: Whether a value has a type that it cannot have, such as attributes as text: what the user holds is not known.
    is_mistyped: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """This row was refused for good."""

    code: Code
    message: str
    status: int


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The limit is used up; not the row's fault."""

    #: Seconds that the platform asks to wait, if it does.
    after: float | None


@dataclass(frozen=True, slots=True)
class TransientError:
    """The platform failed; try again later."""

    code: Code
    message: str
    status: int | None = None
    after: float | None = None
    reached: bool = True
    origin: Origin = Origin.PLATFORM


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """The token, or the proxy's password, is not accepted: every row would fail; stop the run."""

    message: str
    status: int


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """No waiting helps, somebody has to change a setting or a server; stop the run."""

    message: str


Answer = Success | Rejected | RateLimited | TransientError | Unauthorized | Misconfigured


def read_request(user_id: int) -> Request:
    """Ask for a user."""
    return Request("GET", user_id)


def update_request(user_id: int, values: Mapping[str, Json]) -> Request:
    """Ask for a user's change, all fields (field -> value) in one call."""
    return Request("PATCH", user_id, to_json(body_of(values)))


def body_of(values: Mapping[str, Json]) -> dict[str, Json]:
    """Return the JSON object of a change; attributes are always an object, never text."""
    body: dict[str, Json] = {}
    for name, value in values.items():
        if name.startswith(ATTRIBUTE):
            body.setdefault("custom_attributes", {})[name[len(ATTRIBUTE) :]] = value
        else:
            body[name] = value
    return body


def read_response(response: Response | NoResponse, now: datetime, secrets: tuple[str, ...] = ()) -> Answer:
    """Return what a response means.

    `now` (UTC) turns a `Retry-After` date into seconds; `secrets` are masked where the response quotes them.
    """
    if isinstance(response, NoResponse):
        if response.permanent:
            return Misconfigured(response.message)
        return TransientError(response.code, response.message, reached=response.reached, origin=response.origin)
    status = response.status
    if status == 200:
        return _read_success(response)
    if status == 429:
        return RateLimited(_retry_after(response.headers, now))
    if status == 401:
        return _read_unauthorized(response, secrets)
    if status == 407:
        return Unauthorized("the proxy asks for a user and password; put them into request.proxy", status)
    if status >= 500 or status == 408:
        code = Code.TIMEOUT if status in (408, 504) else Code.PLATFORM_ERROR
        return TransientError(code, _server_error_text(response, secrets), status, _retry_after(response.headers, now))
    if 300 <= status < 400:
        return _read_redirect(response)
    if status < 300 and _is_page(response):
        return _foreign(response, "")
    if status < 300:
        message = f"answered {status}, which does not say whether the update was carried out"
        return TransientError(Code.PLATFORM_ERROR, message, status)
    return _read_client_error(response, secrets)


def _read_success(response: Response) -> Answer:
    try:
        if user := decode_plain(response.body):
            return Success(user)
        body = parse_body(response.body)
    except NoJsonError as error:
        return _foreign(response, str(error))
    except BodyError as error:
        return TransientError(Code.PLATFORM_ERROR, f"answered 200 with {error}", 200)
    user = _user(body)
    if user is None:
        return TransientError(Code.PLATFORM_ERROR, "answered 200 with something that is not a user", 200)
    is_mistyped = _is_mistyped(body)
    return Success(user, is_complete=not is_mistyped and body.keys() >= _ALWAYS_ANSWERED, is_mistyped=is_mistyped)


def _read_unauthorized(response: Response, secrets: tuple[str, ...]) -> Answer:
    text = _error_text(_json_object(response), secrets)
    if "permissible" in text.lower():
        return Rejected(
            Code.NOT_PERMITTED,
            "this platform app may not manage this user; ask the platform's operator for permission",
            response.status,
        )
    reason = text or ("an HTML page, which is not the platform's API" if _is_page(response) else "no reason given")
    return Unauthorized(
        f"the platform does not accept the token ({reason}); check the token and run `usersync resume`",
        response.status,
    )


def _read_redirect(response: Response) -> Misconfigured:
    """Name the new address, without its query, which may hold secrets."""
    location = quotable(response.headers.get("Location", "")).partition("?")[0]
    setting = "platform.url" if "://" in location else "platform.path"
    what = f"a redirect to {location}" if location else "a redirect without a Location"
    remedy = f"set {setting} to the final address" if location else "check platform.url and platform.path"
    return Misconfigured(
        f"the platform answered {response.status}, {what}; redirects are not followed: {remedy}, "
        "then run `usersync resume`"
    )


def _read_client_error(response: Response, secrets: tuple[str, ...]) -> Answer:
    status = response.status
    body = _json_object(response)
    if body is None:
        return _foreign(response, "no JSON object")
    text = _error_text(body, secrets)
    if status == 404:
        return Rejected(Code.NOT_FOUND, "there is no user with this id; correct the id", status)
    if status == 403:
        return Rejected(Code.NOT_PERMITTED, f"the platform forbids it: {text or 'no reason given'}", status)
    return Rejected(Code.REFUSED, f"the platform refused it: {text or 'no reason given'}", status)


def _foreign(response: Response, what: str) -> TransientError:
    """Return the meaning of an answer that is not the API's, which says nothing about the row.

    Where it is an error, the API cannot have seen the request.
    """
    page = "an HTML page" if _is_page(response) else what
    message = f"answered {response.status} with {page}, which is not the platform's API"
    reached = response.status < 400
    return TransientError(Code.PLATFORM_ERROR, message, response.status, reached=reached, origin=Origin.OTHER)


def _server_error_text(response: Response, secrets: tuple[str, ...]) -> str:
    text = _error_text(_json_object(response), secrets)
    page = " with an HTML page, as a proxy does" if _is_page(response) else ""
    return f"answered {response.status}: {text}" if text else f"answered {response.status}{page}"


def _is_page(response: Response) -> bool:
    return response.body.lstrip()[:1] == b"<"


def _json_object(response: Response) -> dict[str, Json] | None:
    try:
        body = parse_body(response.body)
    except BodyError:
        return None
    return body if isinstance(body, dict) else None


def _error_text(body: dict[str, Json] | None, secrets: tuple[str, ...]) -> str:
    """Return the reason that the API states, and nothing else of a body that may hold anything."""
    if body is None:
        return ""
    reason = next((body[name] for name in ("message", "error", "errors") if body.get(name)), "")
    fields = body.get("attributes")
    named = isinstance(fields, list) and bool(fields)
    where = f" ({', '.join(quotable(name, secrets) for name in fields[:9])})" if named and fields else ""
    return f"{quotable(reason, secrets)}{where}"


def _user(body: Json) -> User | None:
    if not isinstance(body, dict) or not isinstance(body.get("id"), int) or isinstance(body["id"], bool):
        return None
    attributes = body.get("custom_attributes")
    return User(
        body["id"],
        _text(body, "name"),
        _text(body, "display_name"),
        _text(body, "email"),
        attributes if isinstance(attributes, dict) else {},
    )


def _is_mistyped(body: Mapping[str, Any]) -> bool:
    attributes = body.get("custom_attributes") or {}  # some write nothing as an empty list
    return not isinstance(attributes, dict) or any(not isinstance(body.get(name), str | None) for name in _TEXTS)


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) else None


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read `Retry-After`, seconds or an HTTP date; nonsense counts as none."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return _seconds_until(text, now)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _seconds_until(date: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
