"""Test back-off, circuit breaker and concurrency, on an injected clock."""

import pytest

from usersync.dispatch.canary import CanaryStages
from usersync.dispatch.concurrency_limit import FIRST, ConcurrencyLimit
from usersync.dispatch.failure_limits import FailureStreak, FailureTimeout
from usersync.dispatch.retry import CircuitBreaker, backoff
from usersync.models import Status


@pytest.mark.parametrize(
    ("attempt", "random", "wait"), [(1, 0.0, 0.25), (1, 1.0, 0.5), (2, 1.0, 1.0), (5, 1.0, 8.0), (20, 1.0, 30.0)]
)
def test_waits_double_with_jitter(attempt: int, random: float, wait: float) -> None:
    assert backoff(attempt, None, lambda: random) == wait


def test_a_wait_is_never_shorter_than_the_platform_asks() -> None:
    assert backoff(1, 12.0, lambda: 1.0) == 12.0


def test_a_platform_without_a_success_is_given_up_after_a_while() -> None:
    timeout = FailureTimeout(300.0)
    timeout.record_failure(0.0)
    assert timeout.seconds_left(299.0) == 1.0
    timeout.record_success()
    timeout.record_failure(400.0)
    assert timeout.seconds_left(699.0) == 1.0
    timeout.record_failure(500.0, excused=60.0)
    assert timeout.seconds_left(700.0) == 60.0


def test_distinct_failures_in_a_row_are_counted_until_a_success() -> None:
    streak = FailureStreak(3)
    assert [streak.record_failure(user) for user in (1, 1, 2)] == [False, False, False]
    streak.record_success()
    assert [streak.record_failure(user) for user in (1, 2, 3)] == [False, False, True]


@pytest.mark.parametrize("concurrency", [1, 16, 100])
def test_a_platform_that_fails_everything_is_asked_some_tens_of_times_in_five_minutes(concurrency: int) -> None:
    breaker, limit, now, asked, flight = CircuitBreaker(), ConcurrencyLimit(concurrency), 0.0, 0, 0
    while now < 300:
        if flight < int(limit.limit) and not breaker.delay(now):
            breaker.start()
            asked, flight = asked + 1, flight + 1
            continue
        if flight:
            flight -= 1
            breaker.record_failure(now, now, 0.0)
            limit.record_failure(now, now)
        now += max(min(breaker.delay(now), 60.0), 0.01)
    assert asked < 40


def test_a_few_failures_do_not_open_the_circuit_breaker() -> None:
    breaker = CircuitBreaker()
    for n in range(1000):
        breaker.record_failure(n, n, 0.0) if n % 5 == 0 else breaker.record_success(n)
        assert breaker.delay(n) == 0


def test_an_open_circuit_breaker_admits_one_request_and_closes_when_it_succeeds() -> None:
    breaker = CircuitBreaker()
    for _ in range(10):
        breaker.record_failure(10.0, 9.0, 0.0)
    assert breaker.delay(10.5) == 0.5
    assert not breaker.record_success(9.5)  # had started before: says nothing
    assert breaker.delay(11.0) == 0
    breaker.start()
    assert breaker.delay(11.0) > 0  # one tries, the others wait
    breaker.record_failure(11.1, 11.0, 0.0)
    assert breaker.delay(11.1) == pytest.approx(2.0)
    breaker.start()
    assert breaker.record_success(13.1)
    assert breaker.delay(13.1) == 0


def test_a_broken_platform_may_say_how_long_it_takes() -> None:
    breaker = CircuitBreaker()
    for _ in range(10):
        breaker.record_failure(0.0, 0.0, 120.0)
    assert breaker.delay(0.0) == 120.0


def test_requests_in_flight_grow_by_one_and_shrink_by_a_share() -> None:
    limit = ConcurrencyLimit(100)
    assert limit.limit == FIRST
    for _ in range(200):
        limit.record_success()
    assert limit.limit == 100
    for _ in range(5):  # in flight together: counts once
        limit.record_failure(300.0, 299.0)
    assert limit.limit == 80
    for _ in range(80):
        limit.record_success()
    assert 80.9 < limit.limit < 81


def test_after_a_break_requests_begin_one_at_a_time() -> None:
    limit = ConcurrencyLimit(100)
    limit.record_failure(1.0, 0.0)
    limit.begin_again()
    assert limit.limit == 1
    limit.record_success()
    assert limit.limit == 2


def test_canary_stages_stop_where_too_many_updates_failed() -> None:
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
