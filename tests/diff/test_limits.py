"""Test limits, and the search for protected users."""

from typing import Any

import pytest

from usersync.diff.limits import (
    LimitViolation,
    PlanStats,
    check_limits,
    check_overrides,
    has_email_patterns,
    protecting_entry,
    rules,
)
from usersync.errors import SettingsError, UsageError
from usersync.settings import Limits, make_settings

SEATS = "custom_attributes.seats"


def limits(**given: Any) -> Limits:
    platform = {"url": "http://127.0.0.1:1", "token_env": "USERSYNC_TOKEN"}
    return make_settings({"platform": platform, "limits": given}).limits


def stats(rows: int | None = 1000, changes: int = 60, last_rows: int | None = None, **more: Any) -> PlanStats:
    return PlanStats(changes, rows_read=rows, last_rows_read=last_rows, **more)


@pytest.mark.parametrize(
    ("plan", "allowed"),
    [
        pytest.param(stats(1, 0), {}, id="no change at all"),
        pytest.param(
            stats(40, 40, fields={"email": 40, "name": 40}, same_values={"password": ("***", 20)}),
            {},
            id="a first workbook that changes everybody",
        ),
        pytest.param(stats(5000, 5000, last_rows=49), {}, id="all rows after a trial of a few"),
        pytest.param(stats(5, 5, last_rows=49), {}, id="a few rows after a small workbook"),
        pytest.param(stats(500, 0, last_rows=1000), {}, id="half of the last run's rows"),
        pytest.param(stats(1500, 0, last_rows=1000), {}, id="half as many rows again"),
        pytest.param(stats(1, 0, last_rows=1000), {"rows_percent": None}, id="shrunk, with that limit lifted"),
        pytest.param(stats(40, 40, same_values={"name": ("Ann", 40)}), {"same_value": None}, id="alike, lifted"),
        pytest.param(stats(blank_columns=("email",)), {"blank_column": False}, id="a blank column, lifted"),
        pytest.param(stats(), {"changes": 60, "changes_percent": 6, "min_rows": 1000}, id="just as much as may be"),
        pytest.param(stats(10000, 29), {"changes_percent": 0.29}, id="a share that floats miss by a hair"),
        pytest.param(
            stats(fields={"name": 60, "email": 50}),
            {"fields": {"email": {"percent": 5, "changes": 50}, SEATS: {"changes": 0}}},
            id="fields that have no limit, are at it, or do not change",
        ),
    ],
)
def test_accepts_a_plan_within_its_limits(plan: PlanStats, allowed: dict[str, Any]) -> None:
    assert check_limits(plan, limits(**allowed)) == ()


@pytest.mark.parametrize(
    ("plan", "allowed", "sentence"),
    [
        pytest.param(
            stats(),
            {"changes": 1},
            "changes: at most 1 user may be changed, but 60 users would be changed; "
            "to send it anyway: --override changes",
            id="changes",
        ),
        pytest.param(
            stats(1200, 1155),
            {"changes_percent": 12.5},
            "changes-percent: at most 12.5 % of 1,200 rows (150 users) may be changed, but "
            "1,155 users would be changed (96.2 %); to send it anyway: --override changes-percent",
            id="their share",
        ),
        pytest.param(
            stats(fields={"email": 1}),
            {"fields": {"email": {"changes": 0}}},
            "email-changes: at most 0 users may get another email, but 1 user would get another email; "
            "to send it anyway: --override email-changes",
            id="changes of a field",
        ),
        pytest.param(
            stats(fields={"email": 60}),
            {"fields": {"email": {"percent": 5}}},
            "email-percent: at most 5 % of 1,000 rows (50 users) may get another email, but "
            "60 users would get another email (6 %); to send it anyway: --override email-percent",
            id="the share of a field",
        ),
        pytest.param(
            stats(10000, 30, fields={"custom_attributes.team size": 30}),
            {"fields": {"custom_attributes.team size": {"percent": 0.29}}},
            "custom_attributes.team size-percent: at most 0.29 % of 10,000 rows (29 users) may get another "
            "custom_attributes.team size, but 30 users would get another custom_attributes.team size (0.3 %); "
            "to send it anyway: --override 'custom_attributes.team size-percent'",
            id="an attribute whose name the shell would tear apart",
        ),
        pytest.param(
            stats(same_values={"name": ("Ann Bee", 21)}),
            {},
            "same-name: at most 20 users may get the same name, but 21 users would all get Ann Bee; "
            "to send it anyway: --override same-name",
            id="a name filled down",
        ),
        pytest.param(
            stats(same_values={"password": ("***", 2)}),
            {"same_value": 1},
            "same-password: at most 1 user may get the same password, but 2 users would all get ***; "
            "to send it anyway: --override same-password",
            id="a password filled down",
        ),
        pytest.param(
            stats(1, 1),
            {"min_rows": 100},
            "min-rows: there must be at least 100 rows, but there is 1 row; to send it anyway: --override min-rows",
            id="too few rows",
        ),
        pytest.param(
            stats(499, 0, last_rows=1000),
            {},
            "rows-shrunk: there must be at least 500 rows (1,000 last time, less 50 %), but there are 499 rows; "
            "to send it anyway: --override rows-shrunk",
            id="a source much smaller than last time",
        ),
        pytest.param(
            stats(76, 0, last_rows=50),
            {},
            "rows-grown: there may be at most 75 rows (50 last time, and 50 % more), but there are 76 rows; "
            "to send it anyway: --override rows-grown",
            id="a source much larger than last time",
        ),
        pytest.param(
            stats(blank_columns=(SEATS,)),
            {},
            f"blank-{SEATS}: a column that held something at the last run may not be blank throughout, but "
            f"{SEATS} is blank in all of 1,000 rows; to send it anyway: --override blank-{SEATS}",
            id="a column that suddenly is blank",
        ),
    ],
)
def test_reports_an_exceeded_limit_with_all_numbers(plan: PlanStats, allowed: dict[str, Any], sentence: str) -> None:
    assert [violation.sentence() for violation in check_limits(plan, limits(**allowed))] == [sentence]


STRICT = limits(
    changes=1, changes_percent=1, min_rows=2000, same_value=1, fields={"email": {"changes": 1, "percent": 1}}
)
WRONG = stats(
    fields={"email": 60}, same_values={"name": ("Ann", 60)}, last_rows=10000, blank_columns=("password", "email")
)


def test_reports_every_limit_that_a_plan_exceeds() -> None:
    assert [violation.rule for violation in check_limits(WRONG, STRICT)] == [
        *("changes", "changes-percent", "email-changes", "email-percent", "same-name"),
        *("min-rows", "rows-shrunk", "blank-password", "blank-email"),
    ]


def test_checks_no_size_and_no_share_of_rows_that_come_from_no_file() -> None:
    plan = stats(None, 60, last_rows=10000, fields={"email": 60}, blank_columns=("email",))
    assert [violation.rule for violation in check_limits(plan, STRICT)] == ["changes", "email-changes"]


NAMES = [name for pair in rules(STRICT).items() for name in pair]


@pytest.mark.parametrize("name", [*NAMES, f"blank-{SEATS}", "blank-custom_attributes", "min_rows", "email_changes"])
def test_accepts_a_rule_as_an_override(name: str) -> None:
    check_overrides([name], STRICT)


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("same-name", ["same-name", "same_name", "same_value", "same-value"]),
        ("same-password", ["same_value"]),
        ("changes-percent", ["changes_percent"]),
        ("email-changes", ["email_changes", "fields.email.changes"]),
        ("display_name-percent", ["display-name-percent", "fields.display_name.percent"]),
        ("rows-shrunk", ["rows_percent"]),
        (f"blank-{SEATS}", ["blank_column", f"blank_{SEATS}"]),
    ],
)
def test_a_limit_is_overridden_by_its_rule_or_its_setting_in_either_spelling(rule: str, names: list[str]) -> None:
    violation = LimitViolation(rule, "", "")
    assert [name for name in names if not violation.is_overridden([name])] == []
    others = {name for known in rules(STRICT).items() for name in known if rule not in known} - {*names}
    assert not violation.is_overridden(others)


def test_every_limit_of_the_settings_has_a_rule() -> None:
    named = {setting.partition(".")[0] for setting in rules(STRICT).values()}
    assert named | {"protect"} == {*Limits.model_fields}


def test_rules_are_named_for_all_fields_and_for_attributes_with_a_limit() -> None:
    found = rules(limits(fields={SEATS: {"percent": 5}}))
    assert {"changes", "changes-percent", "same-name", "same-password", "min-rows", "rows-shrunk", "rows-grown"} < {
        *found
    }
    for field in ("name", "display_name", "email", "password", SEATS):
        assert {f"{field}-changes", f"{field}-percent", f"blank-{field}"} < {*found}
    assert "blank-custom_attributes" in found
    assert "custom_attributes-changes" not in found


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(
            ["emial-percent"],
            "--override: emial-percent is not a limit's rule; did you mean email-percent?",
            id="a slip of the pen",
        ),
        pytest.param(
            ["row-shrunk", "changes", "emial_changes"],
            "--override: emial_changes is not a limit's rule; did you mean email-changes?; "
            "row-shrunk is not a limit's rule; did you mean rows-shrunk?",
            id="two at once",
        ),
        pytest.param(
            ["custom_attributes.sets-percent"],
            "--override: custom_attributes.sets-percent is not a limit's rule; "
            "did you mean custom_attributes.seats-percent?",
            id="an attribute without a limit",
        ),
        pytest.param(
            ["*"],
            "--override: * is not a limit's rule; rules, and their settings where these have another name: changes, "
            "changes-percent, FIELD-changes (fields.FIELD.changes), FIELD-percent (fields.FIELD.percent), "
            "same-name and same-password (same_value), shifted, identity, unusual, min-rows, "
            "rows-shrunk and rows-grown (rows_percent), blank-FIELD (blank_column)",
            id="nothing like a rule",
        ),
    ],
)
def test_rejects_an_override_that_is_not_a_rule(names: list[str], message: str) -> None:
    allowed = limits(fields={SEATS: {"percent": 5}})
    with pytest.raises(UsageError) as caught:
        check_overrides(names, allowed)
    assert str(caught.value) == message


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
def test_does_not_protect_a_user_that_no_entry_matches(protect: list[str], user_id: int, email: str | None) -> None:
    assert protecting_entry(protect, user_id, email) is None


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
def test_protects_a_user_by_the_first_entry_that_matches(
    protect: list[str], user_id: int, email: str | None, entry: str
) -> None:
    assert protecting_entry(protect, user_id, email) == entry


def test_protects_a_user_by_any_of_several_addresses() -> None:
    assert protecting_entry(["*@boss.example"], 1, "ann@x.org", None, "Ann@Boss.example ") == "*@boss.example"


@pytest.mark.parametrize(
    ("protect", "needed"),
    [
        pytest.param([], False, id="nobody is protected"),
        pytest.param(["1", "22"], False, id="ids alone"),
        pytest.param(["1", "*@x.org"], True, id="an id and a pattern"),
    ],
)
def test_addresses_matter_only_where_a_pattern_protects(protect: list[str], needed: bool) -> None:
    assert has_email_patterns(protect) is needed


def test_settings_accept_ids_and_patterns_to_protect() -> None:
    assert limits(protect=[1, " *@x.org "]).protect == ("1", "*@x.org")


def test_settings_reject_limits_that_could_never_apply() -> None:
    with pytest.raises(SettingsError) as caught:
        limits(fields={"emial": {}, "custom_attributes": {}}, protect=["ann", True, 1.5], rows_percent=float("inf"))
    assert str(caught.value).splitlines() == [
        "settings: 3 errors",
        "  limits.fields: emial is not a field (did you mean email?); "
        "attributes are limited one by one, as custom_attributes.seats",
        "  limits.rows_percent: input should be a finite number",
        "  limits.protect: 'ann', True, 1.5: write an id, or an e-mail pattern like *@example.org",
    ]
