"""Whether and when to try again, and when to give the whole run up. Pure: time and chance are handed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
ALLOWANCE = 20.0
"""Retries that a run has at its beginning."""
SHARE = 0.1
"""Retries that each request earns: repeating more than that makes a platform in trouble fall for good."""
RECENT, ENOUGH = 20, 10
"""Answers that the breaker looks at, and how many of them must be trouble."""
LONGEST_BREAK = 60.0


def backoff(attempt: int, after: float | None, chance: Callable[[], float]) -> float:
    """Seconds to wait before attempt `attempt` + 1.

    Exponential with full jitter: between half and all of 0.5, 1, 2 ... 30 s, `chance` giving 0..1; the
    platform's own wish `after` is the least.
    """
    ceiling = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1))
    return max(after or 0.0, ceiling * (0.5 + chance() / 2))


@dataclass(slots=True)
class FailureTimeout:
    """Whether the platform answers at all: no success for `stop_after` seconds ends the run."""

    stop_after: float
    _bad_since: float | None = None
    _excused: float = 0.0

    def good(self) -> None:
        """Take note of an answer that settles a row."""
        self._bad_since = None
        self._excused = 0.0

    def bad(self, now: float, *, excused: float = 0.0) -> None:
        """Take note of trouble; waits that the platform asked for (`excused` seconds) do not count."""
        if self._bad_since is None:
            self._bad_since = now
        self._excused = max(self._excused, excused)

    def seconds_left(self, now: float) -> float:
        """How long the run may still go on without a success."""
        if self._bad_since is None:
            return self.stop_after
        return self._bad_since + self._excused + self.stop_after - now


@dataclass(slots=True)
class FailureStreak:
    """Whether failures of one kind go on: `most` distinct ones in a row end the run."""

    most: int
    _seen: set[int] = field(default_factory=set)

    def bad(self, which: int) -> bool:
        """Take note of a failure; returns whether it is one too many."""
        self._seen.add(which)
        return len(self._seen) >= self.most

    def good(self) -> None:
        """Take note of a success."""
        self._seen.clear()


@dataclass(slots=True)
class RetryBudget:
    """At most one retry for ten requests, beyond a small allowance."""

    left: float = ALLOWANCE

    def earn(self) -> None:
        """Take note of a request that is no retry."""
        self.left += SHARE

    def spend(self) -> bool:
        """Ask for one retry; False where there is none left."""
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


@dataclass(slots=True)
class CircuitBreaker:
    """Lets nothing through while most answers are trouble, but for one request now and then that tries.

    Open for one second, then 2, 4 ... 60 while the tries fail; the first that succeeds closes it.
    """

    open: bool = False
    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))
    _opened_at: float = 0.0
    _until: float = 0.0
    _breaks: int = 0
    _trying: bool = False

    def delay(self, now: float) -> float:
        """Seconds until a request may go out; 0.0: now; infinite: not before an answer."""
        if not self.open:
            return 0.0
        return max(self._until - now, 0.0) or (inf if self._trying else 0.0)

    def start(self) -> None:
        """Take note that a request goes out."""
        self._trying = self.open

    def good(self, started: float) -> bool:
        """Take note of an answer to a request started at `started`; whether that closes the breaker."""
        self._recent.append(False)
        if not self.open or started < self._opened_at:
            return False
        self.open = self._trying = False
        self._breaks = 0
        self._recent.clear()
        return True

    def bad(self, now: float, started: float, after: float) -> None:
        """Take note of trouble; `after` is how long the platform asks to wait (seconds)."""
        self._recent.append(True)
        if self.open and started >= self._opened_at:
            self._trying = False
            self._break(now, after)
        elif not self.open and sum(self._recent) >= ENOUGH:
            self._opened_at = now
            self._break(now, after)

    def _break(self, now: float, after: float) -> None:
        self.open = True
        self._until = now + max(after, min(LONGEST_BREAK, 2.0**self._breaks))
        self._breaks += 1
