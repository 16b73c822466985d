"""Shows how far a run is: a bar on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Never, TextIO

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from usersync.cli.table import window
from usersync.models import Status

_NARROW = 60
"""Columns below which numbers matter more than a bar."""
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
        ours = [handler.level for handler in logging.root.handlers if getattr(handler, "stream", 0) is self._stream]
        self._logs = logging_redirect_tqdm()
        self._logs.__enter__()
        logging.root.handlers[-1].setLevel(min(ours, default=logging.WARNING))  # tqdm's handler has none
        self.tick()

    def row(self, status: Status) -> None:
        """Move on by one row."""
        if self._bar is not None:
            if status in _BAD:
                self._failed += 1
                self._bar.set_postfix_str(f"{self._failed} failed", refresh=False)
            self._bar.update()

    def tick(self) -> None:
        """Let the clock of the bar go on, and fit it to the window."""
        if self._bar is not None:
            narrow = (window(self._stream) or _NARROW) < _NARROW
            self._bar.bar_format = "{desc} {n_fmt}/{total_fmt} {remaining}{postfix}" if narrow else None
            self._bar.refresh()

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._logs.__exit__(None, None, None)
            self._bar.close()
            self._bar = None


class Lines:
    """A line of text every ten seconds, for logs and cron mails."""

    def __init__(self, say: Callable[[str], None], monotonic: Callable[[], float]) -> None:
        self._say, self._monotonic = say, monotonic
        self._doing, self._total, self._done, self._failed = "", 0, 0, 0
        self._began, self._next = 0.0, math.inf

    def begin(self, doing: str, total: int) -> None:
        """Start counting `total` rows."""
        self._doing, self._total, self._done, self._failed = doing, total, 0, 0
        self._began = self._monotonic()
        self._next = self._began + LINE_EVERY

    def row(self, status: Status) -> None:
        """Count a row; say where we are when ten seconds have passed."""
        self._done += 1
        self._failed += status in _BAD
        self.tick()

    def tick(self) -> None:
        """Say where we are when ten seconds have passed, also where nothing moves."""
        now = self._monotonic()
        if now >= self._next:
            self._next = now + LINE_EVERY
            self._say(self._line(now))

    def _line(self, now: float) -> str:
        rate = self._done / (now - self._began)
        left = f"{(self._total - self._done) / rate:,.0f} s left" if rate else "time left unknown"
        return (
            f"{self._doing}: {self._done:,} of {self._total:,} rows, {self._failed:,} failed, {rate:.1f} rows/s, {left}"
        )

    def end(self) -> None:
        """Say nothing more."""
        self._next = math.inf
