"""Define the texts for statuses, exit codes and remedies."""

from __future__ import annotations

from typing import Final

from usersync.models import Owner, Status

#: What a status means, in a few words.
STATUS_MEANINGS: Final = {
    Status.UPDATED: "sent, and confirmed by the platform",
    Status.UNCHANGED: "the platform already holds these values",
    Status.REJECTED: "a cell or the row is wrong; nothing was sent",
    Status.FAILED: "sent, and refused for good",
    Status.CONFLICT: "the value was changed since; nothing was sent",
    Status.UNKNOWN: "sent, but the result could not be determined",
    Status.PLANNED: "to be sent",
    Status.NOT_SENT: "stopped, refused, or the user could not be read",
}
#: What the exit code of a run that has a summary means.
EXIT_MEANINGS: Final = {
    0: "all is well",
    1: "finished, but some rows need attention",
    3: "refused; none of its rows was sent",
    4: "stopped",
    129: "stopped by SIGHUP",
    130: "stopped by Ctrl-C",
    143: "stopped by SIGTERM",
}
#: What has to be done, once rows were sent.
OWNER_REMEDIES: Final = {
    Owner.SHEET: "Correct these rows and run them again.",
    Owner.PERMISSION: "Allow the platform app to manage these users, then run the same file again.",
    Owner.PLATFORM: "Run the same file again later; values that already arrived are not sent again.",
    Owner.NOBODY: "Nothing if the newer value is right; otherwise each row says what to do.",
}


def plural(number: int, noun: str) -> str:
    """Count a noun that takes an `s`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def need_attention(number: int, noun: str = "") -> str:
    """Say how many need attention: `1 row needs attention`, `3 need attention`."""
    counted = plural(number, noun) if noun else f"{number:,}"
    return f"{counted} {'needs' if number == 1 else 'need'} attention"
