"""A plan sent by the workers of a cluster: the same report as from one process, whoever is lost on the way."""

import csv
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TOKEN
from usersync.sandbox import Sandbox
from usersync.settings import Rate

distributed = pytest.importorskip("distributed")
Opened = Callable[..., Any]
SECRET = "Str0ng!secret"
ROWS = 300
NO_DASK = """
import importlib.util as util
find = util.find_spec
util.find_spec = lambda name, package=None: None if name == "distributed" else find(name, package)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three real processes on this machine."""
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(n_workers=3, **options) as opened:
        yield opened


def through(cluster: Any) -> dict[str, Any]:
    return {"engine": "dask", "scheduler": cluster.scheduler_address, "diff": {"compare_with": "nothing"}}


def changes(rows: int) -> str:
    return "id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, rows + 1))


def applied(box: Sandbox) -> Counter[int]:
    return Counter(r.user_id for r in box.log if r.applied and r.user_id)


def report(folder: Path) -> list[list[str]]:
    """The latest report's cells, as they stand in the file; when a row was finished differs by nature."""
    path = max(folder.glob("runs/*/report.csv"), key=lambda found: found.stat().st_mtime_ns)
    with path.open(encoding="utf-8-sig", newline="") as file:
        head, *lines = csv.reader(file)
    assert head[-1] == "finished_at"
    return [head, *([*line[:-1], ""] for line in lines)]


def test_the_report_is_that_of_the_local_engine(desk: Opened, cluster: Any) -> None:
    rows = "".join(f"{i},New {i},,u{i % 60 + 2}@new.example.org\n" for i in range(1, 61))
    sheet = f"id,name,password,email\n{rows}77,Nobody,,\n61,,{SECRET},\nx,Wrong,,\n1,New 1,,u3@new.example.org\n"
    reports = []
    for words in ([], ["--engine", "dask", "--scheduler", cluster.scheduler_address]):
        with desk(Sandbox(users=61, limit=None, forbidden=(5,)), diff={"compare_with": "nothing"}) as (box, at):
            at.write("changes.csv", sheet)
            ran = at.run("run", "changes.csv", "--yes", "--json", *words)
            assert ran.code == 1, ran.err
            reports.append(report(at.folder))
            requests = ran.summary["requests"]
            assert requests["patch"] == sum(r.method == "PATCH" for r in box.log)
            assert SECRET not in ran.out + ran.err
            assert box.world.users[61].password == SECRET
    assert reports[0] == reports[1]
    logs = str(cluster.get_logs())
    assert (SECRET in logs, TOKEN in logs) == (False, False)


def test_all_workers_together_keep_the_rate(desk: Opened, cluster: Any) -> None:
    """As one window of the platform allows it: not one request too many, and the share of nobody is left over."""
    with desk(Sandbox(users=100, limit=Rate(50, 1.0)), **through(cluster)) as (box, at):
        at.settings["request"] = {"rate": "50/s"}
        at.write("changes.csv", changes(100))
        ran = at.run("run", "changes.csv", "--yes", "--json")
        assert ran.code == 0, ran.err
        assert ran.summary["requests"]["throttled"] == 0
        sent = [r.at for r in box.log if r.method == "PATCH"]
        assert 1.9 < (sent[-1] - sent[0]).total_seconds() < 4.0


def test_a_killed_worker_loses_no_row_and_sends_none_twice(desk: Opened, cluster: Any) -> None:
    with desk(Sandbox(users=ROWS, limit=None, latency=0.02), **through(cluster)) as (box, at):
        at.settings["request"] = {"rate": "150/s", "concurrency": 12}
        at.write("changes.csv", changes(ROWS))
        process = at.start("run", "changes.csv", "--yes", "--json")
        while sum(applied(box).values()) < ROWS // 3:
            pass
        victim = next(iter(cluster.workers.values())).process.pid
        os.kill(victim, signal.SIGKILL)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert err == ""
        assert json.loads(out)["counts"] == {"updated": ROWS, "rows": ROWS}
        lines = report(at.folder)[1:]
        assert len({line[3] for line in lines}) == len(lines) == ROWS
        looked_up = sum("a look afterwards found the new values" in line[11] for line in lines)
        assert 0 < looked_up < ROWS // 3  # what the lost worker had done, and could not tell
        assert applied(box) == dict.fromkeys(range(1, ROWS + 1), 1)


def test_a_wrong_token_stops_all_workers(desk: Opened, cluster: Any) -> None:
    with desk(Sandbox(users=ROWS, limit=None, token="another"), **through(cluster)) as (box, at):
        at.write("changes.csv", changes(ROWS))
        ran = at.run("run", "changes.csv", "--yes")
        assert ran.code == 4
        assert "token" in ran.err
        assert {line[4] for line in report(at.folder)[1:]} == {"not-sent"}
        assert len(box.log) < ROWS // 2


def test_ctrl_c_ends_in_order_and_resume_goes_on(desk: Opened, cluster: Any) -> None:
    with desk(Sandbox(users=ROWS, limit=None), **through(cluster)) as (box, at):
        at.settings["request"] = {"rate": "150/s"}
        at.write("changes.csv", changes(ROWS))
        process = at.start("run", "changes.csv", "--yes", "-q")
        while sum(applied(box).values()) < ROWS // 4:
            pass
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130, err
        assert {line[4] for line in report(at.folder)[1:]} == {"updated", "not-sent"}
        ran = at.run("resume", "--yes")
        assert ran.code == 0, ran.err
        assert applied(box) == dict.fromkeys(range(1, ROWS + 1), 1)


def test_a_scheduler_that_is_not_there_stops_before_anything_is_sent(desk: Opened) -> None:
    with desk(Sandbox(users=3), engine="dask", diff={"compare_with": "nothing"}) as (box, at):
        at.write("changes.csv", changes(3))
        ran = at.run("run", "changes.csv", "--yes")
        assert (ran.code, "scheduler: 1 mistake\n  name the Dask cluster, like tcp" in ran.err) == (2, True)
        at.settings["scheduler"] = "tcp://127.0.0.1:9"
        at.env["DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT"] = "1s"
        ran = at.run("run", "changes.csv", "--yes")
        assert (ran.code, "tcp://127.0.0.1:9 cannot be reached" in ran.err) == (4, True), ran.err
        assert not box.log


def test_without_the_extra_a_sentence_says_what_to_install(desk: Opened) -> None:
    with desk(Sandbox(users=3), engine="dask") as (box, at):
        at.write("changes.csv", changes(3))
        at.write("sitecustomize.py", NO_DASK)
        at.env["PYTHONPATH"] = os.pathsep.join([str(at.folder), *sys.path])
        ran = at.run("run", "changes.csv", "--yes")
        assert (ran.code, "pip install 'usersync[dask]'" in ran.err) == (2, True), ran.err
        assert not box.log
