"""Measure time and memory of reading a workbook against plain pandas."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

PLAIN = "import pandas as pd; pd.read_excel({path!r}, engine='calamine', dtype=str)"
OURS = (
    "from usersync.loader.workbook import read_workbook as r; from usersync.loader.headings import Headings as H; "
    "from usersync.settings import SourceSettings as S; from pathlib import Path as P; "
    "r(P({path!r}).read_bytes(), file='x', headings=H(), options=S())"
)
HARNESS = """
import resource, time
import pandas, numpy, python_calamine, usersync.loader.workbook, usersync.loader.headings
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
{code}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(time.perf_counter() - began, peak, peak - base)
"""


def measure(code: str) -> tuple[float, float, float]:
    """Seconds, peak memory and its growth in MB; the best of three runs."""
    runs = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", HARNESS.format(code=code)], capture_output=True, text=True, check=True
        )
        seconds, peak, growth = map(float, done.stdout.split())
        runs.append((seconds, peak / 1024, growth / 1024))
    return min(runs)


def make(path: Path, rows: int, *, numbers: bool) -> None:
    """Write a sheet of users: ids and texts, or with numbers, money and dates."""
    import datetime

    import xlsxwriter

    with xlsxwriter.Workbook(path, {"constant_memory": False}) as book:
        sheet = book.add_worksheet("Users")
        money, day = book.add_format({"num_format": "0.00"}), book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.write_row(0, 0, ["id", "name", "email", "custom_attributes.city", "custom_attributes.seats"])
        sheet.write_row(0, 5, ["custom_attributes.fee", "custom_attributes.since"])
        for i in range(1, rows + 1):
            sheet.write_row(i, 0, [i, f"Ann Example {i}", f"ann{i}@example.org", f"City {i % 97}", i % 50])
            if numbers:
                sheet.write_number(i, 5, i / 4, money)
                sheet.write_datetime(i, 6, datetime.datetime(2026, 1, 1 + i % 28), day)
            else:
                sheet.write_row(i, 5, [f"fee {i}", f"note number {i}"])


def main() -> None:
    """Print one line per sheet."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        for name, numbers in (("text and whole numbers", False), ("with money and dates", True)):
            path = Path(folder) / "bench.xlsx"
            make(path, rows, numbers=numbers)
            plain, ours = (measure(code.format(path=str(path))) for code in (PLAIN, OURS))
            print(
                f"{rows:,} rows {name}: pandas {plain[0]:.2f} s, usersync {ours[0]:.2f} s, "
                f"{ours[0] / plain[0]:.2f}x; peak {plain[1]:.0f} MB and {ours[1]:.0f} MB, "
                f"{ours[1] / plain[1]:.2f}x (growth {ours[2] / plain[2]:.2f}x)"
            )


if __name__ == "__main__":
    main()
