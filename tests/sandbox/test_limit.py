"""Test the sandbox's fixed window at given times."""

from __future__ import annotations

import pytest

from usersync.sandbox.limit import FixedWindow, write_quota, write_retry_after
from usersync.settings import Rate

#: A full minute: 2027-01-15 08:00:00 UTC.
MINUTE = 1_800_000_000.0


def admitted(rate: Rate, times: list[float]) -> list[bool]:
    window = FixedWindow(rate)
    return [window.take(time) for time in times]


@pytest.mark.parametrize(
    ("seconds", "fits"),
    [
        pytest.param([0, 1, 59.9], [True, True, True], id="as many as the window holds"),
        pytest.param([0, 1, 2, 3, 59.9], [True, True, True, False, False], id="not one more than that"),
        pytest.param([57, 58, 59, 60], [True, True, True, True], id="a new minute starts at zero"),
        pytest.param(
            [59.7, 59.8, 59.9, 60, 60.1, 60.2, 60.3], [True] * 6 + [False], id="twice as many across its edge"
        ),
        pytest.param([30, 31, 32, 61, 62, 63, 89], [True] * 6 + [False], id="aligned to the clock, not to the first"),
        pytest.param([0, 1, 2, 3, 3000], [True, True, True, False, True], id="an earlier window does not matter"),
    ],
)
def test_a_window_of_three_a_minute_admits_three_in_each_minute_of_the_clock(
    seconds: list[float], fits: list[bool]
) -> None:
    assert admitted(Rate(3, 60.0), [MINUTE + s for s in seconds]) == fits


def test_a_window_may_have_any_length() -> None:
    assert admitted(Rate(1, 5.0), [MINUTE + s for s in (0, 4.9, 5, 9.9, 10)]) == [True, False, True, False, True]


def used(count: int, at: float) -> FixedWindow:
    window = FixedWindow(Rate(3, 60.0))
    for _ in range(count):
        window.take(at)
    return window


def test_retry_after_points_to_the_next_window_rounded_up() -> None:
    now = MINUTE + 12.25
    assert write_retry_after(used(4, now), now, form="seconds") == {"Retry-After": "48"}
    assert write_retry_after(used(4, now), now, form="date") == {"Retry-After": "Fri, 15 Jan 2027 08:01:00 GMT"}


@pytest.mark.parametrize(("requests", "left"), [(1, 2), (3, 0), (9, 0)])
def test_quota_headers_report_the_remaining_requests(requests: int, left: int) -> None:
    now = MINUTE + 12.25
    assert write_quota(used(requests, now), now, form="RateLimit") == {
        "RateLimit-Policy": '"default";q=3;w=60',
        "RateLimit": f'"default";r={left};t=48',
    }
    assert write_quota(used(requests, now), now, form="X-RateLimit") == {
        "X-RateLimit-Limit": "3",
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": str(int(MINUTE) + 60),
    }
