"""Test text for terminals: widths, colours, and the command to type next."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click
import pytest

from tests.cli.terminal import Terminal
from usersync.cli.console import plan_text, summary_text
from usersync.models import Code, FieldChange, Place, Problem, ProblemGroup, Row, Status
from usersync.planning.plan import Plan
from usersync.report import Summary


def a_plan() -> Plan:
    name = FieldChange("name", "Ann Johnson-Smythe of Little Whinging", "Ann Johnson-Smythe of Privet Drive")
    email = FieldChange("email", "aigerim.nurlanova@example.com", "aigerim.nurlanova@example.org")
    seats = FieldChange("custom_attributes.seats", None, 12)
    rows = [
        Row(0, 0, 2, "7", Status.PLANNED, name="Ann Johnson-Smythe of Little Whinging", file="a.csv"),
        Row(1, 0, 3, "12", Status.PLANNED, email="aigerim.nurlanova@example.com", file="a.csv"),
    ]
    place = Place("a.csv", "", 5, "Cid")
    problem = Problem(3, Code.EMAIL_INVALID, "not a valid e-mail address: no @-sign", "Mail", "no address")
    return Plan(
        counts=Counter({Status.PLANNED: 3, Status.UNCHANGED: 10, Status.REJECTED: 1}),
        fields=Counter({"name": 1, "email": 1, "custom_attributes.seats": 1}),
        examples=[rows[0].with_changes([name]), rows[1].with_changes([email, seats])],
        changes=2,
        problems=(ProblemGroup("email-invalid", 1, ((place, problem),)),),
    )


PLAN_80 = """Plan: 2 users to change, 14 rows read

  row  id  user               field   old                     new
    2   7  Ann Johnson-Smyt…  name    …e of Little Whin…  ->  …e of Privet Drive
    3  12  aigerim.nurlanov…  email   …anova@example.com  ->  …anova@example.org
                              .seats  null                ->  12

  field                    users
  custom_attributes.seats      1
  email                        1
  name                         1

email-invalid: 1 row
  row 5 (Cid), Mail 'no address': not a valid e-mail address: no @-sign

  unchanged  10  the platform already holds these values
  rejected    1  a cell or the row is wrong; nothing was sent
  planned     3  to be sent; 1 row repeats another
  rows       14

next: usersync run a.csv"""
PLAN_50 = """Plan: 2 users to change, 14 rows read

  row  id  user     field   old           new
    2   7  Ann Jo…  name    … Littl…  ->  … Prive…
    3  12  aigeri…  email   …ple.com  ->  …ple.org
                    .seats  null      ->  12

  field                    users
  custom_attributes.seats      1
  email                        1
  name                         1

email-invalid: 1 row
  row 5 (Cid), Mail 'no address': not a valid e-mail address: no @-sign

  unchanged  10  the platform already holds these…
  rejected    1  a cell or the row is wrong; noth…
  planned     3  to be sent; 1 row repeats another
  rows       14

next: usersync run a.csv"""


PLAN_PIPED = """Plan: 2 users to change, 14 rows read

  row  id  user                                   field   old                                        new
    2   7  Ann Johnson-Smythe of Little Whinging  name    Ann Johnson-Smythe of Little Whinging  ->  \
Ann Johnson-Smythe of Privet Drive
    3  12  aigerim.nurlanova@example.com          email   aigerim.nurlanova@example.com          ->  \
aigerim.nurlanova@example.org
                                                  .seats  null                                   ->  12

"""


@pytest.mark.parametrize(("width", "text"), [(80, PLAN_80), (50, PLAN_50)])
def test_a_plan_fits_the_window_and_ends_with_its_counts(width: int | None, text: str) -> None:
    assert click.unstyle(plan_text(a_plan(), width=width, then="usersync run a.csv")) == text


def test_nothing_of_a_plan_is_cut_in_a_pipe() -> None:
    assert click.unstyle(plan_text(a_plan())).startswith(PLAN_PIPED)


SUMMARY = Summary(
    run="R1",
    status="partial",
    exit_code=1,
    counts={"updated": 1, "rejected": 2, "rows": 3},
    requests={"get": 1, "patch": 1, "retried": 0, "throttled": 0},
    seconds=0.5,
    files={"report": "runs/R1/report.csv", "rejects": "runs/R1/my rejects.csv", "html": None, "summary": "s"},
    problems=[{"code": "id-invalid", "count": 2, "first": []}],
    reasons=[{"code": "id-invalid", "rows": 2, "row": 4, "id": "x", "name": "Cid", "message": "not a whole number"}],
)
SUMMARY_50 = """id-invalid: 2 rows
  row 4 (Cid): not a whole number

2 requests in 0.5 s (1 read, 1 update, 0 retried, 0 throttled)
report: runs/R1/report.csv

  updated   1  sent, and confirmed by the platform
  rejected  2  a cell or the row is wrong; nothin…
  rows      3
exit 1: finished, but some rows need attention; correct the rejects and run: \
usersync run 'runs/R1/my rejects.csv' -c a.yaml"""


def test_a_summary_fits_the_window_and_ends_with_the_next_command() -> None:
    assert click.unstyle(summary_text(SUMMARY, width=50, options=["-c", "a.yaml"])) == SUMMARY_50


@pytest.mark.parametrize(
    ("rows", "listed"),
    [pytest.param(2, False, id="all listed by the plan"), pytest.param(3, True, id="one more since the plan")],
)
def test_a_reason_that_the_plan_has_listed_is_not_repeated(rows: int, listed: bool) -> None:
    summary = replace(SUMMARY, reasons=[{**SUMMARY.reasons[0], "rows": rows}])
    assert ("id-invalid" in summary_text(summary, plan_shown=True)) is listed


PAGE = {**SUMMARY.files, "rejects": None, "html": "runs/R1/report.html", "xlsx": "runs/R1/report.xlsx"}


@pytest.mark.parametrize(
    ("summary", "ending"),
    [
        pytest.param(
            SUMMARY, "attention; correct the rejects and run: usersync run 'runs/R1/my rejects.csv'", id="rejects"
        ),
        pytest.param(replace(SUMMARY, files=PAGE), "attention; show them: usersync show R1", id="no rejects"),
        pytest.param(replace(SUMMARY, exit_code=4), "exit 4: stopped; continue with: usersync resume R1", id="stopped"),
        pytest.param(replace(SUMMARY, exit_code=3), "exit 3: refused; none of its rows was sent", id="refused"),
        pytest.param(replace(SUMMARY, exit_code=0, files=PAGE), "open runs/R1/report.html", id="a page to look at"),
    ],
)
def test_the_last_line_is_the_next_command(summary: Summary, ending: str) -> None:
    assert summary_text(summary).endswith(ending)


def test_every_report_file_has_a_line() -> None:
    files = [line for line in summary_text(replace(SUMMARY, files=PAGE)).splitlines() if line.startswith("report: ")]
    assert files == [f"report: runs/R1/report.{suffix}" for suffix in ("csv", "xlsx", "html")]


@pytest.mark.parametrize(
    ("env", "coloured"),
    [
        pytest.param({"TERM": "xterm"}, True, id="a terminal"),
        pytest.param({"TERM": "xterm", "NO_COLOR": "1"}, False, id="NO_COLOR"),
        pytest.param({"TERM": "dumb"}, False, id="a dumb terminal"),
    ],
)
def test_colours_and_width_are_those_of_the_terminal(
    desk: Callable[..., Any], env: dict[str, str], coloured: bool
) -> None:
    with desk() as (_, at):
        at.write("changes.csv", f"id,name\n1,{'Ann' * 40}\nx,Bea\n")
        at.run("--version")  # writes the settings
        terminal = Terminal(100)
        done = subprocess.run(
            [sys.executable, "-m", "usersync", "plan", "changes.csv"],
            cwd=at.folder, env={**os.environ, **at.env, **env}, stdout=terminal.theirs, stderr=terminal.theirs,
            timeout=60, check=False,
        )  # fmt: skip
        shown = terminal.read_all()
        assert done.returncode == 1, shown
        assert ("\x1b[31mrejected\x1b[0m" in shown) is coloured
        assert max(len(line) for line in click.unstyle(shown).splitlines() if "Ann" in line) == 100


def test_a_piped_plan_holds_whole_values(desk: Callable[..., Any]) -> None:
    with desk() as (_, at):
        at.write("changes.csv", f"id,name\n1,{'Ann' * 40}\n")
        assert f"->  {'Ann' * 40}\n" in at.run("plan", "changes.csv").out


def test_pipes_have_no_colours(desk: Callable[..., Any]) -> None:
    with desk() as (_, at):
        at.write("changes.csv", "id,name\n1,Ann\nx,Bea\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert "\x1b" not in ran.err + at.run("show", ran.err.split("runs/")[1][:20]).out
