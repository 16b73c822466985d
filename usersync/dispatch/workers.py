"""Work on many jobs at the same time, until they or the run end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from usersync.context import Stop

Job = TypeVar("Job")


async def run_concurrently(
    jobs: Iterable[Job], work: Callable[[Job], Awaitable[object]], *, concurrency: int, stop: Stop
) -> None:
    """Await `work(job)` for each job, `concurrency` at a time.

    A job is taken from `jobs` only when its work begins: whatever is left in there after a stop has not begun.
    """
    supply = iter(jobs)

    async def worker() -> None:
        while not stop:
            try:
                job = next(supply)
            except StopIteration:
                return
            await work(job)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())
