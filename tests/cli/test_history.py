"""Test what `runs` lists: runs, how they ended, and how to continue them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from usersync.cli import history
from usersync.context import RunOptions
from usersync.errors import UsageError
from usersync.ledger import Ledger, RunInfo
from usersync.models import FieldChange, Row, Status
from usersync.planning.resumed_rows import ResumedRows
from usersync.settings import Settings, make_settings

PLATFORM = "https://chat.example.org"
CHANGE = FieldChange("name", "Ann", "Bea")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    document = {
        "platform": {"url": PLATFORM, "token_env": "TOKEN"},
        "ledger": str(tmp_path / "usersync.db"),
        "report": {"dir": str(tmp_path / "runs")},
    }
    return make_settings(document, "the test's settings")


@pytest.fixture
def record(settings: Settings) -> Callable[..., None]:
    """Return the function that records a run of one row."""

    def record(
        name: str,
        *,
        exit_code: int | None,
        status: Status = Status.UPDATED,
        code: str = "",
        message: str = "",
        **more: Any,
    ) -> None:
        started = "2026-11-24T12:00:00.000Z"
        sources = ({"file": more.pop("file", "a.csv"), "sheet": "", "sha256": ""},)
        info = RunInfo(name, more.pop("kind", "run"), PLATFORM, started, "ann@desk", sources=sources, **more)
        with Ledger(settings.ledger) as ledger:
            run = ledger.start(info)
            run.insert([Row(0, 0, 2, "7", status, code=code, message=message, name="Ann").with_changes([CHANGE])])
            if exit_code is not None:
                run.finish(finished_at="2026-11-24T12:00:01.000Z", exit_code=exit_code, stopped=None)

    return record


def states(text: str) -> dict[str, str]:
    """Map the runs of the table to their states."""
    heading, *lines = text.partition("\n\n")[0].splitlines()
    start = heading.index("state")
    return {line.split()[0]: line[start:].split()[0] for line in lines}


def test_runs_are_marked_as_done_undone_or_unfinished(settings: Settings, record: Callable[..., None]) -> None:
    record("R1", exit_code=0)
    record("R2", exit_code=1, status=Status.FAILED)
    record("R3", exit_code=3, status=Status.PLANNED)
    record("R4", exit_code=4, status=Status.NOT_SENT)
    record("R5", exit_code=None, status=Status.PLANNED)
    record("R6", exit_code=0, kind="undo", parent="R1")
    text = history.runs(settings, as_json=False)
    assert states(text) == {
        "R6": "done", "R5": "unfinished", "R4": "unfinished", "R3": "refused", "R2": "partial", "R1": "undone",
    }  # fmt: skip
    assert text.split("\n\n")[1].splitlines() == [
        "R5: continue with `usersync resume R5`",
        "R4: continue with `usersync resume R4`",
        "R1: undone by R6",
    ]


@pytest.mark.parametrize(
    ("status", "state"),
    [(Status.UPDATED, "undone"), (Status.UNCHANGED, "undone"), (Status.CONFLICT, "done"), (Status.FAILED, "done")],
)
def test_a_run_of_which_an_undo_restored_nothing_is_not_undone(
    settings: Settings, record: Callable[..., None], status: Status, state: str
) -> None:
    record("R1", exit_code=0)
    record("R2", exit_code=1, kind="undo", parent="R1", status=status)
    assert states(history.runs(settings, as_json=False))["R1"] == state


@pytest.mark.parametrize(
    ("exit_code", "status", "is_undone"),
    [
        (0, Status.UPDATED, True),
        (1, Status.UNKNOWN, True),
        (None, Status.PLANNED, True),
        (4, Status.NOT_SENT, True),
        (1, Status.CONFLICT, False),
        (3, Status.NOT_SENT, False),
    ],
    ids=["restored", "perhaps restored", "begun", "stopped", "nothing restored", "refused"],
)
def test_an_interrupted_run_is_either_undone_or_can_be_resumed(
    settings: Settings, record: Callable[..., None], exit_code: int | None, status: Status, is_undone: bool
) -> None:
    record("R1", exit_code=4, status=Status.UPDATED)
    record("R2", exit_code=exit_code, kind="undo", parent="R1", status=status)
    document = json.loads(history.show("R1", settings, as_json=True))
    assert (document["undone_by"], document["resumable"]) == (("R2", False) if is_undone else (None, True))
    if is_undone:
        with Ledger(settings.ledger) as ledger, pytest.raises(UsageError, match="run R1 was undone by run R2"):
            ResumedRows("R1", ledger, settings, RunOptions())


def test_json_holds_the_runs_and_their_states(settings: Settings, record: Callable[..., None]) -> None:
    record("R1", exit_code=0)
    record("R2", exit_code=4, status=Status.NOT_SENT)
    record("R3", exit_code=0, kind="undo", parent="R1")
    documents = json.loads(history.runs(settings, as_json=True))
    assert [(d["run"], d["resumable"], d["undone_by"]) for d in documents] == [
        ("R3", False, None),
        ("R2", True, None),
        ("R1", False, "R3"),
    ]


def test_finished_runs_have_no_command_to_continue(settings: Settings, record: Callable[..., None]) -> None:
    assert history.runs(settings, as_json=False) == "no runs yet"
    record("R1", exit_code=0)
    assert len(history.runs(settings, as_json=False).splitlines()) == 2


def test_a_change_is_shown_with_the_user_and_the_difference(
    settings: Settings, record: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    record("R1", exit_code=1, status=Status.FAILED, code="refused", message="too short")
    monkeypatch.setenv("COLUMNS", "80")
    *_, row, _, kind, reason = click.unstyle(history.show("R1", settings, as_json=False)).splitlines()
    assert row.split() == ["2", "7", "Ann", "failed", "name", "Ann", "->", "Bea"]
    assert [kind, reason] == ["refused: 1 row", "  row 2 (Ann): too short"]
    head, change = history.history(7, settings, as_json=False).splitlines()
    assert head == "2026-11-24 12:00:00 UTC  failed  by ann@desk in R1"
    assert change.split() == ["name", "Ann", "->", "Bea"]


@pytest.mark.parametrize("columns", [66, 80, 100])
def test_names_kinds_states_and_counts_of_runs_are_never_cut(
    settings: Settings, record: Callable[..., None], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    name = "20261124T120000-0123abcd"
    file = "/srv/exports/of/all/customers/2026-11-24/agents.csv"
    record(name, kind="undo", exit_code=4, status=Status.NOT_SENT, file=file)
    monkeypatch.setenv("COLUMNS", str(columns))
    line = history.runs(settings, as_json=False).splitlines()[1]
    assert line.startswith(f"  {name}  undo  ")
    assert line.endswith("unfinished  1 not-sent")
    assert len(line) <= columns


@pytest.mark.parametrize("reports", [False, True])
def test_pruning_lists_what_it_deletes(settings: Settings, record: Callable[..., None], reports: bool) -> None:
    for name, code in (("R1", 0), ("R2", 4), ("R3", None)):
        record(name, exit_code=code)
        folder = settings.report.dir / name
        folder.mkdir(parents=True)
        (folder / "report.csv").touch()
    (settings.report.dir / "R2" / "report.csv").rename(settings.report.dir / "R2" / "mine.txt")
    question = history.prune_question(settings, history.ago(0), reports=reports)
    assert [line.strip() for line in question.splitlines()[:2]] == ["R2", "R1"]
    assert (str(settings.report.dir / "R1") in question) is reports
    assert ("The reports stay (1 folder)" in question) is not reports
    assert "can no longer be undone or resumed" in question
    done = history.prune(settings, history.ago(0), reports=reports)
    assert done == ("2 runs deleted, 1 report folder deleted" if reports else "2 runs deleted")
    kept = ["R2", "R3"] if reports else ["R1", "R2", "R3"]
    assert sorted(folder.name for folder in settings.report.dir.iterdir()) == kept
    assert states(history.runs(settings, as_json=False)) == {"R3": "unfinished"}


def test_pruning_deletes_a_link_to_a_report_and_nothing_behind_it(
    settings: Settings, record: Callable[..., None], tmp_path: Path
) -> None:
    record("R1", exit_code=0)
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "report.csv").touch()
    settings.report.dir.mkdir(parents=True)
    (settings.report.dir / "R1").symlink_to(archive)
    assert history.prune(settings, history.ago(0), reports=True) == "1 run deleted, 1 report folder deleted"
    assert (list(settings.report.dir.iterdir()), list(archive.iterdir())) == ([], [archive / "report.csv"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may delete everything")
def test_pruning_keeps_the_runs_of_reports_that_cannot_be_deleted(
    settings: Settings, record: Callable[..., None]
) -> None:
    record("R1", exit_code=0)
    folder = settings.report.dir / "R1"
    folder.mkdir(parents=True)
    (folder / "report.csv").touch()
    folder.chmod(0o500)
    try:
        with pytest.raises(UsageError, match=r"R1: the report folder cannot be deleted: .*; no run was deleted"):
            history.prune(settings, history.ago(0), reports=True)
    finally:
        folder.chmod(0o700)
    assert history.prune(settings, history.ago(0), reports=True) == "1 run deleted, 1 report folder deleted"


def test_pruning_without_old_runs_asks_nothing(settings: Settings, record: Callable[..., None]) -> None:
    record("R1", exit_code=0)
    assert history.prune_question(settings, history.ago(1e9), reports=True) == ""


def test_the_command_that_continues_a_run_repeats_the_settings_file(
    settings: Settings, record: Callable[..., None]
) -> None:
    record("R1", exit_code=4)
    listed = history.runs(settings, as_json=False, again=["-c", "our settings.yaml"])
    assert "R1: continue with `usersync resume R1 -c 'our settings.yaml'`" in listed


def test_a_rejected_row_is_shown_with_the_name_that_an_earlier_run_confirmed(
    settings: Settings, record: Callable[..., None]
) -> None:
    with Ledger(settings.ledger) as ledger:
        known = ledger.start(RunInfo("R1", "run", PLATFORM, "2026-11-24T12:00:00.000Z", "ann@desk"))
        user = {"finished_at": "2026-11-24T12:00:00.000Z", "custom_attributes": "{}"}
        known.insert([Row(0, 0, 2, "7", Status.UPDATED, name="Ann", **user)])
        known.insert([Row(1, 0, 3, "8", Status.UPDATED, email="ben@example.org", **user)])
        known.finish(finished_at="2026-11-24T12:00:01.000Z", exit_code=0, stopped=None)
        run = ledger.start(RunInfo("R2", "run", PLATFORM, "2026-11-24T12:00:02.000Z", "ann@desk"))
        run.insert([Row(n, 0, n + 2, user, Status.REJECTED) for n, user in enumerate(("7", "8", "7x", "9"))])
    lines = [line.split() for line in history.show("R2", settings, as_json=False).splitlines()[-4:]]
    assert [line[2:-1] for line in lines] == [["Ann"], ["ben@example.org"], [], []]


def test_each_reason_of_a_run_is_shown_once(settings: Settings) -> None:
    with Ledger(settings.ledger) as ledger:
        run = ledger.start(RunInfo("R1", "run", PLATFORM, "2026-11-24T12:00:00.000Z", "ann@desk"))
        faults = ("password '***': too short", "password '***': a word of the dictionary")
        run.insert([
            *(Row(n, 0, n + 2, str(n + 1), Status.NOT_SENT, message="not sent: not confirmed") for n in range(40)),
            *(
                Row(n, 0, n + 2, str(n + 1), Status.REJECTED, code="password-weak;name-blank", message=fault)
                for n, fault in enumerate((*faults, faults[0]), 40)
            ),
        ])  # fmt: skip
    assert history.show("R1", settings, as_json=False).split("\n\n")[2:] == [
        "not-sent: 40 rows\n  row 2 and 39 more: not sent: not confirmed",
        "password-weak, name-blank: 3 rows\n"
        "  row 42 and 1 more: password '***': too short\n"
        "  row 43: password '***': a word of the dictionary",
    ]


def test_a_run_is_shown_with_its_state_as_runs_lists_it(settings: Settings, record: Callable[..., None]) -> None:
    record("R1", exit_code=0)
    record("R2", exit_code=4, status=Status.NOT_SENT)
    record("R3", exit_code=3, status=Status.NOT_SENT)
    record("R4", exit_code=0, kind="undo", parent="R1")

    def state(name: str) -> str:
        facts = history.show(name, settings, as_json=False, again=["-c", "a.yaml"]).splitlines()
        return next(line for line in facts if line.startswith("  state")).split(maxsplit=1)[1]

    assert list(map(state, ("R1", "R2", "R3", "R4"))) == [
        "undone by R4",
        "unfinished; continue with `usersync resume R2 -c a.yaml`",
        "refused",
        "done",
    ]
    document = json.loads(history.show("R1", settings, as_json=True))
    assert (document["resumable"], document["undone_by"]) == (False, "R4")
