"""Ask on the terminal whether a plan is sent."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from usersync.cli.output import say
from usersync.cli.signals import connect_signals

if TYPE_CHECKING:
    from usersync.context import Context
    from usersync.job import Confirm
    from usersync.planning.plan import Plan


def confirmation(
    options: dict[str, Any], context: Context, *, yes: bool, show: Callable[[str], None] = say
) -> Confirm | None:
    """Return the way to have a plan confirmed; None where there is nobody to ask."""
    quiet = options["quiet"] or options["as_json"]
    if not yes and not (sys.stdin and sys.stdin.isatty()):
        return None

    def confirm(plan: Plan) -> bool:
        from usersync.cli.console import plan_text
        from usersync.cli.table import window_width

        if not (yes and quiet):
            show(plan_text(plan, width=window_width(sys.stderr)) + "\n")
        return yes or _ask(f"Send {plan.changes:,} updates to {plan.platform}?", context)

    return confirm


def _ask(question: str, context: Context) -> bool:
    """Ask on the terminal; meanwhile Ctrl-C does not wait for the event loop, nor reach it later."""
    import asyncio  # slow to import, and `usersync --help` has no use for it

    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):
        loop.remove_signal_handler(signal.SIGINT)
    wakeup = signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _forget_typed_ahead()
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        context.stop.ask(130, "stopped at the question (Ctrl-C or Ctrl-D)")
        return False
    finally:
        signal.set_wakeup_fd(wakeup)
        connect_signals(context.stop)


def _forget_typed_ahead() -> None:
    """Drop what was typed before the question was there: nobody can have answered it yet."""
    with suppress(ImportError, OSError, ValueError):  # Windows, or no terminal
        import termios

        termios.tcflush(sys.stdin, termios.TCIFLUSH)
