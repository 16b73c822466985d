"""The pace holds before platforms that count: a real nginx, a fixed window, and two processes at the same time."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from threading import Event

import pytest

from tests.conftest import Desk
from tests.faults.conftest import NGINX, NO_NGINX, changes, nginx_before
from usersync.sandbox import Faults, Request, Sandbox, running
from usersync.sandbox.server import USERS_PATH
from usersync.settings import Rate

FIFTY = "limit_req zone=pace burst=5 nodelay; limit_req_status 429;"
NOW = ("run", "changes.csv", "--yes", "-q", "--compare-with", "nothing")
JITTER = 0.05
"""Seconds by which requests arrive unevenly here: the pace is kept where they start."""


def desk_for(folder: Path, url: str, rate: str, rows: int) -> Desk:
    folder.mkdir()
    desk = Desk(folder, url, {"request": {"rate": rate}, "report": {"formats": ["csv"]}})
    desk.write("changes.csv", changes(rows))
    return desk


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with running(Sandbox(users=200, limit=None)) as open_box:
        yield open_box


@pytest.mark.skipif(NGINX is None, reason=NO_NGINX)
def test_an_nginx_that_counts_refuses_nothing(box: Sandbox, tmp_path: Path) -> None:
    with nginx_before(box.port, tmp_path, pace=FIFTY) as port:
        ran = desk_for(tmp_path / "a", f"http://127.0.0.1:{port}", "50/s", 150).run(*NOW, "--json")
        refused = [asked(port) for _ in range(50)].count(429)
    assert refused  # it does count
    assert (ran.code, ran.summary["counts"]) == (0, {"updated": 150, "rows": 150}), ran.err
    assert ran.summary["requests"]["throttled"] == 0
    assert ran.summary["responses"] == {"200": 150}


def test_a_fixed_window_refuses_nothing(tmp_path: Path) -> None:
    with running(Sandbox(users=200, limit=Rate(40, 1.0))) as box:
        ran = desk_for(tmp_path / "a", box.url, "40/s", 160).run(*NOW, "--json")
    assert (ran.code, ran.summary["counts"]) == (0, {"updated": 160, "rows": 160}), ran.err
    assert {r.status for r in box.log} == {200}


def asked(port: int) -> int:
    caller = HTTPConnection("127.0.0.1", port)
    with closing(caller):
        caller.request("GET", f"{USERS_PATH}/1")
        return caller.getresponse().status


def most_in_a_second(log: tuple[Request, ...]) -> int:
    second = timedelta(seconds=1.0 - JITTER)
    return max(sum(r.at <= other.at < r.at + second for other in log) for r in log)


def test_two_runs_at_the_same_time_share_one_rate(box: Sandbox, tmp_path: Path) -> None:
    desks = [desk_for(tmp_path / name, box.url, "20/s", 25) for name in ("nightly", "import")]
    runs = [desk.start(*NOW) for desk in desks]
    for run in runs:
        _, err = run.communicate(timeout=30)
        assert run.returncode == 0, err
    assert len(box.log) == 50
    assert most_in_a_second(box.log) <= 20
    assert (box.log[-1].at - box.log[0].at).total_seconds() < 50 / 20 + 0.5


def test_a_run_that_was_killed_gives_its_share_back(tmp_path: Path) -> None:
    both_at_work = Event()

    def script(method: str, user_id: int | None, nth: int) -> None:
        if (user_id, nth) == (8, 2):
            both_at_work.set()

    with running(Sandbox(users=200, limit=None, faults=Faults(script=script))) as box:
        killed, other = (desk_for(tmp_path / name, box.url, "20/s", 35).start(*NOW) for name in ("killed", "other"))
        assert both_at_work.wait(30)
        killed.kill()
        killed.communicate()
        _, err = other.communicate(timeout=30)
        assert other.returncode == 0, err
        assert most_in_a_second(box.log) <= 20
        last = box.log[-1].at
        assert sum(r.at > last - timedelta(seconds=1) for r in box.log) >= 18
