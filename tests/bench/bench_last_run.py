"""Measure planning of a nightly file against `last-run`.

A million rows, 1 % of them changed, as a multiple of `pandas.read_csv`, by processor time and on the clock. Each is a
process of its own; peak memory is the process's.
Run: python tests/bench/bench_last_run.py [rows]
"""

import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from usersync.ledger import Ledger

PLAIN = "began = now(); pd.read_csv('nightly.csv', dtype=str); done = now()"
OURS = """
from usersync import api; from usersync.settings import make_settings
settings = make_settings({"platform": {"url": "http://127.0.0.1:9", "token_command": "echo t"},
                          "diff": {"compare_with": "last-run"}, "ledger": "usersync.db"})
began = now()
plan = api.plan(["nightly.csv"], settings)
done = now()
assert plan.changes == rows // 100, plan.counts
"""
FRAME = """
import resource, sys, time, pandas as pd; now = lambda: (time.process_time(), time.perf_counter())
rows = int(sys.argv[1])
{code}
print(done[0] - began[0], done[1] - began[1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measure(code: str, folder: Path, rows: int) -> list[float]:
    """Give processor seconds, seconds and peak MiB of one process."""
    words = [sys.executable, "-c", FRAME.format(code=code), str(rows)]
    found = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return [float(n) for n in found.stdout.split()]


def main(rows: int, rounds: int = 5) -> None:
    """Print both, and the multiples."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "nightly.csv").open("w") as file:
            file.write("id,name,email,custom_attributes.seats\n")
            file.writelines(
                f"{i},{'Other' if i % 100 == 0 else 'User'} {i},user{i}@example.org,{i % 50}\n"
                for i in range(1, rows + 1)
            )
        with Ledger(folder / "usersync.db"):
            pass
        db = sqlite3.connect(folder / "usersync.db")
        db.executemany(
            "INSERT INTO snapshot VALUES ('http://127.0.0.1:9', ?, ?, NULL, ?, ?, '')",
            ((i, f"User {i}", f"user{i}@example.org", json.dumps({"seats": str(i % 50)})) for i in range(1, rows + 1)),
        )
        db.commit()
        db.close()
        figures = [(measure(PLAIN, folder, rows), measure(OURS, folder, rows)) for _ in range(rounds)]
    for plain, ours in figures:
        print("read_csv {:.2f} s {:.2f} s {:.0f} MiB   plan {:.2f} s {:.2f} s {:.0f} MiB".format(*plain, *ours))
    names = ("processor time", "time", "memory")
    ratios = zip(*([own / plain for plain, own in zip(*pair, strict=True)] for pair in figures), strict=True)
    for name, found in zip(names, ratios, strict=True):
        print(f"median {name} x{statistics.median(found):.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
