"""Test the timeline of requests that the report draws."""

from itertools import pairwise

from usersync.dispatch.timeline import MOST, Timeline


def test_counts_by_the_second() -> None:
    line = Timeline(100.0)
    line.record(100.1, 100.2, "good", 50.0)
    line.record(100.1, 100.5, "throttled", 50.0)
    line.record(100.1, 102.1, "error", 25.0)
    first, second, third = line.slices()
    assert (first.requests, first.throttled, first.errors, first.rate) == (2, 1, 0, 50.0)
    assert (second.requests, second.median, second.rate) == (0, None, 50.0)
    assert (third.at, third.errors) == (2.0, 1)
    assert 0.08 < (first.median or 0) < 0.12
    assert 0.33 < (first.slowest or 0) < 0.48


def test_a_long_run_has_no_more_slices_than_a_screen_shows() -> None:
    line = Timeline(0.0)
    for n in range(10_000):
        line.record(n, n + 0.1, "good", None)
    slices = list(line.slices())
    assert len(slices) <= MOST
    assert sum(m.requests for m in slices) == 10_000
    assert all(a.at + a.seconds == b.at for a, b in pairwise(slices))
