"""Test how long a request waits before it is tried again."""

import pytest

from usersync.dispatch.retry import backoff


@pytest.mark.parametrize(
    ("attempt", "random", "wait"), [(1, 0.0, 0.25), (1, 1.0, 0.5), (2, 1.0, 1.0), (5, 1.0, 8.0), (20, 1.0, 30.0)]
)
def test_waits_double_with_jitter(attempt: int, random: float, wait: float) -> None:
    assert backoff(attempt, None, lambda: random) == wait


def test_a_wait_is_never_shorter_than_the_platform_asks() -> None:
    assert backoff(1, 12.0, lambda: 1.0) == 12.0
