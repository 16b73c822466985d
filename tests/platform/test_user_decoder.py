"""Test the compiled decoder of users: it takes what is plain, and agrees with the careful way."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usersync.context import SystemClock
from usersync.models import User
from usersync.platform.api import Response, Success, read_response
from usersync.platform.user_decoder import decode_plain

TEXTS = st.none() | st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.integers(), TEXTS, TEXTS, TEXTS, st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_a_user_is_the_same_whichever_way_it_is_read(
    user_id: int, name: str | None, shown: str | None, email: str | None, attributes: dict[str, object]
) -> None:
    fields = {"name": name, "display_name": shown, "email": email, "custom_attributes": attributes}
    body = {"id": user_id, **fields, "access_token": "SECRET", "confirmed": True}
    plain = json.dumps(body, ensure_ascii=False).encode()
    with_escapes = json.dumps({**body, "account": "\\"}).encode()  # a backslash asks for the careful way
    careful = read_response(Response(200, {}, with_escapes), SystemClock().now())
    assert decode_plain(with_escapes) is None
    assert read_response(Response(200, {}, plain), SystemClock().now()) == careful
    found = decode_plain(plain)
    if found is not None:
        assert Success(found) == careful
        assert json.dumps(found.custom_attributes) == json.dumps(attributes)  # 1 is not 1.0, nor true


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": 7.0}',
        b'{"id": true}',
        b'{"id": "7"}',
        b'{"name": "A"}',
        b"[]",
        b'{"id": 7, "name": 5, "email": null}',
        b'{"id": 7, "name": "A"}',
        b'{"id": 7, "email": "a@x.org"}',
        b'{"id": 7, "name": null, "email": null, "custom_attributes": []}',
        b'{"id": 7, "name": null, "email": null, "custom_attributes": {"a": 1e999}}',
        b'{"id": 7, "name": null, "email": null, "custom_attributes": {"a": NaN}}',
        b'{"id": 7, "name": "a\\u0007", "email": null}',
        b'{"id": 7,\n "name": "a", "email": null}',
        b'\xef\xbb\xbf{"id": 7, "name": null, "email": null}',
        b"\xff",
        b'{"id": 7, "name": null, "email": null, "custom_attributes": ' + b'{"a":' * 70 + b"1" + b"}" * 71,
    ],
)
def test_what_is_not_plain_is_left_to_the_careful_way(body: bytes) -> None:
    assert decode_plain(body) is None


def test_a_plain_user_is_decoded() -> None:
    body = '{"id": 7, "name": "Zoë", "email": null, "access_token": "S", "custom_attributes": {"n": 1.50}}'
    found = decode_plain(body.encode())
    assert found == User(7, "Zoë", None, None, {"n": 1.5})
