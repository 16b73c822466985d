"""Measure processor time of a run's report against `csv.writer` with the same lines."""

from __future__ import annotations

import csv
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # to run from a checkout, not installed

from usersync.ledger import Ledger, LedgerRun, RunInfo
from usersync.models import FieldChange, Row, Status, json_text
from usersync.report import RunFacts, write_report
from usersync.report.columns import COLUMNS

RUNS = 5
FORMATS = {"report.csv and summary": (), "with report.html": ("html",)}
FIRST_NAMES = ("Aigerim", "Bea", "Chidi", "Dot", "Eva", "Faruk", "Gro", "Hiroshi", "Ines", "Jo", "Kwame", "Lena", "Mai")
SYLLABLES = ("an", "be", "chi", "dov", "el", "fer", "gar", "hi", "lin", "mo", "nur", "or", "qvist", "ro", "sa", "tin")
TEAMS = ("Sales", "Support", "Billing", "Onboarding", "Field service")
INFO = RunInfo(
    "R1", "run", "https://chat.example.org", "2026-11-24T12:00:00.000Z", "ann@desk",
    sources=({"file": "users.csv", "sheet": "", "sha256": "c0ffee" * 10},),
)  # fmt: skip


def updated_rows(count: int) -> Iterator[Row]:
    """Yield rows of different users, each with a new surname and a new team."""
    chance = random.Random(15)
    surnames = ["".join(chance.choices(SYLLABLES, k=3)).capitalize() for _ in range(4000)]
    user = 100_000
    for key in range(count):
        user += chance.randrange(1, 20)
        first, before, after = chance.choice(FIRST_NAMES), chance.choice(surnames), chance.choice(surnames)
        team = chance.choice(TEAMS)
        changes = [
            FieldChange("name", f"{first} {before}", f"{first} {after}"),
            FieldChange("custom_attributes.team", None, team),
        ]
        minute, second = divmod(key // 50, 60)
        yield Row(
            key, 0, key + 2, str(user), Status.UPDATED, http_status=200, attempts=1, name=f"{first} {after}",
            email=f"{first}.{before}{chance.randrange(1000)}@example.org".lower(), file="users.csv",
            custom_attributes=json_text({"team": team, "seats": chance.randrange(90)}),
            finished_at=f"2026-11-24T{12 + minute // 60}:{minute % 60:02}:{second:02}.{chance.randrange(1000):03}Z",
        ).with_changes(changes)  # fmt: skip


def report(run: LedgerRun, folder: Path, formats: tuple[str, ...]) -> float:
    """Return the processor seconds of writing a report."""
    facts = RunFacts(asdict(INFO), {"get": 0, "patch": 0, "retried": 0, "throttled": 0})
    began = time.process_time()
    write_report(run.report_cells, folder, facts, formats=formats)
    return time.process_time() - began


def plain(lines: list[tuple[object, ...]], path: Path) -> float:
    """Return the processor seconds of writing lines with csv.writer."""
    began = time.process_time()
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(lines)
    return time.process_time() - began


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder, "ledger.db")) as ledger:
        run = ledger.start(INFO)
        run.insert(updated_rows(rows))
        lines = [line[: len(COLUMNS)] for line in chain.from_iterable(run.report_cells())]
        for name, formats in FORMATS.items():
            times = [(report(run, Path(folder), formats), plain(lines, Path(folder, "plain.csv"))) for _ in range(RUNS)]
            ours, bare = (statistics.median(column) for column in zip(*times, strict=True))
            ratio = statistics.median(mine / other for mine, other in times)
            print(f"{name}: {ours / rows * 1e6:.1f} us a row against {bare / rows * 1e6:.1f} us, {ratio:.1f} x")
        sizes = {path.name: path.stat().st_size for path in sorted(Path(folder, "R1").iterdir())}
        print(", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in sizes.items()))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
