"""What happens in, one event per line out: as text or JSON, on stderr or in a file; free of personal data.

Names and e-mail addresses are no part of an event, secrets of no line at all: of other libraries only warnings
pass, and nothing of those that log the addresses they call.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from usersync.errors import UsageError

EVENTS = logging.getLogger("usersync.events")
run_name: ContextVar[str] = ContextVar("run_name", default="")
"""The run that this process is at."""
_TALKATIVE = ("apprise", "urllib3", "requests")


def event(name: str, **fields: object) -> None:
    """Log one event, such as `row`, with its fields; nothing is done where INFO is off."""
    if EVENTS.isEnabledFor(logging.INFO):
        told = {key: value for key, value in {"run": run_name.get(), **fields}.items() if value not in (None, "")}
        text = " ".join(f"{key}={value}" for key, value in told.items())
        EVENTS.info("%s %s", name, text, extra={"event": name, "fields": told})


class JsonLines(logging.Formatter):
    """One JSON object per line: ts, level, event, run, and the event's own fields or a message."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        ts = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = {"ts": ts, "level": record.levelname, "event": getattr(record, "event", "message")}
        body = {"run": run_name.get(), "logger": record.name, "message": record.getMessage()}
        return json.dumps(head | getattr(record, "fields", body), ensure_ascii=False, default=str)


def set_up(*, verbose: int, quiet: bool, style: str | None = None, file: Path | None = None) -> None:
    """Send logs to stderr, and events to `file` or, where only a `style` (json, text) is asked for, there too."""
    logging.raiseExceptions = False  # a full disk must not print tracebacks into a run
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    asked = file is not None or (style is not None and not quiet)
    EVENTS.setLevel(logging.NOTSET if asked or verbose > 1 else logging.WARNING)  # -v alone tells no rows
    lines = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    lines = JsonLines() if style == "json" else lines
    plain = logging.Formatter("%(levelname)s %(name)s: %(message)s")
    out: logging.Handler = logging.StreamHandler(sys.stderr)
    out.setLevel(level if file or not asked else min(level, logging.INFO))
    out.setFormatter(plain if file or style is None else lines)
    handlers = [out]
    if file:
        out.addFilter(lambda record: verbose > 1 or record.name != EVENTS.name)
        handlers.append(_opened(file))
        handlers[-1].setLevel(min(level, logging.INFO))
        handlers[-1].setFormatter(lines)
    for handler in handlers:
        handler.addFilter(_harmless)
    logging.basicConfig(level=min(handler.level for handler in handlers), handlers=handlers, force=True)


def _opened(file: Path) -> logging.Handler:
    kind = logging.FileHandler if os.name == "nt" else logging.handlers.WatchedFileHandler
    try:
        return kind(file, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--log-file {file}: it cannot be written: {error.strerror}; name another") from None


def _harmless(record: logging.LogRecord) -> bool:
    house = record.name.partition(".")[0]
    return house == "usersync" or (record.levelno >= logging.WARNING and house not in _TALKATIVE)
