"""Read what a response's headers say about the platform's limit.

Read are `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers, in its present and its older
forms) and `X-RateLimit-*`, whose reset is seconds or a time since 1970. Nonsense counts as nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

#: A reset above is no wait of seconds, but a time since 1970; above `_MILLISECONDS`, in milliseconds.
_EPOCH = 1e8
_MILLISECONDS = 1e11
#: Seconds to a window's end that can be believed.
_LONGEST = 86_400.0
_PAIR = re.compile(r"\b(limit|remaining|reset|q|w|r|t)\s*=\s*\"?(\d+(?:\.\d+)?)", re.IGNORECASE)
_MARKERS = ("RateLimit", "RateLimit-Remaining", "X-RateLimit-Remaining", "X-Rate-Limit-Remaining")


@dataclass(frozen=True, slots=True)
class Quota:
    """What the platform says of its limit; None where it says nothing."""

    #: Requests in a window.
    limit: float | None = None
    #: Length of the window.
    seconds: float | None = None
    #: Requests that are left in this one.
    left: float | None = None
    #: Seconds until it ends.
    reset: float | None = None


def read_quota(headers: Mapping[str, str], now: datetime) -> Quota | None:
    """Read the quota of a response that came in at `now`; None where there is none."""
    for marker in _MARKERS:
        if marker in headers:
            break
    else:
        return None
    if marker == "RateLimit":
        quota = _structured(headers)
    else:
        prefix = marker.removesuffix("Remaining")
        names = [f"{prefix}{name}" for name in ("Limit", "Remaining", "Reset")]
        limit, left, reset = (_number(headers.get(name, "")) for name in names)
        policy = _pairs(headers.get("RateLimit-Policy", "").partition(",")[0])
        quota = Quota(limit, policy.get("w"), left, _wait(reset, now))
    return quota if _sane(quota) else None


def _structured(headers: Mapping[str, str]) -> Quota:
    """Read `"default";r=50;t=30` beside `"default";q=100;w=60`, or `limit=100, remaining=50, reset=30`."""
    text, policy = headers["RateLimit"], headers.get("RateLimit-Policy", "")
    if "remaining" in text.lower():
        found = _pairs(text)
        return Quota(found.get("limit"), _pairs(policy).get("w"), found.get("remaining"), found.get("reset"))
    policies = {_name(item): _pairs(item) for item in policy.split(",")}
    states = [(policies.get(_name(item), {}), _pairs(item)) for item in text.split(",")]
    quotas = [Quota(p.get("q"), p.get("w"), s.get("r"), s.get("t")) for p, s in states]
    return min(quotas, key=lambda q: (q.left or 0) / (q.reset or _LONGEST))  # the one that binds


def _name(item: str) -> str:
    return item.partition(";")[0].strip()


def _pairs(text: str) -> dict[str, float]:
    return {name.lower(): float(value) for name, value in _PAIR.findall(text)}


def _number(text: str) -> float | None:
    try:
        number = float(text.partition(",")[0].partition(";")[0])
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _wait(reset: float | None, now: datetime) -> float | None:
    if reset is None or reset < _EPOCH:
        return reset
    return (reset / 1000 if reset > _MILLISECONDS else reset) - now.timestamp()


def _sane(quota: Quota) -> bool:
    numbers = [n for n in (quota.limit, quota.seconds, quota.left, quota.reset) if n is not None]
    fits = quota.left is None or quota.limit is None or quota.left <= quota.limit
    return (
        bool(numbers)
        and min(numbers) >= 0
        and math.isfinite(max(numbers))
        and (quota.reset or 0) <= _LONGEST
        and fits
        and quota.limit != 0
    )
