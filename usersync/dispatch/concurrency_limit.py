"""Limit how many requests are in flight, by how they are answered."""

from __future__ import annotations

from dataclasses import dataclass

#: Requests in flight at the beginning: a platform that refuses everything is not asked a hundred times.
FIRST = 10
#: What is left of the limit after an error.
AFTER_ERROR = 0.8


@dataclass(slots=True)
class ConcurrencyLimit:
    """Requests in flight at most, `most` at the very most."""

    most: int
    limit: float = 0.0
    #: Until the first error, each good answer raises the limit by one; afterwards, `limit` good answers do.
    _climbing: bool = True
    _cut_at: float = 0.0

    def __post_init__(self) -> None:
        self.limit = self.limit or min(FIRST, self.most)

    def record_success(self) -> None:
        """Record a good answer."""
        if self.limit < self.most:
            self.limit = min(self.most, self.limit + (1 if self._climbing else 1 / self.limit))

    def record_failure(self, now: float, started: float) -> None:
        """Record an error of a request that started at `started`; what was in flight together counts once."""
        if started >= self._cut_at:
            self.limit = max(1.0, self.limit * AFTER_ERROR)
            self._climbing = False
            self._cut_at = now

    def begin_again(self) -> None:
        """Start from one, as the platform recovers."""
        self.limit = 1.0
        self._climbing = True
