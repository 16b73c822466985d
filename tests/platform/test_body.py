"""Test that the body of a response is bounded, and harmless when quoted."""

import json

import pytest

from usersync.models import Json
from usersync.platform.body import MAX_DEPTH, BodyError, parse_body, quotable

SECRET = "Str0ng!secret"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"[" * 600 + b"]" * 600, "nested deeper", id="nested 600 deep"),
        pytest.param(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper", id="nested one too deep"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested deeper", id="nested 100,000 deep"),
        pytest.param(b'{"a": [{"b": 1e999}]}', "a number that is not finite", id="a number without end"),
        pytest.param(b'{"a": -Infinity}', "a number that is not finite", id="an infinity"),
        pytest.param(b'{"a": NaN}', "a number that is not finite", id="not a number"),
        pytest.param(b"1" * 10_000, "not JSON", id="a number of 10,000 digits"),
        pytest.param(b"<html></html>", "not JSON", id="a page"),
        pytest.param(b"\xff\xfe", "not JSON", id="no UTF-8"),
        pytest.param(b"", "not JSON", id="nothing"),
    ],
)
def test_refuses_a_body(raw: bytes, reason: str) -> None:
    with pytest.raises(BodyError, match=reason):
        parse_body(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param(b'{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}, id="values of all types"),
        pytest.param(
            b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
            json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH), id="nested as deep as is allowed",
        ),
        pytest.param(rb'{"a\u0000": "x\u001b]0;title\u0007y\u009b"}', {"a": "x]0;titley"}, id="control characters"),
        pytest.param('"x\x9by\\u00e9z"'.encode(), "xyéz", id="a control character as it is"),
        pytest.param('\ufeff{"a": "é"}'.encode(), {"a": "é"}, id="a byte order mark"),
        pytest.param(rb'"one\ttab\nline\r"', "one\ttab\nline\r", id="white space is data"),
        pytest.param(rb'"\ud83d\ude00 and \ud83d"', "\U0001f600 and ?", id="half a character"),
    ],
)  # fmt: skip
def test_parses_a_body(raw: bytes, value: Json) -> None:
    assert parse_body(raw) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("Email has\nalready\t been taken", "Email has already been taken", id="one line"),
        pytest.param(f"{SECRET} is weak", "*** is weak", id="a secret that was sent"),
        pytest.param(r'{"password": "a\"b1"}', '{"password": "***"}', id="a secret as JSON writes it"),
        pytest.param({"access_token": "abc", "id": 7}, '{"access_token": "***", "id": 7}', id="a token under its key"),
        pytest.param([{"user": {"Pubsub_TOKEN": ["abc"]}}], '[{"user": {"Pubsub_TOKEN": "***"}}]', id="deep inside"),
        pytest.param('bad: {"id": 7, "access_token": "abc", "x": 1}', 'bad: {"id": 7, "access_token": ***', id="text"),
        pytest.param(r"{\"access_token\":\"abc\"}", r"{\"access_token\": ***", id="JSON in a text in a text"),
        pytest.param("access_token: abc and more", "access_token: ***", id="text without quotes"),
        pytest.param('#<User access_token="abc">', "#<User access_token= ***", id="an inspected object"),
        pytest.param('{"pubsub_token"=>"abc"}', '{"pubsub_token"=> ***', id="a Ruby hash"),
        pytest.param("Invalid access_token", "Invalid access_token", id="the word alone"),
        pytest.param("access_token SECRET", "access_token ***", id="prose without a colon"),
        pytest.param("token is aB3xYz9Q, of user 7", "token is *** of user 7", id="later in the sentence"),
        pytest.param("pubsub_token\nabcdefghijklmnopqrstuvwx", "pubsub_token ***", id="the length of a token"),
        pytest.param(["Access token has expired (token)"], '["Access token has expired (token)"]', id="a reason"),
        pytest.param("The Token Was Used 12 times, don't", "The Token Was Used 12 times, don't", id="capitals"),
    ],
)
def test_quotes_a_message(value: Json, text: str) -> None:
    assert quotable(value, (SECRET, 'a"b1')) == text


def test_what_is_quoted_is_masked_before_it_is_cut() -> None:
    text = quotable("x" * 190 + SECRET, (SECRET,))
    assert len(text) <= 200
    assert SECRET[:5] not in text
