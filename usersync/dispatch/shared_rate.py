"""One pace for all processes of this account that speak to one platform: a small file that they look at together.

A process that dies leaves nothing behind but the requests it sent: what it did not use is there for the others.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock

from usersync.dispatch.cells import HEAD, RING, Cells, private

SIZE = 8 * (HEAD + RING + 1)
LEFT_ALONE = 30 * 86_400.0
"""Seconds without a change after which a file goes."""
_EPOCH = HEAD + RING
"""The last cell: when the clock of `time.monotonic` was zero, so that a reboot is noticed."""


def home() -> Path:
    """Give the folder of this account where processes meet."""
    who = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"usersync-{who}"


@contextmanager
def shared(platform: str, folder: Path | None = None) -> Iterator[tuple[Cells, AbstractContextManager[object]]]:
    """Open the cells of a platform, and the lock that is held while they are looked at or changed.

    Where the folder cannot be used, or is somebody else's, the cells are this process's own.
    """
    folder = folder or home()
    path = folder / f"{hashlib.sha256(platform.encode()).hexdigest()[:16]}.pace"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            raise PermissionError(folder)
        lock = FileLock(path.with_suffix(".lock"), poll_interval=0.001)
        with lock, path.open("a+b") as file:
            if path.stat().st_size != SIZE:
                _tidy(folder)
                file.truncate(0)
                file.truncate(SIZE)
            store = mmap.mmap(file.fileno(), SIZE)
    except OSError:
        yield private(RING), nullcontext()
        return
    with store, memoryview(store).cast("d") as cells:
        with lock:
            _forget_another_boot(cells)
        with cells[: HEAD + RING] as ours:
            yield ours, lock


def _forget_another_boot(cells: memoryview[float]) -> None:
    now = time.monotonic()
    epoch = time.time() - now
    if not abs(cells[_EPOCH] - epoch) <= 60.0 or not _sane(cells.tolist(), now):
        cells[:HEAD] = memoryview(bytes(8 * HEAD)).cast("d")  # with no start counted, nobody looks at the ring
        cells[_EPOCH] = epoch


def _sane(cells: Sequence[float], now: float) -> bool:
    """Whether a file can be believed: a damaged one must not hold us for years."""
    rate = cells[0]
    numbers = all(0.0 <= value < 1e15 for value in cells[:_EPOCH])  # no NaN is
    holds = all(cells[at] <= now + 4000.0 for at in (1, 3, 4, 13))
    return numbers and holds and (rate == 0.0 or rate > 1e-4) and max(cells[HEAD:_EPOCH]) <= now + 1.0


def _tidy(folder: Path) -> None:
    """Drop what nobody has looked at for a month: sandboxes come and go, each on a port of its own."""
    for file in folder.iterdir():
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > LEFT_ALONE:
                file.unlink()
