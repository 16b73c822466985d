"""Share one rate among all processes that use one account.

A process that dies leaves nothing behind but the requests it sent. Whatever is wrong with the file (no rights, a full
disk, no locks, a process that was suspended while it held the lock): this process continues alone and warns once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import fields
from math import isfinite
from operator import attrgetter
from pathlib import Path
from typing import Self

from usersync.dispatch.adaptive_limit import AdaptiveLimit
from usersync.dispatch.gcra import RateState

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

#: Seconds after which a process that holds the lock is taken for suspended: it is held for some microseconds.
LOCK_TIMEOUT = 1.0
LOCK_INTERVAL = 0.001
#: Seconds without a change after which a file goes.
KEPT = 30 * 86_400.0
#: Seconds that the times in a file may lie ahead; what is further ahead is damage.
MOST_AHEAD = 4000.0
#: Seconds by which the clocks of one boot may seem to differ.
SAME_BOOT = 60.0
_NAME = re.compile(r"[0-9a-f]{16}\.rate")
#: The file: a version, when this boot's monotonic clock was zero, `RateState.due`, the numbers of `AdaptiveLimit`.
_VERSION = 1.0
_NAMES = tuple(number.name for number in fields(AdaptiveLimit))
_NUMBERS = struct.Struct(f"<{3 + len(_NAMES)}d")
_learned = attrgetter(*_NAMES)
_TIMES = ("pause_until", "resumed", "probing_until")


class LocalRate:
    """The rate of this process alone."""

    def __init__(self) -> None:
        self._locked = nullcontext(RateState())

    def locked(self) -> AbstractContextManager[RateState]:
        """Yield the numbers, to be read and changed."""
        return self._locked


class SharedRate:
    """The rate that all processes of this account share for one platform."""

    def __init__(self, platform: str, folder: Path | None = None) -> None:
        self._state = RateState()
        self._file: int | None = None
        try:
            if fcntl is None:
                raise OSError("this system has no file locks")
            self._file = _open(platform, folder or _default_folder())
        except (OSError, RuntimeError) as error:
            self._go_on_alone(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @contextmanager
    def locked(self) -> Iterator[RateState]:
        """Yield the numbers of all processes, to be read and changed while no other process does."""
        if self._file is not None:
            try:
                _lock(self._file)
                self._state = _read(self._file, self._state)
            except OSError as error:
                self._go_on_alone(error)
        try:
            yield self._state
        finally:
            if self._file is not None:
                try:
                    _write(self._file, self._state)
                    fcntl.flock(self._file, fcntl.LOCK_UN)
                except OSError as error:
                    self._go_on_alone(error)

    def _go_on_alone(self, error: Exception) -> None:
        self._close()
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        log.warning(
            "the rate is not shared with other runs on this computer (%s); run one at a time, "
            "or set request.rate lower",
            reason,
        )

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
        self._file = None


def _default_folder() -> Path:
    """Return the folder of this account where processes meet."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute() and runtime.is_dir() and runtime.stat().st_uid == os.getuid():  # `sudo` may keep another's
        return runtime / "usersync"
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path.home() / ".local" / "state") / "usersync"


def _open(platform: str, folder: Path) -> int:
    """Open a platform's file in a folder that nobody else can write to."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _refuse_foreign(os.fstat(opened), folder)
        _delete_old(opened)
        name = f"{hashlib.sha256(platform.encode()).hexdigest()[:16]}.rate"
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=opened)
    finally:
        os.close(opened)
    try:
        _refuse_foreign(os.fstat(file), folder / name)
    except OSError:
        os.close(file)
        raise
    return file


def _refuse_foreign(found: os.stat_result, path: Path) -> None:
    kind = stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)
    if not kind or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{path} is not private to this account")


def _delete_old(folder: int) -> None:
    """Drop files that were not used for a month: sandboxes come and go, each on a port of its own."""
    for name in os.listdir(folder):
        if _NAME.fullmatch(name):
            with suppress(OSError):
                if time.time() - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime > KEPT:
                    os.unlink(name, dir_fd=folder)


def _lock(file: int) -> None:
    """Wait for the lock, never long: others hold it for microseconds, unless they are suspended."""
    give_up = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise TimeoutError("another run holds the lock and does not respond") from None
            time.sleep(LOCK_INTERVAL)
        else:
            return


def _read(file: int, own: RateState) -> RateState:
    """Read the numbers; where there are none that can be believed, begin anew with our own."""
    raw = os.pread(file, _NUMBERS.size, 0)
    if len(raw) < _NUMBERS.size:
        return own
    version, boot, due, *learned = _NUMBERS.unpack(raw)
    state = RateState(due, AdaptiveLimit(*learned))
    return state if version == _VERSION and abs(boot - _boot()) < SAME_BOOT and _is_sane(state) else own


def _write(file: int, state: RateState) -> None:
    os.pwrite(file, _NUMBERS.pack(_VERSION, _boot(), state.due, *_learned(state.limit)), 0)


def _boot() -> float:
    """Return when the monotonic clock was zero, which tells one boot of the computer from another."""
    return time.time() - time.monotonic()


def _is_sane(state: RateState) -> bool:
    """Return whether numbers can be believed: a damaged file must not stop us for years."""
    latest = time.monotonic() + MOST_AHEAD
    return (
        isfinite(state.due)
        and 0.0 <= state.due < latest
        and all(isfinite(number) and number >= 0.0 for number in _learned(state.limit))
        and all(getattr(state.limit, name) < latest for name in _TIMES)
        and (state.limit.rate == 0.0 or state.limit.rate > 1e-4)
    )
