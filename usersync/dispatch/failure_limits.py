"""Stop a run whose requests cannot succeed, or have not for too long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from usersync.context import Stop, Stopping
from usersync.errors import StoppedError
from usersync.platform.api import Origin, RateLimited, Request, TransientError

#: Seconds of `Retry-After` that a run waits for; beyond, it stops.
LONGEST_RETRY_AFTER = 3600.0
#: Users in a row whose answers are not the API's, after which the run stops.
MOST_FOREIGN = 3
#: Tries of a proxy that cannot be reached, after which the run stops; and the seconds between two of them, at most.
PROXY_TRIES = 3
PROXY_WAIT = 10.0


@dataclass(slots=True)
class FailureTimeout:
    """Gives the run up after `stop_after` seconds without a success."""

    stop_after: float
    _bad_since: float | None = None
    _excused: float = 0.0

    def record_success(self) -> None:
        """Record an answer that settles a row."""
        self._bad_since = None
        self._excused = 0.0

    def record_failure(self, now: float, *, excused: float = 0.0) -> None:
        """Record an error; a wait that the platform asks for (`excused` seconds) does not count."""
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
    """Gives the run up after `most` distinct failures of one kind in a row."""

    most: int
    #: The failures since the last success.
    seen: set[int] = field(default_factory=set)

    def record_success(self) -> None:
        """Record that this kind of failure is over."""
        self.seen.clear()

    def record_failure(self, which: int) -> bool:
        """Record a failure; returns whether it is one too many."""
        self.seen.add(which)
        return len(self.seen) >= self.most


class FailureLimits:
    """Stops a failing run: too long without a success, too long a wait, or answers that are not the API's."""

    def __init__(self, stop: Stop, *, address: str, retries: int, stop_after: float) -> None:
        """`stop_after` are seconds without a success, `retries` those of one request."""
        self._stop = stop
        self._address = address
        self._retries = retries
        self._timeout = FailureTimeout(stop_after)
        self._foreign = {method: FailureStreak(MOST_FOREIGN) for method in ("GET", "PATCH")}
        self._proxy_down = FailureStreak(PROXY_TRIES)
        self._api_answered = False

    @property
    def users_without_api_answer(self) -> frozenset[int]:
        """The users of the last updates, where none of them was answered by the API."""
        return frozenset(self._foreign["PATCH"].seen)

    def settled(self, request: Request) -> None:
        """Record that the API has settled a request."""
        self._timeout.record_success()
        self._foreign[request.method].record_success()
        self._api_answered = True

    def responded(self) -> None:
        """Record that a response came through the proxy, where there is one."""
        self._proxy_down.record_success()

    def check(self, request: Request, answer: RateLimited | TransientError, *, attempts: int, now: float) -> None:
        """Record a failure, and stop the run where waiting would be too long, or in vain.

        `attempts` were made before, `now` is monotonic. Raises Stopping.
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
        """Stop the run where something between us and the platform has to be changed."""
        if answer.origin is Origin.PROXY and self._proxy_down.record_failure(int(now / PROXY_WAIT * 2)):
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
    """Name what came back, without the platform's own words: they may quote what was sent."""
    if isinstance(answer, RateLimited):
        return "answered 429"
    return f"answered {answer.status}" if answer.status else answer.message
