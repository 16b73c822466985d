"""Look users up: all of an account in one request, or else one by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Final, TypeAlias

from usersync.context import Context, Item, run_concurrently
from usersync.models import Result, Status, User
from usersync.platform.directory import NO_DIRECTORY, Directory, DirectoryUnavailable, ReadDirectory

#: Reads a user by id; a Result where that failed or the run stops.
ReadUser: TypeAlias = Callable[[int], Awaitable[User | Result]]
#: The display name of a user if the directory does not tell whether there is one. The ledger does not remember such
#: a user, because "unknown" would be stored as "none".
UNKNOWN_DISPLAY_NAME: Final = ""


class UserLookup:
    """Looks users up in the directory, where it was read and can tell, and reads all others."""

    def __init__(
        self, read_user: ReadUser, read_directory: ReadDirectory | None, context: Context, *, concurrency: int
    ) -> None:
        self._read_user, self._read_directory = read_user, read_directory
        self._context, self._concurrency = context, concurrency
        self.directory = NO_DIRECTORY
        self.unavailable = ""
        """Why the directory cannot be used; empty where it was read, was not needed, or none is configured."""

    @property
    def notes(self) -> list[str]:
        """What the author of a plan should know."""
        reason = self.unavailable
        return [f"the users of the account cannot be listed, so they are read one by one: {reason}"] if reason else []

    async def load_directory(self) -> Directory:
        """Read the directory, once; an empty one where none is configured or it is not available."""
        if self._read_directory:
            found = await self._read_directory()
            self._read_directory = None
            if isinstance(found, DirectoryUnavailable):
                self.unavailable = found.reason
            else:
                self.directory = found
        return self.directory

    async def read_each(
        self, asked: Iterator[tuple[Item, int, bool]], count: int, take: Callable[[Item, User | Result], None]
    ) -> None:
        """Read `count` users, and call `take` with the item that asked for each, and with what the user holds now.

        `asked` are items with the user's id, and whether the display name matters. `take` gets a Result (failed, or
        not-sent where the run stops) if nobody can tell; after a stop, `asked` yields those that were not read.
        """

        async def read(one: tuple[Item, int, bool]) -> None:
            item, user_id, with_display_name = one
            found = await self._read(user_id, with_display_name=with_display_name)
            take(item, found)
            self._context.progress.row(Status.PLANNED if isinstance(found, User) else found.status)

        if count > 1:  # the directory saves requests
            await self.load_directory()
        self._context.progress.begin("reading", count)
        await run_concurrently(asked, read, concurrency=self._concurrency, stop=self._context.stop)
        self._context.progress.end()

    async def _read(self, user_id: int, *, with_display_name: bool) -> User | Result:
        user = self.directory.users.get(user_id)
        if user is None:
            return await self._read_user(user_id)
        if user_id in self.directory.unknown_display_names:
            if with_display_name:
                return await self._read_user(user_id)
            return replace(user, display_name=UNKNOWN_DISPLAY_NAME)
        return user
