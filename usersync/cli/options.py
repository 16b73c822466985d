"""Define the options that commands share, and read settings and context from them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from usersync.cli.completion import complete_known
from usersync.cli.output import say
from usersync.cli.signals import connect_signals

if TYPE_CHECKING:
    from usersync.context import Context, RunOptions
    from usersync.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

REQUEST_OPTIONS = (
    click.option("--rate", help="Requests at most, like 3000/min, 50/s or off."),
    click.option("--concurrency", type=int, help="Requests in flight at most."),
    click.option("--timeout", help="Seconds to wait for an answer."),
    click.option("--proxy", help="http://user:password@host:port of a proxy."),
    click.option("--insecure", is_flag=True, help="Do not check TLS certificates (a risk)."),
    click.option("--batch-size", type=int, help="Requests in a batch."),
    click.option("--batch-interval", type=float, help="Milliseconds between two batches."),
)
OUTPUT_OPTIONS = (
    click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing unless a row needs attention."),
    click.option("-v", "--verbose", count=True, help="Print more; twice: everything."),
    click.option("--log-format", type=click.Choice(["json", "text"]), help="Log events, one per line."),
    click.option("--log-file", type=click.Path(path_type=Path), help="Append them to a file, not to stderr."),
)


def _only_one(_: click.Context, __: click.Parameter, given: tuple[Path, ...]) -> Path | None:
    if len(given) > 1:
        raise click.UsageError("only `run` takes several settings files; use this command with one after the other")
    return given[0] if given else None


_CONFIG: dict[str, Any] = {
    "type": click.Path(path_type=Path), "multiple": True, "help": "Settings; default: ./usersync.yaml",
}  # fmt: skip
COMMON_OPTIONS = (click.option("-c", "--config", callback=_only_one, **_CONFIG), *OUTPUT_OPTIONS)
CONFIGS_OPTIONS = (
    click.option("-c", "--config", **_CONFIG | {"help": f"{_CONFIG['help']}; repeatable; or a folder."}),
    *OUTPUT_OPTIONS,
)
LIMIT_OPTIONS = (
    click.option("--override", multiple=True, metavar="RULE", help="Send although this limit is exceeded."),
    click.option("--lock-wait", metavar="TIME", help="Wait so long for another run to finish, like 10m."),
)
RUN_OPTIONS = (
    click.option("--engine", type=click.Choice(["local", "dask"]), help="What sends: this process, or a cluster."),
    click.option("--scheduler", metavar="ADDRESS", help="The Dask cluster, like tcp://host:8786."),
    click.option("--yes", is_flag=True, help="Send without asking."),
    click.option("--max-duration", metavar="TIME", help="Stop after 90s, 10m or 2h, with a report; resume later."),
    *LIMIT_OPTIONS,
)
SHEET_OPTION = (click.option("--sheet", help="The sheet of a workbook to read."),)
SOURCE_OPTIONS = (
    click.option("--where", multiple=True, metavar="COLUMN=VALUE", help="Only rows with this value (repeatable)."),
    click.option("--skip", type=click.IntRange(min=0), default=0, help="Leave out the first N rows."),
    click.option("--compare-with", help="remote, nothing, last-run, or a file's path.", shell_complete=complete_known),
    click.option("--match-by", type=click.Choice(["auto", "id", "email"]), help="How rows are matched with users."),
    click.option(
        "--base", type=click.Path(path_type=Path), help="What an export held, where the file does not carry it."
    ),
    click.option("--limit", type=click.IntRange(min=1), help="The first N changes only."),
)


def options_of(*groups: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    """Decorate a command with groups of options."""

    def decorate(command: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return decorate


def run_options(options: dict[str, Any]) -> RunOptions:
    """Return what a person chose for the run."""
    from usersync.context import RunOptions

    return RunOptions(
        where=options.get("where", ()),
        skip=options.get("skip", 0),
        limit=options.get("limit"),
        base=options.get("base"),
        overrides=tuple(options.get("override") or ()),
        max_duration=seconds_of("--max-duration", options.get("max_duration")),
        lock_wait=seconds_of("--lock-wait", options.get("lock_wait")) or 0.0,
    )


def make_settings_from(options: dict[str, Any]) -> Settings:
    """Load the settings, options of the command line winning over the file."""
    from usersync.settings import load_settings

    request = {
        name: options[name]
        for name in ("rate", "concurrency", "timeout", "proxy", "batch_size", "batch_interval")
        if options.get(name) is not None
    }
    if options.get("insecure"):
        request["verify_ssl"] = False
    overrides: dict[str, Any] = {"request": request}
    overrides |= {name: options[name] for name in ("engine", "scheduler") if options.get(name) is not None}
    source = {name: options[name] for name in ("sheet", "match_by") if options.get(name)}
    if source:
        overrides["source"] = source
    if options.get("compare_with"):
        overrides["diff"] = {"compare_with": options["compare_with"]}
    settings = load_settings(options["config"], overrides)
    if not settings.request.verify_ssl:
        say("warning: TLS certificates are not checked; anyone in between can read the token (better: request.ca_file)")
    return settings


def make_context(options: dict[str, Any]) -> Context:
    """Make the context of a run, with logging and a progress display."""
    from usersync.cli.progress import Bar, Lines
    from usersync.context import Context, SystemClock
    from usersync.logs import configure_logging

    configure_logging(
        verbose=options["verbose"],
        quiet=options["quiet"],
        style=options.get("log_format"),
        file=options.get("log_file"),
    )
    context = Context(on_start=connect_signals)
    if options["quiet"] or options["as_json"]:
        return context
    if sys.stderr and sys.stderr.isatty():
        context.progress = Bar(sys.stderr)
    else:
        context.progress = Lines(say, SystemClock().monotonic)
    return context


def seconds_of(option: str, text: str | None) -> float | None:
    """Read a duration such as 10m; UsageError names the option."""
    from usersync.settings import parse_duration

    try:
        return parse_duration(text) if text is not None else None
    except ValueError as error:
        raise click.UsageError(f"{option} {text}: {error}") from None
