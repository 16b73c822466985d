"""A file of what the platform held (yesterday's export) in, a look-up of its users out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from usersync.errors import SettingsError
from usersync.model import ATTRIBUTE, CLEAR, Json, User
from usersync.settings import Settings

LookUp = Callable[[Sequence[int]], Iterator[tuple[User, dict[str, Json]]]]


def known_from_file(path: str, settings: Settings) -> LookUp:
    """Read an export with the settings' columns and fields; users that it does not hold have to be read.

    Raises SettingsError where rows of it cannot be understood: half a memory is worse than none.
    """
    from usersync.check import check
    from usersync.loader import load

    table = load([path], options=settings.source, columns=settings.columns)
    wanted = check(table, settings.fields, duplicates="last")
    if wrong := [p for p in wanted.problems if p.code != "nothing-to-do"]:
        row = int(table.places["row"].iloc[wrong[0].key])
        raise SettingsError(
            "diff.compare_with",
            (f"{table.sources[0].file} has {len(wrong)} problems, the first in row {row}: {wrong[0].message}",),
        )
    values = wanted.values
    places = {int(user): at for at, user in enumerate(values["id"])}
    columns = {name: values[name].to_numpy(object) for name in values.columns}

    def look_up(users: Sequence[int]) -> Iterator[tuple[User, dict[str, Json]]]:
        for user in users:
            if (at := places.get(user)) is not None:
                yield _user(user, {name: column[at] for name, column in columns.items()}), {}

    return look_up


def _user(user: int, cells: dict[str, Any]) -> User:
    attributes = dict(cells.get("custom_attributes") or {})
    attributes |= {
        name[len(ATTRIBUTE) :]: None if value is CLEAR else value
        for name, value in cells.items()
        if name.startswith(ATTRIBUTE) and value is not None
    }
    return User(user, cells.get("name"), cells.get("display_name"), cells.get("email"), attributes)
