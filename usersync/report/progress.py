"""Shows how far a run is: a bar on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Never, TextIO

from tqdm import tqdm

from usersync.model import Status

LINE_EVERY = 10.0
_BAD = (Status.FAILED, Status.UNKNOWN, Status.CONFLICT)


class Bar:
    """A tqdm bar: rows done, failed, rate, time left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: tqdm[Never] | None = None
        self._failed = 0

    def begin(self, doing: str, total: int) -> None:
        """Draw a bar of `total` rows."""
        self._failed = 0
        self._bar = tqdm(total=total, desc=doing, unit=" rows", file=self._stream, dynamic_ncols=True, leave=False)

    def row(self, status: Status) -> None:
        """Move on by one row."""
        if self._bar is not None:
            if status in _BAD:
                self._failed += 1
                self._bar.set_postfix_str(f"{self._failed} failed", refresh=False)
            self._bar.update()

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Lines:
    """A line of text every ten seconds, for logs and cron mails."""

    def __init__(self, say: Callable[[str], None], monotonic: Callable[[], float]) -> None:
        self._say, self._monotonic = say, monotonic
        self._doing, self._total, self._done, self._failed = "", 0, 0, 0
        self._began = self._next = 0.0

    def begin(self, doing: str, total: int) -> None:
        """Start counting `total` rows."""
        self._doing, self._total, self._done, self._failed = doing, total, 0, 0
        self._began = self._monotonic()
        self._next = self._began + LINE_EVERY

    def row(self, status: Status) -> None:
        """Count a row; say where we are when ten seconds have passed."""
        self._done += 1
        self._failed += status in _BAD
        now = self._monotonic()
        if now >= self._next:
            self._next = now + LINE_EVERY
            self._say(self._line(now))

    def _line(self, now: float) -> str:
        rate = self._done / (now - self._began)
        left = (self._total - self._done) / rate
        return (
            f"{self._doing}: {self._done:,} of {self._total:,} rows, {self._failed:,} failed,"
            f" {rate:.1f} rows/s, {left:,.0f} s left"
        )

    def end(self) -> None:
        """Say nothing more."""
