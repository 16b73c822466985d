"""Define a slice of a run's timeline."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TimeSlice:
    """What the dispatcher measured in one slice of a run; slices follow each other without gaps."""

    at: float
    """Start of the slice, in seconds since the run began."""
    seconds: float
    """How long the slice is."""
    requests: int
    throttled: int
    """Requests answered with 429."""
    errors: int
    """Requests without an answer, or with a 5xx."""
    rate: float | None
    """Requests per second that were allowed at the slice's end; None: no limit."""
    median: float | None
    """Seconds to an answer, half of the requests; None where there were none. So is `slowest`."""
    slowest: float | None
    """Seconds to an answer, 95 % of the requests."""
