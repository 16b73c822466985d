"""Test headers that say what is left of the limit; nonsense counts as none."""

from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict

from usersync.platform.quota import Quota, read_quota

NOW = 1_800_000_000.0
AT = datetime.fromtimestamp(NOW, UTC)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none at all"),
        pytest.param({"Retry-After": "5"}, id="others"),
        pytest.param({"X-RateLimit-Remaining": "lots"}, id="no number"),
        pytest.param({"X-RateLimit-Remaining": "-1", "X-RateLimit-Limit": "10"}, id="less than nothing"),
        pytest.param({"X-RateLimit-Remaining": "11", "X-RateLimit-Limit": "10"}, id="more left than there was"),
        pytest.param({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "nan"}, id="not a number, says the number"),
        pytest.param({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": str(NOW - 60)}, id="a reset in the past"),
        pytest.param({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "9" * 8}, id="a reset in three years"),
        pytest.param({"X-RateLimit-Remaining": "1", "X-RateLimit-Limit": "9" * 400}, id="more than any number"),
        pytest.param({"RateLimit": "limit=" + "9" * 400 + ", remaining=1, reset=1"}, id="the same, as once drafted"),
        pytest.param({"RateLimit": "???"}, id="no grammar"),
    ],
)
def test_unusable_headers_give_no_quota(headers: dict[str, str]) -> None:
    quota = read_quota(CIMultiDict(headers), AT)
    assert quota is None or quota == Quota(left=1.0)


FULL = Quota(100, 60, 50, 30)


@pytest.mark.parametrize(
    ("headers", "quota"),
    [
        pytest.param(
            {"RateLimit": '"any";r=50;t=30', "RateLimit-Policy": '"any";q=100;w=60'}, FULL, id="as drafted now"
        ),
        pytest.param(
            {
                "ratelimit": '"day";r=900;t=40000, "min";r=50;t=30',
                "ratelimit-policy": '"day";q=1000;w=86400,"min";q=100;w=60',
            },
            Quota(1000, 86400, 900, 40000), id="two policies: the one that binds",
        ),
        pytest.param(
            {"RateLimit": "limit=100, remaining=50, reset=30", "RateLimit-Policy": "100;w=60"}, FULL,
            id="as once drafted",
        ),
        pytest.param(
            {"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "50", "RateLimit-Reset": "30"},
            Quota(100, None, 50, 30), id="in three headers",
        ),
        pytest.param(
            {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "50", "X-RateLimit-Reset": "30"},
            Quota(100, None, 50, 30), id="the usual ones, seconds",
        ),
        pytest.param(
            {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "50", "x-ratelimit-reset": str(int(NOW) + 30)},
            Quota(100, None, 50, 30), id="the usual ones, a time",
        ),
        pytest.param(
            {
                "X-Rate-Limit-Limit": "100",
                "X-Rate-Limit-Remaining": "50",
                "X-Rate-Limit-Reset": str(int(NOW + 30) * 1000),
            },
            Quota(100, None, 50, 30), id="the usual ones, a time in milliseconds",
        ),
    ],
)  # fmt: skip
def test_reads_the_quota(headers: dict[str, str], quota: Quota) -> None:
    assert read_quota(CIMultiDict(headers), AT) == quota
