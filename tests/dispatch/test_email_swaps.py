"""Test that users who exchange addresses all move, or all keep their own."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.conftest import numbered_users
from tests.kills import StopAfter
from usersync import api
from usersync.context import Context
from usersync.sandbox import Answer, Faults, Sandbox, running
from usersync.settings import Settings, make_settings

Opened = Callable[..., AbstractContextManager[Any]]
PLACEHOLDER = {"swap_placeholder": "placeholder@example.org"}


def refusing(user: int, nth: int = 1) -> Faults:
    """The platform refuses the n-th update of a user, and those after it that carry the same address."""

    def script(method: str, user_id: int | None, n: int) -> Answer | None:
        wrong = (method, user_id, n) == ("PATCH", user, nth)
        return Answer(422, {"message": "no", "attributes": []}) if wrong else None

    return Faults(script=script)


def emails(box: Sandbox) -> list[str | None]:
    return [user.email for _, user in sorted(box.store.users.items())]


SWAP = "id,name,email\n1,Ann,u2@example.org\n2,Ben,u3@example.org\n3,Cem,u1@example.org\n4,Dora,d@example.org\n"
BEFORE = [f"u{i}@example.org" for i in (1, 2, 3)]


def test_a_swap_uses_a_placeholder_address(desk: Opened) -> None:
    with desk(Sandbox(users=numbered_users(4), limit=None), diff=PLACEHOLDER) as (box, at):
        at.write("swap.csv", SWAP)
        ran = at.run("run", "swap.csv", "--yes")
        assert (ran.code, set(ran.statuses().values())) == (0, {"updated"})
        assert emails(box) == ["u2@example.org", "u3@example.org", "u1@example.org", "d@example.org"]
        assert [user.name for user in box.store.users.values()] == ["Ann", "Ben", "Cem", "Dora"]
        assert sum(r.method == "PATCH" for r in box.log) == 5


@pytest.mark.parametrize(
    ("user", "nth", "statuses"),
    [
        pytest.param(
            1, 1, ["failed refused", *["rejected blocked-by"] * 2], id="the one that moves to the placeholder"
        ),
        pytest.param(
            3,
            1,
            ["failed blocked-by", "rejected blocked-by", "failed refused"],
            id="the first that moves to its new address",
        ),
        pytest.param(
            2,
            1,
            ["failed blocked-by", "failed refused", "failed blocked-by"],
            id="the second that moves to its new address",
        ),
        pytest.param(1, 2, ["failed refused", *["failed blocked-by"] * 2], id="the one that leaves the placeholder"),
    ],
)
def test_a_swap_of_which_one_row_fails_is_reverted(desk: Opened, user: int, nth: int, statuses: list[str]) -> None:
    with desk(Sandbox(users=numbered_users(4), limit=None, faults=refusing(user, nth)), diff=PLACEHOLDER) as (box, at):
        at.write("swap.csv", SWAP)
        ran = at.run("run", "swap.csv", "--yes")
        assert list(ran.statuses().values()) == [*statuses, "updated"]
        assert emails(box) == [*BEFORE, "d@example.org"]
        assert [box.store.users[i].name for i in (1, 2, 3)] == ["User 1", "User 2", "User 3"]
        assert ran.code == 1


def test_a_swap_of_which_limit_leaves_out_a_row_does_not_begin(desk: Opened) -> None:
    with desk(Sandbox(users=numbered_users(4), limit=None), diff=PLACEHOLDER) as (box, at):
        at.write("swap.csv", SWAP)
        ran = at.run("run", "swap.csv", "--yes", "--limit", "2")
        assert list(ran.statuses().values()) == ["rejected blocked-by"] * 2
        assert not any(r.method == "PATCH" for r in box.log)


def test_a_saved_plan_with_a_swap_is_applied_and_undone(desk: Opened) -> None:
    with desk(Sandbox(users=numbered_users(4), limit=None), diff=PLACEHOLDER) as (box, at):
        at.write("swap.csv", SWAP)
        assert at.run("plan", "swap.csv", "-o", "plan.json").code == 0
        assert at.run("apply", "plan.json", "--yes").code == 0
        assert emails(box)[:3] == ["u2@example.org", "u3@example.org", "u1@example.org"]
        run = at.run("runs").out.split()[6]
        assert at.run("undo", run, "--yes").code == 0
        assert emails(box)[:3] == BEFORE


def options(box: Sandbox, folder: Path) -> Settings:
    return make_settings(
        {
            "platform": {"url": box.url, "token_command": f"echo {box.token}"},
            "request": {"rate": "off", "concurrency": 2, "retries": 0},
            "diff": PLACEHOLDER,
            "limits": {"shifted": False},
            "ledger": str(folder / "usersync.db"),
            "report": {"dir": str(folder / "runs")},
        }
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wishes=st.permutations(range(1, 7)),
    broken=st.none() | st.tuples(st.integers(1, 6), st.integers(1, 2)),
    stops=st.lists(st.integers(1, 8), max_size=2),
)
@example(wishes=[2, 1, 3, 4, 5, 6], broken=(1, 2), stops=[8])  # stopped just after the last row failed
def test_every_swap_is_completed_or_reverted_as_a_whole(
    tmp_path: Path, wishes: list[int], broken: tuple[int, int] | None, stops: list[int]
) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    rows = "".join(f"{i},u{wish}@example.org\n" for i, wish in enumerate(wishes, 1))
    (folder / "a.csv").write_text(f"id,email\n{rows}")
    faults = refusing(*broken) if broken else Faults()
    with running(Sandbox(users=numbered_users(6), limit=None, faults=faults)) as box:
        chosen = options(box, folder)
        done = None
        for rows_left in [*stops, None]:
            context = Context()
            context.progress = StopAfter(context, rows_left)
            ask: Any = lambda _plan: True  # noqa: E731
            if done is None:
                done = api.run([folder / "a.csv"], chosen, confirm=ask, context=context)
            elif done.exit_code == 130:
                done = api.resume(done.run, chosen, confirm=ask, context=context)
        assert done is not None
        assert done.exit_code in (0, 1)
        report = (folder / "runs" / done.run / "report.csv").read_text("utf-8-sig")
        now = {i: user.email for i, user in box.store.users.items()}
    assert "placeholder" not in "".join(filter(None, now.values()))
    for i, wish in enumerate(wishes, 1):
        moved = now[i] == f"u{wish}@example.org"
        assert moved or now[i] == f"u{i}@example.org"
        swap, at = [i], wish
        while at != i:
            swap.append(at)
            at = wishes[at - 1]
        assert moved == all(now[j] == f"u{wishes[j - 1]}@example.org" for j in swap) or wish == i
        status = report.splitlines()[i].split(",")[4]
        assert (status in ("updated", "unchanged")) == moved, (report, now)


def test_a_placeholder_that_the_platform_alters_is_reverted(desk: Opened) -> None:
    def altered(method: str, user_id: int | None, nth: int) -> Answer | None:
        if (method, user_id, nth) == ("PATCH", 1, 1):
            return Answer(200, {"id": 1, "name": "User 1", "email": "other@example.org"})
        return None

    with desk(Sandbox(users=numbered_users(4), limit=None, faults=Faults(script=altered)), diff=PLACEHOLDER) as (
        box,
        at,
    ):
        at.write("swap.csv", SWAP)
        ran = at.run("run", "swap.csv", "--yes")
        assert ran.report[0]["message"].endswith("; reverted")
        assert emails(box)[:3] == BEFORE


def test_what_a_person_changed_meanwhile_is_not_reverted(tmp_path: Path) -> None:
    def ask(_: object) -> bool:
        return True

    (tmp_path / "swap.csv").write_text(SWAP)
    with running(Sandbox(users=numbered_users(4), limit=None)) as box:
        chosen, context = options(box, tmp_path), Context()
        context.progress = StopAfter(context, 5)  # four are read, one is sent
        run = api.run([tmp_path / "swap.csv"], chosen, confirm=ask, context=context).run
        box.store.update(1, {"email": "changed.meanwhile@example.org"})
        box.store.update(2, {"email": "changed.too@example.org"})
        api.resume(run, chosen, confirm=ask)
        assert emails(box)[:2] == ["changed.meanwhile@example.org", "changed.too@example.org"]
