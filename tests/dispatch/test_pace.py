"""The pace on a clock that is handed in: ten minutes in milliseconds."""

import random
from itertools import pairwise

import pytest

from usersync.dispatch.cells import RING, private
from usersync.dispatch.pace import CATCH_UP, Pace


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


def test_after_a_hold_nothing_is_made_up_for() -> None:
    pace = Pace(50, 1.0, burst=16)
    pace.start(0.0)
    pace.learned.throttled(0.1, 0.0, 5.0)
    pace.start(pace.delay(0.1) + 0.1)
    pace.accepted(5.2, 5.1)
    assert pace.delay(5.1) >= 0.02


def test_two_that_share_their_cells_share_the_rate() -> None:
    cells = private(RING)
    one, two = (Pace(50, 1.0, burst=16, cells=cells) for _ in range(2))
    now, found = 0.0, []
    while now < 20:
        if delay := min(one.delay(now), two.delay(now)):
            now += delay
            continue
        (one if len(found) % 3 else two).start(now)
        found.append(now)
    assert min(b - a for a, b in zip(found, found[50:], strict=False)) > 1.0
    assert len(found) >= 0.99 * 50 * 20


def test_a_ring_too_short_for_the_rate_keeps_a_shorter_window_as_strictly() -> None:
    found = starts(Pace(3000, 60.0, burst=16, cells=private(100)), seconds=180.0, late=0.002)
    assert min(b - a for a, b in zip(found, found[3000:], strict=False)) > 60.0
    assert len(found) >= 0.99 * 9000
