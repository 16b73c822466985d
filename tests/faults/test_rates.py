"""Test that the rate holds before a real nginx, and with several processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from threading import Event

import pytest

from tests.conftest import PATIENCE, TOKEN, wait_until
from tests.faults.conftest import NGINX, NO_NGINX, nginx_before
from usersync.context import Context, run_concurrently
from usersync.dispatch.connection import connected
from usersync.dispatch.sender import RequestCounts
from usersync.sandbox import Fault, Faults, Request, Sandbox, running
from usersync.sandbox.server import USERS_PATH
from usersync.settings import Rate, make_settings

FIFTY = "limit_req zone=pace burst=5 nodelay; limit_req_status 429;"
#: Seconds by which requests arrive unevenly here: the rate is kept where they start.
JITTER = 0.05
#: Arrivals in a second at 20/s, on a busy machine too; two processes that share no rate would send 40.
MOST_OF_20 = 25
#: What a process that still leaves half of 20/s to another one sends in a second.
MOST_OF_HALF = 12
SENDER = "import sys; from tests.faults.test_rates import send; send(sys.argv[1], sys.argv[2], int(sys.argv[3]))"


def send(url: str, rate: str, users: int) -> RequestCounts:
    """Update so many users; returns the requests sent."""
    settings = make_settings(
        {"platform": {"url": url, "token_command": f"echo {TOKEN}"}, "request": {"rate": rate, "retries": 0}}
    )
    context = Context()

    async def work() -> RequestCounts:
        async with connected(settings, context) as sender:

            async def update(user_id: int) -> None:
                await sender.update(user_id, {"name": f"New {user_id}"})

            await run_concurrently(range(1, users + 1), update, concurrency=16, stop=context.stop)
            return sender.counts

    return asyncio.run(work())


@contextmanager
def sending(*words: object) -> Iterator["subprocess.Popen[str]"]:
    """Send in a process of its own, which does not outlive the test."""
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", SENDER, *map(str, words)]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: "subprocess.Popen[str]") -> str:
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return err


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with running(Sandbox(users=200, limit=None)) as open_box:
        yield open_box


@pytest.mark.skipif(NGINX is None, reason=NO_NGINX)
def test_an_nginx_that_counts_refuses_nothing(box: Sandbox, tmp_path: Path) -> None:
    with nginx_before(box.port, tmp_path, pace=FIFTY) as port:
        counts = send(f"http://127.0.0.1:{port}", "50/s", 110)
        assert 429 in asked_at_once(port, 50)  # it does count
    assert counts.responses == {200: 110}


def test_a_fixed_window_refuses_nothing() -> None:
    with running(Sandbox(users=200, limit=Rate(40, 1.0))) as box:
        counts = send(box.url, "40/s", 100)
    assert counts.responses == {200: 100}


def test_a_fixed_window_refuses_nothing_while_connections_are_lost() -> None:
    """By the platform's own log: what the client library repeats by itself would be counted there."""

    def script(method: str, user_id: int | None, n: int) -> Fault | None:
        return Fault.RESET_BEFORE if user_id and user_id % 3 == 0 else None

    with running(Sandbox(users=200, limit=Rate(40, 1.0), faults=Faults(script=script))) as box:
        counts = send(box.url, "40/s", 60)
    assert {r.status for r in box.log} == {0, 200}
    assert counts.get + counts.patch == len(box.log)


def asked_at_once(port: int, times: int) -> list[int]:
    """Ask over so many connections before the first answer is read; returns the statuses of the answers."""
    with ExitStack() as stack:
        callers = [stack.enter_context(closing(HTTPConnection("127.0.0.1", port))) for _ in range(times)]
        for caller in callers:
            caller.connect()
        for caller in callers:
            caller.request("GET", f"{USERS_PATH}/1")
        return [caller.getresponse().status for caller in callers]


def most_in_a_second(log: tuple[Request, ...]) -> int:
    second = timedelta(seconds=1.0 - JITTER)
    return max(sum(r.at <= other.at < r.at + second for other in log) for r in log)


def test_two_processes_at_the_same_time_share_one_rate(box: Sandbox) -> None:
    box.hold()  # else the first one may be done before the second one is at work
    with sending(box.url, "20/s", 25) as one, sending(box.url, "20/s", 25) as two:
        wait_until(lambda: [r.user_id for r in box.log].count(1) == 2)
        box.release()
        assert [finish(one), finish(two)] == ["", ""]
    assert len(box.log) == 50
    assert most_in_a_second(box.log) <= MOST_OF_20
    together = box.log[[r.user_id for r in box.log].index(1, 1) :]
    assert (together[-1].at - together[0].at).total_seconds() < 2 * len(together) / 20


def when_both_work(act: Callable[["subprocess.Popen[str]"], None]) -> tuple[Sandbox, str]:
    """Let two processes send, do `act` to one of them, and let the other one finish; gives what that one said."""
    both_at_work = Event()

    def script(method: str, user_id: int | None, nth: int) -> None:
        if (user_id, nth) == (8, 2):
            both_at_work.set()

    with running(Sandbox(users=200, limit=None, faults=Faults(script=script))) as box:
        with sending(box.url, "20/s", 35) as struck, sending(box.url, "20/s", 35) as other:
            assert both_at_work.wait(PATIENCE)
            act(struck)
            said = finish(other)
        return box, said


def test_a_process_that_was_killed_gives_its_share_back() -> None:
    box, said = when_both_work(lambda process: process.kill())
    assert said == ""
    assert most_in_a_second(box.log) <= MOST_OF_20
    last = box.log[-1].at
    assert sum(r.at > last - timedelta(seconds=1) for r in box.log) > MOST_OF_HALF


def test_a_suspended_process_does_not_stop_the_others() -> None:
    box, _ = when_both_work(lambda process: process.send_signal(signal.SIGSTOP))
    assert {r.user_id for r in box.log if r.applied} >= set(range(1, 36))
