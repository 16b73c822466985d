"""Measure reading, validation and comparison of a CSV of a million rows.

It is a multiple of a plain `pandas.read_csv`. Each is a process of its own; peak memory is the process's.
Run: python tests/bench/bench_planning.py [rows]
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PLAIN = "import pandas as pd; began = now(); pd.read_csv(path, dtype=str); done = now()"
OURS = """
from usersync.validation import validate; from usersync.diff.compare import compare; from usersync.loader import load
from usersync.settings import SourceSettings
began = now()
desired = validate(load([path], options=SourceSettings()))
assert compare(desired.values).changed.sum() == rows and not desired.problems
done = now()
"""
FRAME = """
import resource, sys, time; now = time.perf_counter; path, rows = sys.argv[1], int(sys.argv[2])
{code}
print(done - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measure(code: str, path: Path, rows: int) -> tuple[float, float]:
    """Give seconds and peak MiB of one process."""
    words = [sys.executable, "-c", FRAME.format(code=code), str(path), str(rows)]
    seconds, peak = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(peak)


def main(rows: int, rounds: int = 3) -> None:
    """Print the multiples."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.csv"
        with path.open("w") as file:
            file.write("id,name,email,custom_attributes.seats\n")
            file.writelines(f"{i},User Number {i},user{i}@example.org,{i % 50}\n" for i in range(1, rows + 1))
        figures = [(measure(PLAIN, path, rows), measure(OURS, path, rows)) for _ in range(rounds)]
    for (plain, low), (ours, high) in figures:
        print(f"read_csv {plain:.2f} s {low:.0f} MiB   usersync {ours:.2f} s {high:.0f} MiB   x{ours / plain:.2f}")
    print(f"median time x{statistics.median(o[0] / p[0] for p, o in figures):.2f}")
    print(f"median memory x{statistics.median(o[1] / p[1] for p, o in figures):.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
