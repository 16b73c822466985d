"""A field is in conflict where its present value is neither the one known before nor the wanted one."""

from typing import Any

import pytest

from usersync.diff.conflicts import describe_conflicts, find_conflicts
from usersync.models import UNKNOWN, FieldChange

SEATS = "custom_attributes.seats"


@pytest.mark.parametrize(
    ("field", "held", "known", "is_conflict"),
    [
        pytest.param("name", "Ann", {"written": {"name": "Ann"}}, False, id="as usersync wrote it"),
        pytest.param("name", "Zoe", {"written": {"name": "Ann"}}, True, id="changed since usersync wrote it"),
        pytest.param("name", "Zoe", {"written": {"email": "a@x.org"}}, False, id="never written"),
        pytest.param("name", "Ann", {"exported": {"name": "Ann"}}, False, id="as it was exported"),
        pytest.param("name", "Zoe", {"exported": {"name": "Ann"}}, True, id="changed since the export"),
        pytest.param("name", None, {"exported": {"name": ""}}, False, id="nothing, exported as a blank"),
        pytest.param("name", "", {"exported": {"name": ""}}, False, id="an empty text, exported as a blank"),
        pytest.param("name", "Ann", {"exported": {"name": ""}}, True, id="set since the export"),
        pytest.param("name", "Zoe\u0308", {"exported": {"name": "Zo\u00eb"}}, False, id="the same letters"),
        pytest.param("email", "ANN@x.org", {"exported": {"email": "ann@X.org"}}, False, id="an e-mail in another case"),
        pytest.param(
            "display_name", None, {"exported": {"name": "Ann", "display_name": "Ann"}}, False, id="shown by the name"
        ),
        pytest.param(
            "display_name", None, {"exported": {"name": "Ann", "display_name": "A"}}, True, id="shown by the name now"
        ),
        pytest.param(
            "display_name", None, {"exported": {"name": "Ann", "display_name": ""}}, False, id="no display name"
        ),
        pytest.param(SEATS, 5, {"exported": {SEATS: "5"}}, False, id="a number, exported as digits"),
        pytest.param(SEATS, 5.0, {"exported": {SEATS: "5"}}, False, id="a whole number with decimals"),
        pytest.param(SEATS, True, {"exported": {SEATS: "true"}}, False, id="a boolean"),
        pytest.param(SEATS, {"b": 1, "a": [2]}, {"exported": {SEATS: '{"a":[2],"b":1}'}}, False, id="an object"),
        pytest.param(SEATS, 6, {"exported": {SEATS: "5"}}, True, id="another number"),
        pytest.param(SEATS, UNKNOWN, {"exported": {SEATS: "5"}}, False, id="a value that nobody looked up"),
        pytest.param(
            "name", "Zoe", {"written": {"name": "Ann"}, "exported": {"name": "Zoe"}}, False,
            id="changed after usersync wrote it and before the export",
        ),
        pytest.param(
            "name", "Ann", {"written": {"name": "Ann"}, "exported": {"name": "Zoe"}}, True,
            id="written by usersync after the export",
        ),
    ],
)  # fmt: skip
def test_a_conflict_is_a_present_value_that_nobody_knew(
    field: str, held: Any, known: dict[str, Any], *, is_conflict: bool
) -> None:
    change = FieldChange(field, held, "new")
    found = find_conflicts([change], known.get("written", {}), known.get("exported", {}))
    assert found == ((change,) if is_conflict else ())


def test_all_three_values_are_described_with_what_to_do() -> None:
    name, seats = FieldChange("name", "Zoe", "Bea"), FieldChange(SEATS, 6, 7)
    assert describe_conflicts([name, seats], {SEATS: 5}, {"name": "Ann"}) == (
        'name: the export held "Ann", the platform holds "Zoe", the file wants "Bea"; '
        "custom_attributes.seats: usersync wrote 5, the platform holds 6, the file wants 7; "
        "export again and decide, or set diff.on_conflict: overwrite"
    )
    assert describe_conflicts([seats], {SEATS: 5}, {}).endswith(
        "; resolve it by hand, or set diff.on_conflict: overwrite"
    )
