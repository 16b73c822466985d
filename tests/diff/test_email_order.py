"""Test the order of e-mail changes; the sandbox's users judge it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usersync.diff.email_order import Holder, Order, open_cycle, order_changes, placeholder_address
from usersync.sandbox import StoredUser, UserStore

TEMPLATE = "swap+{run}-{key}@example.org"
RUN = "20240131T235959-ab12"


@pytest.mark.parametrize(
    "moves",
    [
        pytest.param([], id="no moves"),
        pytest.param([Holder(1, "a@x", "b@x")], id="one move to a fresh address"),
        pytest.param(
            [Holder(1, "a@x", "b@x"), Holder(2, "c@x", "d@x")], id="moves that have nothing to do with each other"
        ),
        pytest.param([Holder(1, "a@x", " A@X ")], id="the own address in other case"),
        pytest.param([Holder(1, None, "b@x"), Holder(2, None, "c@x")], id="old addresses that nobody knows"),
        pytest.param([Holder(1, "", "b@x"), Holder(2, "c@x", "")], id="a user without address, one who gives it up"),
        pytest.param([Holder(1, "straße@x", "a@x"), Holder(2, "b@x", "strasse@x")], id="ß and ss, two addresses"),
    ],
)
def test_rows_whose_addresses_are_free_are_sent_at_once(moves: list[Holder]) -> None:
    assert order_changes(moves) == Order({}, {}, (), {})


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        pytest.param(
            [Holder(1, "a@x", "b@x"), Holder(2, "b@x", "c@x")],
            Order({1: 1}, {1: 2}, (), {}),
            id="one takes what the other frees",
        ),
        pytest.param(
            [Holder(1, "a@x", " B@X "), Holder(2, "b@X", "c@x")],
            Order({1: 1}, {1: 2}, (), {}),
            id="the same in other case",
        ),
        pytest.param(
            [Holder(1, None, "b@x"), Holder(2, "b@x", "c@x")],
            Order({1: 1}, {1: 2}, (), {}),
            id="one whose old address is unknown waits like any other",
        ),
        pytest.param(
            [Holder(1, "a@x", "b@x"), Holder(2, "b@x", "")],
            Order({1: 1}, {1: 2}, (), {}),
            id="one waits for an address that is given up",
        ),
        pytest.param(
            [Holder(2, "b@x", "c@x"), Holder(1, "a@x", "b@x"), Holder(4, "d@x", "e@x"), Holder(3, "c@x", "d@x")],
            Order({3: 1, 2: 2, 1: 3}, {1: 2, 2: 3, 3: 4}, (), {}),
            id="a chain, in no order",
        ),
        pytest.param(
            [Holder(1, "a@x", "b@x"), Holder(2, "b@x", "a@x")],
            Order({}, {}, ((1, 2),), {}),
            id="a swap",
        ),
        pytest.param(
            [Holder(9, "a@x", "b@x"), Holder(5, "c@x", "a@x"), Holder(7, "b@x", "c@x")],
            Order({}, {}, ((5, 9, 7),), {}),
            id="a cycle of three, each waiting for the next",
        ),
        pytest.param(
            [
                *(Holder(i, f"{i}@x", f"{i ^ 1}@x") for i in (7, 6, 3, 2)),
                Holder(4, "d@x", "e@x"),
                Holder(1, "a@x", "d@x"),
            ],
            Order({1: 1}, {1: 4}, ((2, 3), (6, 7)), {}),
            id="two swaps beside a chain",
        ),
        pytest.param(
            [Holder(1, "a@x", "b@x"), Holder(2, "b@x", "a@x"), Holder(3, "c@x", "a@x"), Holder(4, "d@x", "c@x")],
            Order({3: 1, 4: 2}, {3: 1, 4: 3}, ((1, 2),), {}),
            id="a row that waits for a cycle is not part of it",
        ),
    ],
)
def test_a_row_waits_for_the_row_whose_user_holds_its_address(moves: list[Holder], expected: Order) -> None:
    assert order_changes(moves) == expected
    assert order_changes(reversed(moves)) == expected


@pytest.mark.parametrize(
    ("moves", "blocked"),
    [
        pytest.param([Holder(1, "a@x", "b@x"), Holder(2, "b@x")], {1: 2}, id="the holder keeps the address"),
        pytest.param(
            [Holder(1, "a@x", "b@x"), Holder(2, "b@x", "c@x"), Holder(3, "C@X")],
            {1: 2, 2: 3},
            id="the holder of the holder's new address keeps it",
        ),
        pytest.param(
            [Holder(1, "a@x", "b@x"), Holder(2, "b@x", " B@x")],
            {1: 2},
            id="the holder gets the same address in other case",
        ),
        pytest.param(
            [Holder(1, "a@x", "b@x"), Holder(2, "b@x", "a@x"), Holder(3, "c@x", "d@x"), Holder(4, "d@x")],
            {3: 4},
            id="a blocked row beside a swap",
        ),
    ],
)
def test_a_row_whose_address_is_never_given_up_is_blocked(moves: list[Holder], blocked: dict[int, int]) -> None:
    for found in (order_changes(moves), order_changes(reversed(moves))):
        assert found.blocked == blocked
        assert not found.waves
        assert blocked.keys().isdisjoint(key for cycle in found.cycles for key in cycle)


def test_follows_a_chain_longer_than_the_recursion_limit() -> None:
    moves = [Holder(i, f"{i}@x", f"{i + 1}@x") for i in range(50_000)]
    assert order_changes(moves).waves[0] == 49_999
    assert order_changes([*moves, Holder(50_000, "50000@x", "0@x")]).cycles == (tuple(range(50_001)),)


@pytest.mark.parametrize(
    ("template", "address"),
    [
        pytest.param(TEMPLATE, "swap+20240131t235959-ab12-7@example.org", id="run and key, in lower case"),
        pytest.param("Swap@{Key}.{RUN}.Example.org", "swap@7.20240131t235959-ab12.example.org", id="after the @"),
        pytest.param("swap+{key}@x.org", "swap+7+20240131t235959-ab12@x.org", id="a template without run"),
        pytest.param("swap@x.org", "swap+20240131t235959-ab12+7@x.org", id="a template without both"),
        pytest.param("a{}{0}{{key}}{run}@x", "a{}{0}{7}20240131t235959-ab12@x", id="other braces stay"),
    ],
)
def test_fills_in_a_placeholder_address(template: str, address: str) -> None:
    assert placeholder_address(template, run=RUN, key=7) == address


@given(st.text(), st.text(), st.integers(min_value=0), st.integers(min_value=0))
def test_no_two_users_get_the_same_placeholder_address(template: str, run: str, key: int, other: int) -> None:
    one, two = (placeholder_address(template, run=run, key=k) for k in (key, other))
    assert (one == two) == (key == other)


def test_a_cycle_begins_with_its_first_user() -> None:
    assert open_cycle((5, 9, 7)) == ({7: 1, 9: 2, 5: 3}, {7: 5, 9: 7, 5: 9})


# Laws for any users of whom some move among their addresses and to fresh ones.


@dataclass(frozen=True)
class Case:
    users: tuple[StoredUser, ...]
    moves: tuple[Holder, ...]
    """In no order; the key is the user's id."""

    @property
    def by_key(self) -> Mapping[int, Holder]:
        return {move.key: move for move in self.moves}

    def wanted(self, key: int) -> str:
        """Return the address that a user is to get."""
        return self.by_key[key].wanted or ""

    def holder(self, address: str) -> int | None:
        """Owner must move away so that the address is free."""
        return next((m.key for m in self.moves if m.held == address.strip().lower()), None)

    def waits_for_itself(self, key: int) -> bool:
        """Whether the user waits for itself, by way of others; found by walking a link per move."""
        at: int | None = key
        for _ in self.moves:
            at = self.holder(self.wanted(at)) if at is not None else None
            if at == key:
                return self.holder(self.wanted(key)) != key
        return False


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any partial permutation of addresses, with some unknown, some missing, some fresh, some in other letters."""
    count = draw(st.integers(1, 9))
    without_email = draw(st.sets(st.integers(0, 8), max_size=2))
    users = tuple(StoredUser(i, None, None if i in without_email else f"u{i}@x.org") for i in range(count))
    staying = draw(st.integers(0, count // 2))
    movers = [users[i] for i in draw(st.permutations(range(count)))[staying:]]
    fresh = sum(not user.email for user in movers) + draw(st.integers(0, 2))
    pool = [*(u.email for u in movers if u.email), *(f"new{i}@x.org" for i in range(fresh))]
    wanted = draw(st.permutations(pool))[: len(movers)]
    moves = []
    for user, new in zip(movers, wanted, strict=True):
        unknown = user.email not in wanted and draw(st.booleans())
        moves.append(Holder(user.id, None if unknown else user.email, draw(st.sampled_from([new, f" {new.upper()}"]))))
    return Case(users, tuple(moves))


def sent(store: UserStore, key: int, email: str | None) -> int:
    return store.update(key, {"email": email}).status


def emails(store: UserStore) -> dict[int, str | None]:
    return {key: user.email for key, user in store.users.items()}


def aims(case: Case, keys: Iterable[int]) -> dict[int, str]:
    return {key: case.wanted(key).strip().lower() for key in keys}


@dataclass(frozen=True)
class Step:
    key: int
    email: str
    final: bool = True


def steps_of(case: Case, cycle: Sequence[int]) -> tuple[Step, ...]:
    waves, depends_on = open_cycle(cycle)
    line = sorted(cycle, key=lambda key: waves[key])
    assert [depends_on[key] for key in line] == [cycle[0], *line[:-1]]
    parking = Step(cycle[0], placeholder_address(TEMPLATE, run=RUN, key=cycle[0]), final=False)
    return (parking, *(Step(key, case.wanted(key)) for key in line))


@given(cases(), st.data())
def test_no_row_is_refused_wave_by_wave_in_any_order_within_a_wave(case: Case, data: st.DataObject) -> None:
    found, store = order_changes(case.moves), UserStore(case.users)
    going = set(case.by_key).difference(*found.cycles)
    for key in sorted(data.draw(st.permutations(sorted(going))), key=lambda k: found.waves.get(k, 0)):
        assert sent(store, key, case.wanted(key)) == 200
    assert emails(store) == {u.id: u.email for u in case.users} | aims(case, going)


@given(cases())
def test_a_row_waits_no_longer_than_necessary(case: Case) -> None:
    found = order_changes(case.moves)
    assert found.waves.keys() == found.depends_on.keys()
    for key, first in found.depends_on.items():
        assert first == case.holder(case.wanted(key))
        assert found.waves[key] == found.waves.get(first, 0) + 1


@given(cases())
def test_finds_exactly_the_rows_that_wait_for_themselves(case: Case) -> None:
    cycles = order_changes(case.moves).cycles
    members = [key for cycle in cycles for key in cycle]
    assert sorted(members) == sorted(key for key in case.by_key if case.waits_for_itself(key))
    assert cycles == tuple(sorted(cycles))
    for cycle in cycles:
        assert cycle[0] == min(cycle)
        assert [case.holder(case.wanted(key)) for key in cycle] == [*cycle[1:], cycle[0]]


@given(cases(), st.data())
def test_with_a_placeholder_every_user_gets_the_desired_address(case: Case, data: st.DataObject) -> None:
    found, store = order_changes(case.moves), UserStore(case.users)
    going = sorted(set(case.by_key).difference(*found.cycles), key=lambda k: found.waves.get(k, 0))
    plain = [Step(key, case.wanted(key)) for key in going]
    for part in data.draw(st.permutations([plain, *(steps_of(case, cycle) for cycle in found.cycles)])):
        for step in part:
            assert sent(store, step.key, step.email) == 200
            assert step.final == (emails(store)[step.key] == aims(case, [step.key])[step.key])
    assert emails(store) == {u.id: u.email for u in case.users} | aims(case, case.by_key)


@given(cases())
def test_a_cycle_can_be_reverted_from_any_step(case: Case) -> None:
    for cycle in order_changes(case.moves).cycles:
        steps = steps_of(case, cycle)
        for stop in range(len(steps) + 1):
            store, back = UserStore(case.users), []
            for step in steps[:stop]:
                back.append((step.key, emails(store)[step.key]))
                assert sent(store, step.key, step.email) == 200
            assert [sent(store, *was) for was in reversed(back)] == [200] * stop
            assert emails(store) == {u.id: u.email for u in case.users}
