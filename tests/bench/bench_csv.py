"""Measure time and memory of reading a text file against `pandas.read_csv`."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # to run from a checkout, not installed

ROWS = 1_000_000
RUNS = 3
SHAPES = {
    "plain": "{0},User Name {0},user{0}@example.org,{1}\n",
    "quoted": '"{0}","Name, {0}","u{0}@x.org","{1}"\n',
}


def write(path: Path, line: str, rows: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("id,name,email,custom_attributes.seats\n")
        file.writelines(line.format(i, i % 50) for i in range(1, rows + 1))


def read_ours(path: Path) -> int:
    from usersync.loader.csv_reader import read_text
    from usersync.loader.headings import Headings
    from usersync.settings import SourceSettings

    raw_sheet = read_text(path.read_bytes(), file=path.name, headings=Headings(), options=SourceSettings())
    return len(raw_sheet.cells)


def read_plain(path: Path) -> int:
    import pandas as pd

    return len(pd.read_csv(path, dtype=str))


READERS = {"ours": read_ours, "plain": read_plain}


def measure(reader: str, path: Path) -> tuple[float, float]:
    """Seconds of the best run, and MiB above what the imports take, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, reader, str(path)], check=True, capture_output=True, text=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def child(reader: str, path: Path) -> None:
    tiny = path.with_name("tiny.csv")
    READERS[reader](tiny)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    best, memory = float("inf"), 0.0
    for run in range(RUNS):
        start = time.perf_counter()
        READERS[reader](path)
        best = min(best, time.perf_counter() - start)
        if run == 0:
            memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(best, memory)


def awkward_files(size: int) -> dict[str, bytes]:
    """Return files that would show a step that is not linear, each of about `size` bytes."""
    rows = size // 30
    return {
        "one long line above an e with accent": b"x" * size + b"\nid,name\n1,Zo\xeb\n2,Fran\xe7ois\n",
        "blanks beside quotes": b'"id", "name"\n' + b"".join(b'"%d", "Name, %d"\n' % (i, i) for i in range(rows)),
        "an open quote on every line": b"id,name\n" + b'1,"open and never closed\n' * rows,
        "escaped quotes": b"id,name\n" + b"".join(b'%d,"say \\"hi\\" %d"\n' % (i, i) for i in range(rows)),
    }


def show_growth(size: int) -> None:
    """Print how much longer awkward files take if they are twice as long; 2 is linear."""
    from usersync.errors import SourceError
    from usersync.loader.csv_reader import read_text
    from usersync.loader.headings import Headings
    from usersync.settings import SourceSettings

    seconds: dict[str, list[float]] = {}
    for factor in (1, 2):
        for name, data in awkward_files(factor * size).items():
            start = time.perf_counter()
            with contextlib.suppress(SourceError):
                read_text(data, file="awkward.csv", headings=Headings(), options=SourceSettings())
            seconds.setdefault(name, []).append(time.perf_counter() - start)
    for name, (one, two) in seconds.items():
        print(f"{name}, {size >> 20} and {2 * size >> 20} MiB: {one:.2f} s and {two:.2f} s, {two / one:.1f}x")


def main(rows: int = ROWS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "users.csv")
        for shape, line in SHAPES.items():
            write(path.with_name("tiny.csv"), line, 10)
            write(path, line, rows)
            ours, plain = measure("ours", path), measure("plain", path)
            print(
                f"{shape}, {rows:,} rows: {ours[0]:.2f} s against {plain[0]:.2f} s, {ours[0] / plain[0]:.2f}x; "
                f"peak {ours[1]:.0f} MiB against {plain[1]:.0f} MiB, {ours[1] / plain[1]:.2f}x"
            )
    show_growth(4 << 20)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        child(sys.argv[1], Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) == 2 else ROWS)
