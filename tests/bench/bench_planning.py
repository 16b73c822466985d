"""Measure reading, validation and comparison of a CSV of a million rows.

It is a multiple of a plain `pandas.read_csv`, by processor time and on the clock, for plain ASCII, for umlauts, and for
a mixture of much that needs a closer look. Each is a process of its own; peak memory is the process's.
Run: python tests/bench/bench_planning.py [rows]
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
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
import resource, sys, time; now = lambda: (time.process_time(), time.perf_counter())
path, rows = sys.argv[1], int(sys.argv[2])
{code}
print(done[0] - began[0], done[1] - began[1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def mixture(i: int) -> str:
    """Return a row with umlauts, some decomposed, blanks around, quotes, capitals in addresses, decimals in ids."""
    name = f"Jürgen Müller {i}" if i % 2 else f"User Number {i}"
    if i % 19 == 0:
        name = name.replace("ü", "u\N{COMBINING DIAERESIS}")
    if i % 5 == 0:
        name = f" {name} "
    if i % 7 == 0:
        name = f'"{name}, Dr"'
    email = "" if i % 11 == 0 else f"User{i}@Example.org" if i % 3 == 0 else f"user{i}@example.org"
    return f"{i}.0,{name},{email},{i % 50}\n" if i % 17 == 0 else f"{i},{name},{email},{i % 50}\n"


KINDS: dict[str, Callable[[int], str]] = {
    "ASCII": lambda i: f"{i},User Number {i},user{i}@example.org,{i % 50}\n",
    "umlauts": lambda i: f"{i},Jürgen Müller {i},user{i}@example.org,{i % 50}\n",
    "a mixture": mixture,
}


def measure(code: str, path: Path, rows: int) -> list[float]:
    """Give processor seconds, seconds and peak MiB of one process."""
    words = [sys.executable, "-c", FRAME.format(code=code), str(path), str(rows)]
    return [float(n) for n in subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()]


def main(rows: int, rounds: int = 5) -> None:
    """Print the multiples."""
    for kind, row in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "million.csv"
            with path.open("w", encoding="utf-8") as file:
                file.write("id,name,email,custom_attributes.seats\n")
                file.writelines(map(row, range(1, rows + 1)))
            figures = [(measure(PLAIN, path, rows), measure(OURS, path, rows)) for _ in range(rounds)]
        for plain, ours in figures:
            print("read_csv {:.2f} s {:.2f} s {:.0f} MiB   usersync {:.2f} s {:.2f} s {:.0f} MiB".format(*plain, *ours))
        ratios = zip(*([own / plain for plain, own in zip(*pair, strict=True)] for pair in figures), strict=True)
        work, wall, memory = map(statistics.median, ratios)
        print(f"{kind}: median processor time x{work:.2f}, time x{wall:.2f}, memory x{memory:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
