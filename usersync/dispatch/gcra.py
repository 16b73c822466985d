"""Space requests evenly by the generic cell rate algorithm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from usersync.dispatch.adaptive_limit import AdaptiveLimit
from usersync.settings import Rate

#: The interval between two requests is longer by this share than the rate requires: 99 % of the rate can still be used,
#: and no window gets a request too many because some travel faster than others.
MARGIN = 0.009
#: How much of a delay later requests may catch up on: this share of the window, at most MOST_TOLERANCE seconds.
#: It must be less than MARGIN, or a window could contain one request too many.
TOLERANCE = 0.005
MOST_TOLERANCE = 0.05
#: Requests per second that `rate: auto` starts with.
FIRST_GUESS = 50.0
#: Seconds without a request after which a learned rate is forgotten.
FORGET_AFTER = 600.0


@dataclass(slots=True)
class RateState:
    """What is remembered between requests; times are monotonic seconds."""

    #: When the next request is due.
    due: float = 0.0
    limit: AdaptiveLimit = field(default_factory=AdaptiveLimit)


class Gcra:
    """Starts at most `rate.count` requests in any window of `rate.seconds`, evenly spaced.

    Without a rate (None) only a rate that is learned from 429s and quotas applies; "auto" looks for the limit.
    """

    def __init__(self, rate: Rate | Literal["auto"] | None) -> None:
        self._seeking = rate == "auto"
        self._interval = 0.0
        self._tolerance = MOST_TOLERANCE
        if isinstance(rate, Rate):
            self._interval = rate.seconds * (1 + MARGIN) / rate.count
            self._tolerance = min(MOST_TOLERANCE, TOLERANCE * rate.seconds)

    def interval(self, state: RateState) -> float:
        """Return the seconds between two requests; 0.0 without a rate."""
        learned = state.limit.rate
        return max(self._interval, 1 / learned) if learned else self._interval

    def rate(self, state: RateState) -> float | None:
        """Return the requests per second that are allowed; None without a rate."""
        interval = self.interval(state)
        return 1 / interval if interval else None

    def delay(self, state: RateState, now: float) -> float:
        """Return the seconds until a request may start; 0.0: now; infinite: not before an answer."""
        interval = self.interval(state)
        if not interval:
            return state.limit.delay(now)
        state.due = min(state.due, now + interval)  # a process with a lower rate does not hold up the others
        return max(state.limit.delay(now), state.due - now)

    def start(self, state: RateState, now: float) -> None:
        """Record a request that starts now."""
        if state.limit.rate and now - state.due > FORGET_AFTER:
            state.limit.rate = 0.0
        if self._seeking:
            state.limit.seek(FIRST_GUESS)
        state.limit.start(now)
        was_paused = state.limit.pause_until > state.due  # the time of a pause is not caught up on
        earliest = now if was_paused else now - self._tolerance
        state.due = max(state.due, earliest) + self.interval(state)

    def accept(self, state: RateState, now: float, started: float) -> None:
        """Record that a request was not throttled."""
        state.limit.accept(now, started, self.rate(state))
