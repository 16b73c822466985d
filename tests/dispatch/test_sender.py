"""Test what is read, updated, retried and looked up for a single user."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from tests.conftest import TOKEN, FakeClock
from usersync.context import Context, Stopping, run_concurrently
from usersync.dispatch.connection import connected
from usersync.dispatch.sender import Sender
from usersync.models import Code, Result, Status, User
from usersync.sandbox import Answer, Fault, Faults, Sandbox
from usersync.sandbox.faults import Script
from usersync.settings import Settings, make_settings

Value = TypeVar("Value")
SECRET = "Str0ng!secret"
RENAMED = {"name": "New"}
REFUSED = Answer(422, {"message": "No", "attributes": []})
GONE = Answer(404, {"error": "Resource could not be found"})


#: Another user than the one that is sent.
OTHER = Answer(200, {"id": 8, "name": "X", "email": None})


def user_7(name: str, **values: object) -> Answer:
    return Answer(200, {"id": 7, "name": name, "email": "u7@example.org", **values})


def settings_for(box: Sandbox, **request: object) -> Settings:
    return make_settings(
        {
            "platform": {"url": box.url, "token_command": f"echo {TOKEN}"},
            "request": {"rate": "off", "retries": 1, **request},
        }
    )


def with_sender(
    work: Callable[[Sender, Sandbox], Awaitable[Value]],
    *,
    script: Script | None = None,
    context: Context | None = None,
    **request: object,
) -> Value:
    """Do `work` with a sender to a sandbox of nine users, on a clock that does not wait."""

    async def opened() -> Value:
        async with Sandbox(users=9, limit=None, faults=Faults(script=script)) as box:
            around = context or Context(clock=FakeClock(), random=lambda: 0.0)
            async with connected(settings_for(box, **request), around) as sender:
                return await work(sender, box)

    return asyncio.run(opened())


def updated(
    script: Script | None = None, values: dict[str, object] = RENAMED, **request: object
) -> tuple[Result, list[str]]:
    """Update user 7; returns the result, and the methods of all requests."""

    async def work(sender: Sender, box: Sandbox) -> tuple[Result, list[str]]:
        return await sender.update(7, values), [r.method for r in box.log]

    return with_sender(work, script=script, **request)


def test_a_user_is_read() -> None:
    found = with_sender(lambda sender, _: sender.read(7))
    assert isinstance(found, User)
    assert found.id == 7


def test_a_user_that_is_not_there_fails() -> None:
    found = with_sender(lambda sender, _: sender.read(77))
    assert isinstance(found, Result)
    assert (found.status, found.code, found.http_status, found.attempts) == (Status.FAILED, Code.NOT_FOUND, 404, 1)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"custom_attributes": '{"seats": 4}'}, id="attributes as JSON text"),
        pytest.param({"custom_attributes": [{"key": "seats", "value": 4}]}, id="attributes as a list"),
        pytest.param({"name": 7}, id="a number as the name"),
        pytest.param({"email": False}, id="no text as the address"),
    ],
)
def test_a_user_whose_values_cannot_be_read_holds_no_blank_ones(value: dict[str, object]) -> None:
    user = {"id": 7, "name": "User 7", "email": "u7@example.org", **value}
    found = with_sender(lambda sender, _: sender.read(7), script=lambda *_: Answer(200, user))
    assert isinstance(found, Result)
    assert (found.status, found.code) == (Status.FAILED, Code.PLATFORM_ERROR)


def test_an_update_answered_with_the_new_values_is_done() -> None:
    result, requests = updated()
    assert (result.status, result.http_status, result.attempts, requests) == (Status.UPDATED, 200, 1, ["PATCH"])
    assert result.user is not None
    assert result.user.name == "New"


def test_an_update_answered_with_other_values_fails() -> None:
    result, requests = updated(lambda *_: user_7("Old"))
    assert (result.status, result.code, requests) == (Status.FAILED, Code.ECHO_DIFFERS, ["PATCH", "GET"])
    assert result.message.startswith("the platform answered 200 but holds another value of name; the user, read after")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(200, {"id": 7}), id="the id alone"),
    ],
)
@pytest.mark.parametrize(
    ("read", "status"),
    [
        pytest.param(user_7("New", custom_attributes=[]), Status.UPDATED, id="carried out"),
        pytest.param(user_7("Old"), Status.FAILED, id="not carried out"),
        pytest.param(OTHER, Status.UNKNOWN, id="not to be learned"),
    ],
)
def test_an_update_whose_answer_does_not_confirm_it_is_read_and_not_repeated(
    answer: Answer, read: Answer, status: Status
) -> None:
    result, requests = updated(lambda method, *_: answer if method == "PATCH" else read)
    assert (result.status, requests) == (status, ["PATCH", "GET"])


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(200, {"id": 7, "name": "New"}), id="what was sent alone"),
        pytest.param(Answer(200, {"id": 7, "name": "New", "email": 5}), id="no text as address"),
        pytest.param(user_7("New", custom_attributes="{}"), id="attributes that are text"),
    ],
)
def test_an_answer_that_leaves_out_a_part_of_the_user_confirms_what_it_holds_and_nothing_else(answer: Answer) -> None:
    result, requests = updated(lambda *_: answer)
    assert (result.status, result.user, requests) == (Status.UPDATED, None, ["PATCH"])


@pytest.mark.parametrize("values", [RENAMED, {**RENAMED, "password": SECRET}])
@pytest.mark.parametrize(
    ("read", "status", "holds"),
    [
        pytest.param(user_7("New"), Status.UPDATED, "New", id="carried out"),
        pytest.param(user_7("Altered"), Status.FAILED, "Altered", id="altered"),
        pytest.param(GONE, Status.FAILED, "Old", id="gone"),
        pytest.param(REFUSED, Status.FAILED, "Old", id="not to be learned"),
    ],
)
def test_what_was_answered_counts_where_the_user_cannot_be_read_afterwards(
    read: Answer, status: Status, holds: str, values: dict[str, object]
) -> None:
    result, requests = updated(lambda method, *_: user_7("Old") if method == "PATCH" else read, values)
    assert (result.status, requests) == (status, ["PATCH", "GET"])
    assert result.user is not None
    assert result.user.name == holds


def test_an_update_that_is_answered_with_a_redirect_to_its_result_is_unknown() -> None:
    result, _ = updated(lambda *_: Answer(303, "", {"Location": "/users/7"}))
    assert (result.status, result.code) == (Status.UNKNOWN, Code.PLATFORM_ERROR)


@pytest.mark.parametrize(
    ("fault", "values", "status", "message"),
    [
        pytest.param(Fault.RESET_AFTER, RENAMED, Status.UPDATED, "holds the new values", id="carried out"),
        pytest.param(Fault.RESET_BEFORE, RENAMED, Status.FAILED, "not hold the new values", id="not carried out"),
        pytest.param(Fault.ERROR, RENAMED, Status.FAILED, "not hold the new values", id="503"),
        pytest.param(
            Fault.RESET_AFTER, {"password": SECRET}, Status.UNKNOWN,
            "a password cannot be read back", id="a password",
        ),
    ],
)  # fmt: skip
def test_after_lost_answers_the_user_is_read(
    fault: Fault, values: dict[str, object], status: Status, message: str
) -> None:
    result, requests = updated(lambda method, *_: fault if method == "PATCH" else None, values)
    assert (result.status, message in result.message) == (status, True), result.message
    assert (result.attempts, requests) == (2, ["PATCH", "PATCH", "GET"])


BOTH = {"name": "New", "custom_attributes.seats": 5}


@pytest.mark.parametrize("repeat", [REFUSED, Answer(409, {"error": "Conflict"}), GONE])
@pytest.mark.parametrize(
    ("first", "values", "status", "message"),
    [
        pytest.param(Fault.RESET_AFTER, RENAMED, Status.UPDATED, "holds the new values", id="carried out"),
        pytest.param(Fault.RESET_BEFORE, RENAMED, Status.FAILED, "not hold the new values", id="not carried out"),
        pytest.param(Fault.RESET_AFTER, {"password": SECRET}, Status.UNKNOWN, "cannot be read back", id="a password"),
    ],
)
def test_an_update_whose_repeat_is_refused_is_read(
    repeat: Answer, first: Fault, values: dict[str, object], status: Status, message: str
) -> None:
    result, requests = updated(lambda method, _, n: (first, repeat)[n - 1] if method == "PATCH" else None, values)
    assert (result.status, message in result.message) == (status, True), result.message
    assert requests == ["PATCH", "PATCH", "GET"]


def test_an_update_without_an_answer_of_a_user_who_is_gone_by_now_has_failed() -> None:
    result, _ = updated(lambda method, _, n: Fault.RESET_AFTER if (method, n) == ("PATCH", 1) else GONE)
    assert (result.status, result.code, result.http_status) == (Status.FAILED, Code.NOT_FOUND, 404)


@pytest.mark.parametrize("read", [REFUSED, Answer(401, {"error": "Non permissible resource"})])
def test_an_update_without_an_answer_of_a_user_who_may_not_be_read_is_unknown(read: Answer) -> None:
    result, _ = updated(lambda method, *_: Fault.RESET_AFTER if method == "PATCH" else read)
    assert (result.status, result.code) == (Status.UNKNOWN, Code.CONNECTION)


def test_an_update_that_is_refused_at_once_is_not_read() -> None:
    result, requests = updated(lambda *_: REFUSED)
    assert (result.status, result.code, requests) == (Status.FAILED, Code.REFUSED, ["PATCH"])


def test_an_update_without_an_answer_of_which_the_platform_dropped_a_part_has_failed() -> None:
    dropped = user_7("New")
    result, _ = updated(lambda method, *_: Fault.RESET_AFTER if method == "PATCH" else dropped, BOTH)
    assert (result.status, result.code) == (Status.FAILED, Code.ECHO_DIFFERS)
    assert result.message.endswith("the user, read afterwards, holds another value of custom_attributes.seats")


@pytest.mark.parametrize(
    ("read", "status", "message"),
    [
        pytest.param(user_7("New"), Status.UPDATED, "holds the new values", id="carried out"),
        pytest.param(user_7("Old"), Status.FAILED, "not hold the new values", id="not carried out"),
        pytest.param(
            OTHER,
            Status.UNKNOWN,
            "answered with user 8",
            id="not to be learned",
        ),
    ],
)
def test_an_update_answered_with_another_user_is_read_and_not_repeated(
    read: Answer, status: Status, message: str
) -> None:
    result, requests = updated(lambda method, *_: OTHER if method == "PATCH" else read)
    assert (result.status, message in result.message) == (status, True), result.message
    assert requests == ["PATCH", "GET"]


def test_a_rate_limited_update_is_repeated_and_not_counted_as_an_attempt() -> None:
    result, requests = updated(lambda _, __, n: Answer(429, "Retry later\n") if n < 3 else None)
    assert (result.status, result.attempts, requests) == (Status.UPDATED, 1, ["PATCH"] * 3)


def test_what_was_sent_is_counted() -> None:
    async def work(sender: Sender, _: Sandbox) -> Sender:
        await sender.update(7, RENAMED)
        await sender.read(7)
        return sender

    sender = with_sender(work, script=lambda m, _, n: Answer(429, "") if m == "PATCH" and n == 1 else None)
    counts = sender.counts
    assert (counts.get, counts.patch, counts.retried, counts.throttled) == (1, 2, 0, 1)
    assert counts.responses == {429: 1, 200: 2}
    assert sum(one.requests for one in sender.slices()) == 3


@pytest.mark.parametrize(
    ("script", "status"),
    [
        pytest.param(None, None, id="not carried out"),
        pytest.param(lambda *_: user_7("New"), Status.UPDATED, id="carried out"),
        pytest.param(lambda *_: Answer(500, ""), Status.UNKNOWN, id="not to be learned"),
        pytest.param(
            lambda *_: Answer(401, {"error": "Non permissible resource"}), Status.UNKNOWN, id="not permitted any more"
        ),
        pytest.param(lambda *_: Answer(404, {"error": "Resource could not be found"}), Status.FAILED, id="gone"),
    ],
)
def test_a_change_in_doubt_is_looked_up(script: Script | None, status: Status | None) -> None:
    result = with_sender(lambda sender, _: sender.look_up(7, RENAMED), script=script)
    assert (result.status if result else None) == status


def test_a_wrong_token_stops_the_run_and_the_row_is_not_sent() -> None:
    context = Context(clock=FakeClock())
    result = with_sender(
        lambda sender, _: sender.update(7, RENAMED),
        script=lambda *_: Answer(401, {"error": "Invalid access_token"}),
        context=context,
    )
    assert (result.status, result.message) == (Status.NOT_SENT, "not sent: the run stopped first")
    assert context.stop.reason
    assert context.stop.reason.exit_code == 4


PAGE = "<html>Sorry</html>"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(
            Answer(302, "", {"Location": "https://sso.example.org/in"}), "https://sso.example.org/in", id="302"
        ),
        pytest.param(Answer(407, PAGE), "put them into request.proxy", id="407"),
        pytest.param(Answer(404, PAGE), "answered 404 with an HTML page, which is not the platform's API", id="404"),
        pytest.param(Answer(403, PAGE), "a firewall is in between", id="403"),
        pytest.param(Answer(404, ""), "down for maintenance", id="404 without a body"),
        pytest.param(Answer(400, PAGE), "a firewall is in between", id="400"),
        pytest.param(Answer(413, PAGE), "a firewall is in between", id="413"),
        pytest.param(Answer(418, PAGE), "a firewall is in between", id="418"),
        pytest.param(Answer(200, PAGE), "answered 200 with an HTML page", id="200"),
    ],
)
@pytest.mark.parametrize("concurrency", [1, 10])
def test_what_no_waiting_heals_stops_the_run_and_all_rows_are_not_sent(
    answer: Answer, message: str, concurrency: int
) -> None:
    context = Context(clock=FakeClock(), random=lambda: 0.0)
    results: list[Result] = []

    async def work(sender: Sender, box: Sandbox) -> int:
        async def update(user_id: int) -> None:
            results.append(await sender.update(user_id, RENAMED))

        await run_concurrently(range(1, 10), update, concurrency=concurrency, stop=context.stop)
        return len(box.log)

    asked = with_sender(work, script=lambda *_: answer, context=context, concurrency=concurrency)
    in_doubt = answer.status == 200  # something answered that may have passed the request on
    assert {result.status for result in results} == {Status.UNKNOWN if in_doubt else Status.NOT_SENT}
    assert asked <= 9
    assert context.stop.reason
    assert (context.stop.reason.exit_code, message in context.stop.reason.message) == (4, True), context.stop.reason
    assert context.clock.monotonic() < 30


def test_a_page_instead_of_one_user_fails_that_row_only() -> None:
    context = Context(clock=FakeClock(), random=lambda: 0.0)

    async def work(sender: Sender, _: Sandbox) -> list[Result]:
        return [await sender.update(user_id, RENAMED) for user_id in (1, 2, 3)]

    script: Script = lambda _, user_id, __: Answer(403, PAGE) if user_id == 2 else None  # noqa: E731
    first, second, third = with_sender(work, script=script, context=context)
    assert (first.status, third.status) == (Status.UPDATED, Status.UPDATED)
    assert (second.status, second.code, second.http_status) == (Status.FAILED, Code.PLATFORM_ERROR, 403)
    assert not context.stop


def test_an_update_that_may_have_been_carried_out_is_unknown_where_the_platform_asks_to_wait_too_long() -> None:
    result, requests = updated(lambda *_: Answer(502, PAGE, {"Retry-After": "7200"}))
    assert (result.status, result.code, requests) == (Status.UNKNOWN, Code.PLATFORM_ERROR, ["PATCH"])


def test_pages_for_updates_stop_the_run_though_users_can_be_read() -> None:
    context = Context(clock=FakeClock(), random=lambda: 0.0)

    async def work(sender: Sender, box: Sandbox) -> tuple[int, frozenset[int]]:
        async def update(user_id: int) -> None:
            await sender.read(user_id)
            await sender.update(user_id, RENAMED)

        await run_concurrently(range(1, 10), update, concurrency=1, stop=context.stop)
        return sum(r.method == "PATCH" for r in box.log), sender.users_without_api_answer

    script: Script = lambda method, *_: Answer(200, PAGE) if method == "PATCH" else None  # noqa: E731
    assert with_sender(work, script=script, context=context, retries=1) == (5, frozenset({1, 2, 3}))
    assert context.stop.reason
    assert context.stop.reason.exit_code == 4


def test_a_proxy_that_cannot_be_reached_stops_the_run_after_three_tries() -> None:
    context = Context(clock=FakeClock(), random=lambda: 0.5)
    results: list[Result] = []

    async def work(sender: Sender, _: Sandbox) -> None:
        async def update(user_id: int) -> None:
            results.append(await sender.update(user_id, RENAMED))

        await run_concurrently(range(1, 10), update, concurrency=4, stop=context.stop)

    with_sender(work, context=context, proxy="http://ann:s3cret@127.0.0.1:1", retries=0)
    assert {result.status for result in results} == {Status.NOT_SENT}
    assert context.stop.reason
    assert context.stop.reason.message == (
        "the proxy cannot be reached; check request.proxy, then run `usersync resume` (3 tries failed)"
    )
    assert 5 < context.clock.monotonic() < 30


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"id": 7, "name": "New", "custom_attributes": {"a": 1e999}}', id="a number without end"),
        pytest.param('{"id": 7, "name": "New", "x": ' + "[" * 600 + "]" * 600 + "}", id="nested 600 deep"),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_platform_error_of_its_row(body: str) -> None:
    result, _ = updated(lambda *_: Answer(200, body, {"Content-Type": "application/json"}))
    assert (result.status, result.code) == (Status.UNKNOWN, Code.PLATFORM_ERROR)


def test_every_request_sent_is_counted() -> None:
    """By the platform's own log, with every second read lost on a kept-alive connection."""

    async def work(sender: Sender, box: Sandbox) -> tuple[int, int]:
        for _ in range(20):
            await sender.read(7)
        return sender.counts.get, len(box.log)

    counted, seen = with_sender(work, script=lambda _, __, n: Fault.RESET_BEFORE if n % 2 else None, retries=0)
    assert counted == seen == 20


@pytest.mark.parametrize("retries", [0, 4])
def test_a_platform_that_fails_everything_gets_few_requests(retries: int) -> None:
    context = Context(clock=FakeClock(), random=lambda: 1.0)

    async def work(sender: Sender, box: Sandbox) -> int:
        await run_concurrently(range(2000), lambda _: sender.update(7, RENAMED), concurrency=50, stop=context.stop)
        return len(box.log)

    asked = with_sender(work, script=lambda *_: Answer(500, PAGE), context=context, concurrency=50, retries=retries)
    assert asked < 60
    assert context.stop.reason
    assert context.stop.reason.message == (
        "no successful response for 300 s (answered 500); check that the platform is up, then run `usersync resume`"
    )


def test_429s_that_have_nothing_to_do_with_our_rate_do_not_slow_it_down_for_good() -> None:
    """One answer in twenty; possible are 50 a second."""
    context, count = Context(clock=FakeClock(), random=lambda: 0.5), 0

    def script(*_: object) -> Answer | None:
        nonlocal count
        count += 1
        return Answer(429, "Retry later\n") if count * 7919 % 20 == 0 else None

    async def work(sender: Sender, _: Sandbox) -> None:
        await run_concurrently(range(800), lambda _: sender.update(7, RENAMED), concurrency=16, stop=context.stop)

    with_sender(work, script=script, context=context, rate="50/s")
    assert 16 < context.clock.monotonic() < 32


def test_the_time_allowed_ends_the_run() -> None:
    async def work() -> Context:
        context = Context(clock=FakeClock())
        async with Sandbox(users=9) as box, connected(settings_for(box), context, 60.0):
            with pytest.raises(Stopping):
                await context.stop.wait(asyncio.Event().wait())  # type: ignore[arg-type]
        return context

    assert str(asyncio.run(work()).stop.reason) == (
        "StopReason(exit_code=4, message='the time limit of 60 s is reached')"
    )


def test_secrets_that_the_platform_quotes_are_masked() -> None:
    quote = {"message": f"{SECRET} and {TOKEN} are no good"}
    result, _ = updated(lambda *_: Answer(422, quote), {"password": SECRET})
    assert result.message == "the platform refused it: *** and *** are no good"


def test_after_a_stop_no_further_job_is_taken() -> None:
    context, jobs = Context(), iter(range(100))

    async def work(job: int) -> None:
        if job == 10:
            context.stop.ask(130, "stopped")
        await asyncio.sleep(0)

    asyncio.run(run_concurrently(jobs, work, concurrency=4, stop=context.stop))
    assert len(list(jobs)) >= 100 - 14
