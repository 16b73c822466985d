"""What tests share: a clock that is handed in, a platform in a box, the real command line."""

import asyncio
import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from usersync.sandbox import Sandbox, running

settings.register_profile("steady", derandomize=True)  # a run of CI is about the change, not about new examples
if "HYPOTHESIS_PROFILE" not in os.environ:  # `explore`, or `long`: see test_state_machine.py
    settings.load_profile("steady")
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and our own tables would keep to it
TOKEN = "sandbox-token"


class FakeClock:
    """A clock on which waiting takes no time: whoever sleeps moves it on."""

    def __init__(self, start: datetime = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self._passed

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

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
        """Row number -> status, and the code after a blank where there is one."""
        return {line["row"]: f"{line['status']} {line['code']}".strip() for line in self.report}


@dataclass
class Desk:
    """A folder with settings for one platform, where commands are typed."""

    folder: Path
    url: str
    settings: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=lambda: {"USERSYNC_TOKEN": TOKEN})

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def _prepare(self) -> dict[str, str]:
        platform = {"url": self.url, "token_env": "USERSYNC_TOKEN", **self.settings.get("platform", {})}
        settings = {"request": {"rate": "off"}, **self.settings, "platform": platform}
        self.write("usersync.yaml", json.dumps(settings))
        return {**os.environ, **self.env}

    def run(self, *words: str, stdin: str = "") -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "usersync", *words],
            cwd=self.folder, env=self._prepare(), input=stdin, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr, self.folder)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "usersync", *words],
            cwd=self.folder, env=self._prepare(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path) -> Callable[..., Any]:
    """Give the way to a desk: `with desk(Sandbox(...), request={...}) as (box, desk)`."""

    @contextmanager
    def opened(box: Sandbox | None = None, **settings: Any) -> Iterator[tuple[Sandbox, Desk]]:
        with running(box or Sandbox(users=50, limit=None)) as open_box:
            yield open_box, Desk(tmp_path, open_box.url, settings)

    return opened


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=50, help="How many real runs the kill test kills.")
