"""Read and update single users: pace, retry, verify.

Every method ends with a value: a `User`, or a `Result` that says how the requests for this user ended.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeGuard

from usersync.context import Clock, Stop, Stopping, iso
from usersync.diff.verification import is_applied, mismatched_fields
from usersync.dispatch.failure_limits import PROXY_WAIT, FailureLimits
from usersync.dispatch.rate_limit import RateLimiter
from usersync.dispatch.retry import backoff
from usersync.ledger.run import NOT_SENT
from usersync.models import ALTERED, SECRET_FIELDS, Code, Json, Result, Status, TimeSlice, User
from usersync.platform.api import (
    Answer,
    Misconfigured,
    Origin,
    RateLimited,
    Rejected,
    Request,
    Response,
    Success,
    TransientError,
    Unauthorized,
    read_request,
    read_response,
    update_request,
)
from usersync.platform.client import HttpClient
from usersync.platform.directory import ReadDirectory
from usersync.platform.quota import read_quota

log = logging.getLogger(__name__)

#: The status of a redirect that says that the request was carried out.
SEE_OTHER = 303
#: Answers that settle a row; a union would be made anew for each.
_FINAL = (Success, Rejected)


@dataclass(slots=True)
class RequestCounts:
    """Requests sent, for the summary."""

    get: int = 0
    patch: int = 0
    retried: int = 0
    throttled: int = 0
    #: Responses by HTTP status; None counts the requests without one.
    responses: Counter[int | None] = field(default_factory=Counter)

    def add(self, other: RequestCounts) -> None:
        """Add the requests that another sender counted."""
        self.get += other.get
        self.patch += other.patch
        self.retried += other.retried
        self.throttled += other.throttled
        self.responses += other.responses


@dataclass(slots=True)
class _Exchange:
    """One request with all its attempts."""

    request: Request
    #: Secrets of this row, which the platform may quote.
    secrets: tuple[str, ...] = ()
    attempts: int = 0
    status: int | None = None
    #: Code of a failed attempt that the platform may have carried out nevertheless; None: no such attempt.
    doubt: Code | None = None
    answered_at: datetime | None = None


class Sender:
    """Reads and updates users over one client, paced by one limiter."""

    def __init__(
        self,
        client: HttpClient,
        limiter: RateLimiter,
        *,
        clock: Clock,
        stop: Stop,
        retries: int,
        stop_after: float,
        random: Callable[[], float],
        token: str = "",
    ) -> None:
        self.counts = RequestCounts()
        self.token = token
        self.read_directory: ReadDirectory | None = None  # None: no account is configured
        self._client = client
        self._limiter = limiter
        self._clock = clock
        self._stop = stop
        self._retries = retries
        self._random = random
        self._failures = FailureLimits(stop, address=client.address, retries=retries, stop_after=stop_after)

    @property
    def users_without_api_answer(self) -> frozenset[int]:
        """The users of the last updates, where none of them was answered by the API."""
        return self._failures.users_without_api_answer

    def slices(self) -> Iterator[TimeSlice]:
        """Return the timeline of all requests so far."""
        return self._limiter.timeline.slices()

    async def read(self, user_id: int) -> User | Result:
        """Read a user; a `Result` (failed, or not-sent where the run stops) if that is not possible."""
        exchange = _Exchange(read_request(user_id), self._secrets({}))
        try:
            answer = await self._answer(exchange)
        except Stopping:
            return self._result(exchange, Status.NOT_SENT, "", NOT_SENT)
        if _is_user(answer, user_id):
            return answer.user
        return self._failed(exchange, answer)

    async def update(self, user_id: int, values: Mapping[str, Json]) -> Result:
        """Send a change until it is answered; where an answer does not confirm it, read what came of it."""
        exchange = _Exchange(update_request(user_id, values), self._secrets(values))
        try:
            answer = await self._answer(exchange)
        except Stopping:
            return self._interrupted(exchange)
        if not isinstance(answer, Success):
            failed = self._failed(exchange, answer)
            return await self._read_back(exchange, values, failed) if exchange.doubt else failed
        if _is_confirmed(answer, user_id, values):
            return self._result(exchange, Status.UPDATED, user=answer.user if answer.is_complete else None)
        return await self._read_back(exchange, values, self._failed(exchange, answer, values))

    async def look_up(self, user_id: int, values: Mapping[str, Json]) -> Result | None:
        """Read what became of a change whose answer never came in; None: it was not carried out."""
        found = await self.read(user_id)
        if isinstance(found, Result):
            return undecided(found)
        if not is_applied(values, found):
            return None
        message = "the answer was lost; the user, read afterwards, holds the new values"
        return Result(Status.UPDATED, "", message, 200, 1, found, iso(self._clock.now()))

    async def _read_back(self, sent: _Exchange, values: Mapping[str, Json], failed: Result) -> Result:
        """Decide with a GET what became of a change that may have been carried out although it has `failed`.

        Where that is not possible, what the user held as answered counts, if there was an answer.
        """
        exchange = _Exchange(read_request(sent.request.user_id), sent.secrets)
        unknown = failed if failed.user else replace(failed, status=Status.UNKNOWN)
        try:
            answer = await self._answer(exchange)
        except Stopping:
            return unknown
        if isinstance(answer, Rejected) and answer.code == Code.NOT_FOUND:
            return replace(failed, code=answer.code, message=answer.message, http_status=answer.status)
        if not _is_user(answer, sent.request.user_id):
            return unknown
        mismatched = mismatched_fields(values, answer.user)
        if mismatched and len(mismatched) == len(values.keys() - SECRET_FIELDS):
            message = f"{failed.message}; the user, read afterwards, does not hold the new values"
            return replace(failed, message=message, user=answer.user)
        if mismatched:
            message = f"{failed.message}; the user, read afterwards, holds another value of {', '.join(mismatched)}"
            return replace(failed, code=Code.ECHO_DIFFERS, message=message, user=answer.user)
        if failed.user is None and not is_applied(values, answer.user):
            return replace(failed, status=Status.UNKNOWN, message=f"{failed.message}; a password cannot be read back")
        lost = f"the answer was lost ({failed.message})" if sent.doubt else failed.message
        message = f"{lost}; the user, read afterwards, holds the new values"
        return replace(unknown, status=Status.UPDATED, code="", message=message, user=answer.user, http_status=200)

    async def _answer(self, exchange: _Exchange) -> Success | Rejected | TransientError:
        """Repeat a request until it is answered for good, or its retries are used up. Raises Stopping."""
        while True:
            answer = await self._attempt(exchange)
            if isinstance(answer, _FINAL):
                self._failures.settled(exchange.request)
                return answer
            if isinstance(answer, Unauthorized | Misconfigured):
                if exchange.status == SEE_OTHER:
                    exchange.doubt = Code.PLATFORM_ERROR
                self._failures.stop_run(answer.message)
            if isinstance(answer, TransientError) and answer.reached:
                exchange.doubt = answer.code
            now = self._clock.monotonic()
            self._failures.check(exchange.request, answer, attempts=exchange.attempts, now=now)
            if isinstance(answer, RateLimited):
                continue
            if answer.origin is Origin.PROXY:  # no fault of the row: no attempt of its own
                await self._stop.wait(self._clock.sleep(PROXY_WAIT * (0.5 + self._random() / 2)))
                continue
            exchange.attempts += 1
            if exchange.attempts > self._retries:
                return answer
            await self._stop.wait(self._clock.sleep(backoff(exchange.attempts, answer.after, self._random)))

    async def _attempt(self, exchange: _Exchange) -> Answer:
        started = await self._limiter.acquire()
        self._count(exchange)
        response = await self._client.send(exchange.request)
        now = exchange.answered_at = self._clock.now()
        answer = read_response(response, now, exchange.secrets)
        quota = None
        exchange.status = None
        if isinstance(response, Response):
            quota = read_quota(response.headers, now)
            exchange.status = response.status
            self._failures.responded()
        self.counts.responses[exchange.status] += 1
        if isinstance(answer, RateLimited):
            self.counts.throttled += 1
            self._limiter.record(started, "throttled", after=answer.after or 0.0, quota=quota)
        elif isinstance(answer, TransientError):
            self._limiter.record(started, "error", after=answer.after or 0.0, quota=quota)
            log.info("user %d: attempt %d: %s", exchange.request.user_id, exchange.attempts + 1, answer.code)
            log.debug("user %d: %s", exchange.request.user_id, answer.message)  # may quote what was sent
        else:
            exchange.attempts += 1
            self._limiter.record(started, "good", quota=quota)
        return answer

    def _secrets(self, values: Mapping[str, Json]) -> tuple[str, ...]:
        """Return what the platform may quote and nobody may read: the token, and secret values."""
        secrets = (self.token,) if self.token else ()
        if SECRET_FIELDS.isdisjoint(values):
            return secrets
        return (*secrets, *(str(values[name]) for name in SECRET_FIELDS if name in values))

    def _count(self, exchange: _Exchange) -> None:
        if exchange.request.method == "GET":
            self.counts.get += 1
        else:
            self.counts.patch += 1
        if exchange.attempts:
            self.counts.retried += 1

    def _interrupted(self, exchange: _Exchange) -> Result:
        if exchange.doubt:
            message = "the run stopped before the platform's answer came in; `usersync resume` looks it up"
            return self._result(exchange, Status.UNKNOWN, exchange.doubt, message)
        return self._result(exchange, Status.NOT_SENT, "", NOT_SENT)

    def _failed(
        self, exchange: _Exchange, answer: Success | Rejected | TransientError, values: Mapping[str, Json] | None = None
    ) -> Result:
        """Return the result of a request that was not answered as it should be: a change of `values`, or a read."""
        if not isinstance(answer, Success):
            return self._result(exchange, Status.FAILED, answer.code, answer.message)
        if values and answer.is_complete and _is_user(answer, exchange.request.user_id):
            message = f"{ALTERED}{', '.join(mismatched_fields(values, answer.user))}"
            return self._result(exchange, Status.FAILED, Code.ECHO_DIFFERS, message, answer.user)
        if answer.is_mistyped:
            message = f"the platform answered with values of user {answer.user.id} that are neither text nor an object"
            return self._result(exchange, Status.FAILED, Code.PLATFORM_ERROR, message)
        message = f"the platform answered with {'' if answer.is_complete else 'parts of '}user {answer.user.id}"
        return self._result(exchange, Status.FAILED, Code.ECHO_DIFFERS, message)

    def _result(
        self, exchange: _Exchange, status: Status, code: str = "", message: str = "", user: User | None = None
    ) -> Result:
        finished_at = iso(exchange.answered_at or self._clock.now())
        return Result(status, code, message, exchange.status, exchange.attempts, user, finished_at)


def _is_confirmed(answer: Success, user_id: int, values: Mapping[str, Json]) -> bool:
    """Return whether an answer says that a user holds these values; what it leaves out is not therefore blank."""
    if answer.user.id != user_id or mismatched_fields(values, answer.user):
        return False
    return answer.is_complete or not any(value in (None, "") for value in values.values())


def _is_user(answer: Answer, user_id: int) -> TypeGuard[Success]:
    """Return whether an answer says what a user holds; what it leaves out counts as none."""
    return isinstance(answer, Success) and answer.user.id == user_id and not answer.is_mistyped


def undecided(read: Result) -> Result:
    """Return the result of a row whose outcome is unknown because the read that should tell, `read`, failed.

    Only a user who is gone holds nothing that was sent.
    """
    unsure = read.status is not Status.NOT_SENT and read.code != Code.NOT_FOUND
    return replace(read, status=Status.UNKNOWN) if unsure else read
