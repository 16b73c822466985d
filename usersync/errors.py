"""Define every exception that usersync raises, by who has to act.

    UsersyncError
    |- UsageError        exit 2   the caller: arguments, or a file that cannot be read
    |  |- SettingsError           the author of usersync.yaml
    |  `- SourceError             the author of the spreadsheet
    |- RefusedError      exit 3   the person who approves a run: a limit, or no confirmation
    |- StoppedError      exit 4   the operator: the platform is down, the token is wrong, time ran out
    |- BusyError         exit 5   nobody: another run holds the lock
    `- RowCountError     exit 6   the developers: row counts do not match

How a run ends follows one rule. A run that has begun (a row of it is in the ledger) ends with a `Summary`, whose
exit code says how: 0, 1, 3 (refused by a limit, or not confirmed), 4, 129, 130, 143. Everything before that raises a
UsersyncError, and nothing was sent. RowCountError (exit 6) is raised after the report is written.

A bad *row* is never an exception: it is a `Problem` or a `Result`, and ends in the report.
"""

from __future__ import annotations

#: The exit code of a run that finished, but for rows that need attention.
EXIT_NEED_ATTENTION = 1
#: The exit codes of runs that were stopped: by an error, or by SIGHUP, SIGINT or SIGTERM.
STOPPED_CODES = (4, 129, 130, 143)

#: The message of a run that ran out of memory.
OUT_OF_MEMORY = (
    "out of memory; free some, or split the file. If rows were being sent, `usersync resume` completes the run"
)

#: What to do with a ledger that is damaged.
DAMAGED_LEDGER = (
    "restore it from a backup, or move it away and run the same files again: users who hold their new values already"
    " are unchanged"
)


class UsersyncError(Exception):
    """The base of all errors; `exit_code` is what the process exits with."""

    exit_code = 1


class UsageError(UsersyncError):
    """Arguments, settings or a file cannot be used; nothing was sent."""

    exit_code = 2


class SettingsError(UsageError):
    """The settings hold errors; `problems` has a sentence for each."""

    def __init__(self, where: str, problems: tuple[str, ...]) -> None:
        self.problems = problems
        noun = "error" if len(problems) == 1 else "errors"
        super().__init__("\n".join([f"{where}: {len(problems)} {noun}", *(f"  {p}" for p in problems)]))


class SourceError(UsageError):
    """A file of user changes cannot be read as a whole."""

    def __init__(self, file: str, message: str) -> None:
        self.file = file
        super().__init__(f"{file}: {message}")


class RefusedError(UsersyncError):
    """A plan may not be sent: it exceeds a limit, or was not confirmed."""

    exit_code = 3


class StoppedError(UsersyncError):
    """A run ended before its last row; `usersync resume` continues it."""

    exit_code = 4


class BusyError(UsersyncError):
    """Another run holds the lock of this platform."""

    exit_code = 5


class RowCountError(UsersyncError):
    """Input rows and report lines do not match: a bug in usersync."""

    exit_code = 6
