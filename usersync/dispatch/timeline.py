"""Count requests by slices of time, few enough to draw however long a run takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import frexp
from typing import Literal, TypeAlias

from usersync.models import TimeSlice

#: The most slices that are kept; when a run outgrows them, every two become one.
MOST = 240
#: Latencies are counted in buckets, so many from one power of two to the next.
_BUCKETS = 4

ResponseKind: TypeAlias = Literal["good", "throttled", "error"]
"""What a response says about the platform."""


@dataclass(slots=True)
class _Slice:
    requests: int = 0
    throttled: int = 0
    errors: int = 0
    rate: float | None = None
    #: Bucket -> requests.
    latencies: dict[int, int] = field(default_factory=dict)

    def join(self, other: _Slice) -> None:
        self.requests += other.requests
        self.throttled += other.throttled
        self.errors += other.errors
        self.rate = other.rate
        for bucket, n in other.latencies.items():
            self.latencies[bucket] = self.latencies.get(bucket, 0) + n

    def percentile(self, share: float) -> float | None:
        """Return the latency, in seconds, that this share of the requests did not exceed."""
        passed = 0
        for bucket in sorted(self.latencies):
            passed += self.latencies[bucket]
            if passed >= share * self.requests:
                return _middle_of(bucket)
        return None


def _bucket_of(latency: float) -> int:
    mantissa, exponent = frexp(latency)  # latency = mantissa * 2**exponent, 0.5 <= mantissa < 1
    return _BUCKETS * exponent + int(2 * _BUCKETS * mantissa)


def _middle_of(bucket: int) -> float:
    exponent, part = divmod(bucket - _BUCKETS, _BUCKETS)
    return float((part + _BUCKETS + 0.5) / (2 * _BUCKETS) * 2.0**exponent)


class Timeline:
    """Counts requests by the second; by two, four ... seconds where a run takes longer."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._seconds = 1.0
        self._slices = [_Slice()]
        #: When the last slice ends.
        self._end = began + self._seconds

    def record(self, started: float, now: float, kind: ResponseKind, rate: float | None) -> None:
        """Count a request that was answered, or given up, at `now`; `rate` is the one allowed then (per second)."""
        if now >= self._end:
            self._extend_to(now)
        here = self._slices[-1]
        here.requests += 1
        if kind == "throttled":
            here.throttled += 1
        elif kind == "error":
            here.errors += 1
        here.rate = rate
        bucket = _bucket_of(now - started)
        here.latencies[bucket] = here.latencies.get(bucket, 0) + 1

    def _extend_to(self, now: float) -> None:
        """Add slices until the last one holds `now`."""
        while now - self._began >= MOST * self._seconds:
            self._coarsen()
        while int((now - self._began) / self._seconds) >= len(self._slices):
            self._slices.append(_Slice(rate=self._slices[-1].rate))
        self._end = self._began + len(self._slices) * self._seconds

    def _coarsen(self) -> None:
        for one, two in zip(self._slices[::2], self._slices[1::2], strict=False):
            one.join(two)
        self._slices = self._slices[::2]
        self._seconds *= 2

    def slices(self) -> Iterator[TimeSlice]:
        """Return what was counted, slice by slice."""
        for n, s in enumerate(self._slices):
            yield TimeSlice(
                at=n * self._seconds,
                seconds=self._seconds,
                requests=s.requests,
                throttled=s.throttled,
                errors=s.errors,
                rate=s.rate,
                median=s.percentile(0.5),
                slowest=s.percentile(0.95),
            )
