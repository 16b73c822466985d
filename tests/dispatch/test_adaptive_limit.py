"""What 429s and quotas tell, on a clock that is handed in: half an hour of a platform's limits in a second."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from usersync.dispatch.pace import Pace
from usersync.platform.quota import Quota

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
    pace: Pace
    limit: Limit
    aligned: bool = True
    log: list[tuple[float, bool]] = field(default_factory=list)

    def until(self, seconds: float, *, latency: float = 0.05, workers: int = 16) -> "Run":
        now = 0.0
        flight: list[tuple[float, float, bool]] = []
        while now < seconds:
            arrives = flight[0][0] if flight else float("inf")
            wait = self.pace.delay(now) if len(flight) < workers else float("inf")
            if wait == 0:
                self.pace.start(now)
                taken = self.limit.take(now + latency / 2)
                self.log.append((now, taken))
                heapq.heappush(flight, (now + latency, now, taken))
            elif arrives <= now + wait:
                now, started, taken = heapq.heappop(flight)
                if taken:
                    self.pace.accepted(now, started)
                else:
                    to_minute = 60.0 - (now + PHASE) % 60.0 if self.aligned else 60.0
                    self.pace.learned.throttled(now, started, None, to_minute=to_minute)
            else:
                now += wait
        return self

    def settled(self, begin: float, end: float) -> tuple[float, float]:
        """The share of the limit that was used, and the share of 429s."""
        part = [taken for when, taken in self.log if begin <= when < end]
        allowed = sum(at(self.limit.limits, t) for t in range(int(begin), int(end))) / self.limit.seconds
        return sum(part) / allowed, 1 - sum(part) / len(part)


def auto() -> Pace:
    return Pace(seeking=True, burst=16)


def configured() -> Pace:
    return Pace(3000, 60.0, burst=16)


@pytest.mark.parametrize("aligned", [pytest.param(True, id="minutes"), pytest.param(False, id="windows of its own")])
@pytest.mark.parametrize(
    ("pace", "limit", "settled"),
    [
        pytest.param(configured, Window(((0, 1000),)), [(240, 1200)], id="1000/min, where 3000/min were said"),
        pytest.param(auto, Window(((0, 3000),)), [(240, 1200)], id="3000/min, unknown"),
        pytest.param(auto, Window(((0, 600),)), [(240, 1200)], id="600/min, unknown"),
        pytest.param(auto, Window(((0, 10),), 1.0), [(60, 600)], id="10/s, unknown"),
        pytest.param(
            auto, Window(((0, 3000), (600, 1000), (1200, 2000))), [(300, 600), (900, 1200), (1500, 1800)],
            id="a limit by the minute that changes twice",
        ),
        pytest.param(auto, Bucket(((0, 50),), 20), [(60, 600)], id="a bucket of 50/s"),
        pytest.param(configured, Bucket(((0, 20),), 5), [(120, 600)], id="a bucket of 20/s, where 50/s were said"),
        pytest.param(auto, Bucket(((0, 100),), 0), [(120, 600)], id="a bucket of 100/s that takes no burst"),
        pytest.param(
            auto, Bucket(((0, 100), (300, 30), (600, 60)), 20), [(180, 300), (400, 600), (780, 900)],
            id="a bucket that changes twice",
        ),
    ],
)  # fmt: skip
def test_a_lower_limit_is_found_and_used(
    pace: Callable[[], Pace], limit: Limit, settled: list[tuple[float, float]], aligned: bool
) -> None:
    limit = type(limit)(
        **{name: getattr(limit, name) for name in ("limits", "seconds", "burst") if hasattr(limit, name)}
    )
    run = Run(pace(), limit, aligned).until(settled[-1][1])
    for begin, end in settled:
        used, refused = run.settled(begin, end)
        assert used >= 0.9
        assert refused < 0.01


def test_a_limit_above_the_settings_changes_nothing() -> None:
    run = Run(configured(), Window(((0, 3200),))).until(300)
    assert run.settled(60, 300) == (pytest.approx(0.93, abs=0.01), 0.0)


def test_what_was_learned_is_given_up_when_the_settings_allow_no_more() -> None:
    run = Run(configured(), Window(((0, 2000), (120, 9000)))).until(900)
    assert run.pace.per_second == pytest.approx(50.0, rel=0.01)


def test_a_quota_is_spread_over_its_window() -> None:
    pace = configured()
    pace.learned.told(10.0, Quota(limit=600, seconds=60, left=500, reset=50), in_flight=0)
    assert pace.per_second == pytest.approx(10.0, rel=0.01)


def test_where_others_use_the_quota_too_only_what_is_left_is_spread() -> None:
    pace = configured()
    pace.learned.told(10.0, Quota(limit=600, seconds=60, left=110, reset=50), in_flight=10)
    assert pace.per_second == pytest.approx(2.0)


def test_a_quota_that_is_used_up_holds_everybody_until_it_is_renewed() -> None:
    pace = configured()
    pace.learned.told(10.0, Quota(limit=600, left=0, reset=20), in_flight=0)
    assert pace.delay(10.0) == 20.0


def test_after_a_hold_one_request_tries_for_all() -> None:
    pace = Pace()
    pace.learned.throttled(0.0, 0.0, None)
    pace.start(1.0)
    assert pace.delay(1.1) > 0
    pace.learned.lost()
    assert pace.delay(1.2) == 0
    pace.start(1.2)
    pace.accepted(1.3, 1.2)
    assert pace.delay(2.0) == pytest.approx(0.0)


def test_a_429_holds_everybody_and_grows_up_to_a_minute() -> None:
    pace, now, waits = Pace(), 0.0, []
    for _ in range(9):
        pace.learned.throttled(now, now, None)
        waits.append(pace.delay(now))
        now += pace.delay(now)
        pace.start(now)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_429s_of_requests_in_flight_together_count_once() -> None:
    pace = Pace()
    for _ in range(16):
        pace.learned.throttled(10.0, 9.9, None)
    assert pace.delay(10.0) == 1.0


def test_a_429_with_a_wish_is_obeyed() -> None:
    pace = Pace()
    pace.learned.throttled(10.0, 9.9, 7.5)
    assert pace.delay(10.0) == 7.5


def test_a_success_resets_the_wait() -> None:
    pace = Pace()
    pace.learned.throttled(0.0, 0.0, None)
    pace.accepted(0.6, 0.5)  # had started before the hold: says nothing
    pace.learned.throttled(1.0, 1.0, None)
    assert pace.delay(1.0) == 2.0
    pace.accepted(3.1, 3.0)
    pace.learned.throttled(4.0, 4.0, None)
    assert pace.delay(4.0) == 1.0
