"""Read the ids of the users of an account."""

from __future__ import annotations

from usersync.models import Json
from usersync.platform.api import NoResponse, Response
from usersync.platform.body import BodyError, parse_body, quotable
from usersync.platform.client import HttpClient


class ListError(ValueError):
    """A list cannot be used; the message is one sentence."""


async def request_account_users(client: HttpClient, account: int, *, max_bytes: int) -> Response | NoResponse:
    """Send the request for the list, once; `client` carries the platform app's token."""
    return await client.get(f"/platform/api/v1/accounts/{account}/account_users", max_bytes=max_bytes)


def parse_account_users(response: Response | NoResponse, account: int, secrets: tuple[str, ...] = ()) -> list[int]:
    """Return the ids of the users of an account, sorted. Raises ListError."""
    if isinstance(response, NoResponse):
        raise ListError(response.message)
    try:
        body = parse_body(response.body)
    except BodyError as error:
        raise ListError(f"the platform answered {response.status} with {error}; check platform.url") from None
    if response.status == 404:
        raise ListError(f"there is no account {account}; correct platform.account")
    if response.status != 200:
        raise ListError(f"the platform answered {response.status}: {quotable(body, secrets)}")
    if not isinstance(body, list) or not all(map(_is_member, body)):
        raise ListError("the platform answered 200 with something that is not a list of users; check platform.url")
    return sorted({member["user_id"] for member in body})


def _is_member(entry: Json) -> bool:
    return isinstance(entry, dict) and type(entry.get("user_id")) is int
