"""The pace on a clock that is handed in: ten minutes in milliseconds."""

import random
from itertools import pairwise

import pytest

from usersync.dispatch.pace import CATCH_UP, Pace
from usersync.dispatch.retry import Health, backoff


def starts(pace: Pace, *, seconds: float, late: float = 0.0) -> list[float]:
    """Run a client that always has work, on a timer that is up to `late` seconds late."""
    chance, now, found = random.Random(1), 0.0, []
    while now < seconds:
        if (delay := pace.delay(now)) > 0:
            now += delay + chance.random() * late
            continue
        pace.start(now)
        found.append(now)
    return found


RATES = [
    pytest.param(1, 1.0, id="1/s"),
    pytest.param(7, 3.0, id="7/3s"),
    pytest.param(50, 1.0, id="50/s"),
    pytest.param(3000, 60.0, id="3000/min"),
]


@pytest.mark.parametrize("late", [0.0, 0.002])
@pytest.mark.parametrize(("count", "seconds"), RATES)
def test_no_window_holds_more_than_the_rate(count: int, seconds: float, late: float) -> None:
    found = starts(Pace(count, seconds, burst=16), seconds=20 * seconds, late=late)
    assert min(b - a for a, b in zip(found, found[count:], strict=False)) > seconds


@pytest.mark.parametrize("late", [0.0, 0.002])
@pytest.mark.parametrize(("count", "seconds"), RATES)
def test_at_least_99_percent_of_the_rate_is_used(count: int, seconds: float, late: float) -> None:
    windows = 50
    found = starts(Pace(count, seconds, burst=16), seconds=windows * seconds, late=late)
    assert len(found) >= 0.99 * count * windows


@pytest.mark.parametrize(("count", "seconds"), RATES)
def test_requests_are_evenly_spaced(count: int, seconds: float) -> None:
    found = starts(Pace(count, seconds, burst=16), seconds=3 * seconds)
    gaps = [b - a for a, b in pairwise(found)]
    assert min(gaps) == pytest.approx(seconds / count, rel=0.01)
    assert max(gaps) == pytest.approx(seconds / count, rel=0.01)


def test_a_pause_is_not_followed_by_a_burst() -> None:
    pace = Pace(50, 1.0, burst=16)
    pace.start(0.0)
    burst = 0
    while pace.delay(100.0) == 0.0:
        pace.start(100.0)
        burst += 1
    assert burst <= 1 + CATCH_UP * 50


def test_without_a_rate_nothing_waits() -> None:
    pace = Pace()
    pace.start(0.0)
    assert pace.delay(0.0) == 0.0


def test_after_a_batch_the_next_one_waits() -> None:
    pace = Pace(batch_size=3, batch_interval=2.0)
    assert starts(pace, seconds=4.5) == [0.0] * 3 + [2.0] * 3 + [4.0] * 3
    assert pace.delay(4.5) == pytest.approx(1.5)


def test_a_429_holds_everybody_and_grows_up_to_a_minute() -> None:
    pace, now, waits = Pace(), 0.0, []
    for _ in range(9):
        pace.throttled(now, now, None)
        waits.append(pace.delay(now))
        now += pace.delay(now)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_429s_of_requests_in_flight_together_count_once() -> None:
    pace = Pace()
    for _ in range(16):
        pace.throttled(10.0, 9.9, None)
    assert pace.delay(10.0) == 1.0


def test_a_429_with_a_wish_is_obeyed() -> None:
    pace = Pace()
    pace.throttled(10.0, 9.9, 7.5)
    assert pace.delay(10.0) == 7.5


def test_a_success_resets_the_wait() -> None:
    pace = Pace()
    pace.throttled(0.0, 0.0, None)
    pace.accepted(0.5)  # had started before the hold: says nothing
    pace.throttled(1.0, 1.0, None)
    assert pace.delay(1.0) == 2.0
    pace.accepted(3.0)
    pace.throttled(4.0, 4.0, None)
    assert pace.delay(4.0) == 1.0


@pytest.mark.parametrize(
    ("attempt", "chance", "wait"), [(1, 0.0, 0.25), (1, 1.0, 0.5), (2, 1.0, 1.0), (5, 1.0, 8.0), (20, 1.0, 30.0)]
)
def test_waits_grow_with_jitter(attempt: int, chance: float, wait: float) -> None:
    assert backoff(attempt, None, lambda: chance) == wait


def test_the_platforms_wish_is_the_least_wait() -> None:
    assert backoff(1, 12.0, lambda: 1.0) == 12.0


def test_a_platform_without_a_success_is_given_up() -> None:
    health = Health(300.0)
    health.bad(0.0)
    assert health.seconds_left(299.0) == 1.0
    health.good()
    health.bad(400.0)
    assert health.seconds_left(699.0) == 1.0
    health.bad(500.0, excused=60.0)
    assert health.seconds_left(700.0) == 60.0
