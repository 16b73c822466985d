"""Test the spacing of requests, on an injected clock."""

import random
from itertools import pairwise

import pytest

from usersync.dispatch.gcra import MOST_TOLERANCE, Gcra, RateState
from usersync.settings import Rate


class Client:
    """Starts requests whenever it may; several clients may share one state."""

    def __init__(self, rate: Rate | None, state: RateState | None = None) -> None:
        self.gcra = Gcra(rate)
        self.state = state or RateState()

    def delay(self, now: float) -> float:
        return self.gcra.delay(self.state, now)

    def start(self, now: float) -> None:
        self.gcra.start(self.state, now)


def starts(rate: Rate, *, seconds: float, late: float = 0.0) -> list[float]:
    """When a client starts requests that always has work, on a timer that is up to `late` seconds late."""
    client, now, found = Client(rate), 0.0, list[float]()
    lateness = random.Random(1)
    while now < seconds:
        delay = client.delay(now)
        if delay > 0:
            now += delay + lateness.random() * late
            continue
        client.start(now)
        found.append(now)
    return found


RATES = [
    pytest.param(Rate(1, 1.0), id="1/s"),
    pytest.param(Rate(7, 3.0), id="7/3s"),
    pytest.param(Rate(50, 1.0), id="50/s"),
    pytest.param(Rate(200, 1.0), id="200/s"),
    pytest.param(Rate(3000, 60.0), id="3000/min"),
]
LATE = pytest.mark.parametrize("late", [pytest.param(0.0, id="exact timer"), pytest.param(0.002, id="2 ms late")])


@LATE
@pytest.mark.parametrize("rate", RATES)
def test_no_window_holds_more_than_the_rate(rate: Rate, late: float) -> None:
    found = starts(rate, seconds=20 * rate.seconds, late=late)
    assert min(b - a for a, b in zip(found, found[rate.count :], strict=False)) > rate.seconds


@LATE
@pytest.mark.parametrize("rate", RATES)
def test_at_least_99_percent_of_the_rate_is_used(rate: Rate, late: float) -> None:
    windows = 50
    found = starts(rate, seconds=windows * rate.seconds, late=late)
    assert len(found) >= 0.99 * rate.count * windows


@pytest.mark.parametrize("rate", RATES)
def test_requests_are_evenly_spaced(rate: Rate) -> None:
    found = starts(rate, seconds=20 * rate.seconds)[9:]
    gaps = [b - a for a, b in pairwise(found)]
    assert min(gaps) == pytest.approx(rate.seconds / rate.count, rel=0.01)
    assert max(gaps) == pytest.approx(rate.seconds / rate.count, rel=0.01)


@pytest.mark.parametrize("rate", RATES)
def test_a_late_request_is_made_up_for_and_a_long_break_is_not(rate: Rate) -> None:
    client = Client(rate)
    client.start(0.0)
    burst = 0
    while client.delay(1000.0) == 0.0:
        client.start(1000.0)
        burst += 1
    assert burst <= 1 + MOST_TOLERANCE * rate.count / rate.seconds


def test_without_a_rate_nothing_waits() -> None:
    client = Client(None)
    client.start(0.0)
    assert client.delay(0.0) == 0.0


def test_what_a_pause_cost_is_not_made_up_for() -> None:
    client = Client(Rate(3000, 60.0))
    client.start(0.0)
    client.state.limit.refuse(0.1, 0.0, 5.0)
    resumed = client.delay(0.1) + 0.1
    client.start(resumed)
    client.gcra.accept(client.state, resumed + 0.1, resumed)
    assert client.delay(resumed) >= 0.02


def test_two_clients_with_one_state_share_the_rate() -> None:
    state = RateState()
    one, two = (Client(Rate(50, 1.0), state) for _ in range(2))
    now, found = 0.0, list[float]()
    while now < 20:
        delay = min(one.delay(now), two.delay(now))
        if delay:
            now += delay
            continue
        (one if len(found) % 3 else two).start(now)
        found.append(now)
    assert min(b - a for a, b in zip(found, found[50:], strict=False)) > 1.0
    assert len(found) >= 0.99 * 50 * 20


@pytest.mark.parametrize("slow", [Rate(1, 3600.0), Rate(10, 60.0)], ids=str)
def test_a_client_waits_by_its_own_rate_after_one_of_a_lower_rate(slow: Rate) -> None:
    state = RateState()
    Client(slow, state).start(100.0)
    fast = Client(Rate(50, 1.0), state)
    assert fast.delay(100.0) == pytest.approx(0.02 * 1.009)
    assert fast.delay(100.02) == pytest.approx(0.02 * 0.009)
    assert fast.delay(100.021) == 0.0
    assert Client(None, state).delay(100.0) == 0.0


def test_what_was_learned_is_forgotten_after_ten_quiet_minutes() -> None:
    client = Client(Rate(50, 1.0))
    client.start(0.0)
    client.state.limit.rate = 5.0
    client.start(700.0)
    assert client.delay(700.0) == pytest.approx(0.02, abs=0.01)
