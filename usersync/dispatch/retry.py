"""Whether and when to try again, and when to give the whole run up. Pure: time and chance are handed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0


def backoff(attempt: int, after: float | None, chance: Callable[[], float]) -> float:
    """Seconds to wait before attempt `attempt` + 1.

    Exponential with full jitter: between half and all of 0.5, 1, 2 ... 30 s, `chance` giving 0..1; the
    platform's own wish `after` is the least.
    """
    ceiling = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1))
    return max(after or 0.0, ceiling * (0.5 + chance() / 2))


@dataclass(slots=True)
class Health:
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
