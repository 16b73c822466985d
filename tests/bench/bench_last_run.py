"""Measure planning of a nightly file against `last-run`.

A million rows, 1 % of them changed, as a multiple of `pandas.read_csv`.

Run: python tests/bench/bench_last_run.py [rows]
"""

import json
import sqlite3
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
import resource, sys, time, pandas as pd; now = time.perf_counter; rows = int(sys.argv[1])
{code}
print(done - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main(rows: int) -> None:
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
        figures = []
        for code in (PLAIN, OURS):
            words = [sys.executable, "-c", FRAME.format(code=code), str(rows)]
            found = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
            assert found.returncode == 0, found.stderr
            figures.append([float(n) for n in found.stdout.split()])
    (plain, low), (ours, high) = figures
    print(f"read_csv {plain:.2f} s {low:.0f} MiB   plan {ours:.2f} s {high:.0f} MiB")
    print(f"time x{ours / plain:.1f}   memory x{high / low:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
