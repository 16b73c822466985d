"""Write to the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from usersync.report import Summary


def say(text: str) -> None:
    """Write to stderr; stdout is for what a command is asked for."""
    with suppress(OSError):
        click.echo(text, err=True)


def show_summary(summary: Summary, options: dict[str, Any], *, show: Callable[[str], None] = say) -> int:
    """Show how a run ended, and return its exit code."""
    import json

    from usersync.cli.console import summary_text
    from usersync.cli.table import window_width

    if options["as_json"]:
        try:
            click.echo(json.dumps(summary.as_json(), ensure_ascii=False, indent=2))
        except OSError as error:
            say(f"usersync: stdout cannot be written ({error.strerror}); the summary is in {summary.files['summary']}")
    elif summary.exit_code or not options["quiet"]:
        again = option_words(options, "config") if "config" in options else None
        plan_shown = not options["quiet"]
        show(summary_text(summary, width=window_width(sys.stderr), options=again, plan_shown=plan_shown))
    return int(summary.exit_code)


def option_words(options: dict[str, Any], *names: str) -> list[str]:
    """Return the words of those options that were given, for the command to type next."""
    words = []
    for name in names:
        value = options.get(name)
        for item in value if isinstance(value, tuple) else (value,) if value else ():
            words += ["-c" if name == "config" else f"--{name.replace('_', '-')}", str(item)]
    return words
