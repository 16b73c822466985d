"""Test that failures of disk, ledger, limits and paths end in a sentence."""

import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE, Desk, Ran
from usersync import api
from usersync.context import Context
from usersync.errors import StoppedError
from usersync.ledger import Ledger
from usersync.models import Row
from usersync.report import Summary
from usersync.sandbox import Sandbox
from usersync.settings import make_settings

Opened = Callable[..., Any]
ROWS = 300
#: Long values, so that the rows of a run need more space than an empty ledger.
CHANGES = "id,name\n" + "".join(f"{i},{'New ' * 40}{i}\n" for i in range(1, ROWS + 1))
#: Rows that may be without an answer when a run ends at once.
IN_FLIGHT = 64
NO_READS = {"compare_with": "nothing"}


def run_limited(at: Desk, *words: str, limit: Callable[[], None] = lambda: None) -> Ran:
    """Run a command as a process of its own, which calls `limit` before it begins."""
    done = subprocess.run(
        [sys.executable, "-m", "usersync", *words], cwd=at.folder, env=at.prepare(), capture_output=True, text=True,
        timeout=PATIENCE, check=False, preexec_fn=limit,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr, at.folder)


def patched(box: Sandbox) -> int:
    return sum(r.method == "PATCH" for r in box.log)


def resume_completes(at: Desk, box: Sandbox) -> None:
    """Check that `resume` sends what is left, and that every row of the report is right."""
    ran = at.run("resume", "--yes", "--json")
    assert (ran.code, ran.summary["counts"]) == (0, {"updated": ROWS, "rows": ROWS}), ran.err
    assert [line["status"] for line in ran.report] == ["updated"] * ROWS
    assert all((user.name or "").startswith("New") for user in box.store.users.values())


def report_says_what_was_sent(at: Desk, box: Sandbox) -> None:
    """Check that the report has every row, that those `updated` hold the new value, and those `not-sent` do not."""
    report = Ran(0, "", "", at.folder).report
    assert len(report) == ROWS
    for line in report:
        new = (box.store.users[int(line["id"])].name or "").startswith("New")
        assert line["status"] in (("updated", "unknown") if new else ("not-sent", "unknown")), line
    assert sum(line["status"] == "updated" for line in report) >= patched(box) - IN_FLIGHT


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Return a function that makes, or resizes, a disk of so many bytes; only root can mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def sized(size: int) -> Path:
        options = f"{'remount,' if folder.is_mount() else ''}size={size}"
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("a disk can be mounted by root only")
        return folder

    yield sized
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [250_000, 330_000])
def test_a_disk_that_is_full_while_rows_are_sent_stops_the_run_with_a_report(
    desk: Opened, small_disk: Callable[[int], Path], size: int
) -> None:
    ledger = small_disk(size) / "usersync.db"
    with desk(Sandbox(users=ROWS, limit=None), diff=NO_READS, ledger=str(ledger)) as (box, at):
        at.write("a.csv", CHANGES)
        ran = at.run("run", "a.csv", "--yes", "-q")
        assert (ran.code, 0 < patched(box) < ROWS) == (4, True)
        assert "the disk is full; free some space, then run `usersync resume`" in ran.err
        report_says_what_was_sent(at, box)
        small_disk(50_000_000)
        resume_completes(at, box)


def test_a_disk_that_is_full_while_the_plan_is_made_sends_nothing(
    desk: Opened, small_disk: Callable[[int], Path]
) -> None:
    ledger = small_disk(120_000) / "usersync.db"
    with desk(Sandbox(users=ROWS, limit=None), diff=NO_READS, ledger=str(ledger)) as (box, at):
        at.write("a.csv", CHANGES)
        ran = at.run("run", "a.csv", "--yes", "-q")
        assert (ran.code, patched(box)) == (4, 0)
        assert "the disk is full; free some space" in ran.err
        small_disk(50_000_000)
        resume_completes(at, box)


def test_a_disk_that_is_full_when_the_report_is_written_leaves_it_to_resume(
    desk: Opened, small_disk: Callable[[int], Path]
) -> None:
    folder = small_disk(60_000)
    with desk(Sandbox(users=ROWS, limit=None), diff=NO_READS, report={"dir": str(folder)}) as (box, at):
        at.write("a.csv", CHANGES)
        ran = at.run("run", "a.csv", "--yes", "-q")
        assert (ran.code, patched(box)) == (4, ROWS)
        assert "the report cannot be written: No space left on device" in ran.err
        assert not list(folder.glob("*/report.csv"))
        small_disk(50_000_000)
        ran = at.run("resume", "--yes", "--json")
        assert (ran.code, ran.summary["counts"], patched(box)) == (0, {"updated": ROWS, "rows": ROWS}, ROWS)
        (report,) = folder.glob("*/report.csv")
        assert len(report.read_text("utf-8-sig").splitlines()) == ROWS + 1


def test_a_file_size_limit_that_the_ledger_reaches_stops_the_run_with_a_report(desk: Opened) -> None:
    with desk(Sandbox(users=ROWS, limit=None), diff=NO_READS) as (box, at):
        at.write("a.csv", CHANGES)
        ran = run_limited(at, "run", "a.csv", "--yes", "-q", limit=lambda: set_limit(resource.RLIMIT_FSIZE, 200_000))
        assert (ran.code, 0 < patched(box) < ROWS) == (4, True)
        assert "usersync.db cannot be " in ran.err
        report_says_what_was_sent(at, box)
        resume_completes(at, box)


def set_limit(what: int, value: int) -> None:
    resource.setrlimit(what, (value, value))


# the ledger


def overwrite(path: Path, begin: int) -> None:
    """Overwrite a file from a place on with what it cannot hold."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(begin)
        file.write(b"\xff" * max(size - begin, 0))


def checkpoint(path: Path, statement: str) -> None:
    """Execute a statement, and leave a single file."""
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()


def run_in_process(at: Desk, box: Sandbox, context: Context) -> Summary:
    settings = make_settings(
        {
            "platform": {"url": box.url, "token_command": f"echo {box.token}"},
            "request": {"rate": "off"},
            "diff": NO_READS,
            "ledger": str(at.folder / "usersync.db"),
            "report": {"dir": str(at.folder / "runs")},
        }
    )
    return api.run([at.folder / "a.csv"], settings, confirm=lambda _: True, context=context)


@pytest.mark.parametrize("begin", [pytest.param(0, id="the header"), pytest.param(4096, id="all pages but the first")])
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["run", "a.csv", "--yes"], id="run"),
        pytest.param(["plan", "a.csv"], id="plan"),
        pytest.param(["runs"], id="runs"),
        pytest.param(["resume", "--yes"], id="resume"),
        pytest.param(["update", "1", "--name", "Ann"], id="update"),
    ],
)
def test_a_damaged_ledger_ends_a_command_with_a_sentence(desk: Opened, begin: int, words: list[str]) -> None:
    with desk(Sandbox(users=ROWS, limit=None), diff={"compare_with": "last-run"}) as (box, at):
        at.write("a.csv", CHANGES)
        assert at.run("run", "a.csv", "--yes", "-q").code == 0
        checkpoint(at.folder / "usersync.db", "PRAGMA wal_checkpoint(TRUNCATE)")
        overwrite(at.folder / "usersync.db", begin)
        sent = patched(box)
        ran = at.run(*words)
        assert (ran.code, patched(box)) == (2, sent), ran.err
        assert "usersync.db is damaged (" in ran.err
        assert "restore it from a backup" in ran.err


@pytest.mark.parametrize("column", ["settings", "sources", "options", "overrides", "filled_fields"])
@pytest.mark.parametrize("value", ["{", "7", ""])
def test_a_ledger_whose_runs_hold_no_json_is_damaged(desk: Opened, column: str, value: str) -> None:
    with desk() as (_, at):
        at.write("a.csv", "id,name\n1,Ann\n")
        assert at.run("run", "a.csv", "--yes", "-q").code == 0
        checkpoint(at.folder / "usersync.db", f"UPDATE run SET {column} = '{value}'")
        for words in (["runs"], ["resume", "--yes"], ["plan", "a.csv"]):
            ran = at.run(*words)
            assert ran.code == 2, ran.err
            assert "usersync.db is damaged (run " in ran.err
        checked = at.run("check")
        assert (checked.code, "usersync.db is damaged (run " in checked.out) == (2, True), checked.out


@pytest.mark.parametrize("column", ["old", "new"])
@pytest.mark.parametrize(
    "words", [["show", "RUN"], ["show", "RUN", "--json"], ["history", "1"], ["undo", "RUN", "--yes"]]
)
def test_a_ledger_whose_rows_hold_no_json_is_damaged(desk: Opened, column: str, words: list[str]) -> None:
    with desk() as (_, at):
        at.write("a.csv", "id,name\n1,Ann\n")
        run = at.run("run", "a.csv", "--yes", "--json").summary["run"]
        checkpoint(at.folder / "usersync.db", f"UPDATE row SET {column} = '{{'")
        ran = at.run(*[run if word == "RUN" else word for word in words])
        assert ran.code == 4, ran.err
        assert "is damaged (" in ran.err
        assert "restore it from a backup" in ran.err


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
@pytest.mark.parametrize("words", [["run", "a.csv", "--yes"], ["runs"], ["plan", "a.csv"]])
def test_a_ledger_that_is_no_file_is_an_error_before_anything_begins(desk: Opened, kind: str, words: list[str]) -> None:
    with desk() as (box, at):
        at.write("a.csv", "id,name\n1,Ann\n")
        path = at.folder / "here.db"
        at.settings["ledger"] = "/dev/null" if kind == "device" else str(path)
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        ran = at.run(*words)
        assert (ran.code, box.log) == (2, ()), ran.err
        assert "is a folder, a pipe or a device; name a file under ledger:" in ran.err
        assert "resume" not in ran.err
        assert not list(Path(at.settings["ledger"]).parent.glob("*.lock"))


def test_a_ledger_that_is_damaged_while_rows_are_sent_stops_the_run(desk: Opened) -> None:
    with desk(Sandbox(users=ROWS, limit=None), diff=NO_READS) as (box, at):
        at.write("a.csv", CHANGES)

        def damage(row: Row) -> None:
            for path in at.folder.glob("usersync.db*"):
                if not path.name.endswith((".lock", ".holder")):
                    overwrite(path, 0)

        with pytest.raises(StoppedError, match=r"usersync.db is damaged .* restore it from a backup"):
            run_in_process(at, box, Context(on_result=damage))


@pytest.mark.parametrize("version", [-1, 99])
def test_a_ledger_of_an_unknown_version_is_refused(desk: Opened, version: int) -> None:
    with desk() as (box, at):
        at.write("a.csv", "id,name\n1,Ann\n")
        with Ledger(at.folder / "usersync.db"):
            pass
        checkpoint(at.folder / "usersync.db", f"PRAGMA user_version = {version}")
        ran = at.run("run", "a.csv", "--yes")
        assert (ran.code, box.log) == (2, ())
        assert f"version {version}; this usersync knows versions up to" in ran.err


# limits of the system


@pytest.mark.parametrize(
    ("files", "concurrency", "code"),
    [
        pytest.param(24, 16, 2, id="too few for anything"),
        pytest.param(95, 64, 2, id="one too few"),
        pytest.param(96, 64, 0, id="just enough"),
    ],
)
def test_too_few_open_files_are_an_error_before_anything_is_sent(
    desk: Opened, files: int, concurrency: int, code: int
) -> None:
    with desk(Sandbox(users=ROWS, limit=None, latency=0.01), request={"rate": "off", "concurrency": concurrency}) as (
        box,
        at,
    ):
        at.write("a.csv", CHANGES)
        ran = run_limited(at, "run", "a.csv", "--yes", limit=lambda: set_limit(resource.RLIMIT_NOFILE, files))
        assert ran.code == code, ran.err
        needed = concurrency + 32
        words = f"{concurrency} connections need {needed} open files, and the system allows {files}; lower it"
        assert (words in ran.err, bool(box.log)) == (code == 2, code == 0)
        assert len(json.loads(at.run("runs", "--json").out)) == (code == 0)


# paths


@pytest.mark.parametrize("character", [r"\0", r"\udcff"], ids=["NUL", "half a character"])
@pytest.mark.parametrize("where", ["ledger", "report.dir", "request.ca_file", "metrics.file"])
def test_a_path_in_the_settings_that_no_file_can_have_is_an_error(desk: Opened, character: str, where: str) -> None:
    with desk() as (box, at):
        at.write("a.csv", "id,name\n1,Ann\n")
        name = json.loads(f'"a{character.replace(chr(92) + "0", chr(92) + "u0000")}b"')
        section, _, key = where.partition(".")
        at.settings[section] = {key: name} if key else name
        ran = at.run("run", "a.csv", "--yes")
        assert (ran.code, box.log) == (2, ())
        assert f"{where}: holds " in ran.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["run", "a\udcff.csv", "--yes"], 2, id="a file"),
        pytest.param(["run", "a.csv", "--yes", "-c", "a\udcff"], 2, id="settings"),
        pytest.param(["apply", "a\udcff", "--yes"], 2, id="a plan"),
        pytest.param(["plan", "a.csv", "-o", "a\udcff"], 0, id="a plan to be written"),
        pytest.param(["run", "a.csv", "--yes", "--log-file", "a\udcff"], 0, id="a log"),
    ],
)
def test_a_path_that_is_no_text_is_usable_or_an_error(desk: Opened, words: list[str], code: int) -> None:
    with desk() as (_, at):
        at.write("a.csv", "id,name\n1,Ann\n")
        ran = run_limited(at, *words)
        assert ran.code == code, ran.err
        assert "internal error" not in ran.err


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("platform: " + "[" * 100_000, id="100,000 brackets"),
        pytest.param(
            "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
            id="aliases that stand for a billion values",
        ),
    ],
)
def test_settings_that_would_grow_without_end_are_an_error(desk: Opened, text: str) -> None:
    with desk() as (_, at):
        at.write("a.csv", "id,name\n1,Ann\n")
        at.write("other.yaml", text)
        ran = at.run("run", "a.csv", "--yes", "-c", "other.yaml")
        assert (ran.code, len(ran.err) < 2000) == (2, True), ran.err[:2000]
        assert "other.yaml: " in ran.err


def test_a_run_that_is_out_of_memory_stops_with_a_report(desk: Opened) -> None:
    def fail(row: Row) -> None:
        if row.key == 20:
            raise MemoryError

    with desk(Sandbox(users=ROWS, limit=None), diff=NO_READS) as (box, at):
        at.write("a.csv", CHANGES)
        summary = run_in_process(at, box, Context(on_result=fail))
        assert (summary.exit_code, (summary.stopped or "").startswith("out of memory; ")) == (4, True)
        report_says_what_was_sent(at, box)
        resume_completes(at, box)


def test_an_error_in_the_program_that_embeds_a_run_still_leaves_a_report(desk: Opened) -> None:
    class CallerError(Exception):
        pass

    def fail(row: Row) -> None:
        if row.key == 20:
            raise CallerError

    with desk(Sandbox(users=ROWS, limit=None), diff=NO_READS) as (box, at):
        at.write("a.csv", CHANGES)
        with pytest.raises(CallerError):
            run_in_process(at, box, Context(on_result=fail))
        report_says_what_was_sent(at, box)
        resume_completes(at, box)


# standard output

#: Command -> its exit code where stdout takes nothing; where its reader has closed it, it is 0.
WITH_OUTPUT = [
    pytest.param(["--help"], 2, id="--help"),
    pytest.param(["plan", "a.csv"], 2, id="plan"),
    pytest.param(["inspect", "a.csv", "--cells"], 2, id="inspect --cells"),
    pytest.param(["runs"], 2, id="runs"),
    pytest.param(["check", "--json"], 2, id="check --json"),
    pytest.param(["export", "-", "--ids", "ids.csv"], 2, id="export -"),
    pytest.param(["run", "a.csv", "--yes", "--json"], 0, id="run --json"),
    pytest.param(["update", "1", "--name", "Bea"], 0, id="update"),
]


@pytest.mark.parametrize("closed", [False, True], ids=["full", "closed"])
@pytest.mark.parametrize(("words", "full_code"), WITH_OUTPUT)
def test_output_that_cannot_be_written_ends_in_a_sentence_and_a_closed_pipe_quietly(
    desk: Opened, words: list[str], full_code: int, closed: bool
) -> None:
    with desk(Sandbox(users=ROWS, limit=None)) as (_, at):
        at.write("a.csv", "id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, ROWS + 1)))
        at.write("ids.csv", "id\n" + "".join(f"{i}\n" for i in range(1, ROWS + 1)))
        env = {**at.prepare(), "PYTHONUNBUFFERED": "" if closed else "1"}
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb") if closed else Path("/dev/full").open("wb") as out:  # noqa: PTH123 - a number
            done = subprocess.run(
                [sys.executable, "-m", "usersync", *words],
                cwd=at.folder, env=env, stdout=out, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False,
            )  # fmt: skip
        assert done.returncode == (0 if closed else full_code), done.stderr
        assert ("stdout cannot be written" in done.stderr) != closed, done.stderr
        for word in ("internal error", "Traceback", "Exception ignored", "Broken pipe"):
            assert word not in done.stderr
