"""Test that a plan's numbers are about the rows that would be sent."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from pandas import DataFrame

import usersync
from tests.conftest import TOKEN, Desk, numbered_box
from usersync.context import Context, SystemClock
from usersync.models import Status
from usersync.sandbox import Sandbox, StoredUser

Opened = Callable[..., AbstractContextManager[tuple[Sandbox, Desk]]]


def sheet(count: int, *, email: bool = True) -> str:
    heading = "id,name,email\n" if email else "id,name\n"
    return heading + "".join(f"{i},New {i}{f',new{i}@example.org' if email else ''}\n" for i in range(1, count + 1))


def test_a_limited_plan_counts_and_shows_only_the_rows_it_would_send(desk: Opened) -> None:
    with desk(numbered_box(30)) as (_, at):
        at.write("changes.csv", sheet(30))
        plan = at.run("plan", "changes.csv", "--limit", "3", "--json").summary
        assert (plan["changes"], plan["fields"], plan["left_out"]) == (3, {"name": 3, "email": 3}, 27)
        assert plan["counts"] == {"planned": 3, "rows": 3}
        shown = at.run("plan", "changes.csv", "--limit", "3").out
        assert "Plan: 3 users to change" in shown
        assert ("new3@example.org" in shown, "new4@example.org" in shown, "more" in shown) == (True, False, False)


def test_limits_apply_to_the_rows_that_limit_leaves(desk: Opened) -> None:
    with desk(numbered_box(30), limits={"fields": {"email": {"changes": 5}}, "changes_percent": 10}) as (_, at):
        at.write("changes.csv", sheet(30))
        ran = at.run("run", "changes.csv", "--limit", "3", "--yes", "--json")
        assert (ran.code, ran.summary["counts"]) == (0, {"updated": 3, "rows": 3})
        assert at.run("run", "changes.csv", "--limit", "4", "--yes", "--json").code == 3  # 13 % of 30 rows


def test_equal_names_beyond_the_limit_do_not_count(desk: Opened) -> None:
    with desk(numbered_box(30), limits={"same_value": 2}) as (_, at):
        at.write("changes.csv", "id,name,password\n" + "".join(f"{i},Same,Secret-1x\n" for i in range(1, 31)))
        assert at.run("run", "changes.csv", "--limit", "2", "--yes").code == 0
        refused = at.run("run", "changes.csv", "--yes", "--json")
        assert {limit["rule"] for limit in refused.summary["limits"]} == {"same-name", "same-password"}


def test_a_few_of_many_users_exchange_their_numbers_but_not_all_whom_limit_leaves(desk: Opened) -> None:
    users = [
        StoredUser(id=i, name=f"User {i}", email=f"u{i}@example.org", custom_attributes={"tel": f"+49 30 {i}"})
        for i in range(1, 41)
    ]
    exchanged = {1: 5, 2: 6, 3: 7, 5: 1, 6: 2, 7: 3}
    with desk(Sandbox(users=users, limit=None)) as (_, at):
        rows = [f"{i},+49 30 {exchanged.get(i, i)}\n" for i in range(1, 41)]
        at.write("changes.csv", "id,custom_attributes.tel\n" + "".join(rows))
        assert at.run("plan", "changes.csv", "--limit", "6", "--json").code == 3
        ran = at.run("run", "changes.csv", "--yes", "--json")
        assert (ran.code, ran.summary["counts"]) == (0, {"updated": 6, "unchanged": 34, "rows": 40})


def test_an_undo_is_not_compared_with_the_size_of_the_file(desk: Opened) -> None:
    with desk(numbered_box(100), limits={"changes_percent": 50, "min_rows": 50}) as (box, at):
        rows = [f"{i},{'New' if i <= 10 else 'User'} {i}\n" for i in range(1, 101)]
        at.write("changes.csv", "id,name\n" + "".join(rows))
        done = at.run("run", "changes.csv", "--yes", "--json")
        assert done.summary["counts"] == {"updated": 10, "unchanged": 90, "rows": 100}
        undone = at.run("undo", done.summary["run"], "--yes", "--json")
        assert (undone.code, undone.summary["counts"]) == (0, {"updated": 10, "rows": 10})
        assert box.store.users[1].name == "User 1"


def test_a_whole_file_may_follow_a_limited_run(desk: Opened) -> None:
    with desk(numbered_box(250)) as (_, at):
        at.write("changes.csv", sheet(250, email=False))
        assert at.run("run", "changes.csv", "--limit", "100", "--yes").code == 0
        whole = at.run("run", "changes.csv", "--yes", "--json")
        assert (whole.code, whole.summary["counts"]) == (0, {"updated": 150, "unchanged": 100, "rows": 250})


def test_a_whole_file_may_follow_a_run_of_some_of_its_rows(desk: Opened) -> None:
    with desk(numbered_box(250)) as (_, at):
        at.write("changes.csv", sheet(250, email=False))
        assert at.run("run", "changes.csv", "--skip", "240", "--yes").code == 0
        assert at.run("run", "changes.csv", "--yes").code == 0


def test_a_rejected_cycle_of_addresses_is_in_no_count_and_no_example(desk: Opened) -> None:
    with desk(numbered_box(3)) as (_, at):
        at.write("changes.csv", "id,name,email\n1,Ann,u2@example.org\n2,Bea,u1@example.org\n3,Cid,\n")
        plan = at.run("plan", "changes.csv", "--json").summary
        assert (plan["changes"], plan["fields"]) == (1, {"name": 1})
        shown = at.run("plan", "changes.csv").out
        assert ("-> Cid" in " ".join(shown.split()), "-> Ann" in " ".join(shown.split())) == (True, False)


def test_a_cycle_that_limit_cuts_is_blocked_and_nothing_of_it_is_sent(desk: Opened) -> None:
    cycle = "id,email\n1,u2@example.org\n2,u3@example.org\n3,u1@example.org\n"
    with desk(numbered_box(3), diff={"swap_placeholder": "swap@example.org"}) as (box, at):
        at.write("changes.csv", cycle)
        ran = at.run("run", "changes.csv", "--limit", "2", "--yes")
        assert ran.statuses() == {"2": "rejected blocked-by", "3": "rejected blocked-by"}
        assert not [r for r in box.log if r.method == "PATCH"]
        assert at.run("run", "changes.csv", "--yes").code == 0


def test_a_cycle_that_a_conflict_keeps_closed_is_blocked_and_nothing_of_it_is_sent(desk: Opened) -> None:
    with desk(numbered_box(3), diff={"swap_placeholder": "swap@example.org"}) as (box, at):
        at.write("first.csv", "id,email\n3,third@example.org\n")
        assert at.run("run", "first.csv", "--yes").code == 0
        box.store.update(3, {"email": "u3@example.org"})
        sent = len([r for r in box.log if r.method == "PATCH"])
        at.write("changes.csv", "id,email\n1,u2@example.org\n2,u3@example.org\n3,u1@example.org\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert ran.statuses() == {"2": "rejected blocked-by", "3": "rejected blocked-by", "4": "conflict"}
        assert len([r for r in box.log if r.method == "PATCH"]) == sent


def test_an_address_of_an_unchanged_user_of_the_file_blocks_the_row_that_would_take_it(desk: Opened) -> None:
    with desk(numbered_box(3)) as (box, at):
        at.write("changes.csv", "id,name,email\n1,,u2@example.org\n2,User 2,\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert ran.statuses() == {"2": "rejected blocked-by", "3": "unchanged"}
        assert not [r for r in box.log if r.method == "PATCH"]


def settings_of(box: Sandbox, at: Desk) -> usersync.Settings:
    return usersync.make_settings(
        {
            "platform": {"url": box.url, "token_command": f"echo {TOKEN}"},
            "ledger": str(at.folder / "usersync.db"),
            "report": {"dir": str(at.folder / "runs")},
        }
    )


def test_a_run_that_is_not_confirmed_ends_with_a_summary(desk: Opened) -> None:
    with desk(numbered_box(2)) as (box, at):
        at.write("changes.csv", sheet(2))
        summary = usersync.run([at.folder / "changes.csv"], settings_of(box, at), confirm=lambda _: False)
        assert (summary.exit_code, summary.status, summary.counts) == (3, "refused", {"not-sent": 2, "rows": 2})
        report = summary.report_frame()
        assert ({*report["status"]}, {*report["message"]}) == ({Status.NOT_SENT}, {"not sent: not confirmed"})


def test_a_file_whose_rows_are_all_rejected_ends_alike_in_plan_and_run(desk: Opened) -> None:
    with desk(numbered_box(60)) as (_, at):
        at.write("changes.csv", sheet(60))
        assert at.run("run", "changes.csv", "--yes", "--override", "identity").code == 0
        at.write("changes.csv", "id,name,email\n" + "".join(f"x{i},New {i},\n" for i in range(1, 61)))
        assert at.run("plan", "changes.csv").code == at.run("run", "changes.csv", "--yes").code


def test_a_column_that_became_blank_is_refused_by_plan_and_run(desk: Opened) -> None:
    with desk(numbered_box(60)) as (_, at):
        at.write("changes.csv", sheet(60))
        assert at.run("run", "changes.csv", "--yes", "--override", "identity").code == 0
        at.write("changes.csv", "id,name,email\n" + "".join(f"{i},,new{i}@example.org\n" for i in range(1, 61)))
        for ran in (at.run("plan", "changes.csv", "--json"), at.run("run", "changes.csv", "--yes", "--json")):
            assert (ran.code, [limit["rule"] for limit in ran.summary["limits"]]) == (3, ["blank-name"])


def test_a_file_without_rows_is_refused(desk: Opened) -> None:
    with desk(numbered_box(2)) as (_, at):
        at.write("changes.csv", "id,name\n")
        assert at.run("plan", "changes.csv").code == 3
        ran = at.run("run", "changes.csv", "--yes", "--json")
        assert (ran.code, ran.summary["limits"][0]["rule"]) == (3, "min-rows")
        assert at.run("run", "changes.csv", "--yes", "--override", "min-rows").code == 0


def test_a_value_that_no_row_has_is_reported_with_those_there_are(desk: Opened) -> None:
    with desk(numbered_box(3)) as (_, at):
        at.write("changes.csv", "id,name,Team\n1,Ann,Sales\n2,Bea,Sales\n3,Cid,Support\n")
        ran = at.run("run", "changes.csv", "--where", "Team=sales", "--yes")
        assert (ran.code, "there are: Sales, Support" in ran.err) == (2, True)


def test_a_source_that_suddenly_changes_many_more_users_than_ever_is_refused(desk: Opened) -> None:
    with desk(numbered_box(150)) as (_, at):
        rows = [f"{i},User {i}\n" for i in range(1, 151)]
        at.write("nightly.csv", "id,name\n" + "".join([*rows[:-2], "149,New 149\n", "150,New 150\n"]))
        assert at.run("run", "nightly.csv", "--yes", "--json").summary["counts"]["updated"] == 2
        at.write("nightly.csv", sheet(150, email=False))
        refused = at.run("run", "nightly.csv", "--yes", "--json")
        assert (refused.code, refused.summary["limits"][0]["rule"]) == (3, "unusual")
        assert "148 users would be changed" in refused.summary["stopped"]
        assert at.run("run", "nightly.csv", "--yes", "--override", "unusual").code == 0


def test_a_plan_weighs_what_the_last_runs_changed_as_a_run_does(desk: Opened) -> None:
    with desk(numbered_box(120)) as (_, at):
        for name in ("First", "Second"):
            at.write("changes.csv", "id,name\n" + "".join(f"{i},{name} {i}\n" for i in range(1, 121)))
            for word in ("plan", "run"):
                ran = at.run(word, "changes.csv", *(["--yes"] if word == "run" else []), "--json")
                assert (ran.code, ran.summary["limits"]) == (0, [])


class Counting(SystemClock):
    """A clock that people can push on by taking their time."""

    def __init__(self) -> None:
        self.offset = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.offset

    async def sleep(self, seconds: float) -> None:
        end = self.monotonic() + seconds
        while self.monotonic() < end:
            await super().sleep(0.01)


def test_waiting_for_an_answer_is_no_time_of_the_run(desk: Opened) -> None:
    clock = Counting()

    def confirm(_: usersync.Plan) -> bool:
        clock.offset += 1000.0
        return True

    rows = DataFrame({"id": range(1, 11), "name": [f"New {i}" for i in range(1, 11)]})
    options, context = usersync.RunOptions(max_duration=500.0), Context(clock=clock)
    with desk(numbered_box(10)) as (box, at):
        summary = usersync.run(rows, settings_of(box, at), confirm=confirm, options=options, context=context)
    assert (summary.exit_code, summary.counts) == (0, {"updated": 10, "rows": 10})
    assert summary.seconds < 500


def test_skipping_every_row_is_an_error(desk: Opened) -> None:
    with desk(numbered_box(3)) as (_, at):
        at.write("changes.csv", sheet(3))
        assert at.run("run", "changes.csv", "--yes").code == 0
        for words in (["--skip", "3"], ["--skip", "1", "--where", "id=2"]):
            planned = at.run("plan", "changes.csv", *words)
            assert (planned.code, planned.err.strip().endswith("without it); skip fewer")) == (2, True)
        assert at.run("plan", "changes.csv", "--skip", "2").code == 0


def test_a_quiet_plan_prints_nothing_unless_a_row_needs_attention(desk: Opened) -> None:
    with desk(numbered_box(3)) as (_, at):
        at.write("changes.csv", sheet(3))
        quiet = at.run("plan", "changes.csv", "-q")
        assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
        at.write("changes.csv", "id,name\n9,Nobody\n")
        assert "not-found: 1 row" in at.run("plan", "changes.csv", "-q").out
