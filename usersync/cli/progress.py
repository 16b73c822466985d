"""Show how far a run is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, Never, TextIO

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from usersync.cli.table import window_width
from usersync.context import Progress
from usersync.models import Status
from usersync.wording import need_attention

#: Columns below which numbers matter more than a bar.
_NARROW: Final = 60
#: Seconds between two lines.
LINE_EVERY: Final = 10.0


class Bar(Progress):
    """A tqdm bar: rows done, those that need attention, rate, time left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: tqdm[Never] | None = None
        self._attention = 0
        self._logs = ExitStack()

    def begin(self, phase: str, total: int) -> None:
        """Draw a bar of `total` rows."""
        self._attention = 0
        self._bar = tqdm(total=total, desc=phase, unit=" rows", file=self._stream, dynamic_ncols=True, leave=False)
        self._print_logs_above_bar()
        self.tick()

    def _print_logs_above_bar(self) -> None:
        ours = [handler.level for handler in logging.root.handlers if getattr(handler, "stream", 0) is self._stream]
        self._logs.enter_context(logging_redirect_tqdm())
        logging.root.handlers[-1].setLevel(min(ours, default=logging.WARNING))  # tqdm's handler has none

    def row(self, status: Status) -> None:
        """Move on by one row."""
        if self._bar is not None:
            if status.needs_attention:
                self._attention += 1
                self._bar.set_postfix_str(need_attention(self._attention), refresh=False)
            self._bar.update()

    def tick(self) -> None:
        """Refresh the bar, and fit it to the window."""
        if self._bar is not None:
            narrow = (window_width(self._stream) or _NARROW) < _NARROW
            self._bar.bar_format = "{desc} {n_fmt}/{total_fmt} {remaining}{postfix}" if narrow else None
            self._bar.refresh()

    def end(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._logs.close()
            self._bar.close()
            self._bar = None


class Lines(Progress):
    """A line of text every ten seconds, for logs and cron mails."""

    def __init__(self, write: Callable[[str], None], monotonic: Callable[[], float]) -> None:
        self._write = write
        self._monotonic = monotonic
        self._phase = ""
        self._total = 0
        self._done = 0
        self._attention = 0
        self._began = 0.0
        self._next = math.inf

    def begin(self, phase: str, total: int) -> None:
        """Start counting `total` rows."""
        self._phase = phase
        self._total = total
        self._done = 0
        self._attention = 0
        self._began = self._monotonic()
        self._next = self._began + LINE_EVERY

    def row(self, status: Status) -> None:
        """Count a row; write a line when ten seconds have passed."""
        self._done += 1
        self._attention += status.needs_attention
        self.tick()

    def tick(self) -> None:
        """Write a line when ten seconds have passed, also where nothing moves."""
        now = self._monotonic()
        if now >= self._next:
            self._next = now + LINE_EVERY
            self._write(self._line(now))

    def _line(self, now: float) -> str:
        rate = self._done / (now - self._began)
        left = f"{(self._total - self._done) / rate:,.0f} s left" if rate else "time left unknown"
        return (
            f"{self._phase}: {self._done:,} of {self._total:,} rows, {need_attention(self._attention)},"
            f" {rate:.1f} rows/s, {left}"
        )

    def end(self) -> None:
        """Write nothing more."""
        self._next = math.inf
