"""What the platform's answers tell of its true limit: 429s and quotas in, holds and a rate out. Pure.

Nothing is learned until a 429 or a quota comes. Then the rate is what the platform accepted from one hold to the
next (in a fixed window that is its limit, exactly), and grows again while nothing is refused: by 2 % in ten
seconds, and after a minute by 4 %, 8 % ..., so that a limit that was raised is found in two or three minutes.
"""

from __future__ import annotations

from math import inf

from usersync.dispatch.cells import Cell, Cells
from usersync.platform.quota import Quota

LONGEST_HOLD = 60.0
SHARE = 0.98
"""Of what was accepted before, this share is tried again."""
PERIOD, SEEKING_PERIOD = 10.0, 3.0
"""Seconds after which a rate grows; after which a first guess does, until it is refused."""
FIRST_GROWTH, SEEKING = 0.02, 1.0
MEASURED = 60.0
"""Seconds over which accepted requests are counted, and as many before them."""
LESS, MUCH_LESS = 0.93, 0.7
"""Of a rate that was refused, this share is tried again where the hold was short: after a while, and soon after."""
EARLY = 1.5
"""Seconds after which a refusal is no longer soon after."""
SHORT = 1
"""Holds in a row after which a limit looks like a window, of which `measured` is the truth."""
FEW = 10
"""Accepted requests that say nothing about a rate."""
_PROBE = 30.0
"""Seconds that others wait for one request to find out whether the platform takes requests again."""
_AFTER_MINUTE = 0.1


class AdaptiveLimit:
    """What is known of the limit, in cells that processes may share."""

    rate = Cell(0)
    """Requests per second; 0.0: nothing was learned."""
    hold_until = Cell(1)
    holds = Cell(2)
    """Holds without a word from the platform, since it accepted a request."""
    resumed = Cell(3)
    """Requests started earlier tell of the time before the hold."""
    probing_until = Cell(4)
    grown_at = Cell(5)
    growth = Cell(6)
    told_at = Cell(7)
    settled_at = Cell(15)
    _since = Cell(8)
    _count = Cell(9)
    _earlier_since = Cell(10)
    _earlier = Cell(11)
    _longest_reset = Cell(12)

    def __init__(self, cells: Cells) -> None:
        self.cells = cells

    def seek(self, rate: float) -> None:
        """Begin with a rate (requests per second) that is a guess, and double it while nothing is refused."""
        if not self.rate:
            self.rate, self.growth = rate, SEEKING

    def delay(self, now: float) -> float:
        """Seconds until a request may start, by what was learned; 0.0: now; infinite: not before an answer."""
        if now < self.hold_until:
            return self.hold_until - now
        return inf if self.holds and now < self.probing_until else 0.0

    def start(self, now: float) -> None:
        """Count a request that starts now: the first one after a hold goes alone."""
        if self.holds:
            self.probing_until = now + _PROBE

    def throttled(self, now: float, started: float, after: float | None, *, to_minute: float = LONGEST_HOLD) -> None:
        """Hold everybody back after a 429 for a request that started at `started`.

        Without `after` (the platform's own wish, seconds; less than one is none) the wait doubles from one second
        to a minute, but ends when the clock's minute does, `to_minute` seconds from now: platforms count by
        minutes. The 429s of requests that were in flight together count once.
        """
        if after is not None and after >= 1.0:
            self.hold_until = max(self.hold_until, now + after)
            self.holds = max(self.holds, 1.0)
        elif started >= self.resumed:
            wait = min(LONGEST_HOLD, 2.0**self.holds, to_minute + _AFTER_MINUTE)
            self.hold_until = max(self.hold_until, now + wait)
            self.holds += 1
        self.resumed = max(self.resumed, self.hold_until)
        self.probing_until = 0.0

    def lost(self) -> None:
        """Take note that no answer came: whoever waits for it may try for themselves."""
        self.probing_until = 0.0

    def accepted(self, now: float, started: float, allowed: float) -> None:
        """Take note that a request was not throttled; `allowed` is the rate (per second) at which they went."""
        if self.holds and started >= self.resumed:
            self._settle(now, started, allowed)
        elif not self._since:
            self._since = started
        elif now - self._since > MEASURED:
            recent = now - self._since < 2 * MEASURED  # else nobody sent anything for a while
            self._earlier, self._earlier_since = (self._count, self._since) if recent else (0.0, 0.0)
            self._count, self._since = 0.0, now
        self._count += 1
        period = PERIOD if self.settled_at else SEEKING_PERIOD
        if self.rate and now - self.grown_at >= period and not self.holds:
            self._grow(now, allowed)

    def _settle(self, now: float, started: float, allowed: float) -> None:
        """The platform takes requests again: what it took since the last time is what it allows."""
        begun = self._earlier_since or self._since
        taken = self._count + self._earlier
        if now - self.told_at > MEASURED or not self.told_at:
            measured = SHARE * taken / (started - begun) if taken >= FEW and started > begun else 0.0
            early = now - self.settled_at < EARLY and bool(self.settled_at)
            less = (MUCH_LESS if early else LESS) * allowed if self.holds <= SHORT or not measured else 0.0
            self.rate = max(1 / LONGEST_HOLD, min(max(measured, less), allowed))
        self.growth, self.grown_at, self.settled_at = FIRST_GROWTH, now, now
        self._since, self._count, self._earlier, self._earlier_since = started, 0.0, 0.0, 0.0
        self.holds = self.probing_until = 0.0

    def _grow(self, now: float, allowed: float) -> None:
        used = (self._count + self._earlier) / max(now - (self._earlier_since or self._since), SEEKING_PERIOD)
        if self.grown_at and used > allowed / 2:  # a rate that nobody uses proves nothing
            self.rate *= 1 + self.growth
            if now - self.settled_at > MEASURED:
                self.growth = min(SEEKING, 2 * self.growth)
        self.grown_at = now

    def told(self, now: float, quota: Quota, in_flight: int) -> None:
        """Obey what the platform says is left (`in_flight`: requests that may not be counted yet)."""
        self._longest_reset = max(self._longest_reset, quota.reset or 0.0)
        window = quota.seconds or self._longest_reset
        if quota.left == 0 and quota.reset:
            self.hold_until = max(self.hold_until, now + quota.reset)
        if not quota.limit or not window:
            return
        even = quota.limit / (window * 1.004)
        if quota.left is not None and quota.reset and quota.left < 0.9 * even * (quota.reset - 1) - in_flight:
            even = max(quota.left - in_flight, 1) / quota.reset  # somebody else uses the limit as well
        self.rate, self.told_at, self.grown_at = even, now, now
