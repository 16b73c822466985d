"""Test what is logged: no personal data, no secrets."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from usersync.logs import EVENTS, configure_logging, event

ROWS = "id,name,email,password\n1,Ann Quill,ann.quill@x.org,Hidden-Word-1!\n9999,Bo Reed,,\n2,Cy Tan,,\n"
PERSONAL = ("Ann", "Quill", "Reed", "x.org", "Hidden", "sandbox-token")


@pytest.fixture
def own_logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level, loud = root.handlers[:], root.level, logging.raiseExceptions
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:], logging.raiseExceptions = before, loud
    root.setLevel(level)
    EVENTS.setLevel(logging.NOTSET)


def test_a_log_file_holds_one_event_per_line_and_no_personal_data(desk: Callable[..., Any]) -> None:
    with desk(diff={"compare_with": "nothing"}) as (_, at):
        at.write("changes.csv", ROWS)
        done = at.run("run", "changes.csv", "--yes", "-q", "--log-format", "json", "--log-file", "log.json")
        text = (at.folder / "log.json").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line["event"] for line in lines] == ["begin", "plan", "row", "row", "row", "end"]
        (run,) = {line["run"] for line in lines}
        assert (at.folder / "runs" / run).is_dir()
        rows = {line["row"]: (line["user"], line["status"], line.get("code")) for line in lines[2:5]}
        assert rows == {2: (1, "updated", None), 3: (9999, "failed", "not-found"), 4: (2, "updated", None)}
        assert {"ts", "level", "seconds"} <= lines[2].keys()
        assert not [word for word in PERSONAL if word in text]
        assert '"event"' not in done.err  # the file has them


def test_events_go_to_stderr_if_no_log_file_is_given(desk: Callable[..., Any]) -> None:
    with desk() as (_, at):
        at.write("changes.csv", "id,name\n1,Ann\n")
        logged = at.run("run", "changes.csv", "--yes", "--json", "--log-format", "json").err
        assert [json.loads(line)["event"] for line in logged.splitlines()] == ["begin", "plan", "row", "end"]
        logged = at.run("run", "changes.csv", "--yes", "--json", "--log-format", "text").err
        assert "INFO usersync.events: end run=" in logged
        assert at.run("run", "changes.csv", "--yes", "-q", "--log-format", "json").err == ""
        assert "usersync.events" not in at.run("run", "changes.csv", "--yes", "-v").err


@pytest.mark.usefixtures("own_logging")
@pytest.mark.parametrize(
    ("verbose", "line"),
    [
        pytest.param(0, "warning: run 7 was interrupted", id="for people"),
        pytest.param(2, "WARNING usersync.job: run 7 was interrupted", id="for those who look for a fault"),
    ],
)
def test_a_warning_on_the_terminal_is_a_sentence(capsys: pytest.CaptureFixture[str], verbose: int, line: str) -> None:
    configure_logging(verbose=verbose, quiet=False)
    logging.getLogger("usersync.job").warning("run %d was interrupted", 7)
    assert capsys.readouterr().err.splitlines() == [line]


def test_debug_logs_hold_no_secrets(desk: Callable[..., Any]) -> None:
    with desk() as (_, at):
        at.write("changes.csv", ROWS)
        done = at.run("run", "changes.csv", "--yes", "-q", "-vv", "--log-file", "log.txt")
        kept = (at.folder / "log.txt").read_text() + done.err
        assert "row=2 user=1 status=updated" in kept
        assert not [word for word in ("Hidden", "sandbox-token") if word in kept]


def test_an_unwritable_log_file_is_reported_before_anything_is_sent(desk: Callable[..., Any]) -> None:
    with desk() as (box, at):
        at.write("changes.csv", ROWS)
        done = at.run("run", "changes.csv", "--yes", "--log-file", "gone/log.json")
        assert (done.code, box.log) == (2, ())
        assert done.err == (
            "usersync: --log-file gone/log.json: cannot be written: No such file or directory; name another file\n"
        )


@pytest.mark.usefixtures("own_logging")
def test_a_rotated_log_file_is_reopened(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    configure_logging(verbose=0, quiet=True, style="json", file=path)
    event("row", row=1)
    path.rename(tmp_path / "log.json.1")
    event("row", row=2, code="", user=None)
    (line,) = path.read_text().splitlines()
    assert json.loads(line).items() >= {"event": "row", "level": "INFO", "row": 2}.items()
    assert "row" in (tmp_path / "log.json.1").read_text()
    assert "user" not in line


@pytest.mark.usefixtures("own_logging")
def test_log_lines_of_libraries_that_show_urls_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    configure_logging(verbose=2, quiet=False, file=path)
    for name in ("urllib3.connectionpool", "apprise"):
        logging.getLogger(name).warning("POST /services/hush")
    logging.getLogger("asyncio").debug("hush")
    logging.getLogger("asyncio").warning("slow")
    logging.getLogger("usersync.x").debug("deep")
    assert [line.split(": ")[-1] for line in path.read_text().splitlines()] == ["slow", "deep"]
