"""Measure time and memory of parsing an account's users against `json.loads`."""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # to run from a checkout, not installed

from usersync.platform.api import Response
from usersync.platform.directory import Directory, parse_directory
from usersync.sandbox import UserStore, user_token
from usersync.sandbox.accounts import list_agents
from usersync.sandbox.fake_users import fake_users

USERS = 100_000
RUNS = 3


def fastest(work: Callable[[], object]) -> float:
    """Return the processor time of the best run, in seconds."""
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def peak(work: Callable[[], object]) -> int:
    """Return the bytes that a run needs at most."""
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def main(users: int = USERS) -> None:
    body = json.dumps(list_agents(UserStore(fake_users(users)), 1, user_token(1)).body, ensure_ascii=False).encode()

    def ours() -> None:
        assert isinstance(parse_directory(Response(200, {}, body), 1), Directory)

    def plain() -> None:
        json.loads(body)

    seconds, plain_seconds = fastest(ours), fastest(plain)
    memory, plain_memory = peak(ours) / len(body), peak(plain) / len(body)
    print(
        f"{users:,} users, {len(body) / 1e6:.0f} MB: {seconds:.2f} s against {plain_seconds:.2f} s, "
        f"{seconds / plain_seconds:.1f}x; memory {memory:.1f} times the answer against {plain_memory:.1f} times"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) == 2 else USERS)
