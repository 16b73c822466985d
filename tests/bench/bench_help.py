"""Measure `usersync --help` against `python -c pass`, by processor time.

Run: python tests/bench/bench_help.py
"""

import resource
import statistics
import subprocess
import sys

ROUNDS = 15


def children_seconds() -> float:
    """Return the processor time of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(words: list[str]) -> float:
    """Return the processor time of a command."""
    began = children_seconds()
    subprocess.run(words, capture_output=True, check=True)
    return children_seconds() - began


if __name__ == "__main__":
    pairs = [
        (seconds([sys.executable, "-c", "pass"]), seconds([sys.executable, "-m", "usersync", "--help"]))
        for _ in range(ROUNDS)
    ]
    nothing, help_text = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
    print(f"python -c pass {nothing:.0f} ms   usersync --help {help_text:.0f} ms   x{help_text / nothing:.1f}")
