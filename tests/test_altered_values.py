"""Test that runs and undo account for platforms that alter, drop or answer late what was sent."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.interrupted import SWAP, Platform, platform
from usersync.models import Json, Row
from usersync.sandbox import StoredUser
from usersync.sandbox.faults import FaultInjector, Faults
from usersync.sandbox.store import Answer, UserStore

#: What a platform does with an update, instead of storing it as it is.
Update = Callable[[UserStore, int, Json], Answer]
PASSWORD = "Str0ng!secret"
RING = "id,name,email\n1,Ann,u2@example.org\n2,Ben,u3@example.org\n3,Cid,u1@example.org\n"


class OddStore(UserStore):
    """Users whose updates are carried out by `odd`."""

    def __init__(self, store: UserStore, odd: Update) -> None:
        super().__init__(store.users.values())
        self.odd: Update | None = odd

    def update(self, user_id: int, body: Json) -> Answer:
        odd, self.odd = self.odd, None  # which may update as usual
        try:
            return odd(self, user_id, body) if odd else super().update(user_id, body)
        finally:
            self.odd = odd


@contextmanager
def odd_platform(folder: Path, odd: Update, faults: Faults | None = None) -> Iterator[Platform]:
    with platform(folder) as at:
        at.box.store = OddStore(at.box.store, odd)
        at.box._fault_injector = FaultInjector(faults or Faults())
        yield at


def in_capitals(store: UserStore, user_id: int, body: Json) -> Answer:
    return store.update(user_id, {**body, "name": body["name"].upper()} if "name" in body else body)


def answers_late(store: UserStore, user_id: int, body: Json) -> Answer:
    before = store.read(user_id)
    after = store.update(user_id, body)
    return before if after.status == 200 else after


def replaces_attributes(store: UserStore, user_id: int, body: Json) -> Answer:
    if "custom_attributes" in body:
        store._store(replace(store.users[user_id], custom_attributes={}))
    return store.update(user_id, body)


def people(at: Platform) -> dict[int, StoredUser]:
    return dict(at.box.store.users)


def only_row(at: Platform, run: str) -> Row:
    (row,) = at.rows(run)
    return row


def never_answered(method: str, user: int | None, n: int) -> str | None:
    return "reset-after" if method == "PATCH" else None


def test_undo_restores_what_the_platform_made_of_a_row(tmp_path: Path) -> None:
    with odd_platform(tmp_path, in_capitals) as at:
        before = people(at)
        run = at.run(at.write("changes.csv", "id,name,display_name\n1,New,N.\n"))
        assert (only_row(at, run.run).status, only_row(at, run.run).code) == ("failed", "echo-differs")
        at.box.store = OddStore(at.box.store, UserStore.update)
        assert at.undo(run.run).exit_code == 0
        after = people(at)[1]
        assert replace(after, display_name=after.display_name or None) == before[1]


def test_undo_restores_a_value_that_the_platform_took_over_after_its_answers(tmp_path: Path) -> None:
    """As an address that waits to be confirmed."""

    def odd(store: UserStore, user_id: int, body: Json) -> Answer:
        return store.read(user_id)

    with odd_platform(tmp_path, odd) as at:
        before = people(at)
        run = at.run(at.write("changes.csv", "id,email\n1,new@example.org\n"))
        assert (only_row(at, run.run).status, only_row(at, run.run).code) == ("failed", "echo-differs")
        at.box.store = OddStore(at.box.store, UserStore.update)
        at.box.store.update(1, {"email": "new@example.org"})
        assert at.undo(run.run).exit_code == 0
        assert people(at) == before


def test_a_row_whose_answer_came_late_is_updated(tmp_path: Path) -> None:
    with odd_platform(tmp_path, answers_late) as at:
        run = at.run(at.write("changes.csv", "id,name,email\n1,New,new@example.org\n"))
        assert run.counts == {"updated": 1, "rows": 1}


def test_a_value_that_the_platform_left_out_of_its_answer_is_not_taken_for_none(tmp_path: Path) -> None:
    def odd(store: UserStore, user_id: int, body: Json) -> Answer:
        answer = store.update(user_id, body)
        return Answer(200, {"id": user_id, **{name: answer.body[name] for name in body}})

    with odd_platform(tmp_path, odd) as at:
        at.run(at.write("changes.csv", "id,name\n1,New\n"))
        run = at.run(at.write("changes.csv", "id,email\n1,new@example.org\n"), compare_with="last-run")
        assert only_row(at, run.run).old == '{"email":"u1@example.org"}'
        at.undo(run.run)
        assert people(at)[1].email == "u1@example.org"


def test_undo_leaves_alone_what_somebody_made_of_an_altered_value(tmp_path: Path) -> None:
    with odd_platform(tmp_path, in_capitals) as at:
        run = at.run(at.write("changes.csv", "id,name\n1,New\n"))
        at.box.store.update(1, {"name": "Somebody"})
        assert at.undo(run.run).counts == {"conflict": 1, "rows": 1}
        assert people(at)[1].name == "SOMEBODY"


def test_undo_leaves_alone_what_somebody_changed_before_an_update_that_was_not_carried_out(tmp_path: Path) -> None:
    def script(method: str, user: int | None, n: int) -> Answer | None:
        if method != "PATCH":
            return None
        at.box.store.update(1, {"name": "Somebody"})
        return Answer(200, "<html>Back soon</html>") if pages else Answer(200, {"id": 1})

    for pages in (True, False):
        with platform(tmp_path / str(pages), faults=Faults(script=script)) as at:
            run = at.run(at.write("changes.csv", "id,name,display_name\n1,New,N.\n2,Ben,\n"))
            assert at.rows(run.run)[0].status in ("failed", "not-sent")
            at.box._fault_injector = FaultInjector(Faults())
            at.undo(run.run)
            assert people(at)[1].name == "Somebody"


def test_an_altered_value_whose_answer_was_lost_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    with odd_platform(tmp_path, in_capitals, Faults(script=never_answered)) as at:
        run = at.run(at.write("changes.csv", "id,name\n1,New\n"))
        row = only_row(at, run.run)
        assert (row.status, row.code) == ("failed", "echo-differs")
        assert row.message.endswith("the user, read afterwards, does not hold the new values")
        assert at.undo(run.run).counts == {"conflict": 1, "rows": 1}  # nobody knows whose value that is


CHAIN = "id,name,email\n1,Ann,new@example.org\n2,Ben,u1@example.org\n"


@pytest.mark.parametrize("altered", [1, 2, 3])
@pytest.mark.parametrize("rows", [SWAP, RING, CHAIN])
def test_addresses_move_on_where_the_platform_alters_another_value_of_a_row(
    tmp_path: Path, rows: str, altered: int
) -> None:
    def odd(store: UserStore, user_id: int, body: Json) -> Answer:
        return (in_capitals if user_id == altered else UserStore.update)(store, user_id, body)

    with odd_platform(tmp_path, odd) as at:
        run = at.run(at.write("swap.csv", rows))
        wanted = {int(i): email for i, _, email in (line.split(",") for line in rows.splitlines()[1:])}
        assert {i: people(at)[i].email for i in wanted} == wanted
        status = {int(row.id): row.status for row in at.rows(run.run)}
        assert status == {i: "failed" if i == altered else "updated" for i in wanted}
        assert at.interrupted() is None


@pytest.mark.parametrize("refused", [1, 3])
@pytest.mark.parametrize("odd", [in_capitals, answers_late])
def test_a_broken_swap_of_which_the_platform_alters_a_row_is_reverted(
    tmp_path: Path, odd: Update, refused: int
) -> None:
    def refusing(store: UserStore, user_id: int, body: Json) -> Answer:
        if user_id == refused and body.get("name") in ("Ann", "Cid"):
            return Answer(422, {"message": "no", "attributes": []})
        return (odd if body.get("name") == "Ben" else UserStore.update)(store, user_id, body)

    with odd_platform(tmp_path, refusing) as at:
        before = people(at)
        run = at.run(at.write("swap.csv", RING))
        assert not run.counts.keys() & {"updated", "unknown"}
        assert people(at) == before
        assert at.interrupted() is None


def test_a_reverted_swap_names_a_password_that_stays(tmp_path: Path) -> None:
    def odd(store: UserStore, user_id: int, body: Json) -> Answer:
        refused = user_id == 1 and body.get("name") == "Ann"
        return Answer(422, {"message": "no", "attributes": []}) if refused else store.update(user_id, body)

    with odd_platform(tmp_path, odd) as at:
        rows = f"id,name,email,password\n1,Ann,u2@example.org,\n2,Ben,u1@example.org,{PASSWORD}\n"
        run = at.run(at.write("swap.csv", rows))
        first, second = at.rows(run.run)
        assert (first.status, second.status) == ("failed", "failed")
        assert "kept" not in first.message
        assert second.message.endswith("; kept: password (cannot be restored)")


def test_a_platform_that_replaces_attributes_stops_the_run_and_is_undone(tmp_path: Path) -> None:
    with odd_platform(tmp_path, replaces_attributes) as at:
        for i in (1, 2):
            at.box.store._store(
                replace(at.box.store.users[i], custom_attributes={"seats": 1, "plan": "pro", "x": None})
            )
        before = people(at)
        run = at.run(at.write("changes.csv", "id,custom_attributes.seats\n1,5\n2,5\n"))
        assert (run.exit_code, run.counts) == (4, {"failed": 1, "not-sent": 1, "rows": 2})
        row = at.rows(run.run)[0]
        assert (row.code, row.changed) == ("echo-differs", "custom_attributes.seats;custom_attributes.plan")
        assert "it replaces attributes instead of merging them" in (run.stopped or "")
        assert at.undo(run.run).exit_code == 0
        after = people(at)
        assert after[1].custom_attributes == {"seats": 1, "plan": "pro"}
        assert after[2] == before[2]


def test_an_attribute_that_somebody_removed_meanwhile_does_not_stop_the_run(tmp_path: Path) -> None:
    def odd(store: UserStore, user_id: int, body: Json) -> Answer:
        attributes = {"plan": "pro"} if user_id == 1 else {"seats": 1, "plan": None}
        store._store(replace(store.users[user_id], custom_attributes=attributes))
        return store.update(user_id, body)

    with odd_platform(tmp_path, odd) as at:
        for i in (1, 2):
            at.box.store._store(
                replace(at.box.store.users[i], custom_attributes={"seats": 1, "plan": "pro", "note": "x"})
            )
        run = at.run(at.write("changes.csv", "id,custom_attributes.seats\n1,5\n2,5\n"))
        assert (run.exit_code, run.counts) == (0, {"updated": 2, "rows": 2})
