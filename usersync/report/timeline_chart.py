"""Turn the time slices of a run into the SVG paths of its chart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from usersync.models import Json, TimeSlice

#: Slices of a timeline that can be distinguished on a screen.
_SLICES: Final = 200
#: Size of the chart, in SVG units.
_WIDTH: Final = 1000
_HEIGHT: Final = 100
#: Stands for zero where it divides: seconds, and requests per second.
_LEAST: Final = 0.001


def chart_of(timeline: Sequence[TimeSlice]) -> Json:
    """Turn time slices, at least one, into SVG paths (1000 wide, 100 high), marks and their scales."""
    slices = _coarse(timeline)
    start = slices[0].at
    end = slices[-1].at + slices[-1].seconds
    scale = _WIDTH / max(end - start, _LEAST)

    def path(value_at: Callable[[TimeSlice], float | None], top: float) -> str:
        steps: list[str] = []
        joined = False
        for one in slices:
            value = value_at(one)
            if value is not None:
                x = (one.at - start) * scale
                y = _HEIGHT * (1 - value / top)
                steps.append(f"{'L' if joined else 'M'}{x:.1f} {y:.1f}H{x + one.seconds * scale:.1f}")
            joined = value is not None
        return "".join(steps)

    fastest = max(*map(_sent_per_second, slices), *(one.rate or 0 for one in slices), _LEAST)
    slowest = max(_LEAST, *(one.slowest or 0 for one in slices))
    middles = [(f"{(one.at + one.seconds / 2 - start) * scale:.1f}", one) for one in slices]
    return {
        "requests": path(_sent_per_second, fastest),
        "rate": path(lambda one: one.rate, fastest),
        "fastest": fastest,
        "median": path(lambda one: one.median, slowest),
        "late": path(lambda one: one.slowest, slowest),
        "slowest": slowest,
        "throttled": [(x, one.throttled) for x, one in middles if one.throttled],
        "errors": [(x, one.errors) for x, one in middles if one.errors],
        "seconds": end - start,
        "peak": max(map(_sent_per_second, slices)),
    }


def _sent_per_second(one: TimeSlice) -> float:
    return one.requests / max(one.seconds, _LEAST)


def _coarse(timeline: Sequence[TimeSlice]) -> list[TimeSlice]:
    """Join neighbouring slices until a screen can show them."""
    step = -(-len(timeline) // _SLICES)
    return [_joined(timeline[i : i + step]) for i in range(0, len(timeline), step)]


def _joined(slices: Sequence[TimeSlice]) -> TimeSlice:
    medians = [one.median for one in slices if one.median is not None]
    return TimeSlice(
        at=slices[0].at,
        seconds=sum(one.seconds for one in slices),
        requests=sum(one.requests for one in slices),
        throttled=sum(one.throttled for one in slices),
        errors=sum(one.errors for one in slices),
        rate=slices[-1].rate,
        median=median(medians) if medians else None,
        slowest=max((one.slowest for one in slices if one.slowest is not None), default=None),
    )
