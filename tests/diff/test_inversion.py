"""Test the changes that restore old values."""

from usersync.diff.inversion import invert
from usersync.models import UNKNOWN, FieldChange


def test_old_and_new_values_change_places_and_what_cannot_be_restored_is_named() -> None:
    changes = [
        FieldChange("name", None, "Ann"),
        FieldChange("custom_attributes.seats", None, 5),
        FieldChange("email", UNKNOWN, "ann@x.org"),
        FieldChange("password", UNKNOWN, "***"),
    ]
    inverted, kept = invert(changes)
    assert inverted == (FieldChange("name", "Ann", ""), FieldChange("custom_attributes.seats", 5, None))
    assert kept == ("email (the old value was never read)", "password (cannot be restored)")
