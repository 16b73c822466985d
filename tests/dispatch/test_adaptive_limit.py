"""Test what is learned from 429s and quotas, on an injected clock."""

import heapq
import random
from copy import copy
from dataclasses import dataclass, field
from typing import Literal, Protocol

import pytest

from usersync.dispatch.adaptive_limit import IN_A_ROW, AdaptiveLimit
from usersync.dispatch.gcra import Gcra, RateState
from usersync.dispatch.rate_limit import CLOCK_TOLERANCE
from usersync.platform.quota import Quota
from usersync.settings import Rate

Limits = tuple[tuple[float, float], ...]
"""From when on, so many requests."""


class Limit(Protocol):
    limits: Limits
    seconds: float

    def take(self, now: float) -> bool: ...


@dataclass
class Window:
    """So many requests in each window of the clock."""

    limits: Limits
    seconds: float = 60.0
    number: int = -1
    used: int = 0

    def take(self, now: float) -> bool:
        if (number := int((now + PHASE) // self.seconds)) != self.number:
            self.number, self.used = number, 0
        self.used += 1
        return self.used <= at(self.limits, now)


@dataclass
class Bucket:
    """As nginx counts: so many requests a second, and `burst` beyond them."""

    limits: Limits
    burst: int
    seconds: float = 1.0
    level: float = 0.0
    seen: float = 0.0

    def take(self, now: float) -> bool:
        level = max(0.0, self.level - (now - self.seen) * at(self.limits, now))
        self.seen = now
        self.level = level + 1 if (fits := level <= self.burst) else level
        return fits


PHASE = 17.3


def at(limits: Limits, now: float) -> float:
    return [limit for since, limit in limits if since <= now][-1]


@dataclass
class Run:
    """A client that always has work."""

    rate: Rate | Literal["auto"]
    limit: Limit
    aligned: bool = True
    #: The share of answers that are 429s for no reason of ours.
    noise: float = 0.0
    #: Whether a 429 says when the window ends.
    says_when: bool = False
    state: RateState = field(default_factory=RateState)
    log: list[tuple[float, bool]] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return 1 / Gcra(self.rate).interval(self.state)

    def until(self, seconds: float, *, latency: float = 0.05, workers: int = 16, seed: int = 1) -> "Run":
        gcra, rng, now = Gcra(self.rate), random.Random(seed), 0.0
        flight: list[tuple[float, float, bool]] = []
        while now < seconds:
            arrives = flight[0][0] if flight else float("inf")
            wait = gcra.delay(self.state, now) if len(flight) < workers else float("inf")
            if wait == 0:
                gcra.start(self.state, now)
                taken = self.limit.take(now + latency / 2) and rng.random() >= self.noise
                self.log.append((now, taken))
                heapq.heappush(flight, (now + latency, now, taken))
            elif arrives <= now + wait:
                now, started, taken = heapq.heappop(flight)
                if taken:
                    gcra.accept(self.state, now, started)
                else:
                    self._refuse(now, started)
            else:
                now += wait
        return self

    def _refuse(self, now: float, started: float) -> None:
        to_minute = 60.0 - (now + PHASE) % 60.0
        after = 1 + to_minute if self.says_when else 0.0
        self.state.limit.refuse(now, started, after, to_minute=to_minute + CLOCK_TOLERANCE if self.aligned else 60.0)

    def steady(self, begin: float, end: float) -> tuple[float, float]:
        """The share of the limit that was used, and the share of 429s."""
        part = [taken for when, taken in self.log if begin <= when < end]
        allowed = sum(at(self.limit.limits, t) for t in range(int(begin), int(end))) / self.limit.seconds
        return sum(part) / allowed, 1 - sum(part) / len(part)


CONFIGURED = Rate(3000, 60.0)


@pytest.mark.parametrize(
    ("aligned", "latency"),
    [pytest.param(True, 0.05, id="minutes"), pytest.param(False, 0.1, id="windows of its own")],
)
@pytest.mark.parametrize(
    ("rate", "limit", "steady"),
    [
        pytest.param(CONFIGURED, Window(((0, 1000),)), [(240, 1200)], id="1000/min, where 3000/min were said"),
        pytest.param("auto", Window(((0, 3000),)), [(240, 1200)], id="3000/min, unknown"),
        pytest.param("auto", Window(((0, 600),)), [(240, 1200)], id="600/min, unknown"),
        pytest.param("auto", Window(((0, 10),), 1.0), [(60, 600)], id="10/s, unknown"),
        pytest.param(
            "auto", Window(((0, 3000), (600, 1000), (1200, 2000))), [(300, 600), (900, 1200), (1500, 1800)],
            id="a limit by the minute that changes twice",
        ),
        pytest.param("auto", Bucket(((0, 50),), 20), [(60, 600)], id="a bucket of 50/s"),
        pytest.param(CONFIGURED, Bucket(((0, 20),), 5), [(120, 600)], id="a bucket of 20/s, where 50/s were said"),
        pytest.param("auto", Bucket(((0, 100),), 0), [(120, 600)], id="a bucket of 100/s that takes no burst"),
        pytest.param(
            "auto", Bucket(((0, 100), (300, 30), (600, 60)), 20), [(180, 300), (400, 600), (780, 900)],
            id="a bucket that changes twice",
        ),
    ],
)  # fmt: skip
def test_a_lower_limit_is_found_and_used(
    rate: Rate | Literal["auto"], limit: Limit, steady: list[tuple[float, float]], aligned: bool, latency: float
) -> None:
    run = Run(rate, copy(limit), aligned).until(steady[-1][1], latency=latency)
    for begin, end in steady:
        used, refused = run.steady(begin, end)
        assert used >= 0.9
        assert refused < 0.01


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("noise", [0.005, 0.02, 0.05])
@pytest.mark.parametrize("count", [5, 50, 200])
def test_429s_that_no_lower_rate_avoids_cost_less_than_half(count: int, noise: float, seed: int) -> None:
    run = Run(Rate(count, 1.0), Bucket(((0, count * 1.02),), 20), noise=noise).until(400, seed=seed)
    used, _ = run.steady(60, 400)
    assert used >= (0.5 if count < 50 else 0.7) * (1 - noise)


def test_a_limit_that_falls_among_429s_for_no_reason_is_found() -> None:
    run = Run(Rate(50, 1.0), Bucket(((0, 60), (300, 15)), 20), noise=0.03).until(900)
    used, refused = run.steady(400, 900)
    assert used >= 0.7
    assert refused < 0.1


def test_a_window_whose_end_is_in_a_header_is_measured() -> None:
    used, refused = Run(CONFIGURED, Window(((0, 1000),)), says_when=True).until(600).steady(180, 600)
    assert used >= 0.9
    assert refused < 0.01


def test_a_limit_above_the_settings_changes_nothing() -> None:
    run = Run(CONFIGURED, Window(((0, 3200),))).until(300)
    assert run.steady(60, 300) == (pytest.approx(0.93, abs=0.01), 0.0)


def test_what_was_learned_is_given_up_when_the_settings_allow_no_more() -> None:
    run = Run(CONFIGURED, Window(((0, 2000), (120, 9000)))).until(900)
    assert run.per_second == pytest.approx(50.0, rel=0.01)


def test_a_quota_is_spread_over_its_window() -> None:
    limit = AdaptiveLimit()
    limit.set_quota(10.0, Quota(limit=600, seconds=60, left=500, reset=50), in_flight=0)
    assert limit.rate == pytest.approx(10.0, rel=0.01)


def test_where_others_use_the_quota_too_only_what_is_left_is_spread() -> None:
    limit = AdaptiveLimit()
    limit.set_quota(10.0, Quota(limit=600, seconds=60, left=110, reset=50), in_flight=10)
    assert limit.rate == pytest.approx(2.0)


def test_a_quota_that_is_used_up_holds_everybody_until_it_is_renewed() -> None:
    limit = AdaptiveLimit()
    limit.set_quota(10.0, Quota(limit=600, left=0, reset=20), in_flight=0)
    assert limit.delay(10.0) == 20.0


def refuse(limit: AdaptiveLimit, now: float, times: int = IN_A_ROW) -> None:
    for _ in range(times):
        limit.refuse(now, now)


def test_a_single_429_starts_no_pause() -> None:
    limit = AdaptiveLimit()
    refuse(limit, 10.0, IN_A_ROW - 1)
    limit.accept(10.1, 10.0, 50.0)
    refuse(limit, 10.2, IN_A_ROW - 1)
    assert limit.delay(10.2) == 0.0


def test_after_a_pause_one_request_tries_for_all() -> None:
    limit = AdaptiveLimit()
    refuse(limit, 0.0)
    assert limit.delay(0.0) == 1.0
    limit.start(1.0)
    assert limit.delay(1.1) == float("inf")
    limit.record_failure()
    assert limit.delay(1.2) == 0.0
    limit.start(1.2)
    limit.accept(1.3, 1.2, 50.0)
    assert limit.delay(1.3) == 0.0


def test_pauses_double_up_to_a_minute() -> None:
    limit, now, pauses = AdaptiveLimit(), 0.0, list[float]()
    refuse(limit, now, IN_A_ROW - 1)
    for _ in range(9):
        limit.refuse(now, now)
        pauses.append(limit.delay(now))
        now += limit.delay(now)
        limit.start(now)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_pause_ends_with_the_clocks_minute() -> None:
    limit = AdaptiveLimit()
    for _ in range(IN_A_ROW):
        limit.refuse(10.0, 10.0, to_minute=0.4)
    assert limit.delay(10.0) == pytest.approx(0.4)


def test_the_429s_of_requests_in_flight_together_count_once() -> None:
    limit = AdaptiveLimit()
    refuse(limit, 10.0, 16)
    assert limit.delay(10.0) == 1.0


def test_retry_after_of_a_429_is_waited_for() -> None:
    limit = AdaptiveLimit()
    limit.refuse(10.0, 9.9, 7.5)
    assert limit.delay(10.0) == 7.5


def test_a_success_resets_the_pause() -> None:
    limit = AdaptiveLimit()
    refuse(limit, 0.0)
    limit.accept(0.6, 0.5, 50.0)  # had started before the pause: says nothing
    limit.refuse(1.0, 1.0)
    assert limit.delay(1.0) == 2.0
    limit.accept(3.1, 3.0, 50.0)
    refuse(limit, 4.0)
    assert limit.delay(4.0) == 1.0


def test_without_a_rate_one_is_learned_from_what_was_accepted() -> None:
    limit, now = AdaptiveLimit(), 0.0
    for n in range(2000):
        now += 0.01
        if n % 3:
            limit.accept(now, now, limit.rate or None)
        else:
            limit.refuse(now, now)
    assert 0 < limit.rate < 70
