"""Decide how long to wait before a request is tried again."""

from __future__ import annotations

from collections.abc import Callable

#: The longest waits before the second attempt and before any later one, in seconds.
FIRST_WAIT = 0.5
LONGEST_BACKOFF = 30.0


def backoff(attempt: int, after: float | None, random: Callable[[], float]) -> float:
    """Return the seconds to wait before attempt `attempt` + 1.

    Exponential with jitter: from half of 0.5, 1, 2 ... 30 s to all of it (`random` returns 0 to 1), but never less than
    the platform asks for (`after`, in seconds).
    """
    ceiling = min(LONGEST_BACKOFF, FIRST_WAIT * 2.0 ** (attempt - 1))
    return max(after or 0.0, ceiling * (0.5 + random() / 2))
