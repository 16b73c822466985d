"""Space requests evenly by the generic cell rate algorithm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from usersync.dispatch.adaptive_limit import AdaptiveLimit
from usersync.settings import Rate

#: By this share the step between two requests is longer than the rate asks for: 99 % of the rate can be used, and
#: requests that travel unevenly do not come too many to a window.
MARGIN = 0.009
#: The largest delay that later requests may catch up on: this share of the window, at most MOST_TOLERANCE seconds.
#: It has to be less than MARGIN, or a window could contain one request too many.
TOLERANCE = 0.005
MOST_TOLERANCE = 0.05
#: Requests per second that `rate: auto` begins with.
FIRST_GUESS = 50.0
#: Seconds without a request after which what was learned is forgotten.
FORGET_AFTER = 600.0


@dataclass(slots=True)
class RateState:
    """All that is remembered between requests: a few numbers; times are monotonic seconds."""

    #: When the next request is due.
    due: float = 0.0
    limit: AdaptiveLimit = field(default_factory=AdaptiveLimit)


class Gcra:
    """At most `rate.count` starts in any window of `rate.seconds`, evenly spaced.

    None means no rate but the one that is learned, "auto" that the rate is to be found out.
    """

    def __init__(self, rate: Rate | Literal["auto"] | None) -> None:
        self._seeking = rate == "auto"
        self._step = 0.0
        self._tolerance = MOST_TOLERANCE
        if isinstance(rate, Rate):
            self._step = rate.seconds * (1 + MARGIN) / rate.count
            self._tolerance = min(MOST_TOLERANCE, TOLERANCE * rate.seconds)

    def step(self, state: RateState) -> float:
        """Return the seconds between two requests; 0.0: there is no rate."""
        learned = state.limit.rate
        return max(self._step, 1 / learned) if learned else self._step

    def delay(self, state: RateState, now: float) -> float:
        """Return the seconds until a request may start; 0.0: now; infinite: not before an answer."""
        step = self.step(state)
        if not step:
            return state.limit.delay(now)
        state.due = min(state.due, now + step)  # one request of a process with a lower rate does not hold up all others
        return max(state.limit.delay(now), state.due - now)

    def start(self, state: RateState, now: float) -> None:
        """Record a request that starts now."""
        if state.limit.rate and now - state.due > FORGET_AFTER:
            state.limit.rate = 0.0
        if self._seeking:
            state.limit.seek(FIRST_GUESS)
        state.limit.start(now)
        paused = state.limit.pause_until > state.due  # what a pause cost is not made up for
        state.due = max(state.due, now - (0.0 if paused else self._tolerance)) + self.step(state)

    def accept(self, state: RateState, now: float, started: float) -> None:
        """Record that a request was not throttled."""
        step = self.step(state)
        state.limit.accept(now, started, 1 / step if step else None)
