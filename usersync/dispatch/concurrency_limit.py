"""Limit how many requests are in flight, by how they are answered."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Requests in flight at first, so that a platform that refuses everything is not asked a hundred times.
FIRST = 10
#: The share of the limit that remains after an error.
AFTER_ERROR = 0.8


@dataclass(slots=True)
class ConcurrencyLimit:
    """How many requests may be in flight: grows with good responses up to `most`, and shrinks with errors."""

    most: int
    limit: float = field(init=False)
    #: Until the first error each good response raises the limit by one; later, it takes `limit` of them.
    _climbing: bool = True
    _cut_at: float = 0.0

    def __post_init__(self) -> None:
        self.limit = min(FIRST, self.most)

    def record_success(self) -> None:
        """Record a good response."""
        if self.limit < self.most:
            self.limit = min(self.most, self.limit + (1 if self._climbing else 1 / self.limit))

    def record_failure(self, now: float, started: float) -> None:
        """Record an error of a request that started at `started`; errors of requests in flight together count once."""
        if started >= self._cut_at:
            self.limit = max(1.0, self.limit * AFTER_ERROR)
            self._climbing = False
            self._cut_at = now

    def restart(self) -> None:
        """Start again from one request, because the platform is recovering."""
        self.limit = 1.0
        self._climbing = True
