"""Test usersync as a library: DataFrames, types, and a fast import."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import usersync
from tests.conftest import FakeClock, numbered_users
from usersync.context import Context
from usersync.sandbox import Answer, Faults, Sandbox, running

SNIPPET = """
import pandas as pd
import usersync
from tests.conftest import FakeClock
from usersync.context import Context

def few(plan: usersync.Plan) -> bool:
    return plan.changes < 100 and not plan.violations

def show(row: usersync.Row) -> None:
    print(row.key, row.status is usersync.Status.UPDATED, row.code)

def work(frame: pd.DataFrame, settings: usersync.Settings) -> pd.DataFrame:
    plan: usersync.Plan = usersync.plan(frame, settings)
    usersync.plan(["a.csv", frame], options=usersync.RunOptions(limit=3))
    if plan.changes > 100:
        raise usersync.UsersyncError("too many")
    run: usersync.Summary = usersync.apply(plan, confirm=few, context=Context(on_result=show))
    return run.report_frame()
"""
WRONG = """
import usersync
usersync.plan(1)
usersync.aply("plan.json")
usersync.apply("plan.json")
"""


def yes(_: usersync.Plan) -> bool:
    return True


@pytest.fixture
def box() -> Any:
    users = numbered_users(8)
    refused = Faults(script=lambda *call: Answer(422, {"message": "no"}) if call[:2] == ("PATCH", 8) else None)
    with running(Sandbox(users=users, limit=None, faults=refused)) as opened:
        yield opened


@pytest.fixture
def settings(box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> usersync.Settings:
    monkeypatch.setenv("USERSYNC_TOKEN", box.token)
    fields = {"custom_attributes.seats": {"type": "integer"}, "custom_attributes.vip": {"type": "boolean"}}
    return usersync.make_settings(
        {
            "platform": {"url": box.url, "token_env": "USERSYNC_TOKEN"}, "fields": fields,
            "ledger": str(tmp_path / "u.db"), "report": {"dir": str(tmp_path / "runs")},
        }
    )  # fmt: skip


def test_the_public_functions_are_typed(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "right.py").write_text(SNIPPET)
    (tmp_path / "wrong.py").write_text(WRONG)
    words = ["--strict", str(tmp_path / "right.py"), str(tmp_path / "wrong.py")]
    done = subprocess.run(  # among the project's own files, whose types mypy may know already
        [sys.executable, "-m", "mypy", *words],
        cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    errors = [Path(line.split(": error:")[0]).name for line in done.stdout.splitlines() if ": error:" in line]
    assert errors == ["wrong.py:3", "wrong.py:4", "wrong.py:5"], done.stdout


def test_import_loads_no_slow_library() -> None:
    code = "import sys, usersync; print([name for name in ('pandas', 'pydantic', 'aiohttp') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_exists_and_no_other() -> None:
    assert all(getattr(usersync, name) for name in usersync.__all__)
    with pytest.raises(AttributeError, match="no attribute 'aply'"):
        usersync.aply  # type: ignore[attr-defined]  # noqa: B018


def test_a_data_frame_is_planned_and_applied_and_the_report_is_a_data_frame(
    box: Sandbox, settings: usersync.Settings
) -> None:
    frame = pd.DataFrame(
        {
            "id": [1.0, 2.0, 3.0, None, 2.0**60],
            "name": ["=Ann", "User 2", None, "Nobody", "Lost"],
            "password": [None, None, "Str0ng!secret", None, None],
            "custom_attributes": [{"plan": "pro"}, None, None, None, None],
            "custom_attributes.seats": pd.array([5, None, None, None, None], dtype="Int64"),
            "custom_attributes.vip": [True, None, None, None, None],
            "custom_attributes.since": [pd.Timestamp("2026-11-24"), None, None, None, None],
        },
        index=[40, 30, 20, 10, 0],
    )
    plan = usersync.plan(frame, settings)
    assert plan.changes == 2
    assert "Str0ng" not in repr(plan)
    results: list[usersync.Row] = []
    summary = usersync.apply(plan, confirm=yes, context=Context(on_result=results.append))
    report = summary.report_frame()
    assert report[["row", "id", "status", "code"]].to_numpy().tolist() == [
        [2, "1", "updated", ""], [3, "2", "unchanged", ""], [4, "3", "updated", ""],
        [5, "", "rejected", "id-missing"], [6, "1.152921504606847e+18", "rejected", "id-damaged"],
    ]  # fmt: skip
    assert (report["file"].unique().tolist(), report["name"][0]) == (["DataFrame"], "=Ann")
    assert sorted((row.key, row.status) for row in results) == [(0, "updated"), (2, "updated")]
    users = box.store.users
    expected = {"plan": "pro", "seats": 5, "vip": True, "since": "2026-11-24"}
    assert (users[1].name, users[1].custom_attributes, users[3].password) == ("=Ann", expected, "Str0ng!secret")


@pytest.mark.parametrize(
    ("minutes", "statuses"),
    [(1, ["updated", "updated", "updated"]), (60, ["conflict", "unchanged", "updated"])],
    ids=["a minute", "an hour"],
)
def test_what_somebody_changed_while_a_plan_waited_to_be_confirmed_is_left_alone(
    box: Sandbox, settings: usersync.Settings, minutes: int, statuses: list[str]
) -> None:
    clock = FakeClock()

    def confirm(_: usersync.Plan) -> bool:
        clock.advance(60.0 * minutes)
        if minutes > 5:
            box.store.update(1, {"name": "Pia"})
            box.store.update(2, {"name": "Bea"})
        return True

    frame = pd.DataFrame({"id": ["1", "2", "3"], "name": ["Ann", "Bea", "Cid"]})
    summary = usersync.run(frame, settings, confirm=confirm, context=Context(clock=clock))
    assert summary.report_frame()["status"].tolist() == statuses
    assert [box.store.users[i].name for i in (1, 2, 3)] == ["Pia" if minutes > 5 else "Ann", "Bea", "Cid"]
    assert summary.requests["get"] == (3 if minutes < 5 else 6)


def test_an_undo_that_waited_to_be_confirmed_restores_what_nobody_changed_meanwhile(
    box: Sandbox, settings: usersync.Settings
) -> None:
    frame = pd.DataFrame({"id": ["1"], "name": ["Ann"], "display_name": ["A"]})
    run = usersync.run(frame, settings, confirm=yes).run
    clock = FakeClock()

    def confirm(_: usersync.Plan) -> bool:
        clock.advance(3600.0)
        box.store.update(1, {"name": "Pia"})
        return True

    summary = usersync.undo(run, settings, confirm=confirm, context=Context(clock=clock))
    assert (summary.exit_code, box.store.users[1].name, box.store.users[1].display_name) == (0, "Pia", "")
    assert "kept: name (somebody changed it since)" in summary.report_frame()["message"][0]


def test_a_data_frame_that_changed_since_the_plan_is_refused(box: Sandbox, settings: usersync.Settings) -> None:
    frame = pd.DataFrame({"id": [1], "name": ["Ann"]})
    plan = usersync.plan(frame, settings)
    frame.loc[0, "name"] = "Bob"
    with pytest.raises(usersync.UsersyncError, match="stale: DataFrame has changed"):
        usersync.apply(plan, confirm=yes)
    assert box.store.users[1].name == "User 1"


def test_a_run_of_a_data_frame_cannot_be_resumed(settings: usersync.Settings) -> None:
    frame = pd.DataFrame({"id": [1], "name": ["Ann"]})
    run = usersync.run(frame, settings, confirm=lambda _: False)
    again = usersync.resume(run.run, settings, confirm=yes)
    assert (again.exit_code, again.status, again.counts) == (3, "refused", {"not-sent": 1, "rows": 1})
    assert "came from a DataFrame" in str(again.stopped)


def test_typed_values_of_a_data_frame_are_no_names(box: Sandbox, settings: usersync.Settings) -> None:
    names = [True, pd.Timestamp("2026-01-02"), pd.Timedelta(hours=36), pd.NaT, "Ann"]
    frame = pd.DataFrame({"id": [1, 2, 3, 4, 5], "name": pd.Series(names, dtype=object), "email": None})
    report = usersync.run(frame, settings, confirm=yes).report_frame()
    assert report["code"].tolist() == ["type-invalid"] * 3 + ["nothing-to-do", ""]
    booleans = pd.DataFrame({"id": [1, 2], "name": [True, False]})  # whose cells are numpy's booleans
    assert usersync.run(booleans, settings, confirm=yes).counts == {"rejected": 2, "rows": 2}
    assert box.store.users[5].name == "Ann"


def test_cells_of_a_data_frame_are_read_as_text_except_bytes(settings: usersync.Settings) -> None:
    with pytest.raises(usersync.UsersyncError, match="a cell holds bytes"):
        usersync.plan(pd.DataFrame({"id": [1], "name": [b"Ann"]}), settings)
    plan = usersync.plan(pd.DataFrame({"id": [1], "custom_attributes.x": [float("inf")]}), settings)
    assert plan.changes == 1
    rounded = pd.DataFrame({"id": pd.Series([16777217], dtype="float32"), "name": ["Ann"]})
    assert usersync.plan(rounded, settings).counts == {"rejected": 1}


def test_an_id_in_the_index_of_a_data_frame_is_an_error_with_a_remedy() -> None:
    frame = pd.DataFrame({"name": ["Ann"]}, index=pd.Index([1], name="id"))
    with pytest.raises(usersync.UsersyncError, match="reset_index"):
        usersync.plan(frame, usersync.make_settings({"platform": {"url": "http://x", "token_env": "X"}}))


def test_runs_inside_a_running_event_loop_as_in_a_notebook(box: Sandbox, settings: usersync.Settings) -> None:
    async def cell() -> usersync.Summary:
        return usersync.apply(usersync.plan(pd.DataFrame({"id": [1], "name": ["Ann"]}), settings), confirm=yes)

    assert asyncio.run(cell()).counts == {"updated": 1, "rows": 1}
    assert box.store.users[1].name == "Ann"


def test_on_result_is_called_again_for_a_row_that_was_reverted(box: Sandbox, settings: usersync.Settings) -> None:
    diff = settings.diff.model_copy(update={"swap_placeholder": "swap@example.org"})
    frame = pd.DataFrame({"id": [7, 8], "email": ["u8@example.org", "u7@example.org"]})
    last: dict[int, str] = {}
    plan = usersync.plan(frame, settings.model_copy(update={"diff": diff}))
    run = usersync.apply(plan, confirm=yes, context=Context(on_result=lambda row: last.update({row.key: row.status})))
    assert (run.counts, last) == ({"failed": 2, "rows": 2}, {0: "failed", 1: "failed"})


def test_a_report_that_could_not_be_written_is_written_by_resume(
    box: Sandbox, settings: usersync.Settings, tmp_path: Path
) -> None:
    def confirm(_: usersync.Plan) -> bool:
        (folder,) = (tmp_path / "runs").iterdir()
        (folder / "report.csv.new").mkdir()
        return True

    path = tmp_path / "changes.csv"
    path.write_text("id,name\n1,Ann\n")
    with pytest.raises(usersync.UsersyncError, match="the report cannot be written") as caught:
        usersync.run(path, settings, confirm=confirm)
    assert caught.value.exit_code == 4
    (folder,) = (tmp_path / "runs").iterdir()
    (folder / "report.csv.new").rmdir()
    summary = usersync.resume(None, settings, confirm=lambda _: pytest.fail("there is nothing to confirm"))
    assert (summary.run, summary.exit_code, summary.counts) == (folder.name, 0, {"updated": 1, "rows": 1})
    assert [request.method for request in box.log].count("PATCH") == 1
