"""Log events, one per line as text or JSON, without personal data.

An event holds no names and no e-mail addresses, and no line holds a secret. Of other libraries only warnings are
logged, and nothing from those that log the addresses they call.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from usersync.errors import UsageError

EVENTS: Final = logging.getLogger("usersync.events")
#: Libraries whose log lines may show addresses with secrets in them.
_DROPPED_LIBRARIES: Final = ("apprise", "urllib3", "requests")


def event(name: str, *, run: str = "", **fields: object) -> None:
    """Log one event of a run, such as `row`, with its fields; fields that are None or blank are left out."""
    if EVENTS.isEnabledFor(logging.INFO):
        given = {key: value for key, value in {"run": run, **fields}.items() if value not in (None, "")}
        text = " ".join(f"{key}={value}" for key, value in given.items())
        EVENTS.info("%s %s", name, text, extra={"event": name, "fields": given})


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts, level, event, and the event's fields, or logger and message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        ts = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = {"ts": ts, "level": record.levelname, "event": getattr(record, "event", "message")}
        message = {"logger": record.name, "message": record.getMessage()}
        return json.dumps(head | getattr(record, "fields", message), ensure_ascii=False, default=str)


class SentenceFormatter(logging.Formatter):
    """A line for people: `warning: ` and what happened."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return f"{record.levelname.lower()}: {super().format(record)}"


def configure_logging(*, verbose: int, quiet: bool, style: str | None = None, file: Path | None = None) -> None:
    """Send logs to stderr, and events to `file`, or to stderr if only a `style` (json, text) is given.

    It changes the root logger of the process, so only the command line calls it. Raises UsageError if `file` cannot
    be written.
    """
    logging.raiseExceptions = False  # a full disk must not print tracebacks into a run
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    log_events = file is not None or (style is not None and not quiet)
    EVENTS.setLevel(logging.NOTSET if log_events or verbose > 1 else logging.WARNING)  # -v alone logs no rows
    event_lines = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    event_lines = JsonFormatter() if style == "json" else event_lines
    with_names = logging.Formatter("%(levelname)s %(name)s: %(message)s")
    plain_lines = with_names if verbose > 1 else SentenceFormatter()
    stderr: logging.Handler = logging.StreamHandler(sys.stderr)
    stderr.setLevel(level if file or not log_events else min(level, logging.INFO))
    stderr.setFormatter(plain_lines if file or style is None else event_lines)
    handlers = [stderr]
    if file:
        stderr.addFilter(lambda record: verbose > 1 or record.name != EVENTS.name)
        handlers.append(_file_handler(file))
        handlers[-1].setLevel(min(level, logging.INFO))
        handlers[-1].setFormatter(event_lines)
    for handler in handlers:
        handler.addFilter(_may_be_logged)
    logging.basicConfig(level=min(handler.level for handler in handlers), handlers=handlers, force=True)


def _file_handler(file: Path) -> logging.Handler:
    kind = logging.FileHandler if os.name == "nt" else logging.handlers.WatchedFileHandler
    try:
        return kind(file, encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--log-file {file}: cannot be written: {reason}; name another file") from None


def _may_be_logged(record: logging.LogRecord) -> bool:
    package = record.name.partition(".")[0]
    return package == "usersync" or (record.levelno >= logging.WARNING and package not in _DROPPED_LIBRARIES)
