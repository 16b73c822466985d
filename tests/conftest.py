"""Share a fake clock, a sandbox and the command line with all tests."""

import asyncio
import csv
import io
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.processes import CommandProcess
from usersync.cli import main
from usersync.sandbox import Sandbox, StoredUser, running

settings.register_profile("explore", deadline=None)  # other work on the machine is no failure
settings.register_profile("steady", settings.get_profile("explore"), derandomize=True)  # CI tests the change only
# HYPOTHESIS_PROFILE is `explore`, or `long`: see test_state_machine.py
settings.load_profile("explore" if "HYPOTHESIS_PROFILE" in os.environ else "steady")
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and usersync's tables would follow it
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each of the many processes compiles usersync once more
TOKEN = "sandbox-token"
#: Seconds after which a command that does not end, or a state that does not come, fails its test.
PATIENCE = 120.0
#: The modules that take longest; they go first, so that no processor is idle at the end. The first of all waits for
#: time-outs, while others need the processors.
LONG = (
    "test_fault_table.py", "test_error_sentences.py", "test_interruptions.py", "test_cron_kit.py",
    "test_safety_rules.py", "test_state_machine.py", "test_security.py", "test_html.py", "test_resume.py",
    "test_interrupted_rows.py", "test_resume_matches_uninterrupted.py", "test_dask_engine.py", "test_email_swaps.py",
)  # fmt: skip


def wait_until(state: Callable[[], object], process: "CommandProcess | subprocess.Popen[str] | None" = None) -> None:
    """Wait until `state()` is true; the test fails if the process that should bring it about ends before."""
    deadline = time.monotonic() + PATIENCE
    while not state():
        assert time.monotonic() < deadline, f"the state was not reached within {PATIENCE:.0f} s"
        if process and process.poll() is not None:
            pytest.fail(f"the process ended before: {process.communicate(timeout=PATIENCE)}")
        time.sleep(0.005)  # leaves the processor to the program under test


def numbered_users(count: int) -> list[StoredUser]:
    """Make users 1 to `count`, each with a name and an address that hold the number."""
    return [StoredUser(i, f"User {i}", f"u{i}@example.org") for i in range(1, count + 1)]


def numbered_box(count: int, **more: Any) -> Sandbox:
    """Make a platform of such users, which allows any rate."""
    return Sandbox(users=numbered_users(count), limit=None, **more)


def free_port() -> int:
    """Return a port on which nobody listens, from those that no system gives to whoever asks for any free port.

    A sandbox of another test could else get it before it is used, or while it is closed.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


class FakeClock:
    """A clock on which waiting takes no time: sleeping advances it."""

    def __init__(self, start: datetime = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self._passed

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def advance(self, seconds: float) -> None:
        self._passed += seconds

    async def sleep(self, seconds: float) -> None:
        wake = self._passed + seconds
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self._passed = max(self._passed, wake)


@dataclass
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(self.out)  # type: ignore[no-any-return]

    @property
    def report(self) -> list[dict[str, str]]:
        path = max(self.folder.glob("runs/*/report.csv"), key=lambda found: found.stat().st_mtime_ns)
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    def statuses(self) -> dict[str, str]:
        """Row number -> status, followed by the code if there is one."""
        return {line["row"]: f"{line['status']} {line['code']}".strip() for line in self.report}


@dataclass
class Desk:
    """A folder with settings for one platform, in which commands are run."""

    folder: Path
    url: str
    settings: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=lambda: {"USERSYNC_TOKEN": TOKEN})
    started: ExitStack = field(default_factory=ExitStack, repr=False)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def prepare(self) -> dict[str, str]:
        """Write the settings, and give the environment of a process that runs here."""
        platform = {"url": self.url, "token_env": "USERSYNC_TOKEN", **self.settings.get("platform", {})}
        settings = {"request": {"rate": "off"}, **self.settings, "platform": platform}
        self.write("usersync.yaml", json.dumps(settings))
        return {**os.environ, **self.env}

    def run(self, *words: str, stdin: str | bytes = "") -> Ran:
        """Run a command in this process, which saves the start of an interpreter; stdin is no terminal."""
        self.prepare()
        given = io.TextIOWrapper(io.BytesIO(stdin.encode() if isinstance(stdin, str) else stdin), "utf-8")
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n", write_through=True) for _ in range(2))
        with _process_state_restored(), pytest.MonkeyPatch.context() as own, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # as an interpreter does for libraries
            own.chdir(self.folder)
            os.environ.update(self.env)
            for name, value in {"argv": ["usersync", *words], "stdin": given, "stdout": out, "stderr": err}.items():
                own.setattr(sys, name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        assert isinstance(ended.value.code, int)
        return self._ran(ended.value.code, _text(out), _text(err))

    def run_process(self, *words: str, stdin: str = "") -> Ran:
        """Run a command in an interpreter of its own, for what only that has: start-up, streams, limits."""
        command = [sys.executable, "-m", "usersync", *words]
        done = subprocess.run(
            command, cwd=self.folder, env=self.prepare(), input=stdin, capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
        return self._ran(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> CommandProcess:
        """Start a command as a process that goes on; it is killed when the desk is left, if it still runs."""
        process = CommandProcess(words, self.folder, self.prepare())
        self.started.callback(process.close)
        return process

    def interrupt(
        self, box: Sandbox, *words: str, answers: int, in_flight: int, by: signal.Signals = signal.SIGINT
    ) -> Ran:
        """Run a command as a process, and send it a signal after some answers, while requests are in flight."""
        expected = len(box.log) + answers + in_flight
        box.hold(after=answers)
        process = self.start(*words)
        wait_until(lambda: len(box.log) == expected, process)
        process.send_signal(by)
        box.release()
        out, err = process.communicate(timeout=PATIENCE)
        return self._ran(process.returncode, out, err)

    def _ran(self, code: int, out: str, err: str) -> Ran:
        assert "Traceback" not in err, err
        return Ran(code, out, err, self.folder)


def _text(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode().replace("\r\n", "\n")  # as the text mode of subprocess does


def _loggers() -> list[logging.Logger]:
    named = logging.root.manager.loggerDict.values()
    return [logging.root, *(logger for logger in named if isinstance(logger, logging.Logger))]


@contextmanager
def _process_state_restored() -> Iterator[None]:
    """Undo what a command does to the process around it, and fail where it does not end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    wakeup = signal.set_wakeup_fd(-1)
    environment = dict(os.environ)
    root, raise_exceptions = logging.getLogger(), logging.raiseExceptions
    levels = {logger: logger.level for logger in _loggers()}
    log_handlers, root.handlers = root.handlers, []
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("the command does not end"))
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.environ.clear()
        os.environ.update(environment)
        for added in root.handlers:
            added.close()
        root.handlers, logging.raiseExceptions = log_handlers, raise_exceptions
        for logger in _loggers():
            logger.setLevel(levels.get(logger, logging.NOTSET))


@pytest.fixture(scope="session", autouse=True)
def runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the runs of all tests a folder of their own in which they share rates."""
    folder = tmp_path_factory.mktemp("runtime")
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def own_rates(runtime_folder: Path) -> Iterator[None]:
    """Forget after each test how its platforms limited it: a later sandbox may be given the port of an earlier one."""
    yield
    shutil.rmtree(runtime_folder / "usersync", ignore_errors=True)


@pytest.fixture
def desk(tmp_path: Path) -> Callable[..., Any]:
    """Open a sandbox and a desk for it: `with desk(Sandbox(...), request={...}) as (box, at)`."""

    @contextmanager
    def opened(box: Sandbox | None = None, **settings: Any) -> Iterator[tuple[Sandbox, Desk]]:
        with running(box or Sandbox(users=50, limit=None)) as open_box:
            at = Desk(tmp_path, open_box.url, settings)
            with at.started:
                yield open_box, at

    return opened


def pytest_xdist_auto_num_workers() -> int:
    return (os.cpu_count() or 1) + 1  # tests wait for processes: one worker for each processor leaves some of it idle


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=30, help="How many real runs the kill test kills.")
