"""Test what the reference node was measured to do wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import FakeClock
from usersync import api
from usersync.sandbox import Fault, Faults, Sandbox, running
from usersync.settings import Rate, make_settings

Opened = Callable[..., Any]


def test_a_thousand_rows_share_the_connections_of_one_pool(desk: Opened) -> None:
    with desk(Sandbox(users=1000, limit=None), request={"rate": "off", "concurrency": 8}) as (box, at):
        at.write("changes.csv", "id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, 1001)))
        assert at.run("run", "changes.csv", "--yes").code == 0
        assert box.connections <= 8


def test_failed_rows_make_exit_code_1(desk: Opened) -> None:
    def down(method: str, user_id: int | None, nth: int) -> Fault | None:
        return Fault.ERROR if method == "PATCH" and user_id is not None and user_id > 7 else None

    with desk(Sandbox(users=10, limit=None, faults=Faults(script=down)), request={"rate": "off", "retries": 0}) as (
        _, at,
    ):  # fmt: skip
        at.write("changes.csv", "id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, 11)))
        ran = at.run("run", "changes.csv", "--yes")
        assert ran.code == 1
        failed = [line for line in ran.report if line["status"] == "failed"]
        assert [(line["row"], line["id"], line["code"]) for line in failed] == [
            ("9", "8", "platform-error"), ("10", "9", "platform-error"), ("11", "10", "platform-error"),
        ]  # fmt: skip
        assert all(line["message"] for line in failed)


def test_a_limit_of_ten_a_minute_loses_no_row_and_repeats_none(tmp_path: Path) -> None:
    """The settings allow more than the platform does: rows wait, and 429s cost no row its attempts."""
    clock = FakeClock()
    (tmp_path / "changes.csv").write_text("id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, 31)))
    with running(Sandbox(users=30, limit=Rate(10, 60.0), clock=clock)) as box:
        settings = make_settings(
            {
                "platform": {"url": box.url, "token_command": "echo sandbox-token"},
                "request": {"rate": "off", "retries": 0, "stop_after": "9d"},
                "diff": {"compare_with": "nothing"},
                "ledger": str(tmp_path / "usersync.db"),
                "report": {"dir": str(tmp_path / "runs")},
            }
        )
        context = api.Context(clock=clock)
        summary = api.run([tmp_path / "changes.csv"], settings, confirm=lambda _: True, context=context)
        assert summary.counts == {"updated": 30, "rows": 30}
        assert summary.requests["throttled"] > 0
        assert sorted(r.user_id or 0 for r in box.log if r.applied) == list(range(1, 31))


def test_one_bad_row_among_ten_does_not_cost_the_report(desk: Opened) -> None:
    with desk() as (_, at):
        at.write("changes.csv", "id,name\n" + "".join(f"{i},New {i}\n" for i in [1, 2, 3, 999, 5, 6, 7, 8, 9, 10]))
        ran = at.run("run", "changes.csv", "--yes")
        statuses = [line["status"] for line in ran.report]
        assert statuses == ["updated"] * 3 + ["rejected"] + ["updated"] * 6


def test_missing_columns_and_blank_cells_leave_fields_alone(desk: Opened) -> None:
    with desk() as (box, at):
        before = box.store.users[1]
        at.write("changes.csv", "id,display_name,password\n1,Annie,\n")
        assert at.run("run", "changes.csv", "--yes").code == 0
        assert box.log[-1].body == {"display_name": "Annie"}
        after = box.store.users[1]
        assert (after.name, after.email, after.password) == (before.name, before.email, before.password)


def test_custom_attributes_that_are_not_json_are_rejected(desk: Opened) -> None:
    with desk() as (box, at):
        at.write("changes.csv", "id,custom_attributes\n1,seats=5\n")
        assert at.run("run", "changes.csv", "--yes").statuses() == {"2": "rejected json-invalid"}
        assert not box.log


def test_an_id_that_looks_like_a_path_is_rejected(desk: Opened) -> None:
    with desk() as (box, at):
        at.write("changes.csv", "id,name\n5/../7,Mallory\n")
        assert at.run("run", "changes.csv", "--yes").statuses() == {"2": "rejected id-invalid"}
        assert not box.log


def test_an_id_with_a_decimal_point_and_zero_is_that_id(desk: Opened) -> None:
    with desk() as (box, at):
        at.write("changes.csv", "id,name\n12.0,Ann\n")
        assert at.run("run", "changes.csv", "--yes").code == 0
        assert box.store.users[12].name == "Ann"


def test_two_rows_with_different_values_for_one_user_are_both_rejected(desk: Opened) -> None:
    with desk() as (box, at):
        at.write("changes.csv", "id,name\n7,Ann\n7,Bea\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert ran.statuses() == {"2": "rejected duplicate", "3": "rejected duplicate"}
        assert not box.log


def test_fifty_rows_that_change_nothing_cost_no_update(desk: Opened) -> None:
    with desk() as (box, at):
        at.write("changes.csv", "id,name\n" + "".join(f"{i},{user.name}\n" for i, user in box.store.users.items()))
        ran = at.run("run", "changes.csv", "--yes", "--json")
        assert ran.summary["counts"] == {"unchanged": 50, "rows": 50}
        assert ran.summary["requests"]["patch"] == 0


# The password that the node leaves in its database and its output: tests/test_cli.py,
# test_no_secret_reaches_a_file_or_the_terminal.
