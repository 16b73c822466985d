"""Run the command line: a client of the public functions that decides nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from importlib import import_module

import click

from usersync.cli.output import fail, say, write_error, writing_stdout
from usersync.errors import OUT_OF_MEMORY, RowCountError, StoppedError, UsageError, UsersyncError

#: Command -> its module in this package, and what `usersync --help` says of it.
_COMMANDS = {
    "apply": ("run", "Send exactly a plan that `usersync plan -o` saved."),
    "check": ("lookup", "Check that everything is in place: settings, token, platform."),
    "demo": ("sandbox", "Show a whole run: sandbox, sample workbook, plan, run, report."),
    "export": ("export", "Write the users as they are, to edit them and run the file again."),
    "history": ("lookup", "Show every change that was sent for one user, old -> new."),
    "inspect": ("lookup", "Show what the loader sees in FILE, without a platform."),
    "plan": ("run", "Show what a run would change, and send nothing."),
    "resume": ("run", "Complete a run that was interrupted; by default the latest."),
    "run": ("run", "Plan, show, ask, send, report: the main job."),
    "runs": ("lookup", "List what was done, newest first."),
    "sandbox": ("sandbox", "Start a local stand-in for the platform, to practise on."),
    "show": ("lookup", "Show one run: who, when, from which file, and every row."),
    "template": ("lookup", "Write OUT.xlsx, an empty workbook for the people who fill it in."),
    "undo": ("run", "Restore the old values of a run, where its own values still stand."),
    "update": ("run", "Update one user, and print it as JSON."),
}

#: Options with which click writes to stdout by itself.
_HELP = frozenset({"-h", "--help", "--version"})


class _Commands(Mapping[str, click.Command]):
    """The commands by name, each imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        module, _ = _COMMANDS[name]
        command: click.Command = getattr(import_module(f"usersync.cli.{module}"), name)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)


class _Group(click.Group):
    """Lists its commands without importing them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=_Group, commands=_Commands(), context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="usersync")
def cli() -> None:
    """Bring a spreadsheet of user changes to the platform, and account for every row."""


def main() -> None:
    """Run the command line; every error that a user can meet ends in a sentence and an exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            devnull = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open to the end; pathlib is slow
            setattr(sys, name, devnull)
        with suppress(AttributeError):  # a stream of the caller's own
            getattr(sys, name).reconfigure(errors="backslashreplace")  # file names may hold what no text can
    try:
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        with writing_stdout() if _HELP & {*sys.argv} else nullcontext():
            code = cli.main(prog_name="usersync", standalone_mode=False, color=False if plain else None)
    except click.ClickException as error:
        error.show()
        code = write_error(error.format_message(), UsageError.exit_code, as_json="--json" in sys.argv)
    except (click.Abort, KeyboardInterrupt):
        say("stopped before anything was sent")
        code = 130
    except UsersyncError as error:
        code = fail(str(error), error.exit_code, as_json="--json" in sys.argv)
    except SystemExit:  # nobody reads the output any more
        code = 0
    except MemoryError:
        say(f"usersync: {OUT_OF_MEMORY}")
        code = StoppedError.exit_code
    except Exception as error:
        import logging  # slow to import, and rarely needed here

        logging.getLogger(__name__).debug("internal error", exc_info=True)
        say(
            f"usersync: internal error: {type(error).__name__}: {error}; please report it (-vv shows where). "
            "If rows were being sent, `usersync resume` looks up what became of them"
        )
        code = RowCountError.exit_code
    sys.exit(code if isinstance(code, int) else 0)
