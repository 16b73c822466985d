"""What a plan weighs and what settings allow in, refusals out; and whose rows are protected."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usersync.diff.limits import (
    LimitViolation,
    PlanStats,
    check_overrides,
    protected,
    protects_user,
    rules,
    same_values,
    weigh,
)
from usersync.errors import SettingsError, UsageError
from usersync.settings import Limits, make_settings

SEATS = "custom_attributes.seats"


def limits(**given: Any) -> Limits:
    platform = {"url": "http://127.0.0.1:1", "token_env": "USERSYNC_TOKEN"}
    return make_settings({"platform": platform, "limits": given}).limits


def weights(rows: int = 1000, changes: int = 60, **more: Any) -> PlanStats:
    return PlanStats(rows, changes, **more)


def values(**columns: list[Any]) -> pd.DataFrame:
    """Rows of `DesiredValues.values` with the keys 10, 11 ..., and the ids 1, 2 ... where none are given."""
    rows = len(next(iter(columns.values())))
    ids = pd.Series(columns.pop("id", list(range(1, rows + 1))), dtype="int64")
    table = pd.DataFrame({"id": ids, **{n: pd.Series(c, dtype=object) for n, c in columns.items()}})
    return table.set_axis(range(10, 10 + rows))


@pytest.mark.parametrize(
    ("plan", "allowed"),
    [
        pytest.param(weights(0, 0), {}, id="nothing at all"),
        pytest.param(
            weights(40, 40, fields={"email": 40, "name": 40}, same_values={"password": ("***", 20)}),
            {},
            id="a first workbook that changes everybody",
        ),
        pytest.param(weights(5000, 5000, last_rows=49), {}, id="all rows after a trial of a few"),
        pytest.param(weights(5, 5, last_rows=49), {}, id="a few rows after a small workbook"),
        pytest.param(weights(500, 0, last_rows=1000), {}, id="half of the last run's rows"),
        pytest.param(weights(1500, 0, last_rows=1000), {}, id="half as many rows again"),
        pytest.param(weights(1, 0, last_rows=1000), {"rows_percent": None}, id="shrunk, with that limit lifted"),
        pytest.param(weights(40, 40, same_values={"name": ("Ann", 40)}), {"same_value": None}, id="alike, lifted"),
        pytest.param(weights(blank_columns=("email",)), {"blank_column": False}, id="a blank column, lifted"),
        pytest.param(weights(), {"changes": 60, "changes_percent": 6, "min_rows": 1000}, id="just as much as may be"),
        pytest.param(weights(10000, 29), {"changes_percent": 0.29}, id="a share that floats miss by a hair"),
        pytest.param(
            weights(fields={"name": 60, "email": 50}),
            {"fields": {"email": {"percent": 5, "changes": 50}, SEATS: {"changes": 0}}},
            id="fields that have no limit, are at it, or do not change",
        ),
    ],
)
def test_lets_a_plan_pass(plan: PlanStats, allowed: dict[str, Any]) -> None:
    assert weigh(plan, limits(**allowed)) == ()


@pytest.mark.parametrize(
    ("plan", "allowed", "sentence"),
    [
        pytest.param(
            weights(),
            {"changes": 1},
            "changes: at most 1 user may be changed, but 60 users would be changed; "
            "to send it all the same: --override changes",
            id="changes",
        ),
        pytest.param(
            weights(1200, 1155),
            {"changes_percent": 12.5},
            "changes-percent: at most 12.5 % of 1,200 rows (150 users) may be changed, but "
            "1,155 users would be changed (96.2 %); to send it all the same: --override changes-percent",
            id="their share",
        ),
        pytest.param(
            weights(fields={"email": 1}),
            {"fields": {"email": {"changes": 0}}},
            "email-changes: at most 0 users may get another email, but 1 user would get another email; "
            "to send it all the same: --override email-changes",
            id="changes of a field",
        ),
        pytest.param(
            weights(fields={"email": 60}),
            {"fields": {"email": {"percent": 5}}},
            "email-percent: at most 5 % of 1,000 rows (50 users) may get another email, but "
            "60 users would get another email (6 %); to send it all the same: --override email-percent",
            id="the share of a field",
        ),
        pytest.param(
            weights(10000, 30, fields={"custom_attributes.team size": 30}),
            {"fields": {"custom_attributes.team size": {"percent": 0.29}}},
            "custom_attributes.team size-percent: at most 0.29 % of 10,000 rows (29 users) may get another "
            "custom_attributes.team size, but 30 users would get another custom_attributes.team size (0.3 %); "
            "to send it all the same: --override 'custom_attributes.team size-percent'",
            id="an attribute whose name the shell would tear apart",
        ),
        pytest.param(
            weights(same_values={"name": ("Ann Bee", 21)}),
            {},
            "same-name: at most 20 users may get the same name, but 21 users would all get Ann Bee; "
            "to send it all the same: --override same-name",
            id="a name filled down",
        ),
        pytest.param(
            weights(same_values={"password": ("***", 2)}),
            {"same_value": 1},
            "same-password: at most 1 user may get the same password, but 2 users would all get ***; "
            "to send it all the same: --override same-password",
            id="a password filled down",
        ),
        pytest.param(
            weights(1, 1),
            {"min_rows": 100},
            "min-rows: there must be at least 100 rows, but there is 1 row; "
            "to send it all the same: --override min-rows",
            id="too few rows",
        ),
        pytest.param(
            weights(499, 0, last_rows=1000),
            {},
            "rows-shrunk: there must be at least 500 rows (1,000 last time, less 50 %), but there are 499 rows; "
            "to send it all the same: --override rows-shrunk",
            id="a source much smaller than last time",
        ),
        pytest.param(
            weights(76, 0, last_rows=50),
            {},
            "rows-grown: there may be at most 75 rows (50 last time, and 50 % more), but there are 76 rows; "
            "to send it all the same: --override rows-grown",
            id="a source much larger than last time",
        ),
        pytest.param(
            weights(blank_columns=(SEATS,)),
            {},
            f"blank-{SEATS}: a column that held something at the last run may not be blank throughout, but "
            f"{SEATS} is blank in all of 1,000 rows; to send it all the same: --override blank-{SEATS}",
            id="a column that suddenly is blank",
        ),
    ],
)
def test_refuses_a_plan_with_every_number(plan: PlanStats, allowed: dict[str, Any], sentence: str) -> None:
    assert [refusal.sentence() for refusal in weigh(plan, limits(**allowed))] == [sentence]


STRICT = limits(
    changes=1, changes_percent=1, min_rows=2000, same_value=1, fields={"email": {"changes": 1, "percent": 1}}
)
WRONG = weights(
    fields={"email": 60}, same_values={"name": ("Ann", 60)}, last_rows=10000, blank_columns=("password", "email")
)


def test_tells_every_limit_that_a_plan_is_beyond() -> None:
    assert [refusal.rule for refusal in weigh(WRONG, STRICT)] == [
        *("changes", "changes-percent", "email-changes", "email-percent", "same-name"),
        *("min-rows", "rows-shrunk", "blank-password", "blank-email"),
    ]


@given(st.sets(st.sampled_from([refusal.rule for refusal in weigh(WRONG, STRICT)])))
def test_an_override_sets_aside_its_own_rule_and_no_other(rules: set[str]) -> None:
    left: tuple[LimitViolation, ...] = tuple(r for r in weigh(WRONG, STRICT) if r.rule not in rules)
    assert weigh(WRONG, STRICT, overrides=frozenset(rules)) == left


@pytest.mark.parametrize("name", [*rules(STRICT), f"blank-{SEATS}", "blank-custom_attributes"])
def test_takes_a_rule_as_an_override(name: str) -> None:
    check_overrides([name], STRICT)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(
            ["emial-percent"],
            "--override: emial-percent is no limit's rule; did you mean email-percent?",
            id="a slip of the pen",
        ),
        pytest.param(
            ["row-shrunk", "changes", "email_changes"],
            "--override: email_changes is no limit's rule; did you mean email-changes?; "
            "row-shrunk is no limit's rule; did you mean rows-shrunk?",
            id="two at once",
        ),
        pytest.param(
            ["custom_attributes.sets-percent"],
            "--override: custom_attributes.sets-percent is no limit's rule; "
            "did you mean custom_attributes.seats-percent?",
            id="an attribute without a limit",
        ),
        pytest.param(
            ["*"],
            "--override: * is no limit's rule; known: changes, changes-percent, name-changes, name-percent, "
            "display_name-changes, display_name-percent, email-changes, email-percent, password-changes, "
            "password-percent, custom_attributes.seats-changes, custom_attributes.seats-percent, same-name, "
            "same-password, min-rows, rows-shrunk, rows-grown, blank-name, blank-display_name, blank-email, "
            "blank-password, blank-custom_attributes, blank-custom_attributes.seats",
            id="nothing like a rule",
        ),
    ],
)
def test_refuses_an_override_that_is_no_rule(names: list[str], message: str) -> None:
    allowed = limits(fields={SEATS: {"percent": 5}})
    with pytest.raises(UsageError) as caught:
        check_overrides(names, allowed)
    assert str(caught.value) == message
    with pytest.raises(UsageError):
        weigh(weights(), allowed, overrides=frozenset(names))


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        pytest.param({"email": ["a@x.org"]}, {}, id="no name and no password"),
        pytest.param({"name": [None, None]}, {}, id="names left alone"),
        pytest.param({"name": []}, {}, id="no rows"),
        pytest.param({"name": ["Ann", "Bea"]}, {"name": ("Ann", 1)}, id="all different: the first"),
        pytest.param({"name": [None, "Bea", "Ann", None, "Ann"]}, {"name": ("Ann", 2)}, id="a name twice"),
        pytest.param({"password": ["Aa1!xx"] * 3}, {"password": ("***", 3)}, id="a password is not shown"),
    ],
)
def test_finds_the_value_that_most_would_get(columns: dict[str, Any], found: dict[str, Any]) -> None:
    assert same_values(values(**columns)) == found


def test_counts_only_users_for_whom_the_value_changes() -> None:
    wanted = values(name=["Ann", "Ann", "Ann", "Bea", "Bea"])
    assert same_values(wanted, differs={"name": np.array([False, False, True, True, True])}) == {"name": ("Bea", 2)}


@pytest.mark.parametrize(
    ("protect", "user_id", "email"),
    [
        pytest.param([], 1, "ann@x.org", id="nobody is protected"),
        pytest.param(["1"], 11, "1@x.org", id="an id that only begins like it"),
        pytest.param(["*@x.org"], 1, None, id="no e-mail"),
        pytest.param(["*"], 1, None, id="no e-mail, and a pattern for all"),
        pytest.param(["*@x.org"], 1, "ann@x.org.example", id="an e-mail that goes on"),
        pytest.param(["*@x.org"], 1, "ann@xyorg", id="a dot is a dot"),
        pytest.param(["ann@x.org"], 1, "joann@x.org", id="an e-mail that only ends like it"),
        pytest.param(["9" * 30], 1, "ann@x.org", id="an id larger than any"),
    ],
)
def test_leaves_a_user_unprotected(protect: list[str], user_id: int, email: str | None) -> None:
    assert protects_user(protect, user_id, email) is None
    assert protected(values(id=[user_id], email=[email]), protect) == {}


@pytest.mark.parametrize(
    ("protect", "user_id", "email", "entry"),
    [
        pytest.param(["7", "1"], 1, None, "1", id="an id"),
        pytest.param(["ann@x.org"], 1, "ann@x.org", "ann@x.org", id="an e-mail"),
        pytest.param(["*@X.org"], 1, "Ann@x.ORG", "*@X.org", id="a pattern, in any case"),
        pytest.param(["a*@x.*", "*"], 1, "ann@x.org", "a*@x.*", id="the first of two patterns"),
        pytest.param(["*@x.org", "1"], 1, "ann@x.org", "*@x.org", id="the first of a pattern and an id"),
    ],
)
def test_protects_a_user(protect: list[str], user_id: int, email: str | None, entry: str) -> None:
    assert protects_user(protect, user_id, email) == entry
    assert protected(values(id=[user_id], email=[email]), protect) == {10: entry}


def test_protects_an_id_where_no_row_wants_an_e_mail() -> None:
    assert protected(values(name=["Ann", "Bea"]), ["2", "*@x.org"]) == {11: "2"}


@given(
    st.lists(st.sampled_from(["1", "3", "*@x.org", "A*", "b@y.org"])),
    st.lists(st.sampled_from(["ann@x.org", "Bea@x.org", "b@y.org", "c@z.org", None]), min_size=1),
)
def test_whole_columns_and_single_users_agree(protect: list[str], emails: list[str | None]) -> None:
    one_by_one = {10 + i: protects_user(protect, i + 1, email) for i, email in enumerate(emails)}
    assert protected(values(email=emails), protect) == {key: e for key, e in one_by_one.items() if e}


def test_settings_take_ids_and_patterns_to_protect() -> None:
    assert limits(protect=[1, " *@x.org "]).protect == ("1", "*@x.org")


def test_settings_refuse_limits_that_would_never_hold() -> None:
    with pytest.raises(SettingsError) as caught:
        limits(fields={"emial": {}, "custom_attributes": {}}, protect=["ann", True, 1.5], rows_percent=float("inf"))
    assert (
        str(caught.value)
        == """settings: 3 mistakes
  limits.fields: emial is no field (did you mean email?); attributes are limited one by one, as custom_attributes.seats
  limits.rows_percent: input should be a finite number
  limits.protect: 'ann', True, 1.5: write an id, or an e-mail pattern like *@example.org"""
    )
