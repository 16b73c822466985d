"""Test whether changes are about the users they are sent to."""

from collections.abc import Sequence

import pytest

from usersync.diff.plausibility import (
    ImplausibleRows,
    PersonChange,
    find_other_people,
    find_shifted,
    find_shifted_attribute,
    is_other_person,
)
from usersync.loader.spelling import similar_keys
from usersync.models import User

NAMES = ["Anna Kowalska", "Bakary Traoré", "Chiara Bianchi", "Dmitri Volkov", "Elif Öztürk", "Fatima Haddad",
         "Georgi Petrov", "Hana Nováková", "Ingrid Lindqvist", "José García"]  # fmt: skip


def email(name: str, domain: str = "example.org") -> str:
    return name.split()[0].lower() + "@" + domain


def renamed(old: Sequence[str], new: Sequence[str], *, emails: bool = True) -> list[PersonChange]:
    """Users 1, 2, ... with their old names become those with the new ones, with the e-mails that go with them."""
    return [
        PersonChange(i, one, other, email(one), email(other) if emails else None)
        for i, (one, other) in enumerate(zip(old, new, strict=True), 1)
    ]


@pytest.mark.parametrize("emails", [True, False], ids=["names and e-mails", "only names"])
def test_finds_values_shifted_by_one_row(emails: bool) -> None:
    found = find_shifted(renamed(NAMES, [*NAMES[1:], "Zoë Eze"], emails=emails))
    assert found == ImplausibleRows(
        9, 10,
        (
            "user 1 gets 'Bakary Traoré', which user 2 holds now",
            "user 2 gets 'Chiara Bianchi', which user 3 holds now",
        ),
    )  # fmt: skip
    assert found.sentence().startswith("9 of 10 rows do, such as user 1 gets 'Bakary Traoré'")


def test_finds_a_column_that_was_sorted_alone() -> None:
    addresses = [email(name) for name in NAMES]
    changes = [PersonChange(i, n, None, a, b) for i, (n, a, b) in enumerate(
        zip(NAMES, addresses, reversed(addresses), strict=True), 1)]  # fmt: skip
    found = find_shifted(changes)
    assert found is not None
    assert found.rows == 10
    assert found.examples[0] == "user 1 gets 'josé@example.org', which user 10 holds now"


def test_finds_shifted_values_in_another_case_or_with_other_blanks() -> None:
    assert find_shifted(renamed(NAMES, [f"{name.upper()}  " for name in (*NAMES[1:], NAMES[0])], emails=False))


SHIFTED_CHANGES = [
    PersonChange(i, name, other, email(name), None)
    for i, (name, other) in enumerate(zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True))
]
CORRECTIONS = [PersonChange(c.user_id, c.new_name, c.old_name, c.old_email, None) for c in SHIFTED_CHANGES]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(CORRECTIONS, id="names"),
        pytest.param(
            [PersonChange(c.user_id, c.new_name, None, email(c.old_name or ""), email(c.new_name or ""))
             for c in SHIFTED_CHANGES],
            id="addresses",
        ),
    ],
)  # fmt: skip
def test_a_column_that_is_put_right_again_is_not_shifted(changes: list[PersonChange]) -> None:
    assert find_shifted(changes) is None
    assert find_shifted(SHIFTED_CHANGES) is not None


def test_corrections_do_not_hide_a_column_that_was_shifted() -> None:
    assert find_shifted([*SHIFTED_CHANGES, *(c._replace(user_id=c.user_id + 100) for c in CORRECTIONS)]) is not None


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_swap_or_chain_of_a_few_addresses_stays_possible(count: int) -> None:
    names = NAMES[:count]
    assert find_shifted(renamed(names, [*names[1:], names[0]])) is None


def test_five_values_of_others_among_many_changes_stay_possible() -> None:
    chain = renamed(NAMES[:5], [*NAMES[1:5], NAMES[0]])
    others = [PersonChange(i, f"Old {i}", f"New {i}", None, None) for i in range(100, 121)]
    assert find_shifted([*chain, *others]) is None
    assert find_shifted([*chain, *others[:20]]) is not None
    assert find_shifted([*chain, *others[:20]], sent=1) is None


def test_finds_shifted_addresses_of_users_who_share_their_names() -> None:
    addresses = [email(name) for name in NAMES]
    changes = [PersonChange(i, "Agent", "Agent 2", one, other) for i, (one, other) in enumerate(
        zip(addresses, [*addresses[1:], addresses[0]], strict=True))]  # fmt: skip
    found = find_shifted([*changes, PersonChange(99, "Agent 2", "Agent", None, None)])
    assert found is not None
    assert found.rows == 11


def test_many_users_who_get_one_name_are_not_shifted() -> None:
    assert find_shifted(renamed([*NAMES, "Support"], ["Support"] * 10 + ["Sales"], emails=False)) is None


def test_values_of_users_who_keep_them_are_not_shifted() -> None:
    assert find_shifted([PersonChange(i, n, n, email(n), email(n)) for i, n in enumerate(NAMES)]) is None
    assert find_shifted([PersonChange(i, None, n, None, email(n)) for i, n in enumerate(NAMES)]) is None


def test_finds_names_of_users_who_are_not_in_the_plan() -> None:
    everybody = [User(i, name, None, email(name), {}) for i, name in enumerate(NAMES, 1)]
    changes = renamed(NAMES[:5], NAMES[5:], emails=False)
    assert find_shifted(changes) is None
    found = find_shifted(changes, everybody)
    assert found is not None
    assert found.examples[0] == "user 1 gets 'Fatima Haddad', which user 6 holds now"
    assert find_shifted(changes[:4], everybody) is None


@pytest.mark.parametrize(
    "new",
    [
        pytest.param([*range(1, 10), 0], id="moved by a row"),
        pytest.param(list(range(9, -1, -1)), id="sorted alone"),
    ],
)
def test_finds_an_attribute_that_moved_against_its_users(new: list[int]) -> None:
    field = "custom_attributes.tel"
    changes = [(field, at, f"+49 30 {at}", f"+49 30 {other}") for at, other in enumerate(new)]
    found = find_shifted_attribute([("custom_attributes.team", 3, "Sales", "Support"), *changes])
    assert found is not None
    assert (found.rows, found.of) == (10, 10)
    assert found.examples[0] == f"user 0 gets {field} '+49 30 {new[0]}', which user {new[0]} holds now"


def phones(new: Sequence[int]) -> list[tuple[str, int, str, str]]:
    """Users 0, 1, ... get the telephone numbers of other users."""
    return [("custom_attributes.tel", at, f"+49 30 {at}", f"+49 30 {other}") for at, other in enumerate(new)]


def test_a_few_users_among_many_may_exchange_their_numbers() -> None:
    exchanged = phones([4, 5, 6, 7, 0, 1, 2, 3])
    assert find_shifted_attribute(exchanged) is not None
    assert find_shifted_attribute(exchanged, rows_with=lambda field: 40) is not None
    assert find_shifted_attribute(exchanged, rows_with=lambda field: 41) is None


@pytest.mark.parametrize("new", [[1, 2, 3, 4, 5, 99], [99, 0, 1, 2, 3, 4]], ids=["up", "down"])
def test_finds_a_few_rows_among_many_that_were_moved_by_one(new: list[int]) -> None:
    found = find_shifted_attribute(phones(new), rows_with=lambda field: 1000)
    assert found is not None
    assert found.rows == 5


def test_finds_an_attribute_that_was_sorted_among_blank_cells() -> None:
    everybody = [User(i, "", None, "", {"tel": f"+49 30 {i}"} if i < 9 else {}) for i in range(20)]
    changes = [("custom_attributes.tel", 10 + i, None, f"+49 30 {i}") for i in range(9)]
    assert find_shifted_attribute(changes) is None
    found = find_shifted_attribute(changes, everybody)
    assert found is not None
    assert found.rows == 9


def test_shows_no_secret_that_moved() -> None:
    changes = [
        ("custom_attributes.bot_token", at, f"secret 00000000{at}", f"secret 00000000{(at + 1) % 9}") for at in range(9)
    ]
    found = find_shifted_attribute(changes)
    assert found is not None
    assert "secret" not in found.sentence()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([(at, f"plan {at % 3}", f"plan {(at + 1) % 3}") for at in range(30)], id="values that many share"),
        pytest.param([(at, f"old {at}", f"new {at}") for at in range(30)], id="values that nobody holds"),
        pytest.param([(at, f"+1 {at}", f"+1 {(at + 1) % 4}") for at in range(4)], id="a few who exchange them"),
        pytest.param([(at, str(at), str(at + 1)) for at in range(30)], id="scores"),
        pytest.param([(at, f"2026-11-{at:02}", f"2026-11-{at + 1:02}") for at in range(1, 30)], id="dates"),
        pytest.param(
            [(at, f"2026-11-01T10:{at:02}:00Z", f"2026-11-01T10:{at + 1:02}:00Z") for at in range(30)], id="times"
        ),
        pytest.param(
            [(at, f"{at:02}.11.2026 8:00-16:30", f"{at + 1:02}.11.2026 8:00-16:30") for at in range(30)], id="shifts"
        ),
        pytest.param(
            [(at, f"https://x.example/2026/11/{at:03}", f"https://x.example/2026/11/{at + 1:03}") for at in range(30)],
            id="links",
        ),
        pytest.param([(at, f"Desk {at}", f"Desk {(at + 9) % 30}") for at in range(30)], id="desks"),
    ],
)  # fmt: skip
def test_attributes_that_change_for_many_are_not_shifted(changes: list[tuple[int, str, str]]) -> None:
    assert find_shifted_attribute([("custom_attributes.plan", *change) for change in changes]) is None


def test_finds_a_plan_that_makes_other_people_of_most_users() -> None:
    found = find_other_people(renamed(NAMES, [*NAMES[5:], *NAMES[:5]]))
    assert found == ImplausibleRows(
        10, 10,
        (
            "user 1: 'Anna Kowalska' <anna@example.org> becomes 'Fatima Haddad' <fatima@example.org>",
            "user 2: 'Bakary Traoré' <bakary@example.org> becomes 'Georgi Petrov' <georgi@example.org>",
        ),
    )  # fmt: skip


def test_other_people_among_many_changes_stay_possible() -> None:
    successors = renamed(NAMES, [*NAMES[5:], *NAMES[:5]])
    seats = [PersonChange(i, name, None, email(name), None) for i, name in enumerate(NAMES, 100)]
    assert find_other_people([*successors, *seats]) is None
    assert find_other_people([*successors, *seats[:9]]) is not None


def test_a_few_successors_stay_possible() -> None:
    assert find_other_people(renamed(NAMES[:4], NAMES[5:9])) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(PersonChange(1, "Ann Lee", "Ann Lee", "ann@old.org", "ann@new.org"), id="another domain"),
        pytest.param(PersonChange(1, "Ann Lee", "Ann Miller", "ann.lee@x.org", "ann.miller@x.org"), id="a marriage"),
        pytest.param(PersonChange(1, "Jon Smiht", "John Smith", "jsmiht@x.org", "john@x.org"), id="a spelling"),
        pytest.param(PersonChange(1, "Lee, Ann", "Ann Lee", "lee@x.org", "ann@x.org"), id="words in another order"),
        pytest.param(PersonChange(1, "Joerg", "Jörg", "joerg1@x.org", "joerg2@x.org"), id="an umlaut"),
        pytest.param(PersonChange(1, "Jorg Muller", "Jörg Müller", "a@x.org", "b@x.org"), id="accents"),
        pytest.param(PersonChange(1, "山田太郎", "山田 太郎", "yt@x.org", "taro@x.org"), id="a blank between"),
        pytest.param(PersonChange(1, "Agent 7", "Ann Lee", "ann.lee@x.org", "a.lee@x.org"), id="name as the address"),
        pytest.param(PersonChange(1, "Bob Ray", "Ann Lee", "support@x.org", "support@y.org"), id="one local part"),
        pytest.param(PersonChange(1, "Bob Ray", "Ann Lee", "bob@x.org", None), id="only the name"),
        pytest.param(PersonChange(1, None, "Ann Lee", None, "ann@x.org"), id="nothing known"),
    ],
)
def test_recognises_the_same_person(change: PersonChange) -> None:
    assert not is_other_person(change)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(PersonChange(1, "Bob Ray", "Ann Lee", "bob@x.org", "ann@x.org"), id="all of it"),
        pytest.param(PersonChange(1, "Bob Ray", "Ann Lee", "user1@x.org", "user2@x.org"), id="numbered addresses"),
        pytest.param(PersonChange(1, "A. Ray", "A. Lee", "ray@x.org", "lee@x.org"), id="one initial"),
        pytest.param(PersonChange(1, "Пётр Ильич", "Анна Ли", "petr@x.org", "anna@x.org"), id="another script"),
    ],
)
def test_recognises_another_person(change: PersonChange) -> None:
    assert is_other_person(change)


@pytest.mark.parametrize(
    ("new", "current", "near"),
    [
        pytest.param("Plan", "plan", True, id="another case"),
        pytest.param("seat", "seats", True, id="one letter less"),
        pytest.param("cost-center", "cost_center", True, id="another separator"),
        pytest.param("departmant", "department", True, id="another letter"),
        pytest.param("seats (number)", "seats", True, id="words in brackets"),
        pytest.param("depratment", "department", True, id="two letters exchanged"),
        pytest.param("phone2", "phone1", False, id="another number"),
        pytest.param("team_b", "team_a", False, id="another last letter"),
        pytest.param("plan", "team", False, id="another word"),
        pytest.param("region", "regional_office", False, id="a longer word"),
        pytest.param("ext", "text", False, id="words too short to compare"),
    ],
)
def test_finds_a_key_that_is_nearly_one_that_users_hold(new: str, current: str, near: bool) -> None:
    assert similar_keys([new, "unrelated"], {current, "other"}) == ({new: current} if near else {})


def test_asks_nothing_about_keys_that_users_hold() -> None:
    assert similar_keys(["seat", "seats"], {"seat", "seats"}) == {}
