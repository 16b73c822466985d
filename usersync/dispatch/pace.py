"""When the next request may start: rate, batches and holds. Pure: the time is handed in, in seconds."""

from __future__ import annotations

from usersync.dispatch.adaptive_limit import AdaptiveLimit
from usersync.dispatch.cells import HEAD, Cell, Cells, private

MARGIN, WIDEST_MARGIN, UNEVEN = 0.004, 0.009, 0.02
"""A window is kept longer than asked for, by this share; by more where it is so short that requests which travel
unevenly, by so many seconds, would come too many to a window; never by so much that 99 % could not be used."""
CATCH_UP = 0.05
"""Seconds of lateness that are made up for at most; a late timer must not cost throughput."""
FIRST_GUESS = 50.0
"""Requests per second that `rate: auto` begins with."""
LONGEST_TURN = 3600.0
LONG_AGO = 600.0
"""Seconds without a request after which what was learned is forgotten."""
_RING = 100_000


class Pace:
    """At most `count` starts in any window of `seconds`, evenly spaced; no more than `burst` at once.

    `count` None means no rate, `seeking` that the rate is to be found out. After `batch_size` starts, the next one
    waits `batch_interval` seconds. With `cells` that several processes share, they share the rate.
    """

    _last = Cell(13)
    """When the last request started, were they evenly spaced."""
    _total = Cell(14)
    """Requests that have started."""

    def __init__(
        self,
        count: int | None = None,
        seconds: float = 1.0,
        *,
        burst: int = 1,
        seeking: bool = False,
        batch_size: int | None = None,
        batch_interval: float = 0.0,
        cells: Cells | None = None,
    ) -> None:
        self.cells = cells if cells is not None else private(min(count or 0, _RING))
        self.learned = AdaptiveLimit(self.cells)
        room = len(self.cells) - HEAD
        thinned = min(1.0, room / count) if count else 1.0  # a ring too short keeps a shorter window, as strictly
        self._count = int(count * thinned) if count else None
        longer = 1 + min(max(MARGIN, UNEVEN / seconds), WIDEST_MARGIN)
        self._window = seconds * thinned * longer
        self._step = seconds * longer / count if count else 0.0
        self._burst, self._seeking = burst, seeking
        self._batch_size, self._batch_interval = batch_size, batch_interval
        self._in_batch, self._batch_due = 0, 0.0

    @property
    def free(self) -> bool:
        """Whether nothing has to be counted."""
        return not (self._count or self._seeking or self._batch_size or self.learned.rate or self.learned.hold_until)

    @property
    def patience(self) -> float:
        """Seconds that one waits for a request's turn at most; a platform that asks for more ends the run."""
        return max(LONGEST_TURN, 1.1 * self._step)

    @property
    def per_second(self) -> float | None:
        """Requests that may start in a second; None: as many as one likes."""
        return 1 / step if (step := self._spacing()) else None

    def _spacing(self) -> float:
        rate = self.learned.rate
        return max(self._step, 1 / rate) if rate else self._step

    def delay(self, now: float) -> float:
        """Seconds until the next request may start; 0.0: now."""
        due = self._batch_due
        if self._total and (step := self._spacing()):
            due = max(due, self._last + step)
            if self._count and self._total >= self._count:
                due = max(due, self._nth_last(self._count) + self._window)
        return max(self.learned.delay(now), due - now, 0.0)

    def _nth_last(self, n: int) -> float:
        room = len(self.cells) - HEAD
        return self.cells[HEAD + int(self._total - n) % room]

    def start(self, now: float) -> None:
        """Count a request that starts now."""
        if self.learned.rate and now - self._last > LONG_AGO:
            self.learned.rate = 0.0
        if self._seeking:
            self.learned.seek(FIRST_GUESS)
        self.learned.start(now)
        if step := self._spacing():
            allowance = min((self._burst - 1) * step, max(CATCH_UP, step))
            late = self._total and self._last > self.learned.hold_until  # what a hold cost is not made up for
            self._last = max(self._last + step, now - allowance) if late else now
        if room := len(self.cells) - HEAD:
            self.cells[HEAD + int(self._total) % room] = now
        self._total += 1
        if self._batch_size is not None:
            self._in_batch += 1
            if self._in_batch == self._batch_size:
                self._in_batch = 0
                self._batch_due = now + self._batch_interval

    def accepted(self, now: float, started: float) -> None:
        """Take note that a request started at `started` was not throttled."""
        self.learned.accepted(now, started, self.per_second or 1e9)
        if self._step and self.learned.rate * self._step > 1 and not self.learned.holds:
            self.learned.rate = 0.0  # grown to what the settings allow: nothing is left to learn
