"""Test the circuit breaker on an injected clock."""

import pytest

from usersync.dispatch.circuit_breaker import CircuitBreaker
from usersync.dispatch.concurrency_limit import ConcurrencyLimit


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
