"""Learn the platform's true limit from its 429s and quotas.

Nothing is learned until one of them comes. There are two kinds of 429:

- *Three in a row*: a window is used up. All requests pause, then one tries for all. Where the first try fails, too,
  the rate becomes what was accepted since the last such pause: in a fixed window, its limit exactly.
- *A share of the answers*: the rate is a little too high, and becomes what was accepted. If the share does not fall
  with the rate, it is not about our rate (others use the limit as well): the rate goes back up, and that share is
  tolerated from then on.

While little is refused the rate grows again, slowly at first, faster after a minute, so that a limit that was raised
is found in two or three minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from usersync.platform.quota import Quota

#: 429s in a row that mean that a window is used up.
IN_A_ROW = 3
#: Seconds. Platforms count by minutes: no pause is longer, a rate that the platform names counts for so long, and one
#: that was not cut for so long grows faster.
MINUTE = 60.0
#: Seconds for which one waits for the request that tries for all.
PROBE_TIMEOUT = 10.0
#: Seconds after a cut within which a second one goes deeper.
QUICK_RECUT = 10.0
#: A `Retry-After` of so many seconds or more means that a window is used up.
LONG_RETRY_AFTER = 10.0
#: The share of 429s is looked at after so many seconds and answers; at once where it is `TOO_MANY`.
PERIOD_SECONDS = 4.0
MIN_ANSWERS = 20
TOO_MANY = 0.3
#: The share of 429s that needs no explanation; and what is left, after a period, of a share that was found to be
#: unavoidable.
TOLERATED_SHARE = 0.005
UNAVOIDABLE_DECAY = 0.98
#: Of a limit that was measured, or of a rate that was too high, this share is tried next; and where that was too high
#: again, and nothing was measured, this one.
CUT_SHARE = 0.95
DEEP_CUT_SHARE = 0.75
#: By how much the rate grows in a period: while it is a guess that was never refused; after a cut; and at most, when
#: it was not cut for a minute, or cut more than was called for.
SEEKING_GROWTH = 1.0
FIRST_GROWTH = 0.005
MOST_GROWTH = 0.05


@dataclass(slots=True)
class AdaptiveLimit:
    """What is known of the limit, in numbers that processes may share; times are monotonic seconds."""

    #: Requests per second; 0.0: nothing was learned.
    rate: float = 0.0
    growth: float = 0.0
    pause_until: float = 0.0
    #: Pauses since a request was accepted.
    pauses: float = 0.0
    #: Requests that started earlier tell of the time before the pause.
    resumed: float = 0.0
    probing_until: float = 0.0
    #: 429s in a row.
    in_a_row: float = 0.0
    #: Accepted requests, and since when they are counted: the end of the last used-up window.
    accepted: float = 0.0
    accepted_since: float = 0.0
    #: This period's answers, and its begin.
    period_accepted: float = 0.0
    period_refused: float = 0.0
    period_start: float = 0.0
    cut_at: float = 0.0
    #: The rate before a cut that is on trial, and the share of 429s at that time; 0.0: none is.
    cut_from: float = 0.0
    cut_share: float = 0.0
    #: The share of 429s that no lower rate avoids.
    unavoidable: float = 0.0
    #: When the platform named the rate; and the longest time to a window's end that it named.
    named_at: float = 0.0
    longest_reset: float = 0.0

    def seek(self, rate: float) -> None:
        """Begin with a rate (requests per second) that is a guess, and double it while nothing is refused."""
        if not self.rate:
            self.rate = rate
            self.growth = SEEKING_GROWTH

    def delay(self, now: float) -> float:
        """Return the seconds until a request may start; 0.0: now; infinite: not before an answer."""
        if now < self.pause_until:
            return self.pause_until - now
        return inf if self.pauses and now < self.probing_until else 0.0

    def start(self, now: float) -> None:
        """Record a request that starts now: the first one after a pause goes alone."""
        if self.pauses:
            self.probing_until = now + PROBE_TIMEOUT

    def record_failure(self) -> None:
        """Record that no answer came: those who wait for it may try for themselves."""
        self.probing_until = 0.0

    def refuse(self, now: float, started: float, after: float = 0.0, *, to_minute: float = MINUTE) -> None:
        """Record a 429 for a request that started at `started`.

        `after` is how long the platform asks to wait (seconds; less than one is no wish). Else pauses double from one
        second to a minute, but end when the clock's minute does, `to_minute` seconds from now: platforms count by
        minutes. The 429s of requests that were in flight together count once.
        """
        new = started >= self.resumed
        self.period_refused += new and started >= self.cut_at
        if after >= 1.0:
            self._pause(now + after)
            self.pauses = max(self.pauses, 2.0 if after >= LONG_RETRY_AFTER else 0.0)
        elif new:
            self.in_a_row += 1
            if self.pauses or self.in_a_row >= IN_A_ROW:
                self._pause(now + min(MINUTE, 2.0**self.pauses, to_minute))
                self.pauses += 1

    def _pause(self, until: float) -> None:
        self.pause_until = max(self.pause_until, until)
        self.resumed = self.pause_until
        self.probing_until = 0.0

    def accept(self, now: float, started: float, allowed: float | None) -> None:
        """Record an answer that is no 429; `allowed` is the rate (per second) at which requests went, if any."""
        if not self.accepted_since:
            self.accepted_since = started
            self.period_start = started
        if allowed is None:
            allowed = self.accepted / max(now - self.accepted_since, PERIOD_SECONDS)
        if self.pauses and started >= self.resumed:
            self._resume(now, started, allowed)
        self.in_a_row = 0.0
        self.accepted += 1
        self.period_accepted += started >= self.cut_at
        answers = self.period_accepted + self.period_refused
        over = now - self.period_start >= PERIOD_SECONDS or self.period_refused > TOO_MANY * answers
        if answers >= MIN_ANSWERS and over and now > self.period_start:
            self._end_period(now, allowed)

    def _resume(self, now: float, started: float, allowed: float) -> None:
        """Learn from a pause that is over."""
        soon = now - self.cut_at < QUICK_RECUT
        if self.pauses > 1 and self.accepted >= IN_A_ROW and started > self.accepted_since:
            self._cut(now, CUT_SHARE * self.accepted / (started - self.accepted_since), allowed)
            self.accepted = 0.0
            self.accepted_since = started
        elif soon or not self.unavoidable:
            self._cut_blindly(now, allowed, again=soon)
        self.pauses = 0.0
        self.probing_until = 0.0
        self._begin_period(now)

    def _end_period(self, now: float, allowed: float) -> None:
        """Cut the rate, take a cut back that did not help, or grow."""
        used = self.period_accepted / (now - self.period_start)
        share = self.period_refused / (self.period_accepted + self.period_refused)
        if self.cut_from and self.cut_share / 2 < share <= TOO_MANY:
            self.unavoidable = max(self.unavoidable, share)
            self.rate = self.cut_from
            self.cut_from = 0.0
        elif share > TOO_MANY:
            self._cut_blindly(now, allowed, again=bool(self.cut_share))
            self.cut_share = share
        elif share > max(TOLERATED_SHARE, 2 * self.unavoidable):
            self._cut(now, CUT_SHARE * used, allowed)
            self.cut_share = share
            self.cut_from = allowed
        elif used > allowed / 2:  # a rate that nobody uses proves nothing
            self._grow(now, allowed)
        if now - self.accepted_since > 2 * MINUTE + LONG_RETRY_AFTER:  # too long ago to tell of the limit
            self.accepted_since = now - MINUTE
            self.accepted = used * MINUTE
        self.unavoidable *= UNAVOIDABLE_DECAY
        self._begin_period(now)

    def _begin_period(self, now: float) -> None:
        self.period_start = now
        self.period_accepted = 0.0
        self.period_refused = 0.0

    def _cut(self, now: float, rate: float, allowed: float) -> None:
        if not self._is_named(now):
            self.rate = max(1 / MINUTE, min(rate, allowed))
        self.growth = FIRST_GROWTH
        self.cut_at = now
        self.cut_from = 0.0

    def _cut_blindly(self, now: float, allowed: float, *, again: bool) -> None:
        """Try a little less than what was too much; if that is too much again, much less, and grow back fast."""
        self._cut(now, (DEEP_CUT_SHARE if again else CUT_SHARE) * allowed, allowed)
        if again:
            self.growth = MOST_GROWTH

    def _grow(self, now: float, allowed: float) -> None:
        self.cut_from = 0.0
        self.cut_share = 0.0
        if not self._is_named(now) and self.rate < 2 * allowed:
            self.rate *= 1 + self.growth
        if now - self.cut_at > MINUTE and self.growth < MOST_GROWTH:
            self.growth = min(MOST_GROWTH, 2 * self.growth)

    def _is_named(self, now: float) -> bool:
        return bool(self.named_at) and now - self.named_at < MINUTE

    def set_quota(self, now: float, quota: Quota, in_flight: int) -> None:
        """Obey what the platform says is left (`in_flight`: requests that may not be counted yet)."""
        self.longest_reset = max(self.longest_reset, quota.reset or 0.0)
        window = quota.seconds or self.longest_reset
        if quota.left == 0 and quota.reset:
            self._pause(now + quota.reset)
        if not quota.limit or not window:
            return
        even = quota.limit / (window * 1.004)
        if quota.left is not None and quota.reset and quota.left < 0.9 * even * (quota.reset - 1) - in_flight:
            even = max(quota.left - in_flight, 1) / quota.reset  # somebody else uses the limit as well
        self.rate = even
        self.named_at = now
