"""Decide when to try again, and let nothing through while most answers are errors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

#: Seconds to wait before the second attempt, and before any later one, at most.
FIRST_WAIT = 0.5
LONGEST_BACKOFF = 30.0
#: Answers that the circuit breaker looks at, and how many of them must be errors for it to open.
RECENT = 20
ERRORS = 10
#: Seconds that it stays open at most, from one try to the next.
LONGEST_BREAK = 60.0


def backoff(attempt: int, after: float | None, random: Callable[[], float]) -> float:
    """Return the seconds to wait before attempt `attempt` + 1.

    Exponential with jitter: between half and all of 0.5, 1, 2 ... 30 s, `random` giving 0..1; but never less than
    the platform asks for (`after`, seconds).
    """
    ceiling = min(LONGEST_BACKOFF, FIRST_WAIT * 2.0 ** (attempt - 1))
    return max(after or 0.0, ceiling * (0.5 + random() / 2))


@dataclass(slots=True)
class CircuitBreaker:
    """Blocks requests while most answers are errors, except for an occasional probe.

    Open for one second, then 2, 4 ... 60 while the tries fail; the first that succeeds closes it.
    """

    open: bool = False
    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))
    _opened_at: float = 0.0
    _until: float = 0.0
    _breaks: int = 0
    _trying: bool = False

    def delay(self, now: float) -> float:
        """Return the seconds until a request may go out; 0.0: now; infinite: not before an answer."""
        if not self.open:
            return 0.0
        if now < self._until:
            return self._until - now
        return inf if self._trying else 0.0

    def start(self) -> None:
        """Record that a request goes out."""
        self._trying = self.open

    def record_success(self, started: float) -> bool:
        """Record a good answer to a request that started at `started`; returns whether that closes the breaker."""
        self._recent.append(False)
        if not self.open or started < self._opened_at:
            return False
        self.open = False
        self._trying = False
        self._breaks = 0
        self._recent.clear()
        return True

    def record_failure(self, now: float, started: float, after: float) -> None:
        """Record an error; `after` is how long the platform asks to wait (seconds)."""
        self._recent.append(True)
        if self.open and started >= self._opened_at:
            self._trying = False
            self._break(now, after)
        elif not self.open and sum(self._recent) >= ERRORS:
            self._opened_at = now
            self._break(now, after)

    def _break(self, now: float, after: float) -> None:
        self.open = True
        self._until = now + max(after, min(LONGEST_BREAK, 2.0**self._breaks))
        self._breaks += 1
