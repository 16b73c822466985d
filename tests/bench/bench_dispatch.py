"""Rows per second of the whole dispatch (ledger and report on, pace off), divided by a bare aiohttp loop.

Both send the same bodies with the same concurrency to the same sandbox, one after the other, several times.
Run: python tests/bench/bench_dispatch.py [rows]
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from usersync import sync
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


def ours(url: str, rows: int, folder: Path) -> float:
    """The main job; gives the time at which the plan was confirmed, from which on all is dispatch and report."""
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
        confirmed.append(time.perf_counter())
        return True

    summary = sync.run([folder / "changes.csv"], settings, confirm=confirm)
    assert summary.counts == {"updated": rows, "rows": rows}, summary.counts
    return confirmed[0]


def main(rows: int, rounds: int = 5) -> None:
    """Print the ratio."""
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
            began = time.perf_counter()
            asyncio.run(bare(url, rows))
            middle = time.perf_counter()
            confirmed = ours(url, rows, folder)
            end = time.perf_counter()
            plain, whole = rows / (middle - began), rows / (end - confirmed)
            ratios.append(whole / plain)
            print(f"bare loop {plain:7.0f} rows/s   usersync {whole:7.0f} rows/s   ratio {ratios[-1]:.2f}")
        print(f"median ratio {statistics.median(ratios):.2f}")
        box.terminate()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
