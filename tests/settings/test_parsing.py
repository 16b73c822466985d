"""Test how rates and durations of the settings are read."""

import pytest

from usersync.settings import Rate, parse_duration, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("3000/min", Rate(3000, 60)),
        ("50/s", Rate(50, 1)),
        ("7/3s", Rate(7, 3)),
        ("1 / h", Rate(1, 3600)),
        ("off", None),
    ],
)
def test_a_rate_is_read_as_count_and_seconds(text: str, rate: Rate | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0/s", "5", "5 per second", "-1/s", "5/0s", 50, True])
def test_a_malformed_rate_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="like 3000/min"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [(30, 30), ("90s", 90), ("10m", 600), ("2h", 7200), ("90d", 7_776_000), ("1.5", 1.5)]
)
def test_a_duration_is_read_as_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_a_malformed_duration_is_refused_with_examples_of_every_unit() -> None:
    with pytest.raises(ValueError, match="like 30, 90s, 10m, 2h or 90d"):
        parse_duration("3 weeks")


@pytest.mark.parametrize("text", ["36501d", "99999999999999d", 1e300, float("inf"), "9" * 400])
def test_a_duration_that_no_calendar_has_room_for_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="longer than 36,500 days"):
        parse_duration(text)
