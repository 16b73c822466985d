"""Test that a Dask cluster ends as one process does, even if a worker is lost."""

import asyncio
import csv
import itertools
import logging
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE, TOKEN, wait_until
from usersync.context import Context, Stop
from usersync.dispatch.connection import connected
from usersync.dispatch.dask_engine import joined, scheduler_of
from usersync.dispatch.dask_worker import UpdateJob
from usersync.dispatch.sender import RequestCounts
from usersync.errors import SettingsError
from usersync.models import Result, Status
from usersync.sandbox import Sandbox, running
from usersync.settings import Rate, make_settings

distributed = pytest.importorskip("distributed")
Opened = Callable[..., Any]
SECRET = "Str0ng!secret"
ROWS = 300


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three real processes on this machine."""
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(n_workers=3, **options) as opened:
        yield opened


@dataclass
class Sent:
    """How the jobs of one run ended."""

    context: Context = field(default_factory=Context)
    results: dict[int, Result] = field(default_factory=dict)
    counts: RequestCounts = field(default_factory=RequestCounts)

    @property
    def statuses(self) -> Counter[Status]:
        return Counter(result.status for result in self.results.values())


def renamed(rows: int) -> list[UpdateJob]:
    return [UpdateJob(i, i, {"name": f"New {i}"}) for i in range(1, rows + 1)]


def send(
    jobs: Iterable[UpdateJob],
    box: Sandbox,
    scheduler: str,
    *,
    on_result: Callable[[Sent], None] = lambda _: None,
    context: Context | None = None,
    **request: object,
) -> Sent:
    """Send jobs through the cluster; `on_result` is called after each one that ended."""
    settings = make_settings(
        {
            "platform": {"url": box.url, "token_command": f"echo {TOKEN}"},
            "request": {"rate": "off", **request},
            "engine": "dask",
            "scheduler": scheduler,
        }
    )
    sent = Sent(context or Context())

    def take(job: UpdateJob, result: Result) -> None:
        assert job.key not in sent.results, "a job ends once"
        sent.results[job.key] = result
        on_result(sent)

    async def work() -> None:
        async with connected(settings, sent.context) as sender:
            sent.counts = sender.counts
            async with joined(settings, sent.context, sender, take) as cluster:
                await cluster.send(jobs)

    asyncio.run(work())
    return sent


def applied(box: Sandbox) -> Counter[int]:
    return Counter(r.user_id for r in box.log if r.applied and r.user_id)


def patched(box: Sandbox) -> int:
    return sum(r.method == "PATCH" for r in box.log)


def test_every_job_ends_once_and_every_request_is_counted(cluster: Any) -> None:
    password = UpdateJob(61, 61, {"password": SECRET})
    nobody = UpdateJob(77, 77, {"name": "Nobody"})
    with running(Sandbox(users=61, limit=None, forbidden=(5,))) as box:
        sent = send([*renamed(60), password, nobody], box, cluster.scheduler_address)
    failed = {key: result.code for key, result in sent.results.items() if result.status is Status.FAILED}
    assert failed == {5: "not-permitted", 77: "not-found"}
    assert sent.statuses == {Status.UPDATED: 60, Status.FAILED: 2}
    assert sent.counts.patch == patched(box)
    logs = str(cluster.get_logs())
    assert (SECRET in logs, TOKEN in logs) == (False, False)


def test_all_workers_together_keep_the_rate(cluster: Any) -> None:
    with running(Sandbox(users=100, limit=Rate(50, 1.0))) as box:
        sent = send(renamed(100), box, cluster.scheduler_address, rate="50/s")
    assert sent.statuses == {Status.UPDATED: 100}
    assert sent.counts.throttled == 0
    times = [r.at for r in box.log if r.method == "PATCH"]
    assert (times[-1] - times[0]).total_seconds() > 1.9  # no share is given twice


def test_a_killed_worker_loses_no_job_and_sends_none_twice(cluster: Any) -> None:
    killed: list[int] = []

    def kill_one(sent: Sent) -> None:
        if len(sent.results) > ROWS // 3 and not killed:
            killed.append(next(iter(cluster.workers.values())).process.pid)
            os.kill(killed[0], signal.SIGKILL)

    with running(Sandbox(users=ROWS, limit=None, latency=0.02)) as box:
        jobs, address = renamed(ROWS), cluster.scheduler_address
        sent = send(jobs, box, address, on_result=kill_one, rate="150/s", concurrency=12)
    assert killed
    assert sent.statuses == {Status.UPDATED: ROWS}
    assert applied(box) == dict.fromkeys(range(1, ROWS + 1), 1)


def test_a_wrong_token_stops_all_workers(cluster: Any) -> None:
    with running(Sandbox(users=ROWS, limit=None, token="another")) as box:
        sent = send(renamed(ROWS), box, cluster.scheduler_address)
    assert sent.context.stop.reason
    assert sent.context.stop.reason.exit_code == 4
    assert "token" in sent.context.stop.reason.message
    assert set(sent.statuses) == {Status.NOT_SENT}
    assert len(box.log) < ROWS // 2


def wait_until_all_stop(scheduler: str) -> None:
    """Wait until every worker that has a run knows that it stops."""

    def stops() -> list[bool]:
        from usersync.dispatch.dask_worker import _runs

        return [bool(run.context.stop) for run in _runs.values()]

    with distributed.Client(scheduler, set_as_default=False) as client:
        wait_until(lambda: all(itertools.chain(*client.run(stops).values())))


def test_a_stop_lets_requests_in_flight_finish_and_begins_no_other(cluster: Any) -> None:
    """The platform holds its answers back, so that all workers have work, until they know of the stop."""
    many = 2 * ROWS
    jobs, scheduler = iter(renamed(many)), cluster.scheduler_address
    with running(Sandbox(users=many, limit=None)) as box, ThreadPoolExecutor(1) as threads:

        def stop_while_held(loop: asyncio.AbstractEventLoop, stop: Stop) -> None:
            wait_until(lambda: len(box.log) > ROWS // 2)
            loop.call_soon_threadsafe(stop.ask, 130, "stopped by Ctrl-C")
            wait_until_all_stop(scheduler)
            box.release()

        def begin(stop: Stop) -> None:
            stopping.append(threads.submit(stop_while_held, asyncio.get_running_loop(), stop))

        box.hold(after=ROWS // 2)
        stopping: list[Future[None]] = []
        context = Context(on_start=begin)
        sent = send(jobs, box, scheduler, context=context, rate="150/s", timeout=PATIENCE)
        stopping[0].result()
    assert set(sent.statuses) == {Status.UPDATED, Status.NOT_SENT}
    assert {key for key, result in sent.results.items() if result.status is Status.UPDATED} == set(applied(box))
    assert len(sent.results) + len(list(jobs)) == many


def test_a_scheduler_that_is_not_there_stops_the_run() -> None:
    from dask import config

    with running(Sandbox(users=3)) as box, config.set({"distributed.comm.timeouts.connect": "1s"}):
        sent = send(renamed(3), box, "tcp://127.0.0.1:9")
    assert sent.context.stop.reason
    assert sent.context.stop.reason.exit_code == 4
    assert "tcp://127.0.0.1:9 cannot be reached" in sent.context.stop.reason.message
    assert (sent.results, box.log) == ({}, ())


def test_loggers_are_left_as_they_were(cluster: Any) -> None:
    def state() -> list[tuple[int, int]]:
        loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "distributed.core")]
        return [(one.level, sum(len(handler.filters) for handler in one.handlers)) for one in loggers]

    before = state()
    with running(Sandbox(users=3, limit=None)) as box:
        send(renamed(3), box, cluster.scheduler_address)
    assert state() == before


def test_without_an_address_the_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    settings = make_settings({"platform": {"url": "http://x", "token_env": "X"}, "engine": "dask"})
    with pytest.raises(SettingsError, match="name the Dask cluster, like tcp"):
        scheduler_of(settings)


def test_pauses_between_batches_are_refused() -> None:
    request = {"batch_size": 10, "batch_interval": 100}
    settings = make_settings({"platform": {"url": "http://x", "token_env": "X"}, "request": request, "engine": "dask"})
    with pytest.raises(SettingsError, match="does not pause between batches"):
        scheduler_of(settings)


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
            assert ran.summary["requests"]["patch"] == patched(box)
            assert SECRET not in ran.out + ran.err
    assert reports[0] == reports[1]
