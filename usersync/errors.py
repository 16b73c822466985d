"""Every exception that usersync raises, by who must act.

    UsersyncError
    |- UsageError        exit 2   the caller: arguments, or a file that cannot be read
    |  |- SettingsError           the author of usersync.yaml
    |  `- SourceError             the author of the spreadsheet
    |- RefusedError      exit 3   the person who signs off: a limit, or no confirmation
    |- StoppedError      exit 4   the operator: the platform is down, the token is wrong, time ran out
    |- BusyError         exit 5   nobody: another run holds the lock
    `- RowCountError     exit 6   us: the accounts do not add up

A bad *row* is never an exception: it is a `Problem` or an `Outcome`, and ends in the report.
"""

from __future__ import annotations


class UsersyncError(Exception):
    """Root of the tree; `exit_code` is what the process ends with."""

    exit_code = 1


class UsageError(UsersyncError):
    """Arguments, settings or a file are not usable; nothing was sent."""

    exit_code = 2


class SettingsError(UsageError):
    """The settings hold mistakes; `problems` has a sentence for each of them."""

    def __init__(self, where: str, problems: tuple[str, ...]) -> None:
        self.problems = problems
        noun = "mistake" if len(problems) == 1 else "mistakes"
        super().__init__("\n".join([f"{where}: {len(problems)} {noun}", *(f"  {p}" for p in problems)]))


class SourceError(UsageError):
    """A file of user changes cannot be read as a whole."""

    def __init__(self, file: str, message: str) -> None:
        self.file = file
        super().__init__(f"{file}: {message}")


class RefusedError(UsersyncError):
    """A plan that may not be sent: over a limit, or not confirmed."""

    exit_code = 3


class StoppedError(UsersyncError):
    """The run ended before its last row; `usersync resume` goes on."""

    exit_code = 4


class BusyError(UsersyncError):
    """Another run holds the lock of this platform."""

    exit_code = 5


class RowCountError(UsersyncError):
    """Rows in and lines out differ: a defect of usersync, said loudly."""

    exit_code = 6
