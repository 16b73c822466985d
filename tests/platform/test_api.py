"""Test what the API's responses mean, by case and status."""

import json
from datetime import UTC, datetime

import pytest

from usersync.diff.verification import mismatched_fields
from usersync.models import Code, User
from usersync.platform.api import (
    Answer,
    Misconfigured,
    NoResponse,
    Origin,
    RateLimited,
    Rejected,
    Response,
    Success,
    TransientError,
    Unauthorized,
    body_of,
    read_response,
    update_request,
)

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def values(**fields: object) -> dict[str, object]:
    return {name.replace("__", "."): value for name, value in fields.items()}


def read(status: int, body: object = b"", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_response(Response(status, {k.replace("_", "-"): v for k, v in headers.items()}, raw), NOW)


def test_a_change_becomes_one_body_with_attributes_as_an_object() -> None:
    body = body_of(values(name="Zoë", custom_attributes__seats=5, custom_attributes__team=None))
    assert body == {"name": "Zoë", "custom_attributes": {"seats": 5, "team": None}}
    assert update_request(7, values(name="Zoë")).body == '{"name":"Zoë"}'.encode()


def test_a_user_is_taken_in_without_its_tokens() -> None:
    user = {"id": 7, "name": "A", "email": "a@x.org", "access_token": "secret1", "pubsub_token": "secret2"}
    answer = read(200, user)
    assert answer == Success(User(7, "A", None, "a@x.org", {}))
    assert "secret" not in repr(answer)


PAGE = "an HTML page"
NO_USER = TransientError(Code.PLATFORM_ERROR, "answered 200 with something that is not a user", 200)
FORBIDDEN = "this platform app may not manage this user; ask the platform's operator for permission"
TAKEN = {"message": "Email has already been taken", "attributes": ["email"]}


def refused(code: Code, status: int, message: str) -> Rejected:
    return Rejected(code, message, status)


def transient(status: int, message: str, code: Code = Code.PLATFORM_ERROR) -> TransientError:
    return TransientError(code, message, status)


NO_OBJECT = "no JSON object"
#: Statuses with which a proxy, a firewall or a login page answers in place of the API.
PAGES = (200, 202, 400, 402, 403, 404, 405, 406, 409, 410, 411, 412, 413, 414, 415, 418, 421, 422, 423, 425, 431, 451)


def foreign(status: int, what: str) -> TransientError:
    message = f"answered {status} with {what}, which is not the platform's API"
    return TransientError(Code.PLATFORM_ERROR, message, status, reached=status < 300, origin=Origin.OTHER)


def bad_body(what: str) -> TransientError:
    return transient(200, f"answered 200 with {what}")


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        pytest.param(
            401,
            {"error": "Non permissible resource"},
            refused(Code.NOT_PERMITTED, 401, FORBIDDEN),
            id="not this user",
        ),
        pytest.param(
            404,
            {"error": "Resource could not be found"},
            refused(Code.NOT_FOUND, 404, "there is no user with this id; correct the id"),
            id="no such user",
        ),
        pytest.param(
            422,
            TAKEN,
            refused(Code.REFUSED, 422, "the platform refused it: Email has already been taken (email)"),
            id="a value refused",
        ),
        *(pytest.param(status, HTML, foreign(status, PAGE), id=f"{status} with a page") for status in PAGES),
        pytest.param(422, b"", foreign(422, NO_OBJECT), id="422 with nothing"),
        pytest.param(422, {}, refused(Code.REFUSED, 422, "the platform refused it: no reason given"), id="no reason"),
        pytest.param(429, b"Retry later", RateLimited(None), id="the limit is used up"),
        pytest.param(503, {"error": "down"}, transient(503, "answered 503: down"), id="down"),
        pytest.param(502, HTML, transient(502, "answered 502 with an HTML page, as a proxy does"), id="a proxy's page"),
        pytest.param(504, b"", transient(504, "answered 504", Code.TIMEOUT), id="a proxy's time-out"),
        pytest.param(
            202, b"", transient(202, "answered 202, which does not say whether the update was carried out"),
            id="accepted, perhaps",
        ),
        pytest.param(403, {"error": "no"}, refused(Code.NOT_PERMITTED, 403, "the platform forbids it: no"), id="403"),
        pytest.param(405, b"", foreign(405, NO_OBJECT), id="405 with nothing"),
        pytest.param(404, b'"Not Found"', foreign(404, NO_OBJECT), id="404 with a text"),
        pytest.param(404, b"[" * 600 + b"]" * 600, foreign(404, NO_OBJECT), id="404, nested without end"),
        pytest.param(200, {"id": "7"}, NO_USER, id="no user"),
        pytest.param(200, b"[]", NO_USER, id="no object"),
        pytest.param(200, b"\xff\xfe", foreign(200, "something that is not JSON"), id="no JSON"),
        pytest.param(
            200, b'{"id": 7, "custom_attributes": {"x": 1e999}}', bad_body("a number that is not finite"), id="1e999"
        ),
        pytest.param(200, b"[" * 600 + b"]" * 600, bad_body("JSON nested deeper than 64 levels"), id="600 deep"),
    ],
)  # fmt: skip
def test_reads_an_answer(status: int, body: object, answer: Answer) -> None:
    assert read(status, body) == answer


def test_a_wrong_token_stops_the_run() -> None:
    assert isinstance(read(401, {"error": "Invalid access_token"}), Unauthorized)
    page = read(401, HTML)
    assert isinstance(page, Unauthorized)
    assert "(an HTML page, which is not the platform's API)" in page.message


@pytest.mark.parametrize(
    ("location", "what"),
    [
        pytest.param(
            "https://login.example.org/in?token=abc",
            "a redirect to https://login.example.org/in; redirects are not followed: set platform.url to",
            id="another host",
        ),
        pytest.param(
            "/v2/users/7", "a redirect to /v2/users/7; redirects are not followed: set platform.path to", id="a path"
        ),
        pytest.param("", "a redirect without a Location; redirects are not followed: check", id="nowhere"),
        pytest.param("/\x1b]0;x", "a redirect to /]0;x; ", id="control characters"),
    ],
)
def test_a_redirect_stops_the_run_and_is_named(location: str, what: str) -> None:
    answer = read(302, Location=location)
    assert isinstance(answer, Misconfigured)
    assert f"answered 302, {what}" in answer.message


def test_what_no_waiting_heals_stops_the_run() -> None:
    assert read_response(NoResponse(Code.CONNECTION, "why", permanent=True), NOW) == Misconfigured("why")


def test_tokens_and_control_characters_of_a_reason_are_not_shown() -> None:
    quoted = '\x1b]0;owned\x07 {"id": 7, "access_token": "abc"}'
    answer = read(422, {"message": quoted, "attributes": [{"access_token": "def"}]})
    assert isinstance(answer, Rejected)
    assert answer.message == 'the platform refused it: ]0;owned {"id": 7, "access_token": *** ({"access_token": "***"})'


def test_a_lost_answer_is_transient() -> None:
    assert read_response(NoResponse(Code.TIMEOUT, "no answer"), NOW) == TransientError(Code.TIMEOUT, "no answer")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("Tue, 24 Nov 2026 12:01:00 GMT", 60.0, id="an HTTP date"),
        pytest.param("Tue, 24 Nov 2026 11:00:00 GMT", 0.0, id="a date that is past"),
        pytest.param("-5", None, id="nonsense: negative"),
        pytest.param("soon", None, id="nonsense: a word"),
        pytest.param("inf", None, id="nonsense: without end"),
        pytest.param("nan", None, id="nonsense: not a number"),
    ],
)
def test_reads_retry_after(header: str, seconds: float | None) -> None:
    assert read(429, Retry_After=header) == RateLimited(seconds)
    assert read(503, Retry_After=header) == TransientError(Code.PLATFORM_ERROR, "answered 503", 503, seconds)


@pytest.mark.parametrize(
    ("sent", "current", "differs"),
    [
        pytest.param({"name": "A"}, {"name": "A"}, [], id="the new value"),
        pytest.param({"email": "a@x.org"}, {"email": "A@x.org"}, [], id="an e-mail in another case"),
        pytest.param({"password": "Aa1!xx"}, {}, [], id="a password is never answered"),
        pytest.param({"custom_attributes__x": None}, {}, [], id="cleared and gone"),
        pytest.param({"name": "A"}, {"name": "B"}, ["name"], id="another name"),
        pytest.param({"custom_attributes__x": 1}, {"custom_attributes": {"y": 1}}, ["custom_attributes.x"], id="lost"),
    ],
)
def test_compares_sent_values_with_the_answer(
    sent: dict[str, object], current: dict[str, object], differs: list[str]
) -> None:
    user = {"name": None, "display_name": None, "email": None, "custom_attributes": {}, **current}
    assert mismatched_fields(values(**sent), User(7, **user)) == differs  # type: ignore[arg-type]
