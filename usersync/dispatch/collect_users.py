"""Read the users to export, in one request or one by one, and keep them on disk."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final, Self

from usersync.context import Context, Stopping, run_concurrently
from usersync.dispatch.connection import connected, rate_limiter
from usersync.dispatch.list_reader import ListReader
from usersync.dispatch.sender import RequestCounts
from usersync.errors import SettingsError, StoppedError
from usersync.models import Status, User, json_text
from usersync.platform.directory import ACCOUNT_USERS_PATH, Directory, ListError, parse_account_users
from usersync.settings import Settings

_NOT_CONFIGURED: Final = (
    "nothing says which users to export: name the account under platform.account (with a user's token under "
    "platform.account_token_env all are read in one request), or their ids with --ids FILE"
)
#: Users that are written at once.
_BATCH: Final = 1000


class UserBuffer:
    """Users in a temporary database, which is gone when the buffer is closed, and what became of reading them."""

    def __init__(self) -> None:
        #: The keys of all attributes of any user.
        self.attribute_keys: set[str] = set()
        #: How many users were added.
        self.count = 0
        #: Users that could not be read: id, and why.
        self.unread: list[tuple[int, str]] = []
        #: What the author of the export should know.
        self.notes: list[str] = []
        # reading may happen in another thread, where an event loop runs already
        self._database = sqlite3.connect("", check_same_thread=False)
        self._database.execute("CREATE TABLE user (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        self._batch: list[tuple[int, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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


async def collect_users(
    settings: Settings, context: Context, buffer: UserBuffer, ids: Sequence[int] | None = None
) -> None:
    """Read users into `buffer`: those with these `ids`, or all of the account.

    Raises SettingsError where neither ids nor an account are given, StoppedError where the users cannot be read.
    """
    account = settings.platform.account
    try:
        if ids is not None:
            await _read_singly(settings, context, buffer, ids)
        elif account is not None:
            await _read_account(settings, context, buffer, account)
        else:
            raise SettingsError("export", (_NOT_CONFIGURED,))
    except Stopping:
        pass
    if context.stop.reason:
        raise StoppedError(f"nothing was exported: {context.stop.reason.message}")


async def _read_account(settings: Settings, context: Context, buffer: UserBuffer, account: int) -> None:
    """Read all users of an account in one request, or one by one where that cannot be done."""
    context.on_start(context.stop)
    token = settings.platform.account_token()
    with rate_limiter(settings, context) as limiter:
        lists = ListReader(settings, context, limiter=limiter, counts=RequestCounts())
        if token:
            found = await lists.read_directory(account, token, retry_errors=True)
            if isinstance(found, Directory):
                for user in found.users.values():
                    buffer.add(user, knows_display_name=user.id not in found.unknown_display_names)
                return
            buffer.notes.append(f"users were read one by one, because they cannot be listed: {found.reason}")
        ids = await _list_ids(settings, lists, account)
    await _read_singly(settings, context, buffer, ids)


async def _list_ids(settings: Settings, lists: ListReader, account: int) -> list[int]:
    token = settings.platform.token()
    response = await lists.read(ACCOUNT_USERS_PATH.format(account=account), token, retry_errors=True)
    try:
        return parse_account_users(response, account, (token.get_secret_value(),))
    except ListError as error:
        raise StoppedError(
            f"nothing was exported, because the users of account {account} cannot be listed: {error}; "
            "or name their ids with --ids FILE"
        ) from None


async def _read_singly(settings: Settings, context: Context, buffer: UserBuffer, ids: Sequence[int]) -> None:
    async with connected(settings, context) as sender:

        async def read(user_id: int) -> None:
            found = await sender.read(user_id)
            if isinstance(found, User):
                buffer.add(found)
            elif found.status is not Status.NOT_SENT:
                buffer.unread.append((user_id, found.message))
            context.progress.row(Status.UNCHANGED if isinstance(found, User) else found.status)

        distinct = sorted(set(ids))
        context.progress.begin("reading", len(distinct))
        await run_concurrently(distinct, read, concurrency=settings.request.concurrency, stop=context.stop)
        context.progress.end()
    buffer.unread.sort()
