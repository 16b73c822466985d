"""Test the directory of an account; an incomplete list is never used."""

import asyncio
import json
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from pydantic import SecretStr

from usersync.models import User
from usersync.platform.api import Response
from usersync.platform.client import HttpClient
from usersync.platform.directory import DIRECTORY_PATH, Directory, DirectoryUnavailable, parse_directory
from usersync.sandbox import Answer, Fault, Faults, Sandbox, StoredUser, user_token
from usersync.sandbox.fake_users import fake_users
from usersync.settings import make_settings

USERS = (
    StoredUser(1, "Zoe", " Zoe@Example.org", role="administrator"),
    StoredUser(2, "Ann", "ann@example.org", "Annie", {"seats": 5, "tags": ["a", "b"]}),
    StoredUser(3, "Cy", None, "Cy"),
    StoredUser(4, "Dan", "dan@example.org", accounts=(2,)),
)


def read(
    box: Sandbox, *, account: int = 1, token: str = user_token(1), max_bytes: int = 1 << 20, **request: Any
) -> Directory | DirectoryUnavailable:
    async def work() -> Directory | DirectoryUnavailable:
        async with box:
            settings = make_settings({"platform": {"url": box.url, "token_env": "T"}, "request": request})
            async with HttpClient(settings, SecretStr(token)) as client:
                response = await client.get(DIRECTORY_PATH.format(account=account), max_bytes=max_bytes)
                return parse_directory(response, account, (token,))

    return asyncio.run(work())


def answering(answer: Answer | Fault) -> Sandbox:
    return Sandbox(users=USERS, faults=Faults(script=lambda *_: answer))


def listed(*entries: Any, **headers: str) -> Answer:
    return Answer(200, list(entries), headers)


def entry(user_id: Any = 1, **more: Any) -> dict[str, Any]:
    fields = {"id": user_id, "account_id": 1, "name": "Ann", "available_name": "Ann", "email": f"u{user_id}@x.org"}
    return {**fields, **more}


def test_all_users_of_the_account_are_known_after_one_request() -> None:
    box = Sandbox(users=USERS)
    assert read(box) == Directory(
        account=1,
        users={
            1: User(1, "Zoe", None, " Zoe@Example.org", {}),
            2: User(2, "Ann", "Annie", "ann@example.org", {"seats": 5, "tags": ["a", "b"]}),
            3: User(3, "Cy", None, None, {}),
        },
        ids_by_email={"zoe@example.org": 1, "ann@example.org": 2},
        unknown_display_names=frozenset({1, 3}),
    )
    assert [request.listing for request in box.log] == ["agents"]


ANN = '{"id": 1, "name": "Ann", "email": null}'
FAILURES = {
    "an unknown token": (Sandbox(users=USERS), {"token": "nobody"}, "does not accept the account's token"),
    "the platform app's token": (Sandbox(users=USERS), {"token": "sandbox-token"}, "a user's own access token"),
    "a token of another account": (
        Sandbox(users=USERS),
        {"token": user_token(4)},
        "does not belong to account 1; use the token of one of its users",
    ),
    "an unknown account": (Sandbox(users=USERS), {"account": 7}, "there is no account 7; correct platform.account"),
    "a user without the right": (answering(Answer(403, {"error": "no"})), {}, "may not list users (no)"),
    "a server error": (answering(Answer(500, "<html>Sorry</html>")), {}, "answered 500 with an HTML page"),
    "a used-up limit": (answering(Answer(429, "Retry later")), {}, "the limit is used up (429)"),
    "a redirect": (answering(Answer(302, "", {"Location": "/login"})), {}, "answered 302"),
    "a 404 that is not the API's": (answering(Answer(404, "<html>")), {}, "answered 404 with an HTML page"),
    "a slow platform": (answering(Fault.STALL), {"timeout": 0.2}, "no answer within 0.2 s"),
    "a reset connection": (answering(Fault.RESET_AFTER), {}, "the connection was lost"),
    "an HTML page": (answering(Answer(200, "<html>Log in</html>")), {}, "answered 200 with an HTML page"),
    "an object": (answering(Answer(200, {"error": "x"})), {}, "something that is not a whole list"),
    "no JSON": (answering(Answer(200, "ok")), {}, "something that is not a whole list"),
    "a list cut short": (answering(Answer(200, f"[{ANN}")), {}, "something that is not a whole list"),
    "a list cut inside a user": (answering(Answer(200, f'[{ANN}, {{"id"')), {}, "something that is not a whole list"),
    "two lists": (answering(Answer(200, f"[{ANN}] [{ANN}]")), {}, "something that is not a whole list"),
    "an empty list": (answering(listed()), {}, "an empty list"),
    "a page of a list": (answering(listed(entry(), Link='</x?page=2>; rel="next"')), {}, "in pages"),
    "a text among the users": (answering(listed(entry(), "x")), {}, "entry 2 is not a user of account 1"),
    "a user without an id": (answering(listed(entry(None))), {}, "entry 1 is not a user"),
    "a user whose id is true": (answering(listed(entry(True))), {}, "entry 1 is not a user"),
    "a user of another account": (answering(listed(entry(account_id=2))), {}, "entry 1 is not a user of account 1"),
    "a user twice": (answering(listed(entry(), entry(email="b@x.org"))), {}, "holds user 1 twice"),
    "an address twice": (
        answering(listed(entry(1), entry(2, email=" U1@x.org"))),
        {},
        "users 1 and 2 have the same e-mail address",
    ),
    "a name that is a number": (answering(listed(entry(name=5))), {}, "entry 1 has no text as name"),
    "a user without a name": (answering(listed({"id": 1, "email": "a@x.org"})), {}, "entry 1 has no name"),
    "a user without an address": (answering(listed({"id": 1, "name": "Ann"})), {}, "entry 1 has no email"),
    "attributes that are text": (answering(listed(entry(custom_attributes="x"))), {}, "not an object"),
    "a number without end": (answering(Answer(200, '[{"id": 1, "x": 1e999}]')), {}, "a number that is not finite"),
    "endless nesting": (answering(Answer(200, "[" * 100_000)), {}, "nested too deeply"),
    "deeply nested attributes": (
        answering(Answer(200, f'[{ANN[:-1]}, "custom_attributes": {{"a": {"[" * 99}{"]" * 99}}}}}]')),
        {},
        "nested deeper than",
    ),
    "a list larger than the bound": (Sandbox(users=99), {"max_bytes": 999}, "raise platform.directory_max_bytes"),
}


@pytest.mark.parametrize(("box", "options", "reason"), FAILURES.values(), ids=FAILURES.keys())
def test_a_directory_that_is_not_whole_is_unavailable_with_the_reason(
    box: Sandbox, options: dict[str, Any], reason: str
) -> None:
    found = read(box, **options)
    assert isinstance(found, DirectoryUnavailable)
    assert reason in found.reason
    assert len(found.reason) < 300
    assert user_token(1) not in found.reason


def test_a_token_that_a_refusal_quotes_is_masked() -> None:
    found = read(answering(Answer(401, {"error": f"unknown: {user_token(1)}"})))
    assert isinstance(found, DirectoryUnavailable)
    assert user_token(1) not in found.reason


def test_control_characters_and_lone_surrogates_are_cleaned_as_in_a_single_read() -> None:
    attributes = rb'{"k": ["\u0007v"], "\u0000n": 1}'
    body = rb'[{"id": 1, "name": "A\u001b]0;x\ud800", "email": null, "custom_attributes": ' + attributes + b"}]"
    found = parse_directory(Response(200, {}, body), 1)
    assert isinstance(found, Directory)
    assert found.users[1] == User(1, "A]0;x?", None, None, {"k": ["v"], "n": 1})


def test_white_space_and_a_byte_order_mark_do_not_matter() -> None:
    body = f"\ufeff \r\n[ {ANN} ,\n\t{ANN.replace('1', '2')} ]\n".encode()
    found = parse_directory(Response(200, {}, body), 1)
    assert isinstance(found, Directory)
    assert list(found.users) == [1, 2]


def answer_for(users: Iterable[StoredUser]) -> bytes:
    common = {"role": "agent", "confirmed": True, "availability_status": "offline", "thumbnail": ""}
    entries = [
        {"id": user.id, "name": user.name, "email": user.email, "custom_attributes": user.custom_attributes, **common}
        for user in users
    ]
    return json.dumps(entries).encode()


def test_memory_stays_a_small_multiple_of_the_answer() -> None:
    body = answer_for(fake_users(20_000))
    tracemalloc.start()
    found = parse_directory(Response(200, {}, body), 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(found, Directory)
    assert len(found.users) == 20_000
    assert peak < 6 * len(body)
