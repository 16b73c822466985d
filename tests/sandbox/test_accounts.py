"""Test the lists of an account's users, over a real socket."""

from typing import Any

import pytest

from tests.sandbox.conftest import TOKEN, Ask, ask
from usersync.sandbox import Sandbox, StoredUser, user_token
from usersync.settings import Rate

USERS = (
    StoredUser(1, "Zoe", "zoe@example.org", role="administrator"),
    StoredUser(2, "ann", "ann@example.org", "Annie", {"seats": 5}, confirmed=False, accounts=(1, 2)),
    StoredUser(3, "Bo", "bo@example.org", accounts=(2,)),
    StoredUser(4, None, None, accounts=()),
)


def agents(account: int | str = 1, token: str | None = None, **more: Any) -> Ask:
    headers = {"api_access_token": token if token is not None else user_token(1)}
    return Ask(user=f"{account}/agents", path="/api/v1/accounts/", headers=headers, **more)


def account_users(account: int = 1, headers: dict[str, str] = TOKEN) -> Ask:
    return Ask(user=f"{account}/account_users", path="/platform/api/v1/accounts/", headers=headers)


def test_agents_lists_all_users_of_the_account_by_name() -> None:
    [reply] = ask(Sandbox(users=USERS), agents())
    assert reply.status == 200
    assert reply.body == [
        {
            "id": 2, "account_id": 1, "availability_status": "offline", "auto_offline": True, "confirmed": False,
            "email": "ann@example.org", "provider": "email", "available_name": "Annie", "name": "ann",
            "role": "agent", "thumbnail": "", "custom_attributes": {"seats": 5},
        },
        {
            "id": 1, "account_id": 1, "availability_status": "offline", "auto_offline": True, "confirmed": True,
            "email": "zoe@example.org", "provider": "email", "available_name": "Zoe", "name": "Zoe",
            "role": "administrator", "thumbnail": "",
        },
    ]  # fmt: skip


def test_agents_show_updates_and_no_tokens() -> None:
    update = Ask("PATCH", 2, {"name": "Zz", "email": "New@example.org"})
    _, reply = ask(Sandbox(users=USERS), update, agents())
    assert [(user["name"], user["email"]) for user in reply.body][-1] == ("Zz", "new@example.org")
    assert "token" not in str(reply.body)


@pytest.mark.parametrize(
    ("one", "status", "body"),
    [
        pytest.param(agents(token="nobody"), 401, {"error": "Invalid Access Token"}, id="an unknown token"),
        pytest.param(
            agents(token="sandbox-token"), 401, {"error": "Invalid Access Token"}, id="the platform app's token"
        ),
        pytest.param(
            agents(token=user_token(99)), 401, {"error": "Invalid Access Token"}, id="an unknown user's token"
        ),
        pytest.param(
            agents(token=user_token(3)),
            401,
            {"error": "You are not authorized to access this account"},
            id="a user of another account",
        ),
        pytest.param(agents(7), 404, {"error": "Resource could not be found"}, id="an unknown account"),
        pytest.param(account_users(7), 404, {"error": "Resource could not be found"}, id="its unknown account"),
        pytest.param(
            account_users(headers={"api_access_token": user_token(1)}),
            401,
            {"error": "Invalid access_token"},
            id="a user's token for the platform's list",
        ),
    ],
)
def test_a_list_is_refused(one: Ask, status: int, body: object) -> None:
    [reply] = ask(Sandbox(users=USERS), one)
    assert (reply.status, reply.body) == (status, body)


def test_agents_without_a_token_are_401() -> None:
    [reply] = ask(Sandbox(users=USERS), Ask(user="1/agents", path="/api/v1/accounts/", headers={}))
    assert reply.status == 401


def test_account_users_lists_the_ids_with_the_token_of_the_platform_app() -> None:
    [reply] = ask(Sandbox(users=USERS), account_users(2))
    assert (reply.status, [entry["user_id"] for entry in reply.body]) == (200, [2, 3])
    assert reply.body[0] == {
        "id": 1, "account_id": 2, "user_id": 2, "role": "agent", "availability": "offline", "auto_offline": True,
    }  # fmt: skip


def test_a_list_is_logged_and_counts_as_one_request_of_the_limit() -> None:
    box = Sandbox(users=USERS, limit=Rate(2, 3600.0))
    assert [reply.status for reply in ask(box, agents(), account_users(), agents())] == [200, 200, 429]
    assert [(request.method, request.user_id, request.listing) for request in box.log] == [
        ("GET", None, "agents"),
        ("GET", None, "account_users"),
        ("GET", None, "agents"),
    ]


def test_a_user_names_its_accounts() -> None:
    [reply] = ask(Sandbox(users=USERS), Ask(user=2))
    assert [account["id"] for account in reply.body["accounts"]] == [1, 2]
