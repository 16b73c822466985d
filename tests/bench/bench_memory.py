"""Measure the memory of a run while its planned rows stream through.

After the first 50,000 rows it must not grow with them.

Run: python tests/bench/bench_memory.py [rows]
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from usersync import api
from usersync.context import Context
from usersync.settings import make_settings

FIRST = 50_000


def resident() -> float:
    """Megabytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main(rows: int) -> None:
    """Print the growth."""
    os.environ["BENCH_TOKEN"] = "sandbox-token"
    words = [sys.executable, "-m", "usersync", "sandbox", "--port", "0", "--users", str(rows), "--limit", "off"]
    with tempfile.TemporaryDirectory() as name, subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as box:
        assert box.stderr is not None
        url = box.stderr.readline().split()[2].rstrip(",")
        folder = Path(name)
        (folder / "changes.csv").write_text("id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, rows + 1)))
        settings = make_settings(
            {
                "platform": {"url": url, "token_env": "BENCH_TOKEN"},
                "request": {"rate": "off"},
                "diff": {"compare_with": "nothing"},
                "ledger": str(folder / "usersync.db"),
                "report": {"dir": str(folder / "runs")},
            }
        )
        seen: list[float] = []

        def note(_: object) -> None:
            nonlocal done
            done += 1
            if done % 10_000 == 0:
                seen.append(resident())

        done = 0
        context = Context(on_result=note)
        summary = api.run([folder / "changes.csv"], settings, confirm=lambda _: True, context=context)
        assert summary.counts == {"updated": rows, "rows": rows}, summary.counts
        first, most = seen[FIRST // 10_000 - 1], max(seen[FIRST // 10_000 :])
        print(f"after {FIRST:,} rows {first:.0f} MB, at most {most:.0f} MB up to {rows:,}: {most - first:+.0f} MB")
        print(f"after the report {resident():.0f} MB")
        box.terminate()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
