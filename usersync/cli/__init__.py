"""Words in, exit code out: the command line is a client of the public functions, and decides nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from usersync.cli import inspect, run, sandbox
from usersync.cli.options import say
from usersync.errors import UsersyncError


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
    inspect.inspect,
    inspect.template,
    inspect.runs,
    inspect.show,
    inspect.history,
    inspect.check,
    sandbox.sandbox,
    sandbox.demo,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line; every error that a user can meet ends in a sentence and an exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller: what is said goes nowhere
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open to the end
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
    sys.exit(code if isinstance(code, int) else 0)
