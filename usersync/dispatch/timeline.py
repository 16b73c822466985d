"""Count requests by slices of time: few enough to draw, however long the run took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import frexp
from typing import Literal, TypeAlias

from usersync.models import TimeSlice

#: Slices that are kept; when a run outgrows them, two become one.
MOST = 240
#: Latencies differ by quarters of a doubling.
_FINE = 4


ResponseKind: TypeAlias = Literal["good", "throttled", "error"]
"""How a request went, as far as the platform's health goes."""


@dataclass(slots=True)
class _Slice:
    requests: int = 0
    throttled: int = 0
    errors: int = 0
    pace: float | None = None
    latencies: dict[int, int] = field(default_factory=dict)

    def join(self, other: _Slice) -> None:
        self.requests += other.requests
        self.throttled += other.throttled
        self.errors += other.errors
        self.pace = other.pace
        for step, n in other.latencies.items():
            self.latencies[step] = self.latencies.get(step, 0) + n

    def latency(self, share: float) -> float | None:
        passed = 0
        for step in sorted(self.latencies):
            passed += self.latencies[step]
            if passed >= share * self.requests:
                doublings, part = divmod(step - _FINE, _FINE)
                return float((part + _FINE + 0.5) / (2 * _FINE) * 2.0**doublings)
        return None


class Timeline:
    """Counts requests by the second; by two, four ... seconds where a run takes longer."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._seconds = 1.0
        self._slices = [_Slice()]
        #: When the last slice ends.
        self._end = began + self._seconds

    def record(self, started: float, now: float, kind: ResponseKind, pace: float | None) -> None:
        """Count a request that was answered, or given up, at `now`."""
        if now >= self._end:
            self._go_on_to(now)
        here = self._slices[-1]
        here.requests += 1
        if kind == "throttled":
            here.throttled += 1
        elif kind == "error":
            here.errors += 1
        here.pace = pace
        part, doublings = frexp(now - started)  # as part x 2 ** doublings, 0.5 <= part < 1
        step = _FINE * doublings + int(2 * _FINE * part)
        here.latencies[step] = here.latencies.get(step, 0) + 1

    def _go_on_to(self, now: float) -> None:
        """Add slices until the last one holds `now`."""
        at = int((now - self._began) / self._seconds)
        while at >= MOST:
            self._coarsen()
            at = int((now - self._began) / self._seconds)
        while at >= len(self._slices):
            self._slices.append(_Slice(pace=self._slices[-1].pace))
        self._end = self._began + len(self._slices) * self._seconds

    def _coarsen(self) -> None:
        for one, two in zip(self._slices[::2], self._slices[1::2], strict=False):
            one.join(two)
        self._slices = self._slices[::2]
        self._seconds *= 2

    def slices(self) -> Iterator[TimeSlice]:
        """Return what was counted, slice by slice."""
        for n, s in enumerate(self._slices):
            at, length = n * self._seconds, self._seconds
            yield TimeSlice(at, length, s.requests, s.throttled, s.errors, s.pace, s.latency(0.5), s.latency(0.95))
