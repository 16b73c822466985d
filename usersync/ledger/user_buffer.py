"""Keep users on disk until all are read, so that memory does not grow with them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from usersync.models import User, json_text

#: Users that are written at once.
_BATCH: Final = 1000


class UserBuffer:
    """Users in a temporary database, which is gone when the buffer is closed."""

    def __init__(self) -> None:
        #: The keys of all attributes of any user.
        self.attribute_keys: set[str] = set()
        #: How many users were added.
        self.count = 0
        # reading may happen in another thread, where an event loop runs already
        self._database = sqlite3.connect("", check_same_thread=False)
        self._database.execute("CREATE TABLE user (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        self._batch: list[tuple[int, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, user: User, *, knows_display_name: bool = True) -> None:
        """Add a user; each id once."""
        self.attribute_keys.update(user.custom_attributes)
        self.count += 1
        values = (user.name, user.display_name, user.email, dict(user.custom_attributes), knows_display_name)
        self._batch.append((user.id, json_text(values)))
        if len(self._batch) >= _BATCH:
            self._flush()

    def users(self) -> Iterator[tuple[User, bool]]:
        """Return all users in the order of their ids, each with whether its display name is known."""
        self._flush()
        for user_id, text in self._database.execute("SELECT id, text FROM user ORDER BY id"):
            name, display_name, email, attributes, knows_display_name = json.loads(text)
            yield User(user_id, name, display_name, email, attributes), knows_display_name

    def _flush(self) -> None:
        self._database.executemany("INSERT INTO user VALUES (?, ?)", self._batch)
        self._batch.clear()
