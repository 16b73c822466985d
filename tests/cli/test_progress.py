"""Test progress: a bar that fits its terminal, and plain lines elsewhere."""

import logging
import sys

import pytest

from tests.cli.terminal import Terminal
from usersync.cli.progress import Bar, Lines
from usersync.models import Status


def test_a_log_line_is_printed_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(80)
    with open(terminal.theirs, "w", closefd=False) as stream:
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
    shown = terminal.read_all()
    assert "\rthe platform is slow\r\n" in shown
    assert "log file" not in shown


@pytest.mark.parametrize("columns", [25, 40, 59, 60, 120])
def test_the_bar_never_wraps(columns: int) -> None:
    terminal = Terminal(columns)
    with open(terminal.theirs, "w", closefd=False) as stream:
        bar = Bar(stream)
        bar.begin("sending", 40_000)
        for _ in range(12_345):
            bar.row(Status.FAILED)
        bar.tick()
        bar.end()
    frames = terminal.read_all().replace("\n", "\r").split("\r")
    assert max(map(len, frames)) < columns
    assert any("12345/40000" in frame for frame in frames)


def test_a_line_is_written_every_ten_seconds_even_if_nothing_moves() -> None:
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
        "sending: 0 of 100 rows, 0 need attention, 0.0 rows/s, time left unknown",
        "sending: 1 of 100 rows, 0 need attention, 0.1 rows/s, 1,980 s left",
    ]
