"""Complete files, names of runs and values of options in the shell."""

from __future__ import annotations

from contextlib import suppress

from click import Context, Parameter
from click.shell_completion import CompletionItem


def complete_files(_context: Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell, which knows files better."""
    return [CompletionItem(incomplete, type="file")]


def complete_known(context: Context, parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer what `--compare-with` takes; else a file."""
    found = [word for word in ("remote", "last-run", "nothing") if word.startswith(incomplete)]
    return [CompletionItem(word) for word in found] or complete_files(context, parameter, incomplete)


def complete_runs(context: Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the runs of the ledger, newest first; nothing where settings or ledger cannot be read."""
    from usersync.errors import UsersyncError
    from usersync.ledger import Ledger
    from usersync.settings import load_settings

    with suppress(UsersyncError):
        settings = load_settings(context.params.get("config"))
        if settings.ledger.exists():
            with Ledger(settings.ledger) as ledger:
                runs = [info for info in ledger.runs() if info.run.startswith(incomplete)]
            return [CompletionItem(info.run, help=f"{info.kind}, exit {info.exit_code}") for info in runs]
    return []
