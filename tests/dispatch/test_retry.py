"""Back-off, retry budget, circuit breaker, concurrency and canary stages, on an injected clock."""

import pytest

from usersync.dispatch.canary import CanaryStages
from usersync.dispatch.concurrency_limit import FIRST, ConcurrencyLimit
from usersync.dispatch.retry import ALLOWANCE, CircuitBreaker, FailureTimeout, RetryBudget, backoff
from usersync.models import Status


@pytest.mark.parametrize(
    ("attempt", "chance", "wait"), [(1, 0.0, 0.25), (1, 1.0, 0.5), (2, 1.0, 1.0), (5, 1.0, 8.0), (20, 1.0, 30.0)]
)
def test_waits_grow_with_jitter(attempt: int, chance: float, wait: float) -> None:
    assert backoff(attempt, None, lambda: chance) == wait


def test_the_platforms_wish_is_the_least_wait() -> None:
    assert backoff(1, 12.0, lambda: 1.0) == 12.0


def test_a_platform_without_a_success_is_given_up() -> None:
    health = FailureTimeout(300.0)
    health.bad(0.0)
    assert health.seconds_left(299.0) == 1.0
    health.good()
    health.bad(400.0)
    assert health.seconds_left(699.0) == 1.0
    health.bad(500.0, excused=60.0)
    assert health.seconds_left(700.0) == 60.0


def test_repeats_are_a_tenth_of_all_requests_beyond_an_allowance() -> None:
    budget, repeats = RetryBudget(), 0
    for _ in range(10_000):
        budget.earn()
        repeats += budget.spend()
    assert repeats == pytest.approx(1000 + ALLOWANCE, abs=1)


def test_a_platform_that_fails_everything_is_asked_some_tens_of_times_in_five_minutes() -> None:
    breaker, limit, now, asked, flight = CircuitBreaker(), ConcurrencyLimit(100), 0.0, 0, 0
    while now < 300:
        if flight < int(limit.limit) and not breaker.delay(now):
            breaker.start()
            asked, flight = asked + 1, flight + 1
            continue
        if flight:
            flight -= 1
            breaker.bad(now, now, 0.0)
            limit.bad(now, now)
        now += max(min(breaker.delay(now), 60.0), 0.01)
    assert asked < 40


def test_some_trouble_does_not_open_the_breaker() -> None:
    breaker = CircuitBreaker()
    for n in range(1000):
        breaker.bad(n, n, 0.0) if n % 5 == 0 else breaker.good(n)
        assert breaker.delay(n) == 0


def test_an_open_breaker_lets_one_try_and_closes_when_that_succeeds() -> None:
    breaker = CircuitBreaker()
    for _ in range(10):
        breaker.bad(10.0, 9.0, 0.0)
    assert breaker.delay(10.5) == 0.5
    assert not breaker.good(9.5)  # had started before: says nothing
    assert breaker.delay(11.0) == 0
    breaker.start()
    assert breaker.delay(11.0) > 0  # one tries, the others wait
    breaker.bad(11.1, 11.0, 0.0)
    assert breaker.delay(11.1) == pytest.approx(2.0)
    breaker.start()
    assert breaker.good(13.1)
    assert breaker.delay(13.1) == 0


def test_a_broken_platform_may_say_how_long_it_takes() -> None:
    breaker = CircuitBreaker()
    for _ in range(10):
        breaker.bad(0.0, 0.0, 120.0)
    assert breaker.delay(0.0) == 120.0


def test_requests_in_flight_grow_by_one_and_shrink_by_a_share() -> None:
    limit = ConcurrencyLimit(100)
    assert limit.limit == FIRST
    for n in range(200):
        limit.good(n + 0.1, n)
    assert limit.limit == 100
    for _ in range(5):  # in flight together: counts once
        limit.bad(300.0, 299.0)
    assert limit.limit == 80
    for n in range(80):
        limit.good(301.1 + n, 301 + n)
    assert 80.9 < limit.limit < 81


@pytest.mark.parametrize(("heeds", "least", "most"), [(True, 1, 20), (False, 100, 100)])
def test_slow_answers_make_fewer_requests_go_together_where_they_tell_of_the_limit(
    heeds: bool, least: int, most: int
) -> None:
    limit = ConcurrencyLimit(100, heeds_slowness=heeds)
    for n in range(200):
        limit.good(n + 0.1, n)
    for n in range(200, 400):
        limit.good(n + 2.0, n)
    assert least <= limit.limit <= most


def test_updates_that_are_slower_than_reads_are_not_slow() -> None:
    limit = ConcurrencyLimit(100, heeds_slowness=True)
    for n in range(200):
        limit.good(n + 0.1, n, "GET")
    for n in range(200, 400):
        limit.good(n + 2.0, n, "PATCH")
    assert limit.limit == 100


def test_a_ramp_looks_at_each_step_and_stops_where_too_many_failed() -> None:
    stages = CanaryStages((3, 5), 0.5)
    assert stages.room == 3
    for status in (Status.UPDATED, Status.FAILED, Status.UPDATED):
        stages.record(status)
    assert stages.room == 0
    assert stages.check() is None
    assert stages.room == 2
    stages.record(Status.FAILED)
    stages.record(Status.FAILED)
    assert "3 of the first 5 updates failed (60%; allowed is less than 50%)" in str(stages.check())
    assert stages.room is None
