"""How many requests may be in flight: answers in, a number out, which grows by one and shrinks by a share. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST = 10
"""Requests in flight at the beginning: a platform that refuses everything is not asked a hundred times."""
AFTER_TROUBLE, AFTER_SLOWNESS = 0.8, 0.9
SLOW, SLOWER = 0.5, 3.0
"""Answers are slow where they take more than so many seconds, and so many times as long as usual."""
_RECENT, _USUAL = 0.1, 0.005
"""PlanStats of a new answer in the mean of the last ones, and in that of the last hundreds."""


@dataclass(slots=True)
class ConcurrencyLimit:
    """Requests in flight at most, `most` at the very most.

    `heeds_slowness` where the platform's limit is not known: then slow answers tell of it as well.
    """

    most: int
    heeds_slowness: bool = False
    limit: float = 0.0
    _climbing: bool = True
    """Until the first trouble, each good answer makes room for one more; later, a whole round does."""
    _cut_at: float = 0.0
    _means: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Kind of request (reads are faster than updates) -> seconds of the last answers, and as usual."""

    def __post_init__(self) -> None:
        self.limit = self.limit or min(FIRST, self.most)

    def good(self, now: float, started: float, kind: str = "") -> None:
        """Take note of an answer; one that is slow may tell that the platform has too much to do."""
        if self.heeds_slowness and self._is_slow(now - started, kind):
            self._cut(now, started, AFTER_SLOWNESS)
        elif self.limit < self.most:
            self.limit = min(self.most, self.limit + (1 if self._climbing else 1 / self.limit))

    def _is_slow(self, seconds: float, kind: str) -> bool:
        recent, usual = self._means.get(kind, (seconds, seconds))
        recent += _RECENT * (seconds - recent)
        self._means[kind] = recent, usual + _USUAL * (seconds - usual)
        return recent > SLOW and recent > SLOWER * usual

    def bad(self, now: float, started: float) -> None:
        """Take note of trouble; what was in flight together counts once."""
        self._cut(now, started, AFTER_TROUBLE)

    def begin_again(self) -> None:
        """Start from one, as the platform comes back from trouble."""
        self.limit, self._climbing = 1.0, True

    def _cut(self, now: float, started: float, share: float) -> None:
        if started >= self._cut_at:
            self.limit, self._climbing, self._cut_at = max(1.0, self.limit * share), False, now
