"""Find the user of an e-mail address: by platform, file or ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from usersync.context import Clock
from usersync.errors import SettingsError, SourceError, UsageError
from usersync.ledger.snapshots import Snapshots
from usersync.loader import load
from usersync.planning.matching import EmailIndex
from usersync.planning.users import UserLookup
from usersync.settings import SourceSettings
from usersync.validation.cells import read_id
from usersync.values import normalize_email, normalize_text

if TYPE_CHECKING:
    from usersync.settings import Settings


async def email_index(settings: Settings, users: UserLookup, snapshots: Snapshots, clock: Clock) -> EmailIndex:
    """Return whose address is whose, from the best source there is.

    Raises UsageError where there is none, SettingsError where `source.directory` cannot be used.
    """
    directory = await users.load_directory()
    if directory.users:
        origin = f"the {len(directory.users):,} users of account {directory.account}"
        return EmailIndex(directory.ids_by_email, origin)
    if settings.source.directory:
        return index_from_file(settings.source.directory, settings)
    ids, oldest = snapshots.email_addresses()
    if ids:
        age = _age(oldest, clock.now())
        origin = f"the {len(ids):,} users that {settings.ledger} knows from earlier runs, the oldest seen {age}"
        return EmailIndex(ids, origin, is_current=False)
    reason = f" (the users of the account cannot be listed: {users.unavailable})" if users.unavailable else ""
    raise UsageError(
        f"rows are matched by e-mail address, but nothing says whose addresses they are{reason}; set platform.account "
        "and platform.account_token_env (then all users are listed in one request), or set source.directory to a file "
        "with the columns id and email, or add an id column"
    )


def index_from_file(path: Path, settings: Settings) -> EmailIndex:
    """Read ids and e-mail addresses from a file. Raises SettingsError where it cannot be used as a whole."""
    options = SourceSettings(match_by="id", hidden_rows="include", hidden_columns="include")
    try:
        table = load([path], options=options, columns=settings.columns)
    except SourceError as error:
        raise SettingsError("source.directory", (str(error),)) from None
    if "email" not in table.cells:
        raise SettingsError("source.directory", (f"{path} has no e-mail column",))
    problems = {problem.key: problem.message for problem in table.problems}
    ids: dict[str, int] = {}
    for key, (number, email) in enumerate(zip(table.cells["id"], table.cells["email"], strict=True)):
        address = normalize_email(normalize_text(email))
        try:
            if key in problems:
                raise ValueError(problems[key])
            user = read_id(number)
            if address and ids.setdefault(address, user) != user:
                raise ValueError(f"the address is that of user {ids[address]} as well")
        except ValueError as error:
            raise SettingsError("source.directory", (f"{path}, row {table.row_number(key)}: {error}",)) from None
    return EmailIndex(ids, f"the {len(ids):,} addresses in {path}", is_current=False)


def _age(seen_at: str, now: datetime) -> str:
    """Say how long ago something was seen; `seen_at` is ISO 8601, or blank where an older ledger did not note it."""
    try:
        seconds = (now - datetime.fromisoformat(seen_at).astimezone(UTC)).total_seconds()
    except ValueError:
        return "at an unknown time"
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"
