"""Measure the share of a platform's limit that is used, and the share of 429s.

Run: python tests/bench/bench_pace.py [seconds]
"""

import asyncio
import os
import sys
from tempfile import TemporaryDirectory

from usersync.context import Context, run_concurrently
from usersync.dispatch.connection import connected
from usersync.models import UNKNOWN, FieldChange
from usersync.sandbox import Sandbox, running
from usersync.settings import Rate, Settings, make_settings


def measured(rate: str, limit: int, seconds: float) -> tuple[float, float]:
    """Send for so long; the second half tells: share of the limit used, share of 429s."""
    with running(Sandbox(users=100, limit=Rate(limit, 1.0))) as box:
        settings = make_settings({"platform": {"url": box.url, "token_env": "BENCH_TOKEN"}, "request": {"rate": rate}})
        asyncio.run(send(settings, seconds))
        log = box.log
    end = int(log[-1].at.timestamp())  # whole windows only
    late = [r for r in log if end - int(seconds / 2) <= r.at.timestamp() < end]
    refused = sum(r.status == 429 for r in late)
    return (len(late) - refused) / (limit * int(seconds / 2)), refused / len(late)


async def send(settings: Settings, seconds: float) -> None:
    """Update the sandbox's users, over and over."""
    context = Context()
    async with connected(settings, context, seconds) as sender:

        async def update(n: int) -> None:
            await sender.update(n % 100 + 1, (FieldChange("name", UNKNOWN, f"New {n}"),))

        await run_concurrently(range(10**9), update, concurrency=16, stop=context.stop)


def main(seconds: float) -> None:
    """Print the shares."""
    os.environ["BENCH_TOKEN"] = "sandbox-token"
    with TemporaryDirectory() as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        for rate, limit in (("50/s", 50), ("200/s", 200), ("auto", 50), ("auto", 200), ("200/s", 50)):
            used, refused = measured(rate, limit, seconds)
            shares = f"{used:6.1%} used, {refused:5.2%} of requests 429"
            print(f"rate: {rate:6} where {limit:3} a second are allowed: {shares}", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 40.0)
