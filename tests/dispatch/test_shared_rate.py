"""Test the rate that several processes share, in a real file."""

import errno
import fcntl
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from usersync.dispatch.gcra import Gcra
from usersync.dispatch.shared_rate import KEPT, SharedRate
from usersync.settings import Rate

URL = "https://chat.example.org"
GCRA = Gcra(Rate(10, 1.0))
HOLD = "import fcntl, os, signal, sys; f = open(sys.argv[1], 'r+'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True);"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "usersync"


def start(rate: SharedRate, now: float) -> None:
    with rate.locked() as state:
        GCRA.start(state, now)


def delay(rate: SharedRate, now: float) -> float:
    with rate.locked() as state:
        return GCRA.delay(state, now)


def file_in(folder: Path) -> Path:
    (found,) = folder.glob("*.rate")
    return found


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def assert_alone(rate: SharedRate, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    """It works, keeps its own rate, and said once why it is alone."""
    now = time.monotonic()
    start(rate, now)
    assert delay(rate, now) > 0.09
    (warning,) = warnings(caplog)
    assert warning.startswith("the rate is not shared with other runs on this computer")
    assert reason in warning


def test_those_who_open_the_same_platform_share_its_rate_and_no_other(folder: Path) -> None:
    now = time.monotonic()
    with SharedRate(URL, folder) as one, SharedRate(URL, folder) as two, SharedRate("other", folder) as three:
        start(one, now)
        assert delay(two, now) > 0.09
        assert delay(three, now) == 0.0
        start(two, now + 0.1)
        assert delay(one, now + 0.1) > 0.09


def test_what_was_learned_outlives_the_process(folder: Path) -> None:
    with SharedRate(URL, folder) as rate, rate.locked() as state:
        state.limit.rate = 5.0
    with SharedRate(URL, folder) as rate, rate.locked() as state:
        assert state.limit.rate == 5.0


def test_the_folder_and_its_files_are_private(folder: Path) -> None:
    with SharedRate(URL, folder) as rate:
        start(rate, time.monotonic())
    modes = [path.stat().st_mode & 0o777 for path in (folder, file_in(folder))]
    assert modes == [0o700, 0o600]
    assert file_in(folder).stat().st_size < 1000


def test_only_old_files_of_our_own_names_are_deleted(folder: Path) -> None:
    with SharedRate(URL, folder) as rate:
        start(rate, time.monotonic())
    old = file_in(folder)
    others = [folder / "notes.txt", folder / "a.rate", folder / f"{'0' * 16}.rate.txt"]
    for path in (old, *others):
        path.touch()
        os.utime(path, (0, time.time() - 2 * KEPT))
    with SharedRate("another", folder):
        assert not old.exists()
        assert all(path.exists() for path in others)


def link_to_a_folder(folder: Path) -> None:
    target = folder.with_name("target")
    target.mkdir(mode=0o700)
    (target / f"{'0' * 16}.rate").touch()
    os.utime(target / f"{'0' * 16}.rate", (0, 0))
    folder.symlink_to(target)


def wide_folder(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)


def others_folder(folder: Path) -> None:
    if os.getuid():
        pytest.skip("only root can give a folder away")
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)


def file_instead(folder: Path) -> None:
    folder.write_text("")


def link_instead_of_the_file(folder: Path) -> None:
    with SharedRate(URL, folder):
        name = file_in(folder)
    name.rename(folder / "target")
    name.symlink_to(folder / "target")


def wide_file(folder: Path) -> None:
    with SharedRate(URL, folder):
        file_in(folder).chmod(0o644)


def pipe_instead_of_the_file(folder: Path) -> None:
    with SharedRate(URL, folder):
        name = file_in(folder)
    name.unlink()
    os.mkfifo(name, 0o600)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        pytest.param(link_to_a_folder, "", id="a link instead of the folder"),
        pytest.param(wide_folder, "is not private", id="a folder that others can read"),
        pytest.param(others_folder, "is not private", id="a folder of another account"),
        pytest.param(file_instead, "", id="a file instead of the folder"),
        pytest.param(link_instead_of_the_file, "", id="a link instead of the file"),
        pytest.param(wide_file, "is not private", id="a file that others can read"),
        pytest.param(pipe_instead_of_the_file, "is not private", id="a pipe instead of the file"),
    ],
)
def test_what_is_not_private_is_not_used(
    prepare: Callable[[Path], None], reason: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(folder)
    before = sorted(path for path in folder.parent.rglob("*"))
    with SharedRate(URL, folder) as rate:
        assert_alone(rate, caplog, reason)
    assert sorted(path for path in folder.parent.rglob("*")) == before, "nothing is made or deleted there"


@contextmanager
def limited(what: int, number: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (number, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def test_a_full_disk_is_no_reason_to_stop(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with SharedRate(URL, folder) as rate, limited(resource.RLIMIT_FSIZE, 0):
        start(rate, time.monotonic())
    with SharedRate(URL, folder) as other:
        assert delay(other, time.monotonic()) == 0.0
    assert_alone(rate, caplog, "File too large")


def test_too_many_open_files_are_no_reason_to_stop(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    lowest = os.dup(0)
    os.close(lowest)
    with limited(resource.RLIMIT_NOFILE, lowest):
        rate = SharedRate(URL, folder)
    assert_alone(rate, caplog, "Too many open files")


def test_no_locks_are_no_reason_to_stop(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with SharedRate(URL, folder) as rate:
        assert_alone(rate, caplog, "Function not implemented")


def test_without_a_home_one_is_alone(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    with SharedRate(URL) as rate:
        assert_alone(rate, caplog, "")


def test_a_process_that_was_suspended_while_it_held_the_lock_is_not_waited_for(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with SharedRate(URL, folder) as rate:
        words = [sys.executable, "-c", f"{HOLD} os.kill(os.getpid(), signal.SIGSTOP)", str(file_in(folder))]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
            try:
                assert holder.stdout
                holder.stdout.readline()
                start(rate, time.monotonic())
                assert_alone(rate, caplog, "another run holds the lock and does not respond")
            finally:
                holder.kill()


def test_a_process_killed_while_it_held_the_lock_leaves_it_free(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with SharedRate(URL, folder) as rate:
        words = [sys.executable, "-c", f"{HOLD} os.kill(os.getpid(), signal.SIGKILL)", str(file_in(folder))]
        subprocess.run(words, stdout=subprocess.DEVNULL, check=False)
        start(rate, time.monotonic())
    assert not caplog.messages


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda raw: b"\xff" * len(raw), id="no numbers"),
        pytest.param(lambda raw: raw[:20], id="cut off"),
        pytest.param(lambda raw: bytes(8) + raw[8:], id="another version"),
        pytest.param(lambda raw: raw[:8] + bytes(8) + raw[16:], id="another boot of the computer"),
    ],
)
def test_a_damaged_file_of_the_shared_rate_is_replaced(damage: Callable[[bytes], bytes], folder: Path) -> None:
    with SharedRate(URL, folder) as rate, rate.locked() as state:
        state.limit.rate = 5.0
    file_in(folder).write_bytes(damage(file_in(folder).read_bytes()))
    with SharedRate(URL, folder) as rate:
        with rate.locked() as state:
            assert state.limit.rate == 0.0
            state.limit.rate = 7.0
        with SharedRate(URL, folder) as other, other.locked() as state:
            assert state.limit.rate == 7.0


def test_a_pause_of_years_is_damage(folder: Path) -> None:
    with SharedRate(URL, folder) as rate, rate.locked() as state:
        state.limit.pause_until = 1e12
    with SharedRate(URL, folder) as rate:
        assert delay(rate, time.monotonic()) == 0.0


@pytest.mark.parametrize(
    ("runtime", "state", "used"),
    [
        pytest.param("run", "state", "run/usersync", id="the runtime folder"),
        pytest.param("", "state", "state/usersync", id="else the state folder"),
        pytest.param("gone", "state", "state/usersync", id="a runtime folder that is not there"),
        pytest.param("", "", "home/.local/state/usersync", id="else below the home"),
    ],
)
def test_the_folder_is_one_that_only_this_account_has(
    runtime: str, state: str, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / runtime) if runtime else "")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / state) if state else "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with SharedRate(URL):
        assert file_in(tmp_path / used)
