"""The moments of a run in, what a page draws of them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from usersync.models import Json, TimeSlice

_SLICES = 200
"""Slices of a timeline that can be told apart on a screen."""
_WIDTH, _HEIGHT = 1000, 100


def _coarse(timeline: Sequence[TimeSlice]) -> list[TimeSlice]:
    """Join slices until a screen can show them."""
    step = -(-len(timeline) // _SLICES)
    joined = []
    for some in (timeline[i : i + step] for i in range(0, len(timeline), step)):
        usual = [m.median for m in some if m.median is not None]
        slow = max((m.slowest for m in some if m.slowest is not None), default=None)
        seconds, requests, throttled, trouble = (
            sum(getattr(m, name) for m in some) for name in ("seconds", "requests", "throttled", "trouble")
        )
        usually = median(usual) if usual else None
        joined.append(TimeSlice(some[0].at, seconds, requests, throttled, trouble, some[-1].pace, usually, slow))
    return joined


def drawn(timeline: Sequence[TimeSlice]) -> Json:
    """Turn moments, at least one, into SVG paths (1000 wide, 100 high), marks and their scales."""
    moments = _coarse(timeline)
    start, end = moments[0].at, moments[-1].at + moments[-1].seconds
    scale = _WIDTH / max(end - start, 0.001)

    def path(value: Callable[[TimeSlice], float | None], top: float) -> str:
        steps, joined = [], False
        for m in moments:
            if (found := value(m)) is not None:
                x, y = (m.at - start) * scale, _HEIGHT * (1 - found / top)
                steps.append(f"{'L' if joined else 'M'}{x:.1f} {y:.1f}H{x + m.seconds * scale:.1f}")
            joined = found is not None
        return "".join(steps)

    def rate(m: TimeSlice) -> float:
        return m.requests / max(m.seconds, 0.001)

    fastest = max(*map(rate, moments), *(m.pace or 0 for m in moments), 0.001)
    slowest = max(0.001, *(m.slowest or 0 for m in moments))
    middle = [(f"{(m.at + m.seconds / 2 - start) * scale:.1f}", m) for m in moments]
    return {
        "requests": path(rate, fastest), "pace": path(lambda m: m.pace, fastest), "fastest": fastest,
        "median": path(lambda m: m.median, slowest), "late": path(lambda m: m.slowest, slowest), "slowest": slowest,
        "throttled": [(x, m.throttled) for x, m in middle if m.throttled],
        "trouble": [(x, m.trouble) for x, m in middle if m.trouble],
        "seconds": end - start, "peak": max(map(rate, moments)),
    }  # fmt: skip
