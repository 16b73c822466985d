"""What people read on a terminal: it fits the window, has colours, and ends with the next command."""

import fcntl
import logging
import os
import pty
import struct
import subprocess
import sys
import termios
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click
import pytest

from usersync.cli.console import plan_text, summary_text
from usersync.cli.progress import Bar, Lines
from usersync.cli.table import table_text
from usersync.models import Change, Entry, FieldChange, Place, Status
from usersync.planning.plan import Plan
from usersync.report.files import Summary


def a_plan() -> Plan:
    change = Change(0, 7, (FieldChange("name", "Ann Johnson-Smythe of Little Whinging", "Ann Jones " * 9),))
    mail = Change(1, 12, (FieldChange("email", None, "村上春樹@example.org"),))
    return Plan(
        counts=Counter({Status.PLANNED: 2, Status.UNCHANGED: 10}),
        fields=Counter({"name": 1, "email": 1}),
        examples=[
            Entry(key, 0, key + 2, str(found.user_id), Status.PLANNED, found)
            for key, found in enumerate((change, mail))
        ],
        changes=2,
        places={0: Place("a.csv", "", 2), 1: Place("a.csv", "", 3)},
    )


PLAN_80 = """Plan: 2 users to change, 12 rows read

  unchanged  10  the platform holds these values already
  planned     2  to be sent

  field  users
  email      1
  name       1

  row  id  field  old                               new
    2   7  name   Ann Johnson-Smythe of Littl…  ->  Ann Jones Ann Jones Ann Jon…
    3  12  email  null                          ->  村上春樹@example.org

next: usersync run a.csv"""
PLAN_50 = """Plan: 2 users to change, 12 rows read

  unchanged  10  the platform holds these values …
  planned     2  to be sent

  field  users
  email      1
  name       1

  row  id  field  old                new
    2   7  name   Ann Johnson-…  ->  Ann Jones An…
    3  12  email  null           ->  村上春樹@exa…

next: usersync run a.csv"""


@pytest.mark.parametrize(("width", "text"), [(None, PLAN_80), (50, PLAN_50)])
def test_a_plan_fits_the_window(width: int | None, text: str) -> None:
    assert click.unstyle(plan_text(a_plan(), width=width, then="usersync run a.csv")) == text


SUMMARY = Summary(
    run="R1",
    status="partial",
    exit_code=1,
    counts={"updated": 1, "rejected": 2, "rows": 3},
    requests={"get": 1, "patch": 1, "retried": 0, "throttled": 0},
    seconds=0.5,
    files={"report": "runs/R1/report.csv", "rejects": "runs/R1/my rejects.csv", "html": None, "summary": "s"},
)
SUMMARY_50 = """  updated   1  sent, and the platform confirms it
  rejected  2  a cell or the row is wrong; nothin…
  rows      3

2 requests in 0.5 s (1 reads, 1 updates, 0 retries, 0 throttled)

report: runs/R1/report.csv
exit 1: finished, but some rows need a person; correct and run again: \
usersync run 'runs/R1/my rejects.csv' -c a.yaml"""


def test_a_summary_fits_the_window_and_ends_with_the_next_command() -> None:
    assert click.unstyle(summary_text(SUMMARY, width=50, options=["-c", "a.yaml"])) == SUMMARY_50


PAGE = {**SUMMARY.files, "rejects": None, "html": "runs/R1/report.html", "xlsx": "runs/R1/report.xlsx"}


@pytest.mark.parametrize(
    ("summary", "ending"),
    [
        pytest.param(SUMMARY, "person; correct and run again: usersync run 'runs/R1/my rejects.csv'", id="rejects"),
        pytest.param(replace(SUMMARY, files=PAGE), "person; look at them: usersync show R1", id="no rejects"),
        pytest.param(replace(SUMMARY, exit_code=4), "exit 4: stopped; go on with: usersync resume R1", id="stopped"),
        pytest.param(replace(SUMMARY, exit_code=3), "exit 3: refused; nothing was sent", id="refused"),
        pytest.param(replace(SUMMARY, exit_code=0, files=PAGE), "open runs/R1/report.html", id="a page to look at"),
    ],
)
def test_the_last_line_says_what_to_type(summary: Summary, ending: str) -> None:
    assert summary_text(summary).endswith(ending)


def test_every_file_of_the_report_has_a_line() -> None:
    files = [line for line in summary_text(replace(SUMMARY, files=PAGE)).splitlines() if line.startswith("report: ")]
    assert files == [f"report: runs/R1/report.{suffix}" for suffix in ("csv", "xlsx", "html")]


@pytest.mark.parametrize("width", [20, 21, 22, 40])
def test_wide_letters_count_twice_and_accents_not_at_all(width: int) -> None:
    rows = [("a\u0301b", "東京" * 9, "x"), ("é", "plain " * 5, "y")]
    ends = [line[-1] for line in table_text(rows, right=set(), width=width).splitlines()]
    assert ends == ["x", "y"]


def test_a_cell_cannot_move_the_cursor() -> None:
    assert table_text([("a\x1b[2Jb\nc",)], right=set()) == "  a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c"


class Window:
    """A real terminal of so many columns."""

    def __init__(self, columns: int) -> None:
        self._mine, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def shown(self) -> str:
        os.close(self.theirs)
        text = b""
        while part := self._read():
            text += part
        os.close(self._mine)
        return text.decode()

    def _read(self) -> bytes:
        try:
            return os.read(self._mine, 65536)
        except OSError:  # Linux: nobody is at the other end any more
            return b""


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
        window = Window(100)
        done = subprocess.run(
            [sys.executable, "-m", "usersync", "plan", "changes.csv"],
            cwd=at.folder, env={**os.environ, **at.env, **env}, stderr=window.theirs, timeout=60, check=False,
        )  # fmt: skip
        shown = window.shown()
        assert done.returncode == 1, shown
        assert ("\x1b[31mrejected\x1b[0m" in shown) is coloured
        assert max(len(line) for line in click.unstyle(shown).splitlines() if "Ann" in line) == 100


def test_nothing_is_coloured_when_piped(desk: Callable[..., Any]) -> None:
    with desk() as (_, at):
        at.write("changes.csv", "id,name\n1,Ann\nx,Bea\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert "\x1b" not in ran.err + at.run("show", ran.err.split("runs/")[1][:20]).out


def test_a_log_line_goes_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window(80)
    with open(window.theirs, "w", closefd=False) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        handler = logging.StreamHandler(stream)
        handler.setLevel(logging.WARNING)
        monkeypatch.setattr(logging.root, "handlers", [handler])
        monkeypatch.setattr(logging.root, "level", logging.INFO)
        bar = Bar(stream)
        bar.begin("sending", 40)
        logging.getLogger("usersync").warning("the platform is slow")
        logging.getLogger("usersync").info("for the log file only")
        bar.end()
        assert logging.root.handlers == [handler]
    shown = window.shown()
    assert "\rthe platform is slow\r\n" in shown
    assert "log file" not in shown


@pytest.mark.parametrize("columns", [25, 40, 59, 60, 120])
def test_the_bar_never_wraps(columns: int) -> None:
    window = Window(columns)
    with open(window.theirs, "w", closefd=False) as stream:
        bar = Bar(stream)
        bar.begin("sending", 40_000)
        for _ in range(12_345):
            bar.row(Status.FAILED)
        bar.tick()
        bar.end()
    frames = window.shown().replace("\n", "\r").split("\r")
    assert max(map(len, frames)) < columns
    assert any("12345/40000" in frame for frame in frames)


def test_a_plain_line_comes_every_ten_seconds_although_nothing_moves() -> None:
    said: list[str] = []
    now = 0.0
    lines = Lines(said.append, lambda: now)
    lines.tick()
    lines.begin("sending", 100)
    for seconds in (5.0, 10.0, 15.0):
        now = seconds
        lines.tick()
    lines.row(Status.UPDATED)
    now = 20.0
    lines.tick()
    lines.end()
    now = 90.0
    lines.tick()
    assert said == [
        "sending: 0 of 100 rows, 0 failed, 0.0 rows/s, time left unknown",
        "sending: 1 of 100 rows, 0 failed, 0.1 rows/s, 1,980 s left",
    ]
