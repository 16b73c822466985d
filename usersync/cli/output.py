"""Write to the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

import click

from usersync.errors import UsageError

if TYPE_CHECKING:
    from usersync.report import Summary


def say(text: str) -> None:
    """Write to stderr; stdout is for what a command is asked for."""
    with suppress(OSError):
        click.echo(text, err=True)


def write_stdout(text: str) -> None:
    """Write to stdout what a command is asked for. Raises UsageError, or SystemExit where nobody reads it any more."""
    with writing_stdout():
        click.echo(text)


def indented_json(document: object) -> str:
    """Return a document for scripts, as `--json` prints it."""
    import json  # not needed by most commands

    return json.dumps(document, ensure_ascii=False, indent=2)


def fail(error: str, exit_code: int, *, as_json: bool) -> int:
    """Report why a command ended without a result, with `as_json` on stdout too; return the exit code."""
    say(f"usersync: {error}")
    return write_error(error, exit_code, as_json=as_json)


def write_error(error: str, exit_code: int, *, as_json: bool) -> int:
    """With `as_json`, write to stdout why a command ended without a result; return the exit code."""
    if as_json:
        with suppress(UsageError, SystemExit):
            write_stdout(indented_json({"exit_code": exit_code, "error": error}))
    return exit_code


def write_sent(text: str, *, elsewhere: str) -> None:
    """Write to stdout what was sent; if that fails, report where to find it, and keep the exit code."""
    try:
        write_stdout(text)
    except SystemExit:
        pass
    except UsageError as error:
        say(f"usersync: {error}; {elsewhere}")


@contextmanager
def writing_stdout() -> Iterator[None]:
    """Turn errors of stdout into UsageError, and end quietly where its reader has closed it."""
    try:
        yield
    except OSError as error:
        # discard all further output, including what Python flushes at exit
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise SystemExit(0) from None
        raise UsageError(f"stdout cannot be written: {error.strerror}") from None


def show_summary(
    summary: Summary,
    options: dict[str, Any],
    *,
    plan_shown: bool,
    write: Callable[[str], None] = say,
    stream: TextIO | None = None,
) -> int:
    """Show how a run ended, without what its plan has shown, and return its exit code.

    `write` writes to `stream`, stderr by default, whose window the tables fit.
    """
    from usersync.cli.console import summary_text
    from usersync.cli.table import window_width

    if options["as_json"]:
        write_sent(indented_json(summary.as_json()), elsewhere=f"the summary is in {summary.files['summary']}")
    elif summary.exit_code or not options["quiet"]:
        again = option_words(options, "config") if "config" in options else None
        write(summary_text(summary, width=window_width(stream or sys.stderr), options=again, plan_shown=plan_shown))
    return int(summary.exit_code)


def option_words(options: dict[str, Any], *names: str) -> list[str]:
    """Return the words of those options that were given, for the command to type next."""
    words = []
    for name in names:
        value = options.get(name)
        for item in value if isinstance(value, tuple) else (value,) if value else ():
            words += ["-c" if name == "config" else f"--{name.replace('_', '-')}", str(item)]
    return words
