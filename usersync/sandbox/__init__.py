"""Serve a small platform on a local port, to try usersync on and to test against.

>>> async with Sandbox(users=50) as box:     # in a program with an event loop
...     box.url, box.store.users[7].name
>>> with running(Sandbox(users=50)) as box:  # in any other program
...     box.url, box.log
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread

from usersync.sandbox.faults import Fault, Faults, Script
from usersync.sandbox.server import Request, Sandbox
from usersync.sandbox.store import Answer, StoredUser, UserStore, user_token

__all__ = (
    "Answer",
    "Fault",
    "Faults",
    "Request",
    "Sandbox",
    "Script",
    "StoredUser",
    "UserStore",
    "running",
    "serve",
    "user_token",
)


async def serve(box: Sandbox, *, ready: Callable[[Sandbox], None], stop: asyncio.Event) -> None:
    """Serve until `stop` is set; `ready` is called once the port is open.

    Raises OSError if the port is taken.
    """
    async with box:
        ready(box)
        await stop.wait()


@contextmanager
def running(box: Sandbox) -> Iterator[Sandbox]:
    """Serve in a thread of its own, for programs that have no event loop.

    Raises OSError if the port is taken.
    """
    opened: Future[Callable[[], object]] = Future()

    async def until_closed() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        await serve(box, ready=lambda _: opened.set_result(lambda: loop.call_soon_threadsafe(stop.set)), stop=stop)

    def run() -> None:
        try:
            asyncio.run(until_closed())
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)

    thread = Thread(target=run, name="usersync-sandbox", daemon=True)
    thread.start()
    close = opened.result()
    try:
        yield box
    finally:
        close()
        thread.join()
