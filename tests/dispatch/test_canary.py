"""Test canary stages: the first few updates decide whether the others are sent."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from usersync.dispatch.canary import CanaryStages
from usersync.models import Status
from usersync.sandbox import Sandbox

Opened = Callable[..., AbstractContextManager[Any]]
ROWS = "id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, 41))


def patched(box: Sandbox) -> int:
    return sum(r.method == "PATCH" for r in box.log)


def test_a_stage_with_too_many_failures_stops_the_run_and_resume_completes_it(desk: Opened) -> None:
    request = {"rate": "off", "ramp": [5, 20], "ramp_max_failures": "30%"}
    box = Sandbox(users=40, limit=None, forbidden={2, 4})
    with desk(box, request=request, diff={"compare_with": "nothing"}) as (_, at):
        at.write("changes.csv", ROWS)
        ran = at.run("run", "changes.csv", "--yes", "--json")
        assert (ran.code, patched(box)) == (4, 5)
        assert ran.summary["counts"] == {"updated": 3, "failed": 2, "not-sent": 35, "rows": 40}
        assert "2 of the first 5 updates failed (40%; allowed is less than 30%)" in ran.summary["stopped"]
        ran = at.run("resume", "--yes", "--json")
        assert ran.summary["counts"] == {"updated": 38, "failed": 2, "rows": 40}


def test_stages_with_few_failures_are_followed_by_all_other_rows(desk: Opened) -> None:
    request = {"rate": "off", "ramp": [10, 20], "ramp_max_failures": 0.3}
    box = Sandbox(users=40, limit=None, forbidden={2, 4})
    with desk(box, request=request, diff={"compare_with": "nothing"}) as (_, at):
        at.write("changes.csv", ROWS)
        ran = at.run("run", "changes.csv", "--yes", "--json")
        assert (ran.code, patched(box)) == (1, 40)


def test_a_limit_of_no_failures_stops_the_run_after_the_first_stage(desk: Opened) -> None:
    request = {"rate": "off", "concurrency": 1, "ramp": [3], "ramp_max_failures": 0}
    box = Sandbox(users=40, limit=None, forbidden={2})
    with desk(box, request=request, diff={"compare_with": "nothing"}) as (_, at):
        at.write("changes.csv", ROWS)
        assert at.run("run", "changes.csv", "--yes").code == 4
        assert patched(box) == 3


def test_canary_stages_stop_where_too_many_updates_failed() -> None:
    stages = CanaryStages((3, 5), 0.5)
    assert stages.room == 3
    for status in (Status.UPDATED, Status.FAILED, Status.UPDATED):
        stages.record(status)
    assert stages.room == 0
    assert stages.check() is None
    assert stages.room == 2
    stages.record(Status.FAILED)
    stages.record(Status.FAILED)
    assert "3 of the first 5 updates failed (60%; allowed is less than 50%)" in str(stages.check())
    assert stages.room is None
