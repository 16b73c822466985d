"""Share a manual clock and a small HTTP client with the sandbox's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from yarl import URL

from tests.conftest import PATIENCE
from usersync.sandbox import Sandbox

TOKEN = {"api_access_token": "sandbox-token"}
JSON = {"Content-Type": "application/json; charset=utf-8"}
START = datetime(2027, 1, 15, 8, 0, 12, 250_000, tzinfo=UTC)


@dataclass
class ManualClock:
    """A clock that advances only when somebody sleeps on it."""

    time: datetime = START
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.time.timestamp()

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; a `body` that is bytes is sent as it is."""

    method: str = "GET"
    user: int | str = 7
    body: Any = None
    headers: dict[str, str] = field(default_factory=lambda: TOKEN | JSON)
    path: str = "/platform/api/v1/users/"
    #: Seconds to wait for an answer.
    patience: float = PATIENCE


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; status 0: the connection was reset, -1: no answer came in time."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def ask(box: Sandbox, *asks: Ask, between: Callable[[], None] = lambda: None) -> list[Reply]:
    """Send requests to the box one after the other, over one connection pool."""

    async def talk() -> list[Reply]:
        replies = []
        async with box, aiohttp.ClientSession() as session:
            for one in asks:
                replies.append(await send(session, box.url, one))
                between()
        return replies

    return asyncio.run(talk())


async def send(session: aiohttp.ClientSession, url: str, one: Ask) -> Reply:
    data = {} if one.body is None else {"data": one.body} if isinstance(one.body, bytes) else {"json": one.body}
    address = URL(f"{url}{one.path}{one.user}", encoded=True)
    timeout = aiohttp.ClientTimeout(sock_read=one.patience)
    try:
        async with session.request(one.method, address, headers=one.headers, timeout=timeout, **data) as answer:
            is_json = answer.content_type == "application/json"
            return Reply(answer.status, await (answer.json() if is_json else answer.text()), dict(answer.headers))
    except TimeoutError:
        return Reply(-1)
    except aiohttp.ClientConnectionError:
        return Reply(0)
