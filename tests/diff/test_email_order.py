"""Changes of e-mail in, their order out; the sandbox's users are the judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usersync.diff.email_order import Move, Order, opened, order, placeholder
from usersync.sandbox import StoredUser, UserStore

TEMPLATE = "swap+{run}-{key}@example.org"
RUN = "20240131T235959-ab12"


@pytest.mark.parametrize(
    "moves",
    [
        pytest.param([], id="no moves"),
        pytest.param([Move(1, "a@x", "b@x")], id="one move to a fresh address"),
        pytest.param(
            [Move(1, "a@x", "b@x"), Move(2, "c@x", "d@x")], id="moves that have nothing to do with each other"
        ),
        pytest.param([Move(1, "a@x", " A@X ")], id="a move to the own address in other letters"),
        pytest.param([Move(1, None, "b@x"), Move(2, None, "c@x")], id="old addresses that nobody knows"),
        pytest.param([Move(1, "", "b@x"), Move(2, "c@x", "")], id="a user without address, and one who gives it up"),
        pytest.param([Move(1, "straße@x", "a@x"), Move(2, "b@x", "strasse@x")], id="ß and ss, two addresses"),
    ],
)
def test_lets_all_go_at_once(moves: list[Move]) -> None:
    assert order(moves) == Order({}, {}, ())


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        pytest.param(
            [Move(1, "a@x", "b@x"), Move(2, "b@x", "c@x")],
            Order({1: 1}, {1: 2}, ()),
            id="one takes what the other frees",
        ),
        pytest.param(
            [Move(1, "a@x", " B@X "), Move(2, "b@X", "c@x")],
            Order({1: 1}, {1: 2}, ()),
            id="the same in other letters",
        ),
        pytest.param(
            [Move(1, None, "b@x"), Move(2, "b@x", "c@x")],
            Order({1: 1}, {1: 2}, ()),
            id="one whose old address is unknown waits like any other",
        ),
        pytest.param(
            [Move(1, "a@x", "b@x"), Move(2, "b@x", "")],
            Order({1: 1}, {1: 2}, ()),
            id="one waits for an address that is given up",
        ),
        pytest.param(
            [Move(2, "b@x", "c@x"), Move(1, "a@x", "b@x"), Move(4, "d@x", "e@x"), Move(3, "c@x", "d@x")],
            Order({3: 1, 2: 2, 1: 3}, {1: 2, 2: 3, 3: 4}, ()),
            id="a chain, in no order",
        ),
        pytest.param(
            [Move(1, "a@x", "b@x"), Move(2, "b@x", "a@x")],
            Order({}, {}, ((1, 2),)),
            id="a swap",
        ),
        pytest.param(
            [Move(9, "a@x", "b@x"), Move(5, "c@x", "a@x"), Move(7, "b@x", "c@x")],
            Order({}, {}, ((5, 9, 7),)),
            id="a cycle of three, each waiting for the next",
        ),
        pytest.param(
            [
                *(Move(i, f"{i}@x", f"{i ^ 1}@x") for i in (7, 6, 3, 2)),
                Move(4, "d@x", "e@x"),
                Move(1, "a@x", "d@x"),
            ],
            Order({1: 1}, {1: 4}, ((2, 3), (6, 7))),
            id="two swaps beside a chain",
        ),
        pytest.param(
            [Move(1, "a@x", "b@x"), Move(2, "b@x", "a@x"), Move(3, "c@x", "a@x"), Move(4, "d@x", "c@x")],
            Order({3: 1, 4: 2}, {3: 1, 4: 3}, ((1, 2),)),
            id="a claim that should have been refused upstream waits for the cycle, and is not one of it",
        ),
    ],
)
def test_makes_wait_for_whoever_holds_the_address(moves: list[Move], expected: Order) -> None:
    assert order(moves) == expected
    assert order(reversed(moves)) == expected


def test_follows_a_chain_longer_than_the_stack_is_deep() -> None:
    moves = [Move(i, f"{i}@x", f"{i + 1}@x") for i in range(50_000)]
    assert order(moves).turns[0] == 49_999
    assert order([*moves, Move(50_000, "50000@x", "0@x")]).cycles == (tuple(range(50_001)),)


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
def test_fills_in_a_placeholder(template: str, address: str) -> None:
    assert placeholder(template, run=RUN, key=7) == address


@given(st.text(), st.text(), st.integers(min_value=0), st.integers(min_value=0))
def test_never_gives_two_users_one_placeholder(template: str, run: str, key: int, other: int) -> None:
    one, two = (placeholder(template, run=run, key=k) for k in (key, other))
    assert (one == two) == (key == other)


def test_opens_a_cycle_at_its_first_user() -> None:
    assert opened((5, 9, 7)) == ({7: 1, 9: 2, 5: 3}, {7: 5, 9: 7, 5: 9})


# The laws, over worlds where some users move among their addresses and to fresh ones.


@dataclass(frozen=True)
class Case:
    users: tuple[StoredUser, ...]
    moves: tuple[Move, ...]
    """In no order; the key is the user's id."""

    @property
    def by_key(self) -> Mapping[int, Move]:
        return {move.key: move for move in self.moves}

    def holder(self, address: str) -> int | None:
        """Owner must move away so that the address is free."""
        return next((m.key for m in self.moves if m.old == address.strip().lower()), None)

    def goes_round(self, key: int) -> bool:
        """Whether the user waits for itself, by way of others; found by walking a link per move."""
        at: int | None = key
        for _ in self.moves:
            at = self.holder(self.by_key[at].new) if at is not None else None
            if at == key:
                return self.holder(self.by_key[key].new) != key
        return False


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any partial permutation of addresses, with some unknown, some missing, some fresh, some in other letters."""
    count = draw(st.integers(1, 9))
    homeless = draw(st.sets(st.integers(0, 8), max_size=2))
    users = tuple(StoredUser(i, None, None if i in homeless else f"u{i}@x.org") for i in range(count))
    staying = draw(st.integers(0, count // 2))
    movers = [users[i] for i in draw(st.permutations(range(count)))[staying:]]
    fresh = sum(not user.email for user in movers) + draw(st.integers(0, 2))
    pool = [*(u.email for u in movers if u.email), *(f"new{i}@x.org" for i in range(fresh))]
    wanted = draw(st.permutations(pool))[: len(movers)]
    moves = []
    for user, new in zip(movers, wanted, strict=True):
        unknown = user.email not in wanted and draw(st.booleans())
        moves.append(Move(user.id, None if unknown else user.email, draw(st.sampled_from([new, f" {new.upper()}"]))))
    return Case(users, tuple(moves))


def sent(world: UserStore, key: int, email: str | None) -> int:
    return world.update(key, {"email": email}).status


def emails(world: UserStore) -> dict[int, str | None]:
    return {key: user.email for key, user in world.users.items()}


def aims(case: Case, keys: Iterable[int]) -> dict[int, str]:
    return {key: case.by_key[key].new.strip().lower() for key in keys}


@dataclass(frozen=True)
class Step:
    key: int
    email: str
    final: bool = True


def steps_of(case: Case, cycle: Sequence[int]) -> tuple[Step, ...]:
    turns, after = opened(cycle)
    line = sorted(cycle, key=lambda key: turns[key])
    assert [after[key] for key in line] == [cycle[0], *line[:-1]]
    aside = Step(cycle[0], placeholder(TEMPLATE, run=RUN, key=cycle[0]), final=False)
    return (aside, *(Step(key, case.by_key[key].new) for key in line))


@given(cases(), st.data())
def test_is_never_refused_turn_by_turn_whatever_the_order_in_a_turn(case: Case, data: st.DataObject) -> None:
    found, world = order(case.moves), UserStore(case.users)
    going = set(case.by_key).difference(*found.cycles)
    for key in sorted(data.draw(st.permutations(sorted(going))), key=lambda k: found.turns.get(k, 0)):
        assert sent(world, key, case.by_key[key].new) == 200
    assert emails(world) == {u.id: u.email for u in case.users} | aims(case, going)


@given(cases())
def test_waits_no_longer_than_need_be(case: Case) -> None:
    found = order(case.moves)
    assert found.turns.keys() == found.after.keys()
    for key, first in found.after.items():
        assert first == case.holder(case.by_key[key].new)
        assert found.turns[key] == found.turns.get(first, 0) + 1


@given(cases())
def test_finds_exactly_the_moves_that_wait_for_themselves(case: Case) -> None:
    cycles = order(case.moves).cycles
    members = [key for cycle in cycles for key in cycle]
    assert sorted(members) == sorted(key for key in case.by_key if case.goes_round(key))
    assert cycles == tuple(sorted(cycles))
    for cycle in cycles:
        assert cycle[0] == min(cycle)
        assert [case.holder(case.by_key[key].new) for key in cycle] == [*cycle[1:], cycle[0]]


@given(cases(), st.data())
def test_brings_everyone_home_with_a_placeholder(case: Case, data: st.DataObject) -> None:
    found, world = order(case.moves), UserStore(case.users)
    going = sorted(set(case.by_key).difference(*found.cycles), key=lambda k: found.turns.get(k, 0))
    plain = [Step(key, case.by_key[key].new) for key in going]
    for part in data.draw(st.permutations([plain, *(steps_of(case, cycle) for cycle in found.cycles)])):
        for step in part:
            assert sent(world, step.key, step.email) == 200
            assert step.final == (emails(world)[step.key] == aims(case, [step.key])[step.key])
    assert emails(world) == {u.id: u.email for u in case.users} | aims(case, case.by_key)


@given(cases())
def test_goes_back_from_any_step_of_a_cycle(case: Case) -> None:
    for cycle in order(case.moves).cycles:
        steps = steps_of(case, cycle)
        for stop in range(len(steps) + 1):
            world, back = UserStore(case.users), []
            for step in steps[:stop]:
                back.append((step.key, emails(world)[step.key]))
                assert sent(world, step.key, step.email) == 200
            assert [sent(world, *was) for was in reversed(back)] == [200] * stop
            assert emails(world) == {u.id: u.email for u in case.users}
