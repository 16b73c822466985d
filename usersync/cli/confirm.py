"""Ask on the terminal whether a plan is sent."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

import click

from usersync.cli.output import say
from usersync.cli.signals import STOP_SIGNALS, connect_signals, reason_of

if TYPE_CHECKING:
    from usersync.context import Context
    from usersync.planning.plan import Plan


class Confirmation:
    """Shows a plan, and asks whether to send it unless `yes` answers; with `quiet` as well, it shows nothing.

    `show` writes the plan to `stream`, stderr by default, whose window it fits.
    """

    def __init__(
        self,
        context: Context,
        *,
        yes: bool,
        quiet: bool,
        show: Callable[[str], None] = say,
        stream: TextIO | None = None,
    ) -> None:
        self._context, self._yes, self._quiet, self._show, self._stream = context, yes, quiet, show, stream
        self.plan_shown = False
        """Whether there was a plan to confirm, and it was shown."""

    def __call__(self, plan: Plan) -> bool:
        """Return whether to send the plan."""
        from usersync.cli.console import plan_text
        from usersync.cli.table import window_width
        from usersync.wording import plural

        if not (self._yes and self._quiet):
            self._show(plan_text(plan, width=window_width(self._stream or sys.stderr)) + "\n")
            self.plan_shown = True
        return self._yes or _ask(f"Send {plural(plan.changes, 'update')} to {plan.platform}?", self._context)


def confirmation(options: dict[str, Any], context: Context, *, yes: bool) -> Confirmation | None:
    """Return the way to have a plan confirmed; None where there is nobody to ask."""
    if not yes and not (sys.stdin and sys.stdin.isatty()):
        return None
    return Confirmation(context, yes=yes, quiet=options["quiet"] or options["as_json"])


def _ask(question: str, context: Context) -> bool:
    """Ask on the terminal; meanwhile signals do not wait for the event loop, nor reach it later."""
    import asyncio  # slow to import, and `usersync --help` has no use for it

    loop = asyncio.get_running_loop()

    def stop_asking(number: int, _frame: object) -> None:
        context.stop.ask(*reason_of(number))
        raise click.Abort

    wakeup = signal.set_wakeup_fd(-1)
    for number in STOP_SIGNALS:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(number)
        signal.signal(number, stop_asking)
    try:
        return answer_of(question)
    except click.Abort:
        say("")  # the question has no end of line
        context.stop.ask(130, "stopped at the question (Ctrl-D)")
        return False
    finally:
        signal.set_wakeup_fd(wakeup)
        connect_signals(context.stop)


def answer_of(question: str) -> bool:
    """Ask a question and return the answer; anything typed before the question appeared is dropped."""
    with suppress(ImportError, OSError, ValueError):  # Windows, or no terminal
        import termios

        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    return click.confirm(question, err=True)
