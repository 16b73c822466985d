"""Test which failures stop a run."""

from usersync.dispatch.failure_limits import FailureStreak, FailureTimeout


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
