"""Stop a run whose requests cannot succeed, or have failed for too long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from usersync.context import Stop, Stopping
from usersync.errors import StoppedError
from usersync.platform.api import Origin, RateLimited, Request, TransientError

#: Seconds of `Retry-After` that a run waits for; beyond, it stops.
LONGEST_RETRY_AFTER = 3600.0
#: So many users in a row with responses that are not the API's stop the run.
MOST_FOREIGN = 3
#: So many failed attempts to reach the proxy stop the run; and the longest wait between two of them, in seconds.
PROXY_TRIES = 3
PROXY_WAIT = 10.0


@dataclass(slots=True)
class FailureTimeout:
    """Ends the run after `stop_after` seconds without a success."""

    stop_after: float
    _bad_since: float | None = None
    _excused: float = 0.0

    def record_success(self) -> None:
        """Record a final response: the row succeeded, or was rejected."""
        self._bad_since = None
        self._excused = 0.0

    def record_failure(self, now: float, *, excused: float = 0.0) -> None:
        """Record an error; the seconds that the platform asks to wait (`excused`) do not count."""
        if self._bad_since is None:
            self._bad_since = now
        self._excused = max(self._excused, excused)

    def seconds_left(self, now: float) -> float:
        """Return how long the run may still go on without a success."""
        if self._bad_since is None:
            return self.stop_after
        return self._bad_since + self._excused + self.stop_after - now


@dataclass(slots=True)
class FailureStreak:
    """Ends the run after `most` distinct failures of one kind in a row."""

    most: int
    #: The failures since the last success.
    seen: set[int] = field(default_factory=set)

    def record_success(self) -> None:
        """Record a success, which ends the streak."""
        self.seen.clear()

    def record_failure(self, which: int) -> bool:
        """Record a failure, identified by a number; returns whether it is one too many."""
        self.seen.add(which)
        return len(self.seen) >= self.most


class FailureLimits:
    """Stops a failing run: too long without a success, too long a wait, or responses that are not the API's."""

    def __init__(self, stop: Stop, *, address: str, retries: int, stop_after: float) -> None:
        """Take the limits: `stop_after` seconds without a success, `retries` of one request."""
        self._stop = stop
        self._address = address
        self._retries = retries
        self._timeout = FailureTimeout(stop_after)
        self._foreign = {method: FailureStreak(MOST_FOREIGN) for method in ("GET", "PATCH")}
        self._proxy_down = FailureStreak(PROXY_TRIES)
        self._api_answered = False

    @property
    def users_without_api_answer(self) -> frozenset[int]:
        """The users of the last updates, if the API has answered none of them."""
        return frozenset(self._foreign["PATCH"].seen)

    def settled(self, request: Request) -> None:
        """Record that the API gave a final response."""
        self._timeout.record_success()
        self._foreign[request.method].record_success()
        self._api_answered = True

    def responded(self) -> None:
        """Record that a response came through the proxy, where there is one."""
        self._proxy_down.record_success()

    def check(self, request: Request, answer: RateLimited | TransientError, *, attempts: int, now: float) -> None:
        """Record a failure, and stop the run where waiting would take too long or be useless. Raises Stopping.

        `attempts` is how many were made before, `now` is monotonic.
        """
        after = answer.after or 0.0
        if after > LONGEST_RETRY_AFTER:
            self.stop_run(f"the platform asks to wait {after:.0f} s; run `usersync resume` then")
        if isinstance(answer, TransientError):
            self._check_origin(request, answer, attempts, now)
        self._timeout.record_failure(now, excused=after)
        if self._timeout.seconds_left(now) <= 0:
            self._stop.ask(
                StoppedError.exit_code,
                f"no successful response for {self._timeout.stop_after:g} s ({_reason(answer)}); "
                "check that the platform is up, then run `usersync resume`",
            )

    def _check_origin(self, request: Request, answer: TransientError, attempts: int, now: float) -> None:
        """Stop the run where something between this machine and the platform has to be fixed."""
        interval = int(now / (PROXY_WAIT / 2))  # requests that fail together count as one attempt
        if answer.origin is Origin.PROXY and self._proxy_down.record_failure(interval):
            self.stop_run(f"{answer.message}, then run `usersync resume` ({PROXY_TRIES} tries failed)")
        if answer.origin is Origin.OTHER:
            many = self._foreign[request.method].record_failure(request.user_id)
            if many or (not self._api_answered and attempts >= self._retries):
                self.stop_run(
                    f"{self._address} {answer.message}: the address is wrong, a firewall is in between, or it "
                    "is down for maintenance; check platform.url and platform.path, then run `usersync resume`"
                )

    def stop_run(self, message: str) -> NoReturn:
        """Stop the run now. Raises Stopping."""
        self._stop.ask(StoppedError.exit_code, message)
        raise Stopping


def _reason(answer: RateLimited | TransientError) -> str:
    """Describe a response without the platform's own words, which may quote what was sent."""
    if isinstance(answer, RateLimited):
        return "answered 429"
    return f"answered {answer.status}" if answer.status else answer.message
