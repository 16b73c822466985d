"""Test that a platform which answers 500 stops the run after few requests."""

from pathlib import Path

import pytest

from tests.faults.conftest import QuickClock, changes, report_of, settings_for
from usersync import api
from usersync.context import Context
from usersync.report import Summary
from usersync.sandbox import Answer, Faults, Sandbox, running

ROWS, CONCURRENCY = 2000, 50
BROKEN = Answer(500, "<html><h1>We're sorry, but something went wrong</h1></html>\n")


def sent(folder: Path, box: Sandbox, clock: QuickClock, **request: object) -> tuple[Summary, list[dict[str, str]]]:
    """Send the rows, or resume the run; returns the summary and the report's lines, one for each row."""
    settings = settings_for(box.url, folder, concurrency=CONCURRENCY, **request)
    context = Context(clock=clock)
    source = folder / "changes.csv"
    if source.exists():
        summary = api.resume(None, settings, confirm=lambda _: True, context=context)
    else:
        source.write_text(changes(ROWS))
        summary = api.run([source], settings, confirm=lambda _: True, context=context)
    return summary, report_of(summary, ROWS)


@pytest.mark.parametrize(
    ("good", "most"),
    [
        pytest.param(0, 60, id="from the first request on"),
        pytest.param(1000, 60 + CONCURRENCY, id="from the middle on: what was in flight then comes on top"),
    ],
)
def test_a_bad_release_costs_tens_of_requests(good: int, most: int, tmp_path: Path) -> None:
    clock, answered, repaired = QuickClock(300), 0, False

    def script(method: str, user_id: int | None, nth: int) -> Answer | None:
        nonlocal answered
        answered += 1
        return BROKEN if answered > good and not repaired else None

    with running(Sandbox(users=ROWS, limit=None, faults=Faults(script=script))) as box:
        summary, lines = sent(tmp_path, box, clock, stop_after=300)
        assert summary.exit_code == 4
        assert summary.stopped == (
            "no successful response for 300 s (answered 500); check that the platform is up, then run `usersync resume`"
        )
        assert sum(r.status == 500 for r in box.log) < most
        assert summary.counts.get("updated", 0) == good
        repaired = True
        summary, lines = sent(tmp_path, box, clock)
        spent = [line for line in lines if line["status"] == "failed"]  # all their attempts met the bad release
        assert summary.counts["updated"] == ROWS - len(spent)
        assert len(spent) <= 10
        assert all(box.store.users[i].name == f"New {i}" for i in range(1, good + 1))


def test_after_half_a_minute_of_failures_all_rows_are_updated(tmp_path: Path) -> None:
    clock = QuickClock(60)
    began: list[float] = []

    def script(method: str, user_id: int | None, nth: int) -> Answer | None:
        began.append(clock.monotonic())
        return BROKEN if began[-1] < began[0] + 30.0 else None

    with running(Sandbox(users=ROWS, limit=None, faults=Faults(script=script))) as box:
        summary, _ = sent(tmp_path, box, clock)
        assert (summary.exit_code, summary.counts) == (0, {"updated": ROWS, "rows": ROWS})
        assert sum(r.status == 500 for r in box.log) < 60
        assert sum(r.applied for r in box.log) == ROWS
