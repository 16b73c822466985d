"""List the users of an account as the platform does, checking access."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from usersync.models import Json
from usersync.sandbox.store import NOT_FOUND, Answer, StoredUser, UserStore

_INVALID_TOKEN: Final = Answer(401, {"error": "Invalid Access Token"})
_NO_TOKEN: Final = Answer(401, {"errors": ["You need to sign in or sign up before continuing."]})
_NOT_AUTHORIZED: Final = Answer(401, {"error": "You are not authorized to access this account"})


def list_agents(store: UserStore, account: int, token: str | None) -> Answer:
    """Answer `GET /api/v1/accounts/{account}/agents`, called with the token of a user."""
    if token is None:
        return _NO_TOKEN
    caller = store.user_with_token(token)
    if caller is None:
        return _INVALID_TOKEN
    if account not in store.accounts:
        return NOT_FOUND
    if account not in caller.accounts:
        return _NOT_AUTHORIZED
    by_name = sorted(_members(store, account), key=lambda user: ((user.name or "").lower(), user.id))
    return Answer(200, [_agent(user, account) for user in by_name])


def list_account_users(store: UserStore, account: int) -> Answer:
    """Answer `GET /platform/api/v1/accounts/{account}/account_users`, once the platform app's token is checked."""
    if account not in store.accounts:
        return NOT_FOUND
    members = sorted(_members(store, account), key=lambda user: user.id)
    return Answer(200, [_membership(number, user, account) for number, user in enumerate(members, start=1)])


def _members(store: UserStore, account: int) -> Iterator[StoredUser]:
    return (user for user in store.users.values() if account in user.accounts)


def _agent(user: StoredUser, account: int) -> dict[str, Json]:
    agent = {
        "id": user.id,
        "account_id": account,
        "availability_status": "offline",
        "auto_offline": True,
        "confirmed": user.confirmed,
        "email": user.email,
        "provider": "email",
        "available_name": user.display_name or user.name,
        "name": user.name,
        "role": user.role,
        "thumbnail": "",
    }
    return {**agent, "custom_attributes": user.custom_attributes} if user.custom_attributes else agent


def _membership(number: int, user: StoredUser, account: int) -> dict[str, Json]:
    return {
        "id": number,
        "account_id": account,
        "user_id": user.id,
        "role": user.role,
        "availability": "offline",
        "auto_offline": True,
    }
