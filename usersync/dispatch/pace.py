"""When the next request may start: rate, batches and holds. Pure: the time is handed in, in seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MARGIN = 0.004
"""A window is kept this share longer than asked for: requests do not travel equally fast."""
CATCH_UP = 0.05
"""Seconds of lateness that are made up for at most; a late timer must not cost throughput."""
LONGEST_HOLD = 60.0


@dataclass(slots=True)
class Pace:
    """At most `count` starts in any window of `seconds`, evenly spaced; no more than `burst` at once.

    `count` None means no rate. After `batch_size` starts, the next one waits `batch_interval` seconds.
    """

    count: int | None = None
    seconds: float = 1.0
    burst: int = 1
    batch_size: int | None = None
    batch_interval: float = 0.0
    hold_until: float = 0.0
    _starts: deque[float] = field(default_factory=deque)
    _due: float = 0.0
    _in_batch: int = 0
    _batch_due: float = 0.0
    _resumed: float = 0.0
    _holds: int = 0

    def delay(self, now: float) -> float:
        """Seconds until the next request may start; 0.0: now."""
        due = max(self.hold_until, self._batch_due)
        if self.count is not None:
            due = max(due, self._due)
            if len(self._starts) == self.count:
                due = max(due, self._starts[0] + self.seconds * (1 + MARGIN))
        return max(0.0, due - now)

    def start(self, now: float) -> None:
        """Count a request that starts now."""
        if self.count is not None:
            step = self.seconds * (1 + MARGIN) / self.count
            allowance = min((self.burst - 1) * step, max(CATCH_UP, step))
            self._due = (max(self._due, now - allowance) if self._starts else now) + step
            if len(self._starts) == self.count:
                self._starts.popleft()
            self._starts.append(now)
        if self.batch_size is not None:
            self._in_batch += 1
            if self._in_batch == self.batch_size:
                self._in_batch = 0
                self._batch_due = now + self.batch_interval

    def throttled(self, now: float, started: float, after: float | None) -> None:
        """Hold everybody back after a 429 for a request that started at `started`.

        Without `after` (the platform's own wish, seconds; less than one is none) the wait doubles from one
        second to a minute;
        the 429s of requests that were in flight together count once.
        """
        if after is not None and after >= 1.0:
            self.hold_until = max(self.hold_until, now + after)
        elif started >= self._resumed:
            self.hold_until = max(self.hold_until, now + min(LONGEST_HOLD, 2.0**self._holds))
            self._holds += 1
        self._resumed = max(self._resumed, self.hold_until)

    def accepted(self, started: float) -> None:
        """Take note that a request started at `started` was not throttled."""
        if started >= self._resumed:
            self._holds = 0
