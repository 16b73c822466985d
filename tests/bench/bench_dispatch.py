"""Measure rows per second of the whole dispatch against a bare aiohttp loop.

Both send the same bodies with the same concurrency, on the same kind of loop (uvloop where it is installed), to the
same sandbox, one after the other, several times.
Run: python tests/bench/bench_dispatch.py [rows]
"""

import asyncio
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from usersync import api
from usersync.context import run_async
from usersync.settings import make_settings

CONCURRENCY = 16


async def bare(url: str, rows: int) -> None:
    """What a careful programmer writes in ten minutes: sends, reads the answer, keeps nothing."""
    ids = iter(range(1, rows + 1))
    headers = {"api_access_token": "sandbox-token"}
    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def worker() -> None:
            for i in ids:
                async with session.patch(
                    f"{url}/platform/api/v1/users/{i}",
                    json={"name": f"New {i}", "custom_attributes": {"seats": "7"}},
                ) as response:
                    json.loads(await response.read())

        await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))


def now() -> tuple[float, float]:
    """The time on the wall, and the processor time of this process (the sandbox has one of its own)."""
    return time.perf_counter(), time.process_time()


def ours(url: str, rows: int, folder: Path) -> tuple[float, float]:
    """The main job; gives the times at which the plan was confirmed: from then on all is dispatch and report."""
    confirmed = []
    settings = make_settings(
        {
            "platform": {"url": url, "token_env": "BENCH_TOKEN"},
            "request": {"rate": "off", "concurrency": CONCURRENCY},
            "diff": {"compare_with": "nothing"},
            "ledger": str(folder / "usersync.db"),
            "report": {"dir": str(folder / "runs")},
        }
    )

    def confirm(_: object) -> bool:
        confirmed.append(now())
        return True

    summary = api.run([folder / "changes.csv"], settings, confirm=confirm)
    assert summary.counts == {"updated": rows, "rows": rows}, summary.counts
    return confirmed[0]


def main(rows: int, rounds: int = 5) -> None:
    """Print the ratios."""
    os.environ["BENCH_TOKEN"] = "sandbox-token"
    words = [sys.executable, "-m", "usersync", "sandbox", "--port", "0", "--users", str(rows), "--limit", "off"]
    with tempfile.TemporaryDirectory() as name, subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as box:
        assert box.stderr is not None
        url = box.stderr.readline().split()[2].rstrip(",")
        folder = Path(name)
        lines = ["id,name,custom_attributes.seats", *(f"{i},New {i},7" for i in range(1, rows + 1))]
        (folder / "changes.csv").write_text("\n".join(lines) + "\n")
        ratios = []
        for _ in range(rounds):
            began = now()
            run_async(bare(url, rows))
            middle = now()
            confirmed = ours(url, rows, folder)
            plain = [b - a for a, b in zip(began, middle, strict=True)]
            whole = [b - a for a, b in zip(confirmed, now(), strict=True)]
            ratios.append([p / w for p, w in zip(plain, whole, strict=True)])
            print(f"bare loop {rows / plain[0]:7.0f} rows/s   usersync {rows / whole[0]:7.0f} rows/s   ", end="")
            print(f"ratio {ratios[-1][0]:.2f}, of processor time {ratios[-1][1]:.2f}")
        wall, work = (statistics.median(column) for column in zip(*ratios, strict=True))
        loop = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
        print(f"median ratio {wall:.2f}, of processor time {work:.2f}, on {loop}")
        box.terminate()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
