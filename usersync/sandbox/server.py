"""Answer HTTP requests as the platform does, with limits, latency and faults."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from aiohttp import web

from usersync.context import Clock, SystemClock
from usersync.models import Json
from usersync.sandbox.accounts import list_account_users, list_agents
from usersync.sandbox.fake_users import fake_users
from usersync.sandbox.faults import NO_FAULTS, Fault, FaultInjector, Faults
from usersync.sandbox.limit import FixedWindow, QuotaHeaders, RetryAfter, write_quota, write_retry_after
from usersync.sandbox.store import LONGEST_ID, NOT_FOUND, Answer, StoredUser, UserStore
from usersync.settings import Rate

USERS_PATH: Final = "/platform/api/v1/users"
#: The lists of an account's users: one for the token of a user, one for that of the platform app.
_LIST_PATH: Final = re.compile(
    r"(?:/api/v1/accounts/([0-9]{1,19})/agents|/platform/api/v1/accounts/([0-9]{1,19})/account_users)"
)
TOKEN_HEADER: Final = "api_access_token"  # noqa: S105 - a header's name
STANDARD_LIMIT: Final = Rate(3000, 60.0)
#: In the log, the fault of a request that a script answered.
SCRIPTED: Final = "scripted"
#: Seconds that requests in flight get to finish when the sandbox closes.
_GRACE: Final = 0.05

_WRONG_TOKEN: Final = Answer(401, {"error": "Invalid access_token"})
_MALFORMED: Final = Answer(400, {"status": 400, "error": "Bad Request"})
_THROTTLED: Final = Answer(429, "Retry later\n")
_UNAVAILABLE: Final = Answer(503, "<html><body><h1>503 Service Unavailable</h1></body></html>\n")
_NOTHING: Final = Answer(0, "")
_NOT_CARRIED_OUT: Final = {Fault.ERROR: _UNAVAILABLE, Fault.RESET_BEFORE: _NOTHING}
_SYSTEM_CLOCK: Final = SystemClock()


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the sandbox's log."""

    #: When it arrived, in UTC.
    at: datetime
    method: str
    #: None if the path names no user.
    user_id: int | None
    #: The answer's status, whether or not the client received it; 0: the connection was reset instead.
    status: int
    #: As parsed; None if there was none, bytes if it is not JSON.
    body: Json
    #: Whether an update was carried out.
    applied: bool = False
    #: The `Fault` that it met, or `SCRIPTED`.
    fault: str = ""
    #: `agents` or `account_users` if it asked for one of the lists of an account.
    listing: str = ""


@dataclass(frozen=True, slots=True)
class _Decision:
    answer: Answer
    fault: str = ""
    applied: bool = False


class Sandbox:
    """A platform with users of its own, served while `async with` is open.

    `users` is the number of users to make up, or the users themselves. `limit` is the rate that it allows, None for
    no limit. `latency` is the seconds before each answer. Port 0 means any free port; when it is opened again, the
    sandbox keeps its port, its users and its log.
    """

    def __init__(
        self,
        *,
        users: int | Iterable[StoredUser] = 50,
        token: str = "sandbox-token",  # noqa: S107 - opens nothing but this box
        limit: Rate | None = STANDARD_LIMIT,
        latency: float = 0.0,
        faults: Faults = NO_FAULTS,
        forbidden: Collection[int] = (),
        clock: Clock = _SYSTEM_CLOCK,
        host: str = "127.0.0.1",
        port: int = 0,
        keep_log: bool = True,
        retry_after: RetryAfter | None = None,
        quota_headers: QuotaHeaders | None = None,
    ) -> None:
        self.store = UserStore(fake_users(users) if isinstance(users, int) else users, forbidden=forbidden)
        self.token = token
        self.host = host
        self.port = port
        #: TCP connections accepted.
        self.connections = 0
        self.in_flight = 0
        self.most_in_flight = 0
        #: Requests by (method, status); counted even if no log is kept.
        self.tally: Counter[tuple[str, int]] = Counter()
        self._window = FixedWindow(limit) if limit else None
        self._latency = latency
        self._stall = faults.stall
        self._fault_injector = FaultInjector(faults)
        self._clock = clock
        self._log: list[Request] | None = [] if keep_log else None
        self._retry_after = retry_after
        self._quota_headers = quota_headers
        self._answers_before_hold: int | None = None
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        """The address for `platform.url`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def log(self) -> tuple[Request, ...]:
        """All requests so far, in the order in which they were answered."""
        return tuple(self._log or ())

    def hold(self, *, after: int = 0) -> None:
        """Carry out all requests, but send only `after` more answers until `release` is called."""
        self._released = asyncio.Event()
        self._answers_before_hold = after

    def release(self) -> None:
        """Send the answers that `hold` keeps back; may be called from any thread."""
        self._answers_before_hold = None
        self._loop.call_soon_threadsafe(self._released.set)

    async def __aenter__(self) -> Self:
        loop = self._loop = asyncio.get_running_loop()
        self._server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._listener = await loop.create_server(self._accept, self.host, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        await self._server.shutdown(_GRACE)
        await self._listener.wait_closed()

    def _accept(self) -> asyncio.Protocol:
        self.connections += 1
        return self._server()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            raw = await request.read() if request.can_read_body else b""
            now = self._clock.now()
            decision = self._decide(request, _parse(raw), now)
            headers = self._headers(decision.answer, now.timestamp())
            await self._wait_while_held()
            if self._latency:
                await self._clock.sleep(self._latency)
            await self._delay_or_reset(request, decision.fault)
            return _response(decision.answer, headers)
        finally:
            self.in_flight -= 1

    async def _wait_while_held(self) -> None:
        answers_left = self._answers_before_hold
        if answers_left is None:
            return
        self._answers_before_hold = answers_left - 1
        if answers_left <= 0:
            await self._released.wait()

    def _decide(self, request: web.BaseRequest, body: Json, now: datetime) -> _Decision:
        """Carry out one request and log it, before any other request is looked at."""
        method = request.method
        user_id = _user_id(request)
        decision = self._decision(request, user_id, body, now.timestamp())
        status = decision.answer.status
        self.tally[method, status] += 1
        if self._log is not None:
            path = request.rel_url.raw_path
            listing = path.rpartition("/")[2] if _LIST_PATH.fullmatch(path) else ""
            self._log.append(Request(now, method, user_id, status, body, decision.applied, decision.fault, listing))
        return decision

    def _decision(self, request: web.BaseRequest, user_id: int | None, body: Json, now: float) -> _Decision:
        if self._window and not self._window.take(now):
            return _Decision(_THROTTLED)
        fault = self._fault_injector.next_fault(request.method, user_id)
        if isinstance(fault, Answer):
            return _Decision(fault, SCRIPTED)
        if fault in _NOT_CARRIED_OUT:
            return _Decision(_NOT_CARRIED_OUT[fault], fault)
        answer = self._carry_out(request, user_id, body)
        return _Decision(answer, fault or "", request.method == "PATCH" and answer.status == 200)

    def _carry_out(self, request: web.BaseRequest, user_id: int | None, body: Json) -> Answer:
        token = request.headers.get(TOKEN_HEADER)
        listing = _LIST_PATH.fullmatch(request.rel_url.raw_path)
        if listing and listing[1] and request.method == "GET":
            return list_agents(self.store, int(listing[1]), token)
        if token != self.token:
            return _WRONG_TOKEN
        if listing and request.method == "GET":
            return list_account_users(self.store, int(listing[2]))
        if user_id is None or request.method not in ("GET", "PATCH"):
            return NOT_FOUND
        if request.method == "GET":
            return self.store.read(user_id)
        if "json" not in request.headers.get("Content-Type", ""):
            body = None  # the platform ignores bodies of other content types
        return _MALFORMED if isinstance(body, bytes) else self.store.update(user_id, body)

    def _headers(self, answer: Answer, now: float) -> dict[str, str]:
        """Return the answer's own headers and those that report the limit."""
        headers = dict(answer.headers)
        if self._window and self._retry_after and answer is _THROTTLED:
            headers |= write_retry_after(self._window, now, form=self._retry_after)
        if self._window and self._quota_headers:
            headers |= write_quota(self._window, now, form=self._quota_headers)
        return headers

    async def _delay_or_reset(self, request: web.BaseRequest, fault: str) -> None:
        if fault == Fault.STALL:
            await (asyncio.Event().wait() if self._stall is None else self._clock.sleep(self._stall))
        elif fault in (Fault.RESET_BEFORE, Fault.RESET_AFTER) and request.transport:
            request.transport.abort()


def _user_id(request: web.BaseRequest) -> int | None:
    folder, _, name = request.rel_url.raw_path.rpartition("/")
    whole = folder == USERS_PATH and name.isascii() and name.isdigit() and len(name) <= LONGEST_ID
    return int(name) if whole else None


def _parse(raw: bytes) -> Json:
    """Parse strict JSON; return the bytes where it is not JSON."""
    try:
        return json.loads(raw, parse_constant=_refuse) if raw else None
    except (ValueError, RecursionError):
        return raw


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _response(answer: Answer, headers: dict[str, str]) -> web.Response:
    if isinstance(answer.body, str):
        kind, text = "text/html" if answer.body.startswith("<") else "text/plain", answer.body
    else:
        kind, text = "application/json", json.dumps(answer.body, ensure_ascii=False)
    headers.setdefault("Content-Type", f"{kind}; charset=utf-8")
    return web.Response(status=answer.status or 500, body=text.encode(), headers=headers)
