"""Write requests to the platform's API and read its responses, without I/O."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from usersync.models import ATTRIBUTE, MASK, Code, FieldChange, Json, User

JSON_TYPE = "application/json; charset=utf-8"
_TEXT_SHOWN = 200
_encode = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the API."""

    method: str
    user_id: int
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What came back, as it is."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    hide: tuple[str, ...] = field(default=(), repr=False)
    """Secrets that the platform may quote, and nobody may see."""


@dataclass(frozen=True, slots=True)
class NoResponse:
    """No reply: the request may or may not have been carried out."""

    code: Code
    message: str
    reached: bool = True
    """False where the platform cannot have seen the request: the connection was never made."""


@dataclass(frozen=True, slots=True)
class Success:
    """200 and the user."""

    user: User


@dataclass(frozen=True, slots=True)
class Rejected:
    """This row was refused for good."""

    code: Code
    message: str
    status: int


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The limit is used up; not the row's fault."""

    after: float | None
    """Seconds that the platform asks to wait, if it says so."""


@dataclass(frozen=True, slots=True)
class TransientError:
    """The platform stumbled; try again later."""

    code: Code
    message: str
    status: int | None = None
    after: float | None = None
    reached: bool = True


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """Every row would fail; stop the run."""

    message: str
    status: int


Answer = Success | Rejected | RateLimited | TransientError | Unauthorized


def read_request(user_id: int) -> Request:
    """Ask for a user."""
    return Request("GET", user_id)


def update_request(user_id: int, changes: Sequence[FieldChange]) -> Request:
    """Ask for a user's change, all fields in one call."""
    return Request("PATCH", user_id, _encode(body_of(changes)).encode())


def body_of(changes: Sequence[FieldChange]) -> dict[str, Json]:
    """Return the JSON object of a change; attributes are always an object, never text."""
    body: dict[str, Json] = {}
    for change in changes:
        if change.field.startswith(ATTRIBUTE):
            body.setdefault("custom_attributes", {})[change.field[len(ATTRIBUTE) :]] = change.new
        else:
            body[change.field] = change.new
    return body


def read_response(reply: Response | NoResponse, now: datetime) -> Answer:
    """Say what a reply means; `now` (UTC) turns a `Retry-After` date into seconds."""
    if isinstance(reply, NoResponse):
        return TransientError(reply.code, reply.message, reached=reply.reached)
    status = reply.status
    if status == 200:
        return _read_success(reply)
    if status == 429:
        return RateLimited(_wait_asked(reply.headers, now))
    if status == 401:
        return _read_unauthorized(reply)
    if status == 407:
        return Unauthorized("the proxy asks for a user and password; put them into request.proxy", status)
    if status >= 500 or status == 408:
        code = Code.TIMEOUT if status in (408, 504) else Code.PLATFORM_ERROR
        return TransientError(code, _trouble_text(reply), status, _wait_asked(reply.headers, now))
    if status < 300:
        return TransientError(Code.PLATFORM_ERROR, f"answered {status}, which does not say whether it was done", status)
    if 300 <= status < 400:
        return TransientError(
            Code.PLATFORM_ERROR, f"answered {status}, a redirect; check platform.url and path", status
        )
    return _read_refusal(reply)


def _read_success(reply: Response) -> Answer:
    user = _user(_json(reply))
    if user is None:
        what = _html_or("something that is no user", reply)
        return TransientError(Code.PLATFORM_ERROR, f"answered 200 with {what}", reply.status)
    return Success(user)


def _read_unauthorized(reply: Response) -> Answer:
    text = _error_text(reply)
    if "permissible" in text.lower():
        return Rejected(
            Code.NOT_PERMITTED,
            "this platform app may not manage this user; ask the platform's operator for permission",
            reply.status,
        )
    return Unauthorized(
        f"the platform does not accept the token ({text or 'no reason given'}); "
        "check the token and run `usersync resume`",
        reply.status,
    )


def _read_refusal(reply: Response) -> Rejected:
    status, text = reply.status, _error_text(reply)
    if status == 404:
        hint = "" if text else " (an answer that is not the API's: check platform.url and path)"
        return Rejected(Code.NOT_FOUND, f"there is no user with this id; correct the id{hint}", status)
    if status == 403:
        return Rejected(Code.NOT_PERMITTED, f"the platform forbids it: {text or 'no reason given'}", status)
    return Rejected(Code.REFUSED, f"the platform refused it: {text or _html_or('no reason given', reply)}", status)


def _trouble_text(reply: Response) -> str:
    text = _error_text(reply)
    return f"answered {reply.status}" + (f": {text}" if text else _html_note(reply))


def _html_note(reply: Response) -> str:
    return " with an HTML page, as a proxy does" if _is_html(reply) else ""


def _html_or(other: str, reply: Response) -> str:
    return "an HTML page (a proxy or login page, not the API)" if _is_html(reply) else other


def _is_html(reply: Response) -> bool:
    return reply.body.lstrip()[:1] == b"<"


def _json(reply: Response) -> Json:
    try:
        value = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    return _whole(value) if b"\\u" in reply.body else value


def _whole(value: Json) -> Json:
    """Replace half characters, which no file and no database takes."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(item) for name, item in value.items()}
    return value


def _error_text(reply: Response) -> str:
    """Give the reason that the API states, and nothing else of a body that may hold anything."""
    body = _json(reply)
    if not isinstance(body, dict):
        return ""
    reason = next((body[k] for k in ("message", "error", "errors") if body.get(k)), "")
    reason = _hidden(reason, reply.hide)
    text = reason if isinstance(reason, str) else json.dumps(reason, ensure_ascii=False)
    fields = body.get("attributes")
    where = f" ({', '.join(map(str, _hidden(fields, reply.hide)))})" if isinstance(fields, list) and fields else ""
    return f"{text[:_TEXT_SHOWN]}{where}"


def _hidden(value: Json, secrets: tuple[str, ...]) -> Json:
    """Blot secrets out of whatever an answer quotes, before it is cut or written."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, list):
        return [_hidden(item, secrets) for item in value]
    if isinstance(value, dict):
        return {_hidden(name, secrets): _hidden(item, secrets) for name, item in value.items()}
    return value


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


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) else None


def _wait_asked(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read `Retry-After`, seconds or an HTTP date; nonsense counts as none."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - now).total_seconds())
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
