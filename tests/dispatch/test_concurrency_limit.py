"""Test how many requests may be in flight, on an injected clock."""

from usersync.dispatch.concurrency_limit import FIRST, ConcurrencyLimit


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
    limit.restart()
    assert limit.limit == 1
    limit.record_success()
    assert limit.limit == 2
