"""One row's dialogue with the platform: ask, wait, repeat, verify; its ending is a value."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from usersync.context import Clock, iso
from usersync.diff.verification import is_applied, mismatched_fields
from usersync.dispatch.rate_limit import RateLimiter, Stop, Stopping
from usersync.dispatch.retry import FailureTimeout, RetryBudget, backoff
from usersync.dispatch.timeline import Heard
from usersync.errors import StoppedError
from usersync.models import MASK, SECRET_FIELDS, Change, Code, Outcome, Owner, Status, TimeSlice, User, owner_of
from usersync.platform.api import (
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
from usersync.platform.quota import read_quota

log = logging.getLogger(__name__)

UNAVAILABLE = 503
"""The one answer of a platform in trouble that says it did nothing."""
_NO_RETRY = "not tried again: one request in ten was a repeat already, so the platform is in trouble; run it later"
LONGEST_WISH = 3600.0
"""Seconds of `Retry-After` that a run waits for; beyond, it stops."""


@dataclass(slots=True)
class Tally:
    """Requests sent, for the summary."""

    get: int = 0
    patch: int = 0
    retried: int = 0
    throttled: int = 0
    codes: Counter[int | None] = field(default_factory=Counter)
    """Answers by HTTP status; None: no answer."""

    def add(self, other: Tally) -> None:
        """Count what another one sent."""
        for name in ("get", "patch", "retried", "throttled"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.codes += other.codes


@dataclass(slots=True)
class Dialogue:
    """How far one request has come, over all its attempts."""

    request: Request
    attempts: int = 0
    status: int | None = None
    hide: tuple[str, ...] = ()
    """Secrets of this row."""
    doubt: Code | None = None
    """How an attempt ended that may have been carried out without our knowing."""


class Sender:
    """Reads and updates users, each with all the patience that the settings grant."""

    def __init__(
        self,
        door: HttpClient,
        gate: RateLimiter,
        *,
        clock: Clock,
        stop: Stop,
        retries: int,
        stop_after: float,
        chance: Callable[[], float],
        secret: str = "",
    ) -> None:
        self.tally = Tally()
        self._door, self._gate, self._clock, self._stop = door, gate, clock, stop
        self._retries, self._chance, self.secret = retries, chance, secret
        self._health, self._budget = FailureTimeout(stop_after), RetryBudget()

    def slices(self) -> Iterator[TimeSlice]:
        """Give the timeline of all requests so far."""
        return self._gate.timeline.slices()

    async def read(self, key: int, user_id: int) -> User | Outcome:
        """Read a user; an `Outcome` (failed, or not-sent where the run stops) if that cannot be done."""
        talk = Dialogue(read_request(user_id))
        try:
            answer = await self._settle(talk)
        except Stopping:
            return self._outcome(key, talk, Status.NOT_SENT, "", "the run stopped before this row's turn")
        if isinstance(answer, Success) and answer.user.id == user_id:
            return answer.user
        return self._failure(key, talk, answer)

    async def update(self, change: Change) -> Outcome:
        """Send a change until it is settled; with the last answer lost, one look decides."""
        talk = Dialogue(update_request(change), hide=_secrets(change))
        try:
            answer = await self._settle(talk)
        except Stopping:
            return self._stopped(change.key, talk)
        if isinstance(answer, Success):
            return self._verified(change, talk, answer.user)
        if isinstance(answer, TransientError) and talk.doubt:
            return await self.verify(change, talk, answer)
        return self._failure(change.key, talk, answer)

    async def verify(self, change: Change, talk: Dialogue, trouble: TransientError) -> Outcome:
        """Decide with a GET what became of a change whose answer was lost."""
        look = Dialogue(read_request(change.user_id), hide=_secrets(change))
        lost = self._outcome(change.key, talk, Status.UNKNOWN, trouble.code, trouble.message)
        try:
            answer = await self._settle(look)
        except Stopping:
            return lost
        if not isinstance(answer, Success) or answer.user.id != change.user_id:
            return lost
        if mismatched_fields(change, answer.user):
            message = f"{trouble.message}; a look afterwards found the old values"
            return replace(lost, status=Status.FAILED, message=message, user=answer.user)
        if any(item.field in SECRET_FIELDS for item in change.fields):
            return replace(lost, message=f"{trouble.message}; a password cannot be read back")
        message = f"the answer was lost ({trouble.message}); a look afterwards found the new values"
        return replace(lost, status=Status.UPDATED, code="", message=message, user=answer.user, http_status=200)

    async def look_up(self, change: Change) -> Outcome | None:
        """Learn with a GET what became of a change whose answer never came in; None: it was not carried out."""
        found = await self.read(change.key, change.user_id)
        if isinstance(found, Outcome):
            unsure = found.status is not Status.NOT_SENT and owner_of(found.code) is Owner.PLATFORM
            return replace(found, status=Status.UNKNOWN) if unsure else found  # the look failed: we know no more
        if not is_applied(change, found):
            return None
        message = "the answer was lost; a look afterwards found the new values"
        return Outcome(change.key, Status.UPDATED, "", message, 200, 1, found, iso(self._clock.now()))

    async def _settle(self, talk: Dialogue) -> Success | Rejected | TransientError:
        """Ask until there is an answer that settles it, or no patience is left."""
        while True:
            answer = await self._ask(talk)
            if isinstance(answer, Success | Rejected):
                self._health.good()
                return answer
            if isinstance(answer, Unauthorized):
                self._stop.ask(StoppedError.exit_code, answer.message)
                raise Stopping
            self._worry(answer)
            if isinstance(answer, RateLimited):
                continue
            if answer.reached and answer.status != UNAVAILABLE:
                talk.doubt = answer.code
            if talk.attempts > self._retries:
                return answer
            if not self._budget.spend() and not self._gate.breaker.open:
                return replace(answer, message=f"{answer.message}; {_NO_RETRY}")
            await self._stop.wait(self._clock.sleep(backoff(talk.attempts, answer.after, self._chance)))

    async def _ask(self, talk: Dialogue) -> Success | Rejected | TransientError | RateLimited | Unauthorized:
        started = await self._gate.turn()
        self._count(talk)
        reply = await self._door.ask(talk.request)
        now = self._clock.now()
        if isinstance(reply, Response) and reply.status != 200:
            reply = replace(reply, hide=(*talk.hide, self.secret) if self.secret else talk.hide)
        answer = read_response(reply, now)
        talk.status = status = getattr(reply, "status", None)
        self.tally.codes[status] += 1
        quota = read_quota(reply.headers, now.timestamp()) if isinstance(reply, Response) else None
        if isinstance(answer, RateLimited):
            self.tally.throttled += 1
            self._gate.heard(started, Heard.BUSY, after=answer.after or 0.0, quota=quota)
        elif isinstance(answer, TransientError):
            talk.attempts += 1
            self._gate.heard(started, Heard.TROUBLE, after=answer.after or 0.0, quota=quota)
            log.info("user %d: attempt %d: %s", talk.request.user_id, talk.attempts, answer.code)
            log.debug("user %d: %s", talk.request.user_id, answer.message)  # may quote what was sent
        else:
            talk.attempts += 1
            self._gate.heard(started, Heard.GOOD, kind=talk.request.method, quota=quota)
        return answer

    def _count(self, talk: Dialogue) -> None:
        if talk.request.method == "GET":
            self.tally.get += 1
        else:
            self.tally.patch += 1
        if talk.attempts:
            self.tally.retried += 1
        else:
            self._budget.earn()

    def _worry(self, answer: RateLimited | TransientError) -> None:
        excused = answer.after or 0.0
        if excused > LONGEST_WISH:
            self._stop.ask(
                StoppedError.exit_code,
                f"the platform asks to wait {excused:.0f} s; come back then with `usersync resume`",
            )
            raise Stopping
        now = self._clock.monotonic()
        self._health.bad(now, excused=excused)
        if self._health.seconds_left(now) <= 0:
            self._stop.ask(
                StoppedError.exit_code,
                f"the platform gave no good answer for {self._health.stop_after:g} s ({_reason(answer)}); "
                "see that it is up, then run `usersync resume`",
            )

    def _verified(self, change: Change, talk: Dialogue, user: User) -> Outcome:
        if user.id != change.user_id:
            return self._failure(change.key, talk, Success(user))
        differs = mismatched_fields(change, user)
        if not differs:
            return self._outcome(change.key, talk, Status.UPDATED, user=user)
        message = f"the platform answered 200 but holds another value of {', '.join(differs)}"
        return self._outcome(change.key, talk, Status.FAILED, Code.ECHO_DIFFERS, message, user)

    def _stopped(self, key: int, talk: Dialogue) -> Outcome:
        if talk.doubt:
            message = "the run stopped before the platform's answer was in; `usersync resume` looks it up"
            return self._outcome(key, talk, Status.UNKNOWN, talk.doubt, message)
        return self._outcome(key, talk, Status.NOT_SENT, "", "the run stopped before this row's turn")

    def _failure(self, key: int, talk: Dialogue, answer: Success | Rejected | TransientError) -> Outcome:
        if isinstance(answer, Success):
            message = f"the platform answered with user {answer.user.id}"
            return self._outcome(key, talk, Status.FAILED, Code.ECHO_DIFFERS, message)
        return self._outcome(key, talk, Status.FAILED, answer.code, answer.message)

    def _outcome(
        self,
        key: int,
        talk: Dialogue,
        status: Status,
        code: str = "",
        message: str = "",
        user: User | None = None,
    ) -> Outcome:
        done_at = iso(self._clock.now())
        if self.secret:
            message = message.replace(self.secret, MASK)
        return Outcome(key, status, code, message, talk.status, talk.attempts, user, done_at)


def _reason(answer: RateLimited | TransientError) -> str:
    """Say what came back, without the platform's own words: they may quote what was sent."""
    if isinstance(answer, RateLimited):
        return "answered 429"
    return f"answered {answer.status}" if answer.status else answer.message


def _secrets(change: Change) -> tuple[str, ...]:
    return tuple(i.new for i in change.fields if i.field in SECRET_FIELDS and isinstance(i.new, str))
