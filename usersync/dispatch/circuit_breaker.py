"""Block requests while most answers are errors."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf

#: The breaker opens when so many (ERRORS) of the last responses (RECENT) are errors.
RECENT = 20
ERRORS = 10
#: The longest time between two probes, in seconds.
LONGEST_BREAK = 60.0


@dataclass(slots=True)
class CircuitBreaker:
    """Blocks requests while most responses are errors, except for an occasional probe.

    The first probe goes out after a second, the next ones after 2, 4 ... 60; the first that succeeds closes it.
    """

    open: bool = False
    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))
    _opened_at: float = 0.0
    _until: float = 0.0
    _openings: int = 0
    _probing: bool = False

    def delay(self, now: float) -> float:
        """Return the seconds until a request may go out; 0.0: now; infinite: not before the probe has ended."""
        if not self.open:
            return 0.0
        if now < self._until:
            return self._until - now
        return inf if self._probing else 0.0

    def start(self) -> None:
        """Record that a request goes out."""
        self._probing = self.open

    def record_success(self, started: float) -> bool:
        """Record a good answer to a request that started at `started`; returns whether that closes the breaker."""
        self._recent.append(False)
        if not self.open or started < self._opened_at:
            return False
        self.open = False
        self._probing = False
        self._openings = 0
        self._recent.clear()
        return True

    def record_failure(self, now: float, started: float, after: float) -> None:
        """Record an error; `after` is how long the platform asks to wait (seconds)."""
        self._recent.append(True)
        if self.open and started >= self._opened_at:
            self._probing = False
            self._open(now, after)
        elif not self.open and sum(self._recent) >= ERRORS:
            self._opened_at = now
            self._open(now, after)

    def _open(self, now: float, after: float) -> None:
        self.open = True
        self._until = now + max(after, min(LONGEST_BREAK, 2.0**self._openings))
        self._openings += 1
