"""Test that a plan's numbers come from the rows that would be sent."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import numbered_box
from usersync.sandbox import Sandbox, StoredUser

Opened = Callable[..., Any]
PASSWORD, OTHER = "Str0ng!secret", "0ther!Secret"


@pytest.mark.parametrize(
    ("sheet", "found"),
    [
        pytest.param("id,email\n1,a@example.org\n", {}, id="no name and no password"),
        pytest.param("id,name,email\n1,,a@example.org\n", {}, id="names left alone"),
        pytest.param("id,name\n1,User 1\n2,User 1\n", {}, id="a name that one user gets, and another has already"),
        pytest.param("id,name\n2,Bea\n1,Ann\n", {}, id="all different"),
        pytest.param(
            "id,name\n1,Bea\n2,Ann\n3,Bea\n4,Ann\n5,Bea\n",
            {"same-name": "3 users would all get Bea"},
            id="the most frequent of two names",
        ),
        pytest.param(
            f"id,password\n1,{PASSWORD}\n2,{OTHER}\n3,{OTHER}\n",
            {"same-password": "2 users would all get ***"},
            id="a password is counted by its value, and not shown",
        ),
    ],
)
def test_a_plan_counts_the_users_who_would_all_get_the_same_value(
    sheet: str, found: dict[str, str], desk: Opened
) -> None:
    with desk(numbered_box(5), limits={"same_value": 1}) as (_, at):
        at.write("changes.csv", sheet)
        plan = at.run("plan", "changes.csv", "--json").summary
        sentences = {limit["rule"]: limit["sentence"] for limit in plan["limits"]}
        assert sentences.keys() == found.keys()
        assert all(f", but {found[rule]}; to send it anyway" in sentences[rule] for rule in found)


def test_an_attribute_with_a_semicolon_in_its_key_is_one_field(desk: Opened) -> None:
    with desk(numbered_box(5)) as (_, at):
        at.write("changes.csv", 'id,name,"custom_attributes.a;b"\n1,Ann,x\n')
        assert at.run("plan", "changes.csv", "--json").summary["fields"] == {"name": 1, "custom_attributes.a;b": 1}
        (line,) = at.run("run", "changes.csv", "--yes").report
        assert line["changed"] == r"name;custom_attributes.a\u003bb"
        assert json.loads(line["new"]) == {"name": "Ann", "custom_attributes.a;b": "x"}


def test_text_in_place_of_a_number_is_rejected_until_the_settings_want_text(desk: Opened) -> None:
    users = [
        StoredUser(id=i, name=f"User {i}", email=f"u{i}@example.org", custom_attributes={"quota": 1000, "vip": False})
        for i in (1, 2, 3)
    ]
    quota = "custom_attributes.quota"
    with desk(Sandbox(users=users, limit=None), columns={"Quota": quota}) as (_, at):
        at.write("changes.csv", "id;Quota;custom_attributes.vip\n1;2.000;\n2;2500;WAHR\n3;2500;ja\n")
        ran = at.run("run", "changes.csv", "--yes", "--json")
        assert [(row["status"], row["code"], row["message"]) for row in ran.report] == [
            (
                "rejected",
                "type-invalid",
                "Quota '2.000': this number can have a thousands separator, or decimals; enter it as 1000 or 1.0 "
                "(the platform holds a number)",
            ),
            ("updated", "", ""),
            (
                "rejected",
                "type-invalid",
                "custom_attributes.vip 'ja': neither true nor false; enter one of them "
                "(the platform holds true or false)",
            ),
        ]
        assert any(f"to send it, add fields: {{{quota}: {{type: text}}}}" in note for note in ran.summary["notes"])
        rejects = at.folder / ran.summary["files"]["rejects"]
        rejects.write_text(rejects.read_text().replace("2.000", "2000").replace(";ja", ";yes"))
        assert at.run("run", str(rejects), "--yes").code == 0
        at.settings["fields"] = {quota: {"type": "text"}}
        assert at.run("plan", "changes.csv", "--json").summary["counts"]["planned"] == 1


@pytest.mark.parametrize(
    ("held", "note"),
    [
        pytest.param([{"seats": 5}, {"seats": 7}, {}], "where others hold a number", id="numbers"),
        pytest.param([{"seats": [5]}, {"seats": True}, {}], "hold a list or true or false", id="two kinds"),
        pytest.param([{"seats": 5}, {"seats": "7"}, {}], "", id="some text"),
        pytest.param([{}, {"seats": None}, {}], "", id="nobody has a value"),
        pytest.param([{"seats": 5}, {"seats": 7}, {"seats": 9}], "", id="everybody has a value"),
    ],
)
def test_text_for_a_user_without_a_value_is_noted_where_others_hold_none(
    held: list[dict[str, Any]], note: str, desk: Opened
) -> None:
    users = [StoredUser(i, f"User {i}", f"u{i}@example.org", None, values) for i, values in enumerate(held, start=1)]
    with desk(Sandbox(users=users, limit=None)) as (_, at):
        at.write("changes.csv", "id,name,custom_attributes.seats\n1,Ann,\n2,Bea,\n3,Cid,9\n")
        notes = at.run("plan", "changes.csv", "--json").summary["notes"]
        found = [text for text in notes if "users without a value" in text]
        assert len(found) == bool(note)
        assert all(note in text for text in found)
        at.settings["fields"] = {"custom_attributes.seats": {"type": "integer"}}
        assert not at.run("plan", "changes.csv", "--json").summary["notes"]
