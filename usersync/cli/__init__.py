"""Run the command line: a client of the public functions that decides nothing."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import click

from usersync.cli import lookup, run, sandbox
from usersync.cli.export import export
from usersync.cli.output import say
from usersync.errors import OUT_OF_MEMORY, RowCountError, StoppedError, UsersyncError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="usersync")
def cli() -> None:
    """Bring a spreadsheet of user changes to the platform, and account for every row."""


for _command in (
    run.run,
    run.plan,
    run.apply,
    run.resume,
    run.undo,
    run.update,
    export,
    lookup.inspect,
    lookup.template,
    lookup.runs,
    lookup.show,
    lookup.history,
    lookup.check,
    sandbox.sandbox,
    sandbox.demo,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line; every error that a user can meet ends in a sentence and an exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open to the end
        with suppress(AttributeError):  # a stream of the caller's own
            getattr(sys, name).reconfigure(errors="backslashreplace")  # file names may hold what no text can
    try:
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        code = cli.main(prog_name="usersync", standalone_mode=False, color=False if plain else None)
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        say("stopped before anything was sent")
        code = 130
    except UsersyncError as error:
        say(f"usersync: {error}")
        code = error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except MemoryError:
        say(f"usersync: {OUT_OF_MEMORY}")
        code = StoppedError.exit_code
    except Exception as error:
        logging.getLogger(__name__).debug("internal error", exc_info=True)
        say(
            f"usersync: internal error: {type(error).__name__}: {error}; please report it (-vv shows where). "
            "If rows were being sent, `usersync resume` looks up what became of them"
        )
        code = RowCountError.exit_code
    sys.exit(code if isinstance(code, int) else 0)
