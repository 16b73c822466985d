"""Test the rules by which the sandbox stores users, without a socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usersync.sandbox import StoredUser, UserStore
from usersync.sandbox.fake_users import FIRST_NAMES, LAST_NAMES, fake_users, plain

GOOD = "Abc12!"


def make_store() -> UserStore:
    ann = StoredUser(7, "Ann Lee", "ann@example.org", custom_attributes={"seats": 5, "team": "Sales"})
    return UserStore(
        [ann, StoredUser(8, "Bo Öz", "bo@example.org"), StoredUser(13, "Cy", "cy@example.org")], forbidden={13}
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="an empty object"),
        pytest.param(None, id="no body"),
        pytest.param([{"name": "X"}], id="a list"),
        pytest.param({"nome": "X"}, id="an unknown field"),
        pytest.param({"id": 9, "role": "administrator"}, id="a field that is not for platform apps"),
        pytest.param({"name": {"first": "X"}}, id="a name that is an object"),
        pytest.param({"custom_attributes": '{"seats": 9}'}, id="attributes as a JSON string"),
        pytest.param({"custom_attributes": None}, id="attributes that are null"),
        pytest.param({"custom_attributes": [1]}, id="attributes that are a list"),
        pytest.param({"custom_attributes": {}}, id="no attributes"),
        pytest.param({"password": None}, id="a password that is null"),
        pytest.param({"email": " ANN@example.org "}, id="the same e-mail in other letters"),
    ],
)
def test_what_the_platform_ignores_is_answered_200_and_changes_nothing(body: object) -> None:
    store = make_store()
    before = dict(store.users)
    assert store.update(7, body) == store.read(7)
    assert store.users == before


@pytest.mark.parametrize(
    ("body", "field", "stored"),
    [
        pytest.param({"name": "Ann B. Lee"}, "name", "Ann B. Lee", id="a name"),
        pytest.param({"name": " Ann "}, "name", " Ann ", id="a name is not trimmed"),
        pytest.param({"name": ""}, "name", "", id="a blank clears the name"),
        pytest.param({"name": 5}, "name", "5", id="a name that is a number becomes text"),
        pytest.param({"display_name": "Annie"}, "display_name", "Annie", id="a display name"),
        pytest.param({"display_name": None}, "display_name", None, id="a display name can be null"),
        pytest.param({"email": " Ann.Lee@Example.ORG "}, "email", "ann.lee@example.org", id="trimmed, lower-cased"),
        pytest.param({"email": ""}, "email", "", id="a blank clears the address"),
        pytest.param({"password": GOOD}, "password", GOOD, id="a good password"),
        pytest.param(
            {"custom_attributes": {"seats": 6}},
            "custom_attributes",
            {"seats": 6, "team": "Sales"},
            id="one attribute leaves the others",
        ),
        pytest.param(
            {"custom_attributes": {"seats": None}},
            "custom_attributes",
            {"seats": None, "team": "Sales"},
            id="null leaves the key, with null",
        ),
        pytest.param(
            {"custom_attributes": {"team": {"name": "X"}, "new": [1]}},
            "custom_attributes",
            {"seats": 5, "team": {"name": "X"}, "new": [1]},
            id="values are replaced as a whole",
        ),
    ],
)
def test_a_field_is_stored_as_the_platform_stores_it(body: dict[str, object], field: str, stored: object) -> None:
    store = make_store()
    assert store.update(7, body).status == 200
    assert getattr(store.users[7], field) == stored


@pytest.mark.parametrize(
    ("body", "message", "attributes"),
    [
        pytest.param({"email": "bo@example.org"}, "Email has already been taken", ["email"], id="an address in use"),
        pytest.param({"email": " BO@example.org"}, "Email has already been taken", ["email"], id="in another case"),
        pytest.param({"email": "ann"}, "Email is invalid", ["email"], id="not an e-mail address"),
        pytest.param({"email": "a b@c.org"}, "Email is invalid", ["email"], id="an e-mail with a blank in it"),
        pytest.param(
            {"password": "aB1!"},
            "Password is too short (minimum is 6 characters)",
            ["password"],
            id="a short password",
        ),
        pytest.param(
            {"password": GOOD + "x" * 123},
            "Password is too long (maximum is 128 characters)",
            ["password"],
            id="a password of 129 characters",
        ),
        pytest.param(
            {"password": "abcdef"},
            "Password must contain at least 1 uppercase character, Password must contain at least 1 number, "
            "Password must contain at least 1 special character",
            ["password"],
            id="several messages joined",
        ),
        pytest.param(
            {"email": "ann", "password": "ABC12!"},
            "Email is invalid, Password must contain at least 1 lowercase character",
            ["email", "password"],
            id="messages of several fields",
        ),
    ],
)
def test_a_refused_value_refuses_the_whole_update(body: dict[str, object], message: str, attributes: list[str]) -> None:
    store = make_store()
    before = dict(store.users)
    answer = store.update(7, {"name": "New", **body})
    assert (answer.status, answer.body) == (422, {"message": message, "attributes": attributes})
    assert store.users == before


@pytest.mark.parametrize("password", ["Abc12!", "Abc12_", "A1! b2", GOOD + "x" * 122])
def test_a_password_that_follows_the_rules_is_accepted(password: str) -> None:
    assert make_store().update(7, {"password": password}).status == 200


def test_an_unknown_user_is_404_and_a_forbidden_one_401() -> None:
    store = make_store()
    for answer in (store.read(99), store.update(99, {"name": "X"})):
        assert (answer.status, answer.body) == (404, {"error": "Resource could not be found"})
    for answer in (store.read(13), store.update(13, {"name": "X"})):
        assert (answer.status, answer.body) == (401, {"error": "Non permissible resource"})
    assert store.users[13].name == "Cy"


def test_an_address_that_was_given_up_can_be_taken_and_blanks_may_repeat() -> None:
    store = make_store()
    assert store.update(7, {"email": "ann2@example.org"}).status == 200
    assert store.update(8, {"email": "ann@example.org"}).status == 200
    assert [store.update(i, {"email": ""}).status for i in (7, 8)] == [200, 200]
    assert store.update(7, {"email": "ann@example.org"}).status == 200


def test_two_users_cannot_swap_their_addresses_in_one_step() -> None:
    store = make_store()
    assert [
        store.update(7, {"email": "bo@example.org"}).status,
        store.update(8, {"email": "ann@example.org"}).status,
    ] == [
        422,
        422,
    ]


def test_an_answer_holds_the_whole_user_and_its_secrets_but_no_password() -> None:
    store = make_store()
    assert store.update(7, {"display_name": "Annie", "password": GOOD}).body == {
        "id": 7,
        "uid": "ann@example.org",
        "name": "Ann Lee",
        "available_name": "Annie",
        "display_name": "Annie",
        "email": "ann@example.org",
        "account_id": 1,
        "role": "agent",
        "confirmed": True,
        "access_token": "sandbox-access-token-7",
        "pubsub_token": "sandbox-pubsub-token-7",
        "accounts": [{"id": 1, "name": "Sandbox", "role": "agent"}],
        "custom_attributes": {"seats": 5, "team": "Sales"},
    }


def test_custom_attributes_are_absent_from_the_answer_if_empty() -> None:
    assert "custom_attributes" not in make_store().read(8).body


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s), max_leaves=3)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(),
        "display_name": st.none() | st.text(),
        "email": st.sampled_from(["bo@example.org", "new@example.org", " New@example.org", "no", ""]),
        "password": st.sampled_from([GOOD, "weak"]),
        "custom_attributes": st.dictionaries(st.text(), JSON) | st.text(),
    },
)


@given(BODIES)
def test_the_same_update_twice_leaves_the_same_user(body: dict[str, object]) -> None:
    store = make_store()
    first, after = store.update(7, body), dict(store.users)
    assert store.update(7, body) == first
    assert store.users == after


def test_fake_users_are_always_the_same_and_have_distinct_addresses() -> None:
    some = tuple(fake_users(1300))
    assert some == tuple(fake_users(1300))
    assert len({user.email for user in some}) == len(some)
    assert all(user.email and user.email.isascii() and " " not in user.email for user in some)
    assert some[0] == StoredUser(
        1,
        "Aigerim Nurlanova",
        "aigerim.nurlanova@example.org",
        "Aigerim",
        {"team": "Support", "plan": "free", "seats": 1},
        role="administrator",
    )
    assert (
        {bool(user.custom_attributes) for user in some} == {bool(user.display_name) for user in some} == {True, False}
    )


def test_no_two_fake_names_are_spelled_alike_in_ascii() -> None:
    for names in (FIRST_NAMES, LAST_NAMES):
        assert len({plain(name) for name in names}) == len(names)
