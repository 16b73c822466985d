"""Test the sandbox over a real socket, on a manual clock."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import wait_until
from tests.sandbox.conftest import JSON, START, TOKEN, Ask, ManualClock, Reply, ask, send
from usersync.errors import UsageError
from usersync.sandbox import Answer, Fault, Faults, Request, Sandbox, StoredUser, running, serve
from usersync.settings import Rate, load_settings


def rename(name: str = "New", user: int = 7) -> Ask:
    return Ask("PATCH", user, {"name": name})


def test_a_user_can_be_read_and_updated() -> None:
    box = Sandbox(users=[StoredUser(7, "Ann", "ann@example.org")])
    before, after, again = ask(box, Ask(), rename("Анна"), Ask())
    assert (before.status, before.body["name"]) == (200, "Ann")
    assert (after.status, after.body["name"]) == (200, "Анна")
    assert again.body == after.body
    assert box.store.users[7].name == "Анна"
    assert after.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("one", "status", "body"),
    [
        pytest.param(Ask(headers=JSON), 401, {"error": "Invalid access_token"}, id="no token"),
        pytest.param(
            Ask(headers={"api_access_token": "sandbox-tokem"}),
            401,
            {"error": "Invalid access_token"},
            id="wrong token",
        ),
        pytest.param(
            Ask("PATCH", 99, {}, JSON), 401, {"error": "Invalid access_token"}, id="the token is checked first"
        ),
        pytest.param(Ask(user=13), 401, {"error": "Non permissible resource"}, id="a forbidden user"),
        pytest.param(
            Ask("PATCH", 13, {"name": "X"}), 401, {"error": "Non permissible resource"}, id="a forbidden update"
        ),
        pytest.param(Ask(user=99), 404, {"error": "Resource could not be found"}, id="no such user"),
        pytest.param(Ask(user="12.0"), 404, {"error": "Resource could not be found"}, id="a decimal id"),
        pytest.param(Ask(user="seven"), 404, {"error": "Resource could not be found"}, id="letters instead of an id"),
        pytest.param(Ask(user="-7"), 404, {"error": "Resource could not be found"}, id="a negative id"),
        pytest.param(Ask(user=""), 404, {"error": "Resource could not be found"}, id="no id"),
        pytest.param(Ask(user="9" * 5000), 404, {"error": "Resource could not be found"}, id="an endless id"),
        pytest.param(Ask(user="5/../7"), 404, {"error": "Resource could not be found"}, id="a path instead of an id"),
        pytest.param(
            Ask(user="5%2F..%2F7"), 404, {"error": "Resource could not be found"}, id="the same path, percent-encoded"
        ),
        pytest.param(Ask(path="/api/v1/users/"), 404, {"error": "Resource could not be found"}, id="another path"),
        pytest.param(Ask("DELETE"), 404, {"error": "Resource could not be found"}, id="another method"),
        pytest.param(Ask("PATCH", 7, b'{"name": '), 400, {"status": 400, "error": "Bad Request"}, id="truncated JSON"),
        pytest.param(
            Ask("PATCH", 7, b'{"name": "\xff"}'),
            400,
            {"status": 400, "error": "Bad Request"},
            id="JSON that is not UTF-8",
        ),
        pytest.param(
            Ask("PATCH", 7, b'{"custom_attributes": {"seats": NaN}}'),
            400,
            {"status": 400, "error": "Bad Request"},
            id="NaN is not JSON",
        ),
        pytest.param(
            Ask("PATCH", 7, {"email": "ingrid.lindqvist@example.org"}),
            422,
            {"message": "Email has already been taken", "attributes": ["email"]},
            id="an e-mail address in use",
        ),
        pytest.param(
            Ask("PATCH", 7, {"password": "Abcdef1"}),
            422,
            {"message": "Password must contain at least 1 special character", "attributes": ["password"]},
            id="a weak password",
        ),
    ],
)
def test_a_wrong_request_is_refused_and_changes_nothing(one: Ask, status: int, body: object) -> None:
    box = Sandbox(users=20, forbidden={13})
    before = dict(box.store.users)
    [reply] = ask(box, one)
    assert (reply.status, reply.body) == (status, body)
    assert box.store.users == before
    assert [(r.status, r.applied) for r in box.log] == [(status, False)]


def test_a_body_of_another_content_type_is_ignored() -> None:
    box = Sandbox()
    plain = Ask("PATCH", 7, b'{"name": "New"}', TOKEN | {"Content-Type": "text/plain"})
    assert [reply.status for reply in ask(box, plain, Ask())] == [200, 200]
    assert box.store.users[7].name != "New"


def test_every_request_is_logged() -> None:
    clock = ManualClock()
    box = Sandbox(limit=Rate(4, 60.0), clock=clock)
    ask(box, Ask(user=99), rename(), Ask(headers={}), Ask("PATCH", 7, b"{"), rename("Late"))
    assert box.log == (
        Request(START, "GET", 99, 404, None),
        Request(START, "PATCH", 7, 200, {"name": "New"}, applied=True),
        Request(START, "GET", 7, 401, None),
        Request(START, "PATCH", 7, 400, b"{"),
        Request(START, "PATCH", 7, 429, {"name": "Late"}),
    )
    assert box.tally == {("GET", 404): 1, ("PATCH", 200): 1, ("GET", 401): 1, ("PATCH", 400): 1, ("PATCH", 429): 1}


def test_without_a_log_requests_are_still_counted() -> None:
    box = Sandbox(keep_log=False)
    ask(box, Ask(), rename())
    assert box.log == ()
    assert box.tally == {("GET", 200): 1, ("PATCH", 200): 1}


def test_one_connection_serves_requests_one_after_the_other() -> None:
    box = Sandbox()
    ask(box, *[Ask()] * 5)
    assert (box.connections, box.most_in_flight, box.in_flight) == (1, 1, 0)


def test_requests_in_flight_at_the_same_time_are_counted() -> None:
    everybody_in = asyncio.Event()

    class Turnstile(ManualClock):
        async def sleep(self, seconds: float) -> None:
            if box.in_flight == 8:
                everybody_in.set()
            await everybody_in.wait()

    box = Sandbox(latency=1.0, clock=Turnstile())

    async def talk() -> None:
        async with box, aiohttp.ClientSession() as session:
            await asyncio.gather(*(send(session, box.url, Ask(user=n)) for n in range(1, 9)))

    asyncio.run(talk())
    assert (box.connections, box.most_in_flight, box.in_flight) == (8, 8, 0)


def test_hold_carries_requests_out_and_delays_their_answers_until_release() -> None:
    box = Sandbox()

    async def talk() -> list[Reply]:
        async with box, aiohttp.ClientSession() as session:
            box.hold(after=1)
            first = await send(session, box.url, Ask())
            held = asyncio.create_task(send(session, box.url, rename("Held")))
            await asyncio.to_thread(wait_until, lambda: len(box.log) == 2)
            assert (box.store.users[7].name, held.done(), box.in_flight) == ("Held", False, 1)
            box.release()
            return [first, await held, await send(session, box.url, Ask())]

    assert [reply.status for reply in asyncio.run(talk())] == [200, 200, 200]


def test_latency_is_waited_for_on_the_given_clock() -> None:
    clock = ManualClock()
    ask(Sandbox(latency=0.25, clock=clock), Ask(), Ask(user=99))
    assert clock.slept == [0.25, 0.25]


def test_failed_requests_count_against_the_limit_too() -> None:
    clock = ManualClock()
    box = Sandbox(limit=Rate(4, 60.0), clock=clock)
    asks = [Ask(headers={}), Ask(user=99), Ask("PATCH", 7, {"email": "no"}), rename(), Ask(), rename("Lost"), Ask()]

    def half_a_minute_after_the_sixth() -> None:
        if len(box.log) == 6:
            clock.time += timedelta(seconds=48)

    replies = ask(box, *asks, between=half_a_minute_after_the_sixth)
    assert [reply.status for reply in replies] == [401, 404, 422, 200, 429, 429, 200]
    assert (replies[4].body, replies[4].headers["Content-Type"]) == ("Retry later\n", "text/plain; charset=utf-8")
    assert not {name for name in replies[4].headers if "Retry" in name or "Rate" in name}
    assert box.store.users[7].name == "New"


def test_limit_none_refuses_nothing() -> None:
    assert {reply.status for reply in ask(Sandbox(limit=None), *[Ask()] * 50)} == {200}


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        pytest.param({"retry_after": "seconds"}, {"Retry-After": "48"}, id="seconds"),
        pytest.param({"retry_after": "date"}, {"Retry-After": "Fri, 15 Jan 2027 08:01:00 GMT"}, id="an HTTP date"),
        pytest.param({"quota_headers": "RateLimit"}, {"RateLimit": '"default";r=0;t=48'}, id="RateLimit"),
        pytest.param({"quota_headers": "X-RateLimit"}, {"X-RateLimit-Remaining": "0"}, id="X-RateLimit"),
    ],
)
def test_limit_headers_are_sent_in_the_chosen_form(options: dict[str, Any], refused: dict[str, str]) -> None:
    first, second = ask(Sandbox(limit=Rate(1, 60.0), clock=ManualClock(), **options), Ask(), Ask())
    assert (first.status, second.status) == (200, 429)
    assert refused.items() <= second.headers.items()
    assert "Retry-After" not in first.headers


@pytest.mark.parametrize(
    ("fault", "seen", "decided", "applied"),
    [
        pytest.param("error", 503, 503, False, id="a proxy's error page"),
        pytest.param("reset-before", 0, 0, False, id="cut off before the update"),
        pytest.param("reset-after", 0, 200, True, id="cut off after the update"),
        pytest.param("stall", -1, 200, True, id="never answered"),
    ],
)
def test_a_script_chooses_the_fault_of_each_request(fault: str, seen: int, decided: int, applied: bool) -> None:
    once = Faults(script=lambda method, user_id, n: fault if (method, user_id, n) == ("PATCH", 7, 2) else None)
    box = Sandbox(faults=once)
    struck = replace(rename("Two"), patience=1.0) if fault == "stall" else rename("Two")
    replies = ask(box, Ask(), rename("One"), Ask(), struck, rename("Other", user=8), Ask(), rename("Three"))
    assert [reply.status for reply in replies] == [200, 200, 200, seen, 200, 200, 200]
    assert (box.log[3].status, box.log[3].applied, box.log[3].fault) == (decided, applied, fault)
    assert replies[5].body["name"] == ("Two" if applied else "One")
    assert box.in_flight == 0


def test_a_503_answers_with_an_html_page() -> None:
    [reply] = ask(Sandbox(faults=Faults(errors=1.0)), Ask())
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.body == "<html><body><h1>503 Service Unavailable</h1></body></html>\n"


def test_a_stalled_answer_comes_after_the_given_seconds() -> None:
    clock = ManualClock()
    box = Sandbox(faults=Faults(timeouts=1.0, stall=45.0), clock=clock)
    assert ask(box, Ask())[0].status == 200
    assert clock.slept == [45.0]


def test_a_script_can_answer_instead_of_the_platform() -> None:
    busy = Answer(429, "Retry later", {"Retry-After": "2"})
    box = Sandbox(faults=Faults(script=lambda _method, _id, n: busy if n == 1 else None))
    first, second = ask(box, rename(), rename())
    assert (first.status, first.body, first.headers["Retry-After"]) == (429, "Retry later", "2")
    assert second.status == 200
    assert [(r.status, r.applied, r.fault) for r in box.log] == [(429, False, "scripted"), (200, True, "")]


def test_a_script_does_not_count_requests_that_the_limit_refused() -> None:
    box = Sandbox(
        limit=Rate(1, 60.0), clock=ManualClock(), faults=Faults(script=lambda *_: Answer(500, "")), keep_log=True
    )
    assert [reply.status for reply in ask(box, Ask(), Ask())] == [500, 429]


def befallen(faults: Faults, count: int = 400) -> list[str]:
    box = Sandbox(limit=None, faults=faults)
    ask(box, *[Ask()] * count)
    return [request.fault for request in box.log]


def test_random_faults_keep_their_shares_and_repeat_with_the_seed() -> None:
    faults = Faults(errors=0.2, resets=0.2, seed=5)
    seen = befallen(faults)
    counts = Counter(seen)
    assert counts.keys() == {"", Fault.ERROR, Fault.RESET_BEFORE, Fault.RESET_AFTER}
    assert 50 < counts[Fault.ERROR] < 110
    assert all(20 < counts[fault] < 60 for fault in (Fault.RESET_BEFORE, Fault.RESET_AFTER))
    assert befallen(faults) == seen
    assert befallen(Faults(errors=0.2, resets=0.2, seed=6)) != seen


@pytest.mark.parametrize("shares", [(0.6, 0.6, 0.0), (-0.1, 0.0, 0.0)])
def test_impossible_shares_of_faults_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="shares of faults must be between 0 and 1"):
        Faults(*shares)


def test_a_reopened_sandbox_keeps_its_port_and_its_users() -> None:
    box = Sandbox()
    ask(box, rename())
    port = box.port
    [reply] = ask(box, Ask())
    assert (box.port, reply.body["name"], len(box.log)) == (port, "New", 2)


def test_running_serves_a_program_without_an_event_loop() -> None:
    async def read(url: str) -> Reply:
        async with aiohttp.ClientSession() as session:
            return await send(session, url, Ask())

    with running(Sandbox()) as box:
        assert asyncio.run(read(box.url)).status == 200
    assert asyncio.run(read(box.url)).status == 0
    assert [request.status for request in box.log] == [200]


def test_closing_does_not_wait_for_stalled_answers() -> None:
    async def hang(url: str) -> Reply:
        async with aiohttp.ClientSession() as session:
            return await send(session, url, Ask())

    async def talk() -> Reply:
        asked = asyncio.Event()
        async with Sandbox(faults=Faults(script=lambda *_: asked.set() or Fault.STALL)) as box:
            client = asyncio.create_task(hang(box.url))
            await asked.wait()
        return await client

    assert asyncio.run(talk()).status == 0


def test_a_port_that_is_in_use_raises_oserror() -> None:
    with running(Sandbox()) as box, pytest.raises(OSError, match="in use"), running(Sandbox(port=box.port)):
        pass


def test_serve_runs_until_stop_is_set() -> None:
    async def talk() -> list[str]:
        stop, seen = asyncio.Event(), list[str]()

        def ready(box: Sandbox) -> None:
            seen.append(box.url)
            stop.set()

        await serve(Sandbox(), ready=ready, stop=stop)
        return seen

    assert asyncio.run(talk())[0].startswith("http://127.0.0.1:")


def test_importing_the_sandbox_does_not_import_pandas() -> None:
    code = "import sys, usersync.sandbox; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_config_sandbox_yaml_names_the_sandbox() -> None:
    settings = load_settings(Path(__file__).parents[2] / "config" / "sandbox.yaml")
    assert (settings.platform.url, settings.platform.token_env) == ("http://127.0.0.1:8400", "USERSYNC_TOKEN")
    assert settings.request.rate == Rate(3000, 60.0)
