"""Count requests in fixed windows, and write the headers that report the limit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from email.utils import formatdate
from typing import Literal

from usersync.settings import Rate

RetryAfter = Literal["seconds", "date"]
QuotaHeaders = Literal["RateLimit", "X-RateLimit"]


@dataclass(slots=True)
class FixedWindow:
    """`rate.count` requests in each window; windows begin at multiples of their length on the wall clock."""

    rate: Rate
    _number: int = -1
    _used: int = 0

    def take(self, now: float) -> bool:
        """Count a request at `now` (seconds since 1970); return False if the window is used up."""
        number = int(now // self.rate.seconds)
        if number != self._number:
            self._number, self._used = number, 0
        self._used += 1
        return self._used <= self.rate.count

    @property
    def left(self) -> int:
        """Requests that still fit into the window of the last one counted."""
        return max(0, self.rate.count - self._used)

    @property
    def ends(self) -> float:
        """When that window ends, in seconds since 1970."""
        return (self._number + 1) * self.rate.seconds


def write_retry_after(window: FixedWindow, now: float, *, form: RetryAfter) -> dict[str, str]:
    """Write the `Retry-After` header of a refused request, in seconds or as an HTTP date."""
    if form == "seconds":
        return {"Retry-After": str(math.ceil(window.ends - now))}
    return {"Retry-After": formatdate(math.ceil(window.ends), usegmt=True)}


def write_quota(window: FixedWindow, now: float, *, form: QuotaHeaders) -> dict[str, str]:
    """Write the headers that report the remaining quota.

    `RateLimit` follows draft-ietf-httpapi-ratelimit-headers-10; `X-RateLimit-Reset` is in seconds since 1970.
    """
    count, seconds = window.rate.count, math.ceil(window.rate.seconds)
    if form == "RateLimit":
        return {
            "RateLimit-Policy": f'"default";q={count};w={seconds}',
            "RateLimit": f'"default";r={window.left};t={math.ceil(window.ends - now)}',
        }
    return {
        "X-RateLimit-Limit": str(count),
        "X-RateLimit-Remaining": str(window.left),
        "X-RateLimit-Reset": str(math.ceil(window.ends)),
    }
