"""Allow one run at a time for each platform, by a lock beside the ledger."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from usersync.errors import BusyError, UsageError
from usersync.ledger.database import require_file


@contextmanager
def one_run_at_a_time(ledger: Path, platform: str, *, holder: str, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of `platform`; `holder` describes this run to others, `wait` is the longest wait in seconds.

    Raises BusyError (exit 5) naming who holds it and since when; UsageError if the ledger is not a file.
    """
    require_file(ledger)
    digest = hashlib.sha256(platform.encode()).hexdigest()[:8]
    ledger = Path(os.path.realpath(ledger))  # whatever links lead to it
    path = ledger.with_name(f"{ledger.name}.{digest}.lock")
    holder_file = path.with_suffix(".holder")
    lock = FileLock(path, timeout=wait)
    try:
        lock.acquire()
    except Timeout:
        held = _holder(holder_file)
        raise BusyError(
            f"the lock of {platform} is held {held}; wait for it with --lock-wait 10m, or let it finish"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: the lock cannot be made: {error.strerror}; name another place for ledger:") from None
    try:
        holder_file.write_text(holder, "utf-8")
        yield
    finally:
        holder_file.unlink(missing_ok=True)
        lock.release()


def _holder(holder_file: Path) -> str:
    """Return who holds a lock; a run that has just taken it, or is about to release it, has not said so."""
    try:
        return holder_file.read_text("utf-8") or "by another run"
    except FileNotFoundError:
        return "by another run"
