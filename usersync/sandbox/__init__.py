"""A small platform in a box, to try usersync on and to test against: settings in, a server on a port out.

>>> async with Sandbox(users=50) as box:     # in a program of its own event loop
...     box.url, box.world.users[7].name
>>> with running(Sandbox(users=50)) as box:  # in any other
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
from usersync.sandbox.store import Answer, StoredUser, UserStore

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
)


async def serve(box: Sandbox, *, ready: Callable[[Sandbox], None], stop: asyncio.Event) -> None:
    """Keep `box` open until `stop` is set; `ready` is called once it can be reached.

    Raises OSError where the port cannot be had.
    """
    async with box:
        ready(box)
        await stop.wait()


@contextmanager
def running(box: Sandbox) -> Iterator[Sandbox]:
    """Keep `box` open in a thread of its own, for programs that have no event loop.

    Raises OSError where the port cannot be had.
    """
    opened: Future[Callable[[], object]] = Future()
    thread = Thread(target=_run, args=(box, opened), name="usersync-sandbox", daemon=True)
    thread.start()
    close = opened.result()
    try:
        yield box
    finally:
        close()
        thread.join()


def _run(box: Sandbox, opened: Future[Callable[[], object]]) -> None:
    async def until_closed() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        await serve(box, ready=lambda _: opened.set_result(lambda: loop.call_soon_threadsafe(stop.set)), stop=stop)

    try:
        asyncio.run(until_closed())
    except Exception as error:
        if opened.done():
            raise
        opened.set_exception(error)
