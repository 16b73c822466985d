"""The share of a platform's limit that is used, and the share of 429s, over real sockets and on a real clock.

Run: python tests/bench/bench_pace.py [seconds]
"""

import os
import sys
import tempfile
from pathlib import Path

from usersync import api
from usersync.context import Context
from usersync.sandbox import Sandbox, running
from usersync.settings import Rate, make_settings


def measured(rate: str, limit: int, seconds: float) -> tuple[float, float]:
    """Send for so long; the second half tells: share of the limit used, share of 429s."""
    users = int(limit * seconds) + 1000
    with tempfile.TemporaryDirectory() as name, running(Sandbox(users=users, limit=Rate(limit, 1.0))) as box:
        folder = Path(name)
        (folder / "changes.csv").write_text("id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, users + 1)))
        settings = make_settings(
            {
                "platform": {"url": box.url, "token_env": "BENCH_TOKEN"},
                "request": {"rate": rate},
                "diff": {"compare_with": "nothing"},
                "ledger": str(folder / "usersync.db"),
                "report": {"dir": str(folder / "runs"), "formats": ["csv"]},
            }
        )
        context = Context(max_duration=seconds)
        api.run([folder / "changes.csv"], settings, confirm=lambda _: True, context=context)
        log = box.log
    end = int(log[-1].at.timestamp())  # whole windows only
    late = [r for r in log if end - int(seconds / 2) <= r.at.timestamp() < end]
    refused = sum(r.status == 429 for r in late)
    return (len(late) - refused) / (limit * int(seconds / 2)), refused / len(late)


def main(seconds: float) -> None:
    """Print the shares."""
    os.environ["BENCH_TOKEN"] = "sandbox-token"
    for rate, limit in (("50/s", 50), ("200/s", 200), ("auto", 50), ("auto", 200), ("200/s", 50)):
        used, refused = measured(rate, limit, seconds)
        print(f"rate: {rate:6} where {limit:3} a second are allowed: {used:6.1%} used, {refused:5.2%} of requests 429")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 40.0)
