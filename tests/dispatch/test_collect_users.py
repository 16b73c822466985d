"""Users wait on disk until all are read."""

import sqlite3
from random import Random

import pytest

from usersync.dispatch.collect_users import UserBuffer
from usersync.models import User


def test_users_come_back_as_they_were_in_the_order_of_their_ids() -> None:
    users = [User(n, f"N{n}", None, "ä@x.org", {"a": [n, {"b": None}], f"k{n % 3}": 1.5}) for n in range(1, 2500)]
    shuffled = users[:]
    Random(1).shuffle(shuffled)
    with UserBuffer() as buffer:
        for user in shuffled:
            buffer.add(user, knows_display_name=user.id % 2 == 0)
        assert list(buffer.users()) == [(user, user.id % 2 == 0) for user in users]
        assert list(buffer.users()) == [(user, user.id % 2 == 0) for user in users]
        assert buffer.count == 2499
        assert buffer.attribute_keys == {"a", "k0", "k1", "k2"}


def test_a_closed_buffer_holds_nothing() -> None:
    with UserBuffer() as buffer:
        buffer.add(User(1, "Ann", None, None, {}))
    with pytest.raises(sqlite3.ProgrammingError):
        list(buffer.users())
