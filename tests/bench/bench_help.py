"""Measure the start of `usersync --help` against `python -c pass`."""

import statistics
import subprocess
import sys
import time


def seconds(words: list[str], rounds: int = 9) -> float:
    """Give the median time of a command."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(words, capture_output=True, check=True)
        found.append(time.perf_counter() - began)
    return statistics.median(found)


if __name__ == "__main__":
    nothing = seconds([sys.executable, "-c", "pass"])
    help_text = seconds([sys.executable, "-m", "usersync", "--help"])
    print(
        f"python -c pass {nothing * 1000:.0f} ms   usersync --help {help_text * 1000:.0f} ms"
        f"   x{help_text / nothing:.1f}"
    )
